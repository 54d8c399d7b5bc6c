"""Correct: train the correction and watch it."""
