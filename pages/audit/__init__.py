"""Audit: how well a ranking tells unsafe samples from safe ones."""
