"""Work that must end within a time: what takes longer raises, so a layer that hangs refuses like one that fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["LAYER_SECONDS", "within"]

LAYER_SECONDS = 60.0  # that a layer may take for a text, a frame or a file
T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns; raise TimeoutError where it takes longer.

    Its thread cannot be ended, and is left: `work` must not make a file by name, which could come back later.
    """
    found: list[T] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"it took more than {seconds:g} s")
    if problems:
        raise problems[0]
    return found[0]
