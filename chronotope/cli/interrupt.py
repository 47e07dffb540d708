"""Ctrl-C (or a polite kill) while a video is made: the step in hand is finished and what is there is kept; a second one stops at once."""

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
    """Raised where stopping was asked for and can be done cleanly: between steps and between frames."""


class Stop:
    """Whether stopping was asked for."""

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        """Stop here, if that was asked for."""
        if self.asked:
            raise StoppedError

    def ask(self, number: int, frame: FrameType | None) -> None:
        """The signals' handler."""
        del number, frame
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        say("stopping after this step; press Ctrl-C again to stop at once and keep nothing")


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """While the block runs, a signal only asks. Signals reach the main thread alone: elsewhere nothing changes."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.ask) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
