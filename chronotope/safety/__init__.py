"""What a user may have made, and where a delivered file says that it came from."""
