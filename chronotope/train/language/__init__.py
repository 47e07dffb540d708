"""Trainings that end in text: the captioner, and the expander of prompts."""
