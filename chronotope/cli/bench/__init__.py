"""`chronotope bench`."""
