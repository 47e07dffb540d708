"""A model on disk: where it lies, and what it was trained on."""
