"""Doom: rooms and corridors in first person, by ViZDoom with the free maps and pictures of Freedoom."""
