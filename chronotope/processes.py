"""Worker processes that end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

__all__ = ["die_with_parent"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_CHECK_SECONDS = 0.5


def die_with_parent() -> None:
    """Let this process end when its parent ends, even when the parent is killed.

    On Linux the kernel sends SIGKILL; elsewhere a thread watches the parent.
    """
    parent = os.getppid()
    if hasattr(os, "sched_getaffinity"):  # Linux
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the kernel knew
            os._exit(1)
        return
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_CHECK_SECONDS)
    os._exit(1)
