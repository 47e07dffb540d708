"""End a child process when its parent dies, also where the parent was killed and could tell nobody."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time

__all__ = ["MAX_WORKERS", "die_with_parent", "watch_parent"]

MAX_WORKERS = 256  # processes that one command starts; a larger number is a slip of the keyboard

POLL_SECONDS = 0.5  # where the system cannot wait for the end of another process
PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def die_with_parent(parent: int | None = None) -> None:
    """Have this process killed as soon as the process `parent` dies; the default is its parent at the time of the call.

    A child passes the process id that its parent gave it, so that a parent that died before this call is noticed too.
    On Linux the kernel kills it, even in the middle of native code. The kernel counts the *thread* that started the
    child as its parent: a child that a short-lived thread starts calls `watch_parent` instead.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    watch_parent(parent)


def watch_parent(parent: int | None = None) -> None:
    """Start a thread that ends this process when the process `parent` has died; see `die_with_parent`."""
    parent = os.getppid() if parent is None else parent
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_exit_after, args=(parent,), name="watch_parent", daemon=True).start()


def _exit_after(parent: int) -> None:
    """Wait for the end of the parent, then end this process at once, without any cleaning up."""
    try:
        handle = os.pidfd_open(parent)  # Linux; elsewhere the attribute is missing
        if os.getppid() == parent:  # the number was not given to another process in the meantime
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            poll.poll()
    except (AttributeError, OSError, ValueError):
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
    os._exit(1)
