"""Experiments: what tables and figures are made of. They run operations and retrain models; no screen needs them."""
