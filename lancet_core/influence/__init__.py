"""Influence: which training samples push a model towards or away from a query."""
