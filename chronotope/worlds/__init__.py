"""Simulated worlds: clips with captions written from the spec, and exact truth."""
