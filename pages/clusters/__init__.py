"""Clusters: which queries belong together."""
