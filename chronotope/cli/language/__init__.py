"""Commands that read and write prompts and captions."""
