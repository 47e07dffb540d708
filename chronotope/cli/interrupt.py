"""Ctrl-C or SIGTERM ends work after its current step and keeps what is finished; a second one stops it at once.

Generation keeps its finished frames, training saves its state.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

__all__ = ["Stop", "StoppedError", "stoppable"]

STDERR = 2
RELAY_SECONDS = 2.0  # torchrun sends each signal on to the ranks, which a terminal has sent it to already
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(Exception):
    """Raised between steps or frames, after a signal."""


class Stop:
    """Whether a signal has requested the end of the work, and which one.

    `loses` says what a second signal loses. Before `begun` is true there is no step to wait for, and the first signal
    stops the work at once.
    """

    def __init__(self, loses: str, begun: bool = True) -> None:
        self.loses = loses
        self.begun = begun
        self.signal: signal.Signals | None = None
        self._time = 0.0

    @property
    def requested(self) -> bool:
        return self.signal is not None

    def poll(self) -> bool:
        """Return whether a stop was requested; called after every step."""
        self.begun = True
        return self.requested

    def check(self) -> None:
        """Raise `StoppedError` if a stop was requested."""
        if self.requested:
            raise StoppedError

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; raise `KeyboardInterrupt` at the second, and before the work has begun."""
        del frame
        if self.requested:
            if "TORCHELASTIC_RUN_ID" in os.environ and time.monotonic() - self._time < RELAY_SECONDS:
                return
            raise KeyboardInterrupt
        self.signal, self._time = signal.Signals(number), time.monotonic()
        if not self.begun:
            raise KeyboardInterrupt
        # not through sys.stderr, which may be in the middle of a write when the signal comes
        message = f"stopping after this step; press Ctrl-C again to stop at once and {self.loses}\n"
        os.write(STDERR, message.encode())


@contextlib.contextmanager
def stoppable(loses: str = "keep nothing", begun: bool = True) -> Iterator[Stop]:
    """Let signals request a stop while the block runs; only in the main thread, the only one that gets signals."""
    stop = Stop(loses, begun)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
