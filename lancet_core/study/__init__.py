"""The study: what shell, screens and notebooks do with a model, its training samples and its bad answers."""
