"""Children end with their parent: real processes, really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

CHILD = """
import os, sys, time
from chronotope.processes import {function}
{function}(int(sys.argv[1]))
print(os.getpid(), flush=True)
{work}
"""
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), flush=True)
time.sleep(600)
"""
BUSY = "while True: sum(range(1000))"


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and waits for init to collect it does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return not state.startswith("Z") and bool(state.strip())


def gone(pid: int) -> bool:
    """Wait until a process has ended, for at most a minute."""
    for _ in range(600):
        if not alive(pid):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("function", ["die_with_parent", "watch_parent"])
@pytest.mark.parametrize("work", ["time.sleep(600)", BUSY])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_with_its_parent(function: str, work: str, how: signal.Signals) -> None:
    """A child that sleeps or works ends when its parent is killed."""
    code = CHILD.format(function=function, work=work)
    with subprocess.Popen([sys.executable, "-c", PARENT, code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.send_signal(how)
    assert gone(child)


def test_a_parent_that_died_before_the_call() -> None:
    """A child whose parent is already another process ends at once."""
    code = CHILD.format(function="watch_parent", work="time.sleep(600)")
    done = subprocess.run([sys.executable, "-c", code, "1"], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (1, "")
