"""Read any file that FFmpeg decodes as RGB frames, and write frames to files that browsers play.

A picture is a video of one frame. Times are seconds since the first frame on screen. Frames are rotated as the file
declares. Frames are streamed one at a time; only `read` holds all of them in memory. A guarded child process decodes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chronotope.arguments import as_flag, as_path, as_whole
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Frames
from chronotope.media.display import FrameMemory, FullError, OtherSizeError, Reading
from chronotope.media.files import check_readable, reason
from chronotope.media.frames import Number, constant_rate, find_gaps, measure_rate
from chronotope.media.picture import Frame, fit, resize, sidecar, write_image
from chronotope.media.pool import ask
from chronotope.media.writer import VIDEO_FORMATS, VideoWriter, write
from chronotope.parsing import parse_json, portable

__all__ = [
    "MAX_READ_BYTES",
    "VIDEO_FORMATS",
    "FrameStream",
    "Video",
    "VideoInfo",
    "VideoWriter",
    "describes",
    "fit",
    "has_other_sidecar",
    "most_read_bytes",
    "probe",
    "read",
    "read_image",
    "read_origin",
    "read_tags",
    "resize",
    "sidecar",
    "stream",
    "write",
    "write_image",
]

MAX_READ_BYTES = 2**34
SMALL_READ_BYTES = 2**29  # that every file may fill
PIXELS_PER_BYTE = 2048  # bytes of pixels that `read` accepts for a byte of the file beyond SMALL_READ_BYTES
MAX_PIXEL_ASPECT = 10  # a larger one is taken for damage
MAX_SIDECAR = 2**26  # bytes


@dataclass(frozen=True)
class Video:
    """Frames in memory and their rate in frames per second.

    `damage` says which damage the decoder reported and concealed; "" where it reported none. `remarks` say what players
    show and the frames do not. `variable_frame_rate` and `pixel_aspect` are those of the file.
    """

    frames: Frames
    fps: Number
    damage: str = ""
    remarks: tuple[str, ...] = ()
    variable_frame_rate: bool = False
    pixel_aspect: float = 1.0  # width / height of one pixel

    @property
    def num_frames(self) -> int:
        return int(self.frames.shape[0])

    @property
    def height(self) -> int:
        return int(self.frames.shape[1])

    @property
    def width(self) -> int:
        return int(self.frames.shape[2])

    @property
    def seconds(self) -> float:
        return self.num_frames / self.fps


@dataclass(frozen=True)
class VideoInfo:
    """The facts about a file; the size is as displayed, after rotation, and the number of frames is exact."""

    path: Path
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    num_frames: int
    fps: float  # the average where the rate varies
    variable_frame_rate: bool
    seconds: float
    rotation: int  # degrees clockwise by which stored frames are rotated for display
    pixel_aspect: float  # width / height of one pixel
    metadata: dict[str, str]
    remarks: Sequence[str] = ()  # what players show and `read` does not
    skipped_frames: int = 0  # that are too short to be seen at `constant_fps`
    transparent: bool = False  # whether pixels can be transparent, which are shown over white

    @property
    def constant_fps(self) -> float:
        """The constant rate at which a video of varying rate is read, so that times are true."""
        return constant_rate(self.fps)

    @property
    def skipped(self) -> str:
        """What is to be said of frames that are not seen at the constant rate; "" where all are."""
        if not self.skipped_frames:
            return ""
        return (
            f"{self.skipped_frames} of its {self.num_frames} frames are too short to be seen at {self.constant_fps:g} "
            "frames a second, and are not used"
        )

    @property
    def square_size(self) -> tuple[int, int]:
        """Width and height in pixels that are square, as players show them."""
        return _square_width(self.width, self.pixel_aspect), self.height


def _square_width(width: int, aspect: float) -> int:
    plausible = 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT
    return max(1, round(width * aspect)) if plausible else width


# Reading


def stream(
    path: str | Path,
    *,
    fps: Number | None = None,
    start: Number = 0.0,
    seconds: Number | None = None,
    max_side: int | None = None,
) -> FrameStream:
    """Yield the frames that begin in a window; with `fps`, the frame on screen at every output time.

    Frames whose longer side is above `max_side` pixels are scaled down to it, by area. Raises FileProblem at a frame
    that differs in size from the first.
    """
    max_side = _checked_side(max_side)
    return FrameStream(Reading(path, fps, start, seconds, max_side=max_side).begin(), max_side)


class FrameStream(Iterator[Frame]):
    """The pixels of a reading; closing it, or dropping it, ends the decoding."""

    def __init__(self, reading: Reading, max_side: int | None = None) -> None:
        self.reading = reading
        self.max_side = max_side
        self.count = 0
        self.shape = (0, 0)
        self.time = 0.0  # seconds, of the last frame

    def __next__(self) -> Frame:
        self.time, _, frame = next(self.reading)
        frame = _within(frame, self.max_side)
        self.shape = self.shape if self.count else frame.shape[:2]
        if frame.shape[:2] != self.shape:
            self.close()
            raise _changed_size(self.reading.path, self.count, self.shape)
        self.count += 1
        return frame

    @property
    def damage(self) -> str:
        """Which damage the decoder reported and concealed; complete after the last frame."""
        return self.reading.damage

    @property
    def remarks(self) -> tuple[str, ...]:
        """What players show and the frames do not, as HDR."""
        return self.reading.remarks

    def close(self) -> None:
        self.reading.close()


def read(
    path: str | Path,
    *,
    fps: Number | None = None,
    start: Number = 0.0,
    seconds: Number | None = None,
    square_pixels: bool = False,
    max_bytes: int | None = None,
    max_side: int | None = None,
) -> Video:
    """Read a video into memory; without `fps`, every frame once and the file's average rate.

    With `square_pixels`, frames whose pixels are not square are resampled in width, as players show them. Frames whose
    longer side is above `max_side` pixels are scaled down to it, by area, as they are stored. Raises
    UsageError beyond `max_bytes` of pixels and FileProblem where frames differ in size. The default limit is 512 MiB,
    or 2,048 bytes of pixels for each byte of the file if that is more, and at most 16 GiB: a small file of a stranger
    must not fill the memory.
    """
    square_pixels = as_flag("square_pixels", square_pixels)
    memory = FrameMemory()
    max_side, most = _checked_side(max_side), _checked_bytes(max_bytes)
    reading = Reading(path, fps, start, seconds, whole=True, max_side=max_side, allocate=memory.append)
    memory.most_bytes = most_read_bytes(reading.file_bytes) if most is None else most
    times, last = list[float](), 0.0
    try:
        for frame in reading:
            times.append(frame.time)
            last = frame.seconds
    except OtherSizeError:
        raise _changed_size(path, len(times), memory.shape) from None
    except FullError:
        limit = f"{memory.most_bytes / 2**30:.3g} GiB were full after {times[-1] if times else 0:.0f} seconds"
        raise UsageError(
            f"{path} is too long to hold in memory ({limit}); read fewer seconds or a lower fps, or use stream()."
        ) from None
    finally:
        reading.close()
    rate, varies = measure_rate(times, last, reading.rate, reading.tick, bool(reading.exact))
    gaps = find_gaps(times) if fps is None and not reading.exact else []
    aspect, damage, remarks = reading.pixel_aspect, reading.damage, (*reading.remarks, *gaps)
    del reading, frame  # they refer to the last frames, and unused memory can only go back without it
    frames = _within(memory.frames(), max_side)
    pixels = _squared(frames, aspect) if square_pixels else frames
    return Video(pixels, float(fps or rate), damage, remarks, varies and fps is None, aspect)


def _checked_bytes(most: int | None) -> int | None:
    if most is not None and as_whole("max_bytes", most) < 1:
        raise UsageError(f"max_bytes is {most}; it must be at least 1, or None for a limit by the size of the file.")
    return most


def _checked_side(max_side: int | None) -> int | None:
    if max_side is not None and as_whole("max_side", max_side) < 1:
        raise UsageError(f"max_side is {max_side} pixels; it must be at least 1.")
    return max_side


def _within(frames: np.ndarray, max_side: int | None) -> np.ndarray:
    """Scale one picture or many down to `max_side`; the frames of videos are scaled where they are decoded."""
    height, width = frames.shape[-3:-1]
    if max_side is None or max(height, width) <= max_side:
        return frames
    scale = max_side / max(height, width)
    return resize(frames, max(1, round(height * scale)), max(1, round(width * scale)))


def _changed_size(path: str | Path, number: int, shape: tuple[int, ...]) -> FileProblem:
    height, width = shape
    return FileProblem(f"{path} changes size at frame {number}; all frames must be {width}x{height} like the first.")


def most_read_bytes(file_bytes: int) -> int:
    """Return how many bytes of pixels `read` accepts for a file of this size."""
    return min(MAX_READ_BYTES, max(SMALL_READ_BYTES, file_bytes * PIXELS_PER_BYTE))


def read_image(path: str | Path, *, square_pixels: bool = False, note: Callable[[str], None] = lambda _: None) -> Frame:
    """Read a picture, or the first frame of a video; transparency is composited over white.

    With `square_pixels`, it is resampled in width where its pixels are not square. `note` receives what players show
    and the picture does not, as HDR.
    """
    reading = Reading(path, None, 0.0, None, count=1)
    frame = next(reading).pixels
    for remark in reading.remarks:
        note(remark)
    return _squared(frame, reading.pixel_aspect) if square_pixels else frame


def _squared(frames: np.ndarray, aspect: float) -> np.ndarray:
    """Resample one frame or many to square pixels."""
    height, width = frames.shape[-3:-1]
    return resize(frames, height, _square_width(width, aspect))


def probe(path: str | Path, **limits: float) -> VideoInfo:
    """Return the facts about a video or picture file, with its exact number of frames.

    `limits` are those of `MediaFile`: a file beyond them is refused before more is decoded.
    """
    return VideoInfo(path=as_path("path", path), **ask(path, "probe", **limits))


def read_tags(path: str | Path) -> dict[str, Any] | None:
    """Read the settings that a file was made with from its tags alone; None where they hold none or are damaged."""
    texts: list[str] = []
    with contextlib.suppress(FileProblem):
        texts = ask(path, "comments")["texts"]
    return next(filter(None, map(_settings, texts)), None)


def read_origin(path: str | Path) -> dict[str, Any] | None:
    """Read the settings that a file was made with, from its tags or its sidecar JSON; None where neither holds any.

    The sidecar is preferred where it agrees with the tags. That of a file without tags is believed where it has the
    size, the rate and the number of frames of the file.
    """
    path = check_readable(as_path("path", path))
    tags = read_tags(path)  # a damaged file may still have a sidecar
    beside = _settings(_sidecar_text(sidecar(path)))
    if tags is not None and beside is not None:
        return beside if _agree(tags, beside) else tags
    if beside is not None:
        with contextlib.suppress(FileProblem):
            info = probe(path)
            return beside if describes(beside, (info.width, info.height), info.num_frames, info.fps) else None
    return tags if beside is None else beside


def describes(settings: Mapping[str, Any], size: tuple[int, int], num_frames: int, fps: float) -> bool:
    """Return whether settings can be those of a file of this size (width, height), number of frames and rate."""
    expected: dict[str, tuple[float, float]] = {
        "width": (size[0], 1),
        "height": (size[1], 1),
        "num_frames": (num_frames, 0),
    }
    if num_frames > 1:
        expected["fps"] = (fps, 0.02 * fps)
    told = [(settings[name], place) for name, place in expected.items() if isinstance(settings.get(name), int | float)]
    return all(abs(value) < 2**53 and abs(value - near) <= slack for value, (near, slack) in told)


def has_other_sidecar(path: str | Path) -> bool:
    """Return whether the JSON file beside a file is there and is not of it, as its tags tell."""
    path = as_path("path", path)
    text = _sidecar_text(sidecar(path))
    if not text:
        return False
    tags, beside = read_tags(path), _settings(text)
    return tags is not None and (beside is None or not _agree(tags, beside))


def _agree(tags: dict[str, Any], beside: dict[str, Any]) -> bool:
    # the tags of an interrupted file hold the planned number of frames, the sidecar the actual number
    return all(beside.get(name) == value for name, value in tags.items() if name != "num_frames")


def _sidecar_text(path: Path) -> str:
    """Return the text of a sidecar; "" where there is none."""
    try:
        if not os.path.isfile(path) or path.stat().st_size > MAX_SIDECAR:
            return ""
        return path.read_text(errors="replace")
    except OSError as error:
        raise FileProblem(f"{path} cannot be read ({reason(error)}); check the file and its permissions.") from None


def _settings(text: str) -> dict[str, Any] | None:
    """Parse a comment as settings; None where it is not a JSON object."""
    with contextlib.suppress(ValueError):
        origin = portable(parse_json(text))
        if isinstance(origin, dict):
            return origin
    return None
