"""Steps that bring an older index up to the newest schema."""
