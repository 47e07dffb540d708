"""Ctrl-C or SIGTERM ends a generation after its current step and keeps finished frames; a second one keeps nothing."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from chronotope.cli.terminal import say

__all__ = ["Stop", "StoppedError", "stoppable"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(Exception):
    """Raised between steps or frames, after a signal."""


class Stop:
    """Whether a signal has requested the end of the work."""

    def __init__(self) -> None:
        self.requested = False

    def check(self) -> None:
        """Raise `StoppedError` if a stop was requested."""
        if self.requested:
            raise StoppedError

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; raise `KeyboardInterrupt` at the second."""
        del number, frame
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        say("stopping after this step; press Ctrl-C again to stop at once and keep nothing")


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Let signals request a stop while the block runs; only in the main thread, the only one that gets signals."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
