"""Children end with their parent: real processes, really killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from chronotope.errors import FileProblem
from chronotope.processes import run_jobs

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


class Unsendable(Exception):
    """An error that another process cannot build again."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def fails(item: int) -> Iterator[int]:
    if item == 3:
        raise Unsendable(item, 4)
    yield item


def test_an_error_of_a_worker_arrives_with_its_words() -> None:
    with pytest.raises(RuntimeError, match="Unsendable: 3 and 4"):
        list(run_jobs(fails, enumerate([1, 2, 3, 5]), workers=2))


def test_the_end_of_a_worker_that_waits_is_one_sentence() -> None:
    def items() -> Iterator[tuple[int, int]]:
        yield 0, 1
        yield 1, 2
        for process in multiprocessing.active_children():  # both have ended their first item, or will not
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
        yield 2, 5

    with pytest.raises(FileProblem, match="a process of this command was killed"):
        list(run_jobs(fails, items(), workers=2))
