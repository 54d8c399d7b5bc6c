"""Runs: every long operation."""
