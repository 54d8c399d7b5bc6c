"""Prove: before and after, and the verdict."""
