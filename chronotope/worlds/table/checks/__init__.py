"""Checks of a video of the table."""
