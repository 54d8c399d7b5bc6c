"""Trace, Audit and Clusters."""
