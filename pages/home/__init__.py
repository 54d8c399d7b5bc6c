"""Home: start from a bad answer."""
