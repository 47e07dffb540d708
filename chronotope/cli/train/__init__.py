"""The trainings of the command line."""
