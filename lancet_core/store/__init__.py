"""The index in SQLite: studies, queries, pairs, decisions, runs."""
