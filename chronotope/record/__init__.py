"""Record environments: frames and the actions that led to them -> a dataset of clips."""
