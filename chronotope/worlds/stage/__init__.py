"""The stage: flat actors before a backdrop, their captions and their checks."""
