"""Correction: pairs, retain set and the objectives that change a model's behaviour."""
