"""Language models: loading, units, encoding, log-probabilities, generation."""
