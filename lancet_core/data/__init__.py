"""Samples, dataset adapters and prompt sets: plain records, no tensors."""
