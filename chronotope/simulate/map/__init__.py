"""A memory of places: how the view of a session moved, and what was seen where."""
