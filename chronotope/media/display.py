"""Planes that the guarded child has decoded -> displayed RGB frames, rotated and with transparency over white."""

from __future__ import annotations

import contextlib
import mmap
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from chronotope.arguments import as_number
from chronotope.errors import FileProblem
from chronotope.media.files import MAX_FILE_PIXELS, MAX_FILE_SIDE
from chronotope.media.frames import Number, check_window
from chronotope.media.picture import Frame
from chronotope.media.planes import Layout
from chronotope.media.pool import Task

__all__ = ["DecodedFrame", "FrameMemory", "FullError", "OtherSizeError", "Reading"]

FIRST_BYTES = 2**24  # of a block of frames, where the system reserves no more
HUGE_BYTES = 2**22  # from here on, memory is taken from the system in huge pages, which is faster
SMALL_BYTES = 2**20  # a block up to this size is copied to ordinary memory
LINUX_MAP_NORESERVE = 0x4000
MAX_SENTENCE = 400  # characters of what the decoder reports


class DecodedFrame(NamedTuple):
    """A frame with its start and its duration in seconds."""

    time: float
    seconds: float
    pixels: Frame


def _new_frame(height: int, width: int) -> Frame:
    return np.empty((height, width, 3), np.uint8)


class Reading:
    """The frames of a window of a file, one after the other.

    `allocate` returns the array for a new frame of a height and width. Frames of a video are scaled down to `max_side`
    pixels. With `whole`, all frames are wanted, so the first need not come before the others. From the first frame on,
    `remarks` say what players show and the frames do not; after the last one, `damage` says what the decoder reported
    and concealed.
    """

    def __init__(
        self,
        path: str | Path,
        fps: Number | None,
        start: Number,
        seconds: Number | None,
        *,
        count: int | None = None,
        whole: bool = False,
        max_side: int | None = None,
        allocate: Callable[[int, int], Frame] = _new_frame,
    ) -> None:
        fps = None if fps is None else as_number("fps", fps)
        seconds = None if seconds is None else as_number("seconds", seconds)
        start = as_number("start", start)
        check_window(fps, start, seconds)
        self.path = path
        self.rate = self.tick = self.pixel_aspect = self.exact = 1.0
        self.damage = ""
        self.remarks: tuple[str, ...] = ()
        self._allocate = allocate
        self._ready: deque[DecodedFrame] = deque()
        self._layout: Layout | None = None
        self._frame: Frame | None = None
        self._problem: Exception | None = None
        window = {"fps": fps, "start": start, "seconds": seconds, "count": count}
        order = {"do": "read", **window, "whole": whole, "max_side": max_side}
        self._task = Task(path, order)

    def begin(self) -> Reading:
        """Wait for the first frame, so that what is wrong with the file is raised here."""
        self._fill()
        return self

    @property
    def file_bytes(self) -> int:
        return self._task.size

    def __iter__(self) -> Reading:
        return self

    def __next__(self) -> DecodedFrame:
        if not self._ready:
            self._fill()
        if not self._ready:
            raise StopIteration
        return self._ready.popleft()

    def close(self) -> None:
        """End the decoding."""
        self._ready.clear()
        self._task.close()

    def __del__(self) -> None:
        if hasattr(self, "_task"):  # it is missing where the file could not be opened
            self._task.close()

    def _fill(self) -> None:
        """Wait until a frame is ready or the last one is over."""
        while not self._ready:
            message = self._task.receive()
            if message is None:
                self.damage = str(self._task.result.get("damage", ""))[:MAX_SENTENCE]
                return
            if "opened" in message:
                self.rate, self.tick, self.pixel_aspect, self.exact = map(float, message["opened"])
                self.remarks = tuple(str(remark)[:MAX_SENTENCE] for remark in message["remarks"])
            elif "layout" in message:
                self._layout = _checked_layout(self.path, message["layout"])
            else:
                self._copy(message)

    def _copy(self, message: dict[str, Any]) -> None:
        """Copy the frames and parts of frames of one slot."""
        assert self._layout is not None and self._task.child is not None
        memory = np.frombuffer(self._task.child.memory, np.uint8)
        for time, seconds, first, last, offset in message["parts"]:
            if last:
                if first == 0:
                    self._frame = self._allocate(*self._layout.displayed)
                assert self._frame is not None
                block = memory[offset : offset + (last - first) * self._layout.row_bytes]
                _lay_out(self._layout, block, first, last, self._frame)
                if last < self._layout.height:
                    continue
            elif self._allocate is not _new_frame:
                again = self._allocate(*self._layout.displayed)
                again[:] = self._frame
                self._frame = again
            assert self._frame is not None
            self._ready.append(DecodedFrame(time, seconds, self._frame))
        if message["slot"]:
            self._task.free_slot()


