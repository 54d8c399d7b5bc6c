"""Runs: folders, detached workers, the warm model host."""
