"""Blind preference of people: a page with pairs of videos, and what its answers are worth."""
