"""Commands that make a dataset of somebody's own videos and show what is in it."""
