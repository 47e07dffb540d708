"""Datasets for the use of other programs: tar shards, Croissant, Parquet, and a card for people."""
