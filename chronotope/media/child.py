"""The guarded child: an opened file, handed over by the parent -> facts, and frames in memory that both share.

It imports neither torch nor numpy. Its limits on memory and open files hold while it decodes: it can open no file but
the one that it was handed. Messages are lines of JSON; `pool.py` is the other side.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import mmap
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chronotope.errors import ChronotopeError
from chronotope.media.damage import DamageLog
from chronotope.media.files import MediaFile, reason
from chronotope.media.formats import THREADED_PIXELS, open_video
from chronotope.media.frames import (
    TimedFrame,
    constant_rate,
    count_skipped,
    find_gaps,
    frame_spans,
    measure_rate,
    open_source,
    select_frames,
)
from chronotope.media.planes import Layout, Planes
from chronotope.media.stills import is_picture, load_pillow, picture_comments
from chronotope.processes import watch_parent

__all__ = ["FREE", "SLOTS", "SLOT_BYTES", "STOP", "serve"]

SLOT_BYTES = 2**22  # of the shared memory; a larger frame is handed over in parts
FREE, STOP = b"f", b"s"  # lines of the parent during a request: it has copied a slot; it needs no more
SLOTS = 4  # the child works ahead of the parent by as many
ADDRESS_SPACE = 3 * 2**30  # bytes
OPEN_FILES = 64  # while the child starts; during a request no further file can be opened
DECODED_AHEAD = 3  # frames
LATEST = 0.02  # seconds; frames that are ready wait for further ones in their slot for this long
MOST_FRAMES = 64  # in a slot
ALIVE_EVERY = 1.0  # seconds between two signs of life while no frame is ready
MAX_TAGS = 2**23  # bytes of tags that are handed over; a stranger's file may hold more
RETIRE_BYTES = 2**29  # a child that once needed more is replaced by a fresh one after its request


class _StoppedError(Exception):
    """The parent needs no further frames."""


class _Channel:
    """The child's end of the conversation: requests with a descriptor in, messages out."""

    def __init__(self, channel: socket.socket) -> None:
        self.socket = channel
        self.readable = select.poll()
        self.readable.register(channel, select.POLLIN)
        self.received = b""
        self.sending = threading.Lock()
        self.sent_at = time.monotonic()
        self.free = SLOTS

    def request(self) -> tuple[dict[str, Any], int] | None:
        """Wait for the next request, and return it with the descriptor of its file; None where the parent closed."""
        descriptors: list[int] = []
        while True:
            data, arrived, _, _ = socket.recv_fds(self.socket, 2**16, 1)
            descriptors += arrived
            if not data:
                return None
            lines = (self.received + data).split(b"\n")
            self.received = lines.pop()
            requests = [line for line in lines if line not in (FREE, STOP)]  # those are late ones for the last request
            if requests:
                return json.loads(requests[0]), descriptors[0]

    def send(self, message: dict[str, Any]) -> None:
        with self.sending:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        self.sent_at = time.monotonic()

    def progress(self) -> None:
        """Tell the parent from time to time that the work goes on."""
        if time.monotonic() - self.sent_at > ALIVE_EVERY:
            self.send({"alive": True})

    def poll(self, wait: bool) -> None:
        """Read what the parent says meanwhile: that slots are free again, or that it needs no more."""
        while self.readable.poll(None if wait else 0):
            data = self.socket.recv(2**16)
            if not data:
                os._exit(0)
            if STOP in data:
                raise _StoppedError
            self.free += data.count(FREE)
            wait = False


