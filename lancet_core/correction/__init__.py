"""Correction: pairs, retain set and the training that changes a model's behaviour."""
