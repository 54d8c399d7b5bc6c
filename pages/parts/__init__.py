"""What the screens are made of: frame, rail, figures, tables, token heat, run status, keys."""
