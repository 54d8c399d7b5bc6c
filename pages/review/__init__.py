"""Review: people decide on pairs of samples."""
