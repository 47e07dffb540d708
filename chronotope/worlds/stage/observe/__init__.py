"""What the stage's detector sees in a video without a spec."""
