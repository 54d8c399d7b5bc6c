"""LANCET: find the training samples behind a bad answer, correct the model, prove that it is corrected."""