def _checked_layout(path: str | Path, facts: dict[str, Any]) -> Layout:
    """Return the layout that a child announces; a child that a file has taken over may announce anything."""
    layout = Layout(**{**facts, "matrix": tuple(facts["matrix"])})
    sizes = layout.width, layout.height
    least = {"gbrp": 1, "rgb24": 3, "rgba": 4, "grey32": 4}[layout.kind] * layout.width
    if not (
        0 < min(sizes) <= max(sizes) <= MAX_FILE_SIDE
        and layout.width * layout.height <= MAX_FILE_PIXELS
        and 0 < layout.shown_width <= layout.width
        and 0 < layout.shown_height <= layout.height
        and layout.stride >= least
    ):
        raise FileProblem(f"{path} cannot be decoded: its frames have no possible size. Get a complete copy.")
    return layout


def _lay_out(layout: Layout, block: UInt8[np.ndarray, " n"], first: int, last: int, frame: Frame) -> None:
    """Write rows `first` to `last` of the stored frame where they belong in the displayed frame."""
    stored = _as_stored(layout, frame)[first:last]
    count, width = stored.shape[:2]
    rows = block.reshape(layout.num_planes, last - first, layout.stride)[:, :count]
    if layout.kind == "gbrp":
        import cv2

        green, blue, red = rows[:, :, :width]
        if stored.strides == (3 * width, 3, 1):
            cv2.merge((red, green, blue), stored)
        else:
            stored[:] = cv2.merge((red, green, blue))
    elif layout.kind == "rgb24":
        stored[:] = rows[0, :, : 3 * width].reshape(count, width, 3)
    elif layout.kind == "rgba":
        stored[:] = _over_white(rows[0, :, : 4 * width].reshape(count, width, 4))
    else:
        grey = np.clip(np.ascontiguousarray(rows[0, :, : 4 * width]).view(np.int32), 0, 65535).astype(np.int64)
        stored[:] = ((grey * 255 + 32767) // 65535)[..., None]


def _as_stored(layout: Layout, frame: Frame) -> UInt8[np.ndarray, "stored_h stored_w 3"]:
    """Return a view of a displayed frame, turned and mirrored back to how the file stores it."""
    a, b, c, d = layout.matrix
    if layout.transposed:
        a, d = c, b
    view = frame[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return view.transpose(1, 0, 2) if layout.transposed else view


def _over_white(rgba: UInt8[np.ndarray, "h w 4"]) -> Frame:
    """Composite a transparent picture over white."""
    alpha = rgba[..., 3:].astype(np.uint32)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


class FullError(Exception):
    """A further frame would exceed the size of a block."""


class OtherSizeError(Exception):
    """A frame differs in size from the first one."""


class FrameMemory:
    """A block of memory for frames of one size, taken from the system only as far as it is written to."""

    def __init__(self) -> None:
        self.most_bytes = FIRST_BYTES
        self.shape = (0, 0)
        self.used = 0
        self._memory: mmap.mmap | None = None

    def append(self, height: int, width: int) -> Frame:
        """Return the array of the next frame; raise FullError beyond `most_bytes`, OtherSizeError for a new size."""
        size = 3 * height * width
        if not self.used:
            self.shape = height, width
        if (height, width) != self.shape:
            raise OtherSizeError
        if self.used + size > self.most_bytes:
            raise FullError
        self._memory = self._reserved(self.used + size)
        if self.used <= HUGE_BYTES < self.used + size and hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):
                self._memory.madvise(mmap.MADV_HUGEPAGE, HUGE_BYTES)
        frame = np.frombuffer(self._memory, np.uint8, size, self.used).reshape(height, width, 3)
        self.used += size
        return frame

    def _reserved(self, size: int) -> mmap.mmap:
        """Return a block with room for `size` bytes: the old one, all that may be needed, or else twice the old one."""
        old = self._memory
        if old is None:
            with contextlib.suppress(OSError, ValueError):  # the address space of this process may be limited
                return _private_memory(self.most_bytes)
            return _private_memory(size)
        if size <= len(old):
            return old
        larger = _private_memory(min(2 * size, self.most_bytes))
        larger[: self.used] = memoryview(old)[: self.used]
        return larger

    def frames(self) -> UInt8[np.ndarray, "t h w 3"]:
        """Return all frames; the rest of the block goes back to the system."""
        assert self._memory is not None
        if self.used > SMALL_BYTES:
            with contextlib.suppress(BufferError, SystemError):  # frames are in use, or the system cannot do it
                self._memory.resize(self.used)
        frames = np.frombuffer(self._memory, np.uint8, self.used).reshape(-1, *self.shape, 3)
        return frames if self.used > SMALL_BYTES else frames.copy()


def _private_memory(size: int) -> mmap.mmap:
    """Return memory of this process alone, of which only the pages that are written to exist."""
    late = LINUX_MAP_NORESERVE if sys.platform == "linux" else 0
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | late)
