"""Home and Learn."""
