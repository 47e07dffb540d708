"""Frozen text encoders of `transformers`: captions and prompts -> states, kept on disk, that the transformer reads."""
