"""Check a video of the stage: detect, track and measure what is in it."""
