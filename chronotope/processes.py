"""Work beside the main thread: a thread that prepares items, processes that do jobs and end when their parent dies.

A job is a plain function of one item that yields its results, so that another runner could call it as well.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import queue
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from chronotope.errors import ChronotopeError, FileProblem

__all__ = ["MAX_WORKERS", "Message", "die_with_parent", "prepared_ahead", "run_jobs", "uptime", "watch_parent"]

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


T = TypeVar("T")
WAIT_SECONDS = 0.2  # how long the thread waits for room before it looks whether it should end


@contextlib.contextmanager
def prepared_ahead(items: Iterator[T], count: int = 1) -> Generator[Iterator[T]]:
    """Iterate over the same items in the same order, `count` of them prepared ahead by a thread.

    What `items` raises is raised at its place. The thread ends with the block, after the item that it prepares.
    """
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(count)
    ended = threading.Event()

    def put(item: T | None, problem: BaseException | None) -> None:
        while not ended.is_set():
            with contextlib.suppress(queue.Full):
                ready.put((item, problem), timeout=WAIT_SECONDS)
                return

    def prepare() -> None:
        try:
            for item in items:
                put(item, None)
                if ended.is_set():
                    return
            put(None, StopIteration())
        except BaseException as problem:  # KeyboardInterrupt goes to the main thread alone, so none is lost here
            put(None, problem)

    def taken() -> Iterator[T]:
        while True:
            item, problem = ready.get()
            if isinstance(problem, StopIteration):
                return
            if problem is not None:
                raise problem
            yield item  # type: ignore[misc]

    thread = threading.Thread(target=prepare, name="prepared_ahead", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        ended.set()
        thread.join()


@dataclass(frozen=True)
class Message:
    """A result of the job `number`, or its end, with the problem that ended it if there was one."""

    number: int
    result: Any = None
    ended: bool = False
    problem: ChronotopeError | None = None


Job = Callable[[Any], Iterator[Any]]
KILLED = (
    "a process of this command was killed, perhaps for want of memory; run the same command again, with fewer --workers"
)


def run_jobs(job: Job, items: Iterator[tuple[int, Any]], workers: int = 1) -> Generator[Message]:
    """Call the job on every item, in `workers` processes, and yield the results of each in order, and its end.

    Items are asked for when a process is free, and processes are started when there is an item for them. With one
    worker the jobs run in this process. A ChronotopeError ends its job; any other error is raised here. FileProblem is
    raised where a process is killed. Closing the generator ends the processes.
    """
    if workers == 1:
        for number, item in items:
            yield from _messages(job, number, item)
        return
    start = multiprocessing.get_context("spawn")  # a forked torch may wait for threads that it no longer has
    running: dict[Connection, BaseProcess] = {}
    idle, busy = list[Connection](), set[Connection]()
    try:
        while True:
            while (idle or len(running) < workers) and (found := next(items, None)) is not None:
                if not idle:
                    ours, theirs = start.Pipe()
                    process = start.Process(target=_work, args=(job, theirs, os.getpid()))
                    process.start()
                    theirs.close()
                    running[ours] = process
                    idle.append(ours)
                connection = idle.pop()
                try:
                    connection.send(found)
                except (BrokenPipeError, ConnectionResetError) as problem:
                    raise FileProblem(KILLED) from problem
                busy.add(connection)
            if not busy:
                return
            for connection in busy.intersection(wait(list(busy))):
                message = _received(connection)
                if message.ended:
                    busy.remove(connection)
                    idle.append(connection)
                yield message
    finally:
        for connection, ended in running.items():
            ended.terminate()
            connection.close()
        for ended in running.values():
            ended.join()


def _messages(job: Job, number: int, item: Any) -> Iterator[Message]:
    try:
        for result in job(item):
            yield Message(number, result)
    except ChronotopeError as problem:
        yield Message(number, ended=True, problem=problem)
    else:
        yield Message(number, ended=True)


def _received(connection: Connection) -> Message:
    try:
        message = connection.recv()
    except (EOFError, OSError) as problem:
        raise FileProblem(KILLED) from problem
    if isinstance(message, BaseException):
        raise message
    assert isinstance(message, Message)
    return message


def _sendable(problem: Exception) -> Exception:
    """Return an error that another process can read: one of Python's own, or else its words."""
    return (
        problem
        if type(problem).__module__ == "builtins"
        else RuntimeError("".join(traceback.format_exception(problem)))
    )


def _work(job: Job, connection: Connection, parent: int) -> None:
    """Do jobs in a process of its own until the connection ends, with one thread."""
    import torch

    die_with_parent(parent)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to every process; the first one decides
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            number, item = connection.recv()
            try:
                for message in _messages(job, number, item):
                    connection.send(message)
            except (BrokenPipeError, ConnectionResetError):
                return
            except Exception as problem:
                connection.send(_sendable(problem))


def uptime() -> float:
    """Return seconds that pass alike whatever the clock is set to, those of a machine that sleeps included."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
