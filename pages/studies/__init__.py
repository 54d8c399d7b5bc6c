"""Studies: what is loaded, and making one of your own model and data."""
