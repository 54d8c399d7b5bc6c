"""Contaminate: a model with a known fault, so that what attribution finds can be checked."""
