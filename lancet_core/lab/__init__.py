"""The laboratory: a made-up world, models trained on it, and what is measured on them; the product needs none of it."""
