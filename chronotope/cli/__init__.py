"""The command line: what is said to the terminal's human, and nothing else that prints."""
