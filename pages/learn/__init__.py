"""Learn: the loop in four minutes."""
