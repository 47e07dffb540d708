"""The layout of LeRobotDataset v3.0, in which robot data is shared: clips with actions -> that layout, and back."""
