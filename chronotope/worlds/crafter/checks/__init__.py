"""Checks of Crafter videos: the cells of the grid are read by their textures, and what they show is judged."""
