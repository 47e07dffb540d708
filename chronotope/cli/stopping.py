"""Ctrl-C while a video is made: the step in hand is finished, what is there is kept; a second Ctrl-C stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from chronotope.cli.manners import say

__all__ = ["Stop", "stoppable"]


class Stop:
    """Whether stopping was asked for; `check` stops where it can be done cleanly, and not in the middle of a frame."""

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed since the last check."""
        if self.asked:
            raise KeyboardInterrupt

    def ask(self, number: int, frame: FrameType | None) -> None:
        """The signal's handler."""
        del number, frame
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        say("stopping after this step; press Ctrl-C again to stop at once")


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """While the block runs, Ctrl-C only asks. Signals reach the main thread alone: elsewhere nothing changes."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, stop.ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
