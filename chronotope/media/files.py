"""A path -> one regular file, opened once and read by position; and the limits on what a file may declare.

The guarded child that decodes imports this module too, so it needs nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chronotope.errors import FileProblem
from chronotope.media.damage import DamageLog

__all__ = [
    "MAX_FILE_PIXELS",
    "MAX_FILE_SIDE",
    "MAX_VIDEO_PIXELS",
    "FileReader",
    "MediaFile",
    "check_picture_size",
    "check_readable",
    "check_size",
    "check_total_pixels",
    "open_regular",
    "reason",
]

MAX_FILE_SIDE = 16384
MAX_FILE_PIXELS = 2**27  # of a still picture: 134 million, more than any camera of today takes
MAX_VIDEO_PIXELS = 8192 * 4320  # of a moving one: 8K. A decoder holds up to 17 frames.
SPARSE_PIXELS = 2**25  # a larger picture needs at least one byte in the file for PIXELS_A_BYTE pixels
PIXELS_A_BYTE = 256  # photographs have 2 to 20
# All frames together. A minute of black has 13,700 a byte as 1280x720 in H.264; ten seconds in 3840x2160, 29,700.
MANY_PIXELS = 2**28  # are decoded in seconds, whatever the size of the file
MOVING_PIXELS_A_BYTE = 2**17

KERNEL_FOLDERS = ("/proc", "/sys")  # their files look regular, and reading one may block or change something


def reason(error: BaseException) -> str:
    """Return the message of a system or library error, without error numbers and paths."""
    return str(getattr(error, "strerror", None) or error).rstrip(".") or type(error).__name__


def check_readable(path: str | Path) -> Path:
    """Return the path of an existing regular file that is not empty; raise FileProblem otherwise."""
    os.close(open_regular(path))
    return Path(path)


def open_regular(path: str | Path) -> int:
    """Open an existing regular file that is not empty, and return its descriptor; raise FileProblem otherwise.

    Folders, pipes, devices, sockets and files of the kernel are refused at once: reading from them may wait forever.
    """
    try:
        _refuse_irregular(path, os.stat(path))  # before opening, because opening a device may do something
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise FileProblem(f"{path} does not exist; give the path of a video or picture file.") from None
    except (OSError, ValueError) as error:
        raise FileProblem(f"{path} cannot be read ({reason(error)}); check the path and its permissions.") from None
    try:
        _refuse_irregular(path, os.fstat(descriptor))  # another file may have taken the name in the meantime
        if not os.pread(descriptor, 1, 0):
            raise FileProblem(f"{path} is empty (0 bytes); a video or picture file is needed.")
    except OSError as error:
        os.close(descriptor)
        raise FileProblem(f"{path} cannot be read ({reason(error)}); check the path and its permissions.") from None
    except FileProblem:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_irregular(path: str | Path, status: os.stat_result) -> None:
    """Raise FileProblem for everything but a file on a disk."""
    if stat.S_ISDIR(status.st_mode):
        raise FileProblem(f"{path} is a folder; give the path of a video or picture file in it.")
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }
    kind = kinds.get(stat.S_IFMT(status.st_mode))
    for folder in KERNEL_FOLDERS:
        with contextlib.suppress(OSError):
            if status.st_dev == os.stat(folder).st_dev != os.stat("/").st_dev:
                kind = f"a file of the kernel ({folder})"
    if kind is not None or not stat.S_ISREG(status.st_mode):
        raise FileProblem(f"{path} is {kind or 'no ordinary file'}; save the video or picture to a file first.")


@dataclass(frozen=True)
class MediaFile:
    """An opened file: its path for messages, its suffix in lower case, its descriptor and its size in bytes.

    Whoever decodes it calls `progress` for every packet, which may raise to end the work, and tells `damage` of every
    frame. Files of larger frames than `max_side` are refused, and those of which more pixels, of all frames together,
    have to be decoded than `max_animation`, for animated pictures, or `max_decoded`, for videos.
    """

    path: str
    suffix: str
    descriptor: int
    size: int
    progress: Callable[[], None] = lambda: None
    damage: DamageLog = field(default_factory=DamageLog)
    max_side: int = MAX_FILE_SIDE
    max_animation: float = math.inf
    max_decoded: float = math.inf

    def reader(self) -> FileReader:
        """Return a file object at the beginning of the file; several read independently of each other."""
        return FileReader(self.descriptor, self.size)

    def head(self) -> bytes:
        """Return the first bytes, which tell the format."""
        return os.pread(self.descriptor, 12, 0)


class FileReader:
    """Read a descriptor with a position of its own. It has no `fileno`, so that no library opens the file anew."""

    def __init__(self, descriptor: int, size: int, name: str = "media") -> None:
        self.name = name  # FFmpeg guesses formats without a signature by the suffix of this name
        self.descriptor = descriptor
        self.size = size
        self.position = 0

    def read(self, count: int | None = -1) -> bytes:
        if count is None or count < 0:
            count = max(self.size - self.position, 0)
        data = os.pread(self.descriptor, count, self.position)
        self.position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise OSError(22, "a position before the beginning of the file")
        self.position = start + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def check_size(file: MediaFile, width: int, height: int, most: int = MAX_VIDEO_PIXELS) -> None:
    """Raise FileProblem for an absurd frame size, before memory is allocated for it."""
    if max(width, height) > file.max_side or width * height > most:
        raise FileProblem(
            f"{file.path} declares frames of {width}x{height} pixels; at most {file.max_side} a side and"
            f" {most / 1e6:.0f} million in total are accepted. If the file is not damaged, scale it down first."
        )


def check_picture_size(file: MediaFile, width: int, height: int, moving: bool) -> None:
    """Raise FileProblem for an absurd picture size, also for one that its few bytes cannot fill."""
    check_size(file, width, height, MAX_VIDEO_PIXELS if moving else MAX_FILE_PIXELS)
    if width * height > max(SPARSE_PIXELS, file.size * PIXELS_A_BYTE):
        raise FileProblem(
            f"{file.path} declares {width}x{height} pixels in {file.size} bytes; a picture of more than"
            f" {SPARSE_PIXELS / 1e6:.0f} million pixels needs at least one byte for {PIXELS_A_BYTE} of them."
            " If it is no trap, scale it down first."
        )


def check_total_pixels(file: MediaFile, pixels: int, most: float) -> None:
    """Raise FileProblem where all frames have more than `most` pixels, or more than their few bytes can mean."""
    if pixels > most:
        raise FileProblem(
            f"{file.path} has frames of {pixels / 1e6:.0f} million pixels or more that have to be decoded, and at most"
            f" {most / 1e6:.0f} million are accepted; scale it down, cut it, or save it as MP4 first."
        )
    if pixels > max(MANY_PIXELS, file.size * MOVING_PIXELS_A_BYTE):
        raise FileProblem(
            f"{file.path} holds frames of more than {pixels / 1e6:.0f} million pixels in {file.size} bytes; beyond"
            f" {MANY_PIXELS / 1e6:.0f} million, one byte is needed for {MOVING_PIXELS_A_BYTE} of them."
            " If it is no trap, scale it down or cut it first."
        )
