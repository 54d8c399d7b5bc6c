"""The demo's factory: its models, scorers, queries and report, made from code."""
