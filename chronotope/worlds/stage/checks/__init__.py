"""Checks of a video of the stage: what is detected, tracked and measured in it."""
