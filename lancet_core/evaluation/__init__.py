"""Evaluation: scorers, rankings, intervals, diversity and the verdict."""
