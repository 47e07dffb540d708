"""Crafter (Hafner 2021, arXiv 2109.06780), an open world in two dimensions that is played: see `world.py`."""
