"""A memory of places, by position: how the view moved, and which latents were seen where."""
