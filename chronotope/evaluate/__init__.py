"""Evaluation of a model or of a folder of videos; it knows no world."""
