"""The type of callback through which a long job reports how far it has come."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[int, int], None]  # called with the number of items done and the number of items in total
