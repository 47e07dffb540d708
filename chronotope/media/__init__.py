"""Files in and out: video, picture and frames."""
