"""Videos without a spec: what is seen in them, in which order."""
