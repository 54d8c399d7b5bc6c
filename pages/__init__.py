"""Screens; they lie in sub-folders named after the sections of the sidebar."""
