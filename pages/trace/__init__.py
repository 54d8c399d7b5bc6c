"""Trace: the training samples behind an answer."""