class _Slots:
    """Collects frames in the slots of the shared memory and announces every slot that is full or waits too long."""

    def __init__(self, channel: _Channel, memory: mmap.mmap, whole: bool) -> None:
        self.channel = channel
        self.memory = memory
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self.slot = 0
        self.used = 0
        self.parts: list[list[float | int]] = []  # time, seconds, first row, last row, offset in the slot
        # frames in the next message: few at first, so that the first frame arrives at once where it is wanted
        self.most = MOST_FRAMES if whole else 1
        self.layout: Layout | None = None
        self.planes: Planes | None = None
        self.begun = 0.0

    def add(self, timed: TimedFrame) -> None:
        """Append a frame; a frame that repeats the one before is announced without its pixels."""
        self.channel.poll(wait=False)
        planes = timed.pixels()
        if planes is self.planes:
            self._append(timed, 0, 0, 0)
        else:
            if planes.layout != self.layout:
                self.flush()
                self.layout = planes.layout
                self.channel.send({"layout": asdict(planes.layout)})
            self.planes = planes
            self._copy(timed, planes)
        if len(self.parts) >= self.most or time.monotonic() - self.begun > LATEST:
            self.flush()

    def _copy(self, timed: TimedFrame, planes: Planes) -> None:
        layout, row = planes.layout, 0
        if self.used + layout.height * layout.row_bytes > SLOT_BYTES:
            self.flush()
        while row < layout.height:
            count = min(layout.height - row, (SLOT_BYTES - self.used) // layout.row_bytes)
            if count == 0:
                self.flush()
                continue
            if self.channel.free == 0:
                self.channel.poll(wait=True)
                continue
            at = offset = self.slot * SLOT_BYTES + self.used
            for plane in planes.rows(row, row + count):
                size = count * layout.stride
                self._write(at, plane, size)
                at += size
            self._append(timed, row, row + count, offset)
            self.used = at - self.slot * SLOT_BYTES
            row += count

    def _write(self, at: int, source: bytes | memoryview, size: int) -> None:
        """Copy bytes to the shared memory; unlike a slice, memmove lets the decoding thread go on meanwhile."""
        if isinstance(source, memoryview) and not source.readonly and len(source) >= size:
            ctypes.memmove(self.address + at, ctypes.addressof(ctypes.c_char.from_buffer(source)), size)
        else:
            self.memory[at : at + size] = source[:size]

    def _append(self, timed: TimedFrame, first: int, last: int, offset: int) -> None:
        if not self.parts:
            self.begun = time.monotonic()
        self.parts.append([timed.time, timed.seconds, first, last, offset])

    def flush(self) -> None:
        """Announce the slot, and go on with the next one."""
        if self.parts:
            self.channel.send({"parts": self.parts, "slot": self.used > 0})
            self.channel.free -= self.used > 0
            self.slot = (self.slot + (self.used > 0)) % SLOTS
            self.used, self.parts, self.most = 0, [], min(2 * self.most, MOST_FRAMES)


def _read(file: MediaFile, order: dict[str, Any], channel: _Channel, memory: mmap.mmap) -> dict[str, Any]:
    """Send the frames of a window."""
    source, chosen = select_frames(file, order["fps"], order["start"], order["seconds"], order["max_side"])
    facts = source.facts
    opened = [source.rate, source.tick, facts["pixel_aspect"], source.exact]
    channel.send({"opened": opened, "remarks": facts.get("remarks", ())})
    slots = _Slots(channel, memory, order["whole"])
    try:
        frames = itertools.islice(chosen, order["count"])
        if source.facts["width"] * source.facts["height"] < THREADED_PIXELS or order["count"] == 1:
            for timed in frames:
                slots.add(timed)
        else:
            _add_meanwhile(slots, frames)
    finally:
        slots.flush()  # what was decoded before the damage is handed over too
    return {"damage": file.damage.sentence()}


def _add_meanwhile(slots: _Slots, frames: Iterator[TimedFrame]) -> None:
    """Convert frames in a second thread while this one decodes the next."""
    waiting: queue.Queue[TimedFrame | None] = queue.Queue(DECODED_AHEAD)
    failures: list[Exception] = []

    def convert() -> None:
        while (timed := waiting.get()) is not None:
            try:
                if not failures:
                    slots.add(timed)
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=convert)
    thread.start()
    try:
        for timed in frames:
            waiting.put(timed)
            if failures:
                break
    finally:
        waiting.put(None)
        thread.join()
    if failures:
        raise failures[0]


def _probe(file: MediaFile, order: dict[str, Any], channel: _Channel, memory: mmap.mmap) -> dict[str, Any]:
    """Return the fields of VideoInfo."""
    opened = open_source(file, 0.0)
    spans = frame_spans(file, opened.facts) or [(frame.time, frame.seconds) for frame in opened.frames]
    times, last = [time for time, _ in spans], spans[-1][1]
    fps, variable = measure_rate(times, last, opened.rate, opened.tick, opened.exact)
    seconds = times[-1] - times[0] + last if variable else len(times) / fps
    remarks = [*opened.facts.get("remarks", ()), *([] if opened.exact else find_gaps(times))]
    facts = {**opened.facts, "metadata": _limited(opened.facts["metadata"]), "remarks": remarks}
    skipped = count_skipped(times, last, opened.rate, opened.tick, constant_rate(fps)) if variable else 0
    rate = {"fps": fps, "variable_frame_rate": variable, "skipped_frames": skipped}
    return {**facts, **rate, "num_frames": len(times), "seconds": seconds}


