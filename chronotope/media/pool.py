"""Guarded child processes that decode: started when they are needed, reused, and replaced when they crash or hang.

`child.py` is the other side. A child works on one file at a time; whoever reads several files at once has as many.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from chronotope import errors
from chronotope.arguments import as_path
from chronotope.errors import ChronotopeError, DecoderUnavailableError, FileProblem, UsageError
from chronotope.media.child import FREE, SLOT_BYTES, SLOTS, STOP
from chronotope.media.files import open_regular, reason

__all__ = ["STALL_SECONDS", "Task", "ask"]

STALL_SECONDS = 10.0  # a child that gives no sign of life for as long is ended
# ... or for as long, while it starts, waits for a disk, or gets no computing time because of other programs
STARVED_SECONDS = 60.0
MAX_CHILDREN = 64
MAX_IDLE = 4  # children that wait for the next file
MAX_MESSAGE = 2**26  # bytes
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from chronotope.media.child import serve; serve({})"
FEW_THREADS = {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}  # every further arena takes address space


class _CrashProblem(FileProblem):
    """A child ended in the middle of a request."""


class _Child:
    """A running child process and the memory that it shares with this process."""

    def __init__(self) -> None:
        self.socket, other = socket.socketpair()
        with other:
            number = _shared_file(SLOTS * SLOT_BYTES)
            try:
                self.memory = mmap.mmap(number, SLOTS * SLOT_BYTES)
                # isolated (-I), and without the current folder: no file there and no variable replaces a module
                call = START.format(f"{other.fileno()}, {number}, {os.getpid()}")
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", call, json.dumps(_module_folders())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(other.fileno(), number),
                    env=_environment(),
                    process_group=0,  # Ctrl-C in a terminal goes to this process alone
                )
            finally:
                os.close(number)
        self._readable = select.poll()
        self._readable.register(self.socket, select.POLLIN)
        self.received = b""
        self.started = False
        self.served = False  # it has finished an earlier request
        self.unfinished = False  # it still works on a request that nobody waits for
        self.retire = False

    def send(self, line: bytes, descriptor: int | None = None) -> None:
        if descriptor is None:
            self.socket.sendall(line + b"\n")
        else:
            socket.send_fds(self.socket, [line + b"\n"], [descriptor])

    def receive(self, path: str | Path) -> dict[str, Any]:
        """Return the next message; raise FileProblem about the file where the child crashed or hangs."""
        since, computed, runnable = time.monotonic(), 0.0, 0
        while b"\n" not in self.received:
            if not self._readable.poll(1000):
                computed = computed or self._computed()  # only now, since most messages are there at once
                runnable += self._runnable()
                waited = time.monotonic() - since
                busy = self._computed() - computed >= STALL_SECONDS - 1
                starved = not busy and (not self.started or 2 * runnable >= waited)
                if waited > (STARVED_SECONDS if starved else STALL_SECONDS):
                    raise self._starved(path, waited) if starved else self._abandoned(path, waited)
                continue
            data = b""
            with contextlib.suppress(ConnectionError):
                data = self.socket.recv(2**18)
            if not data or len(self.received) > MAX_MESSAGE:
                raise self._crash(path)
            self.received += data
        line, self.received = self.received.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        self.started = True
        if message.get("last"):
            self.unfinished = False
            self.retire = bool(message.get("retire"))
        return message

    def _computed(self) -> float:
        """Return the seconds of computing time so far; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError, ValueError):
            return 0.0

    def _runnable(self) -> bool:
        """Return whether a thread of the child runs, waits for a processor, or waits for a disk."""
        states = set()
        for thread in Path(f"/proc/{self.process.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError, IndexError):
                states.add(thread.read_text().rsplit(")", 1)[1].split()[0])
        return bool(states & {"R", "D"})

    def _starved(self, path: str | Path, waited: float) -> DecoderUnavailableError:
        """End a child that got no computing time; this says nothing about its file."""
        self.end()
        return DecoderUnavailableError(
            f"{path} cannot be decoded now: other programs left no computing time for {waited:.0f} seconds; "
            "run the command again when they have ended"
        )

    def _abandoned(self, path: str | Path, waited: float) -> FileProblem:
        """End a child that makes no progress, and return what to say of its file."""
        self.end()
        return FileProblem(
            f"{path} cannot be decoded: there was no progress for {waited:.0f} seconds, so it was given up."
            " It is damaged, or made to keep programs busy; get a complete copy, or re-encode it with ffmpeg."
        )

    def _crash(self, path: str | Path) -> _CrashProblem:
        """End a child that broke off, and return what to say of its file."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STALL_SECONDS)
        status = self.process.returncode
        self.end()
        how = f"exit status {status}"
        if status is not None and status < 0:
            with contextlib.suppress(ValueError):
                how = signal.Signals(-status).name
        return _CrashProblem(
            f"{path} cannot be decoded: it made the decoder crash ({how}). It is damaged, or made to do so; get a"
            " complete copy, or re-encode it with ffmpeg."
        )

    def end(self) -> None:
        """Kill the process; there is nothing in it to save."""
        self.socket.close()
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # a process that waits for a broken disk cannot be killed
            self.process.wait(1.0)
        with _lock:
            _children.discard(self)

    def forget(self) -> None:
        """Let go of a child that belongs to the process from which this one was forked."""
        self.socket.close()
        self.process.returncode = 0  # so that it is not waited for


_lock = threading.Lock()
_children: set[_Child] = set()  # all that run
_idle: list[_Child] = []


def _module_folders() -> list[str]:
    """Return the folders in which a child looks for modules: the one of this package, then those of this process.

    The current folder is left out, unless the package lies in it: a stranger's folder may hold an `av.py`.
    """
    here = os.getcwd()
    folders = [os.path.abspath(part) for part in sys.path if part]
    return [str(Path(__file__).resolve().parents[2]), *(folder for folder in folders if folder != here)]


def _environment() -> dict[str, str]:
    """Return the variables for a child: few threads, and no library from the current folder.

    OpenCV adds an empty part to the search path of libraries when it is imported, and that means the current folder.
    """
    parts = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return {
        **os.environ,
        **FEW_THREADS,
        "LD_LIBRARY_PATH": ":".join(part for part in parts if os.path.isabs(part)),
    }


def _shared_file(size: int) -> int:
    """Return the descriptor of a nameless file in memory, which the child cannot shrink under the parent's feet."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            return os.dup(file.fileno())
    import fcntl

    number = os.memfd_create("chronotope-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(number, size)
    fcntl.fcntl(number, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return number


def _take() -> _Child:
    """Return a child that waits for a request; start one where there is none."""
    while True:
        with _lock:
            child = next((child for child in _idle if not child.unfinished), _idle[0] if _idle else None)
            if child is None:
                break
            _idle.remove(child)
        if child.process.poll() is not None:
            child.end()
            continue
        try:
            while child.unfinished:
                child.receive("the file before")
        except FileProblem:  # it crashed or hung while nobody waited for it
            continue
        except BaseException:
            child.end()
            raise
        if not child.retire:
            return child
        child.end()
    if len(_children) >= MAX_CHILDREN:
        raise DecoderUnavailableError(
            f"{MAX_CHILDREN} videos are being read at once, which is the limit; finish or close some of them first."
        )
    try:
        child = _Child()
    except OSError as error:
        raise DecoderUnavailableError(
            f"the process that decodes media files cannot be started ({reason(error)}); it needs memory for frames, "
            "which limits on processes, open files and file sizes (ulimit) must allow."
        ) from error
    with _lock:
        _children.add(child)
    return child


def _give_back(child: _Child) -> None:
    """Keep a child for the next file, unless enough others wait."""
    with _lock:
        if len(_idle) < MAX_IDLE and not child.retire:
            _idle.append(child)
            return
    child.end()


def _end_all() -> None:
    for child in list(_children):
        child.end()


def _after_fork() -> None:
    """Start without children in a forked process: those of its parent cannot serve two."""
    global _lock
    _lock = threading.Lock()
    for child in _children:
        child.forget()
    _children.clear()
    _idle.clear()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_after_fork)


class Task:
    """One request that a child works on; iterate over its messages, and close it."""

    def __init__(self, path: str | Path, order: dict[str, Any]) -> None:
        self.path = as_path("path", path)
        self.result: dict[str, Any] = {}
        self.owner = os.getpid()
        self.child: _Child | None = None
        self._line = json.dumps({**order, "path": str(path)}).encode()
        self._descriptor = open_regular(self.path)  # until the first message, because the request may be repeated
        try:
            self.size = os.fstat(self._descriptor).st_size
            self._begin()
        except BaseException:
            self._close_file()
            raise

    def _begin(self) -> None:
        """Hand the request to a child."""
        self.child = _take()
        self.child.unfinished = True
        with contextlib.suppress(OSError):  # it died while it waited; `receive` will notice
            self.child.send(self._line, self._descriptor)

    def _close_file(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def receive(self) -> dict[str, Any] | None:
        """Return the next message, or None after the last one; raise what the child raised."""
        if self.child is None:
            return None
        if os.getpid() != self.owner:
            raise UsageError(f"{self.path} was opened before this process was forked; open it again here.")
        try:
            message = self._next_message(self.child)
        except BaseException:  # also Ctrl-C: the rest of an answer would confuse the next request
            child, self.child = self.child, None
            child.end()
            self._close_file()
            raise
        if not message.get("last"):
            return message
        child, self.child = self.child, None
        child.served = True
        _give_back(child)
        if "problem" in message:
            kind = getattr(errors, str(message.get("kind")), FileProblem)
            raise kind(message["problem"]) if issubclass(kind, ChronotopeError) else FileProblem(message["problem"])
        self.result = message.get("result", {})
        return None

    def _next_message(self, child: _Child) -> dict[str, Any]:
        message = {"alive": True}
        while "alive" in message:  # a sign of life without a frame
            try:
                message = child.receive(self.path)
            except _CrashProblem:
                if not child.served or self._descriptor < 0:
                    raise
                self._begin()  # it died while it waited, or of what an earlier file left in it
                assert self.child is not None
                child = self.child
        self._close_file()
        return message

    def free_slot(self) -> None:
        """Tell the child that a slot has been copied."""
        if self.child is not None:
            with contextlib.suppress(OSError):  # the next message will tell that it died
                self.child.send(FREE)

    def close(self) -> None:
        """Stop the child's work; do nothing where it has finished."""
        child, self.child = self.child, None
        self._close_file()
        if child is not None and os.getpid() == self.owner:
            try:
                child.send(STOP)
            except OSError:
                child.end()
            else:
                _give_back(child)


def ask(path: str | Path, question: str, **limits: float) -> dict[str, Any]:
    """Return the child's answer to a question, `probe` or `comments`, about a file within limits of `MediaFile`."""
    task = Task(path, {"do": question, "limits": limits})
    while task.receive() is not None:
        pass
    return task.result