def _comments(file: MediaFile, order: dict[str, Any], channel: _Channel, memory: mmap.mmap) -> dict[str, Any]:
    """Return the texts that may hold the settings of a file."""
    if is_picture(file):
        texts = picture_comments(file)
    else:
        with open_video(file)[0] as container:
            texts = [text for key, text in container.metadata.items() if key.lower() == "comment"]
    return {"texts": list(_limited(dict(enumerate(texts))).values())}


def _limited(tags: dict[Any, str]) -> dict[Any, str]:
    """Return the tags up to a total size."""
    total, kept = 0, {}
    for key, text in tags.items():
        total += len(str(key)) + len(text)
        if total <= MAX_TAGS:
            kept[key] = text
    return kept


ANSWERS: dict[str, Callable[[MediaFile, dict[str, Any], _Channel, mmap.mmap], dict[str, Any]]] = {
    "read": _read,
    "probe": _probe,
    "comments": _comments,
}


def serve(channel_number: int, memory_number: int, parent: int) -> None:
    """Answer requests until the parent closes the channel or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it closes this child
    watch_parent(parent)
    channel = _Channel(socket.socket(fileno=channel_number))
    memory = mmap.mmap(memory_number, SLOTS * SLOT_BYTES)
    os.close(memory_number)
    os.chdir("/")
    damage = DamageLog()
    damage.capture()
    _load_video()
    _limit_everything()
    channel.send({"alive": True})
    while (received := channel.request()) is not None:
        order, descriptor = received
        channel.free = SLOTS
        message = _answer(order, descriptor, channel, memory, damage)
        with contextlib.suppress(OSError):
            os.close(descriptor)
        _limit_open_files(OPEN_FILES)
        channel.send({"retire": _peak_bytes() > RETIRE_BYTES, **message, "last": True})


def _answer(
    order: dict[str, Any], descriptor: int, channel: _Channel, memory: mmap.mmap, damage: DamageLog
) -> dict[str, Any]:
    """Carry out one request, and return the last message: its result, or what is wrong with the file."""
    path = order["path"]
    suffix, size = Path(path).suffix.lower(), os.fstat(descriptor).st_size
    file = MediaFile(path, suffix, descriptor, size, channel.progress, damage, **order.get("limits", {}))
    damage.begin("")  # nothing of an earlier file is said of this one
    try:
        if is_picture(file):
            load_pillow()
        _limit_open_files(descriptor + 1)  # it is the lowest free number, so there is none left
        return {"result": ANSWERS[order["do"]](file, order, channel, memory)}
    except _StoppedError:
        return {"result": {}}
    except ChronotopeError as problem:
        return {"problem": str(problem), "kind": type(problem).__name__}
    except MemoryError:
        return {
            "problem": f"{path} needs more than the {ADDRESS_SPACE >> 30} GiB of memory that decoding one file may"
            " take. Scale it down, or re-encode it with ffmpeg, first.",
            "kind": "FileProblem",
            "retire": True,
        }
    except Exception as error:
        return {
            "problem": f"{path} cannot be decoded ({type(error).__name__}: {reason(error)}); it is damaged or of"
            " another kind. Get a complete copy, or re-encode it with ffmpeg.",
            "kind": "FileProblem",
        }


# Limits


def _load_video() -> None:
    """Import every part of PyAV that reading needs, before the child may open no more files."""
    import av
    import av.stream
    import av.subtitles.codeccontext
    import av.subtitles.stream

    av.logging.restore_default_callback()  # which writes to standard error
    av.logging.set_libav_level(av.logging.ERROR)


def _limit_everything() -> None:
    """Limit memory, open files, and files written; what a platform cannot limit stays as it is."""
    import resource

    for kind, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_AS, ADDRESS_SPACE),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (limit, limit))


def _limit_open_files(limit: int) -> None:
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, OPEN_FILES))


def _peak_bytes() -> int:
    """Return the most memory that this process held so far.

    On Linux `ru_maxrss` begins with what the process held that started this one, so that of a large one no child
    would serve twice.
    """
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
