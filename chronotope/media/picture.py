"""Write and resize pictures; partial files and stored settings, which videos share.

`video.py` re-exports the public functions.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chronotope.arguments import as_path, as_pixels, as_whole, described
from chronotope.errors import FileProblem, UsageError, suggest
from chronotope.media.files import MAX_FILE_SIDE, reason
from chronotope.media.stills import EXIF_DESCRIPTION
from chronotope.storage import MAX_NAME_BYTES, atomic_file

__all__ = ["fit", "resize", "write_image"]

MAX_FRAME_PIXELS = 2**28  # that are written

PICTURE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
TIMINGS = "seconds"  # where it is a table, it holds how long each part of the work took
FINDINGS = "nearest"  # what a comparison with other clips found: the same video need not be compared with the same

Frame = UInt8[np.ndarray, "h w 3"]
# Called with a complete file before it gets its name, and its settings; may change the file; returns the settings.
Completion = Callable[[Path, dict[str, Any] | None], dict[str, Any] | None]


# Files


def check_writable(path: str | Path, suffixes: dict[str, Any]) -> Path:
    """Return the path of a file that can be written; raise UsageError for its suffix, FileProblem for its folder."""
    path = as_path("path", path)
    if path.suffix.lower() not in suffixes:
        got = f"ends in '{path.suffix}'" if path.suffix else "has no suffix"
        raise UsageError(
            f"{path} {got}, which names no format that can be written here. {suggest(path.suffix.lower(), suffixes)}"
        )
    _check_name(path)
    if path.is_dir():
        raise FileProblem(f"{path} is a folder; give the path of a file to write.")
    if not path.parent.is_dir():
        raise FileProblem(
            f"the folder {path.parent} does not exist, so {path.name} cannot be written; create it first."
        )
    if not os.access(path.parent, os.W_OK):
        raise FileProblem(
            f"the folder {path.parent} is not writable, so {path.name} cannot be written; choose another."
        )
    return path


def _check_name(path: Path) -> None:
    """Raise FileProblem where the file system has no room for the name of the sidecar, the longest that is needed."""
    try:
        sidecar(path).lstat()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            return
        raise FileProblem(
            f"{path} cannot be written ({reason(error)}): its settings are stored beside it under a name of "
            f"{len(os.fsencode(sidecar(path).name))} bytes, and a name has at most {MAX_NAME_BYTES}."
        ) from None


def check_frame(path: Path, frame: Frame) -> None:
    """Raise UsageError unless `frame` is an 8-bit RGB frame of an acceptable size."""
    shape = tuple(getattr(frame, "shape", ()))
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or frame.dtype != np.uint8:
        got = f"{frame.dtype} {list(shape)}" if shape else type(frame).__name__
        raise UsageError(f"a frame for {path} is {got}; uint8 [height, width, 3] is needed.")
    if max(shape) > MAX_FILE_SIDE or shape[0] * shape[1] > MAX_FRAME_PIXELS:
        raise UsageError(
            f"a frame for {path} is {shape[1]}x{shape[0]} pixels; at most {MAX_FILE_SIDE} a side can be written."
        )


def sidecar(path: Path) -> Path:
    """Return the path of the JSON file beside a file, which holds the settings that the file was made with."""
    return path.with_name(path.name + ".json")


def settings_json(path: Path, metadata: dict[str, Any] | None) -> str:
    """Return the settings as one line of ASCII, which every kind of tag can hold; "" where there are none."""
    if not isinstance(metadata, dict | None):
        raise UsageError(f"metadata must be a dict or None, got {described(metadata)}")
    try:
        return "" if metadata is None else json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the settings to store in {path} are not JSON ({error}); use texts, numbers, lists and dicts."
        ) from None


def tag_json(path: Path, metadata: dict[str, Any] | None) -> str:
    """Return the settings for a tag inside the file: not what may differ where the video is the same to the bit."""
    if isinstance(metadata, dict):
        differing = [name for name in (TIMINGS, FINDINGS) if isinstance(metadata.get(name), dict)]
        metadata = {name: value for name, value in metadata.items() if name not in differing}
    return settings_json(path, metadata)


def completed(path: Path, metadata: dict[str, Any] | None, complete: Completion | None) -> Callable[[Path], str]:
    """Return the function of a partial file that completes it and returns the text of its sidecar."""
    return lambda partial: settings_json(path, complete(partial, metadata) if complete else metadata)


@contextlib.contextmanager
def file_with_sidecar(path: Path, settings: Callable[[Path], str], allow: Callable[[], None] | None) -> Iterator[Path]:
    """Yield a partial path to write to; then rename it to `path` and write its settings into the sidecar of `path`.

    `settings` is called with the complete partial path. The partial path keeps the suffix, because encoders depend on
    it. When the block or the writing fails, no file is left. Empty settings delete an existing sidecar, which described
    the old file. `allow` is that of `atomic_file`.
    """
    try:
        # the sidecar is written before the file gets its name, and gets its own after it
        with contextlib.ExitStack() as described, atomic_file(path, keep_suffix=True, allow=allow) as growing:
            yield growing
            text = settings(growing)
            if text:
                described.enter_context(atomic_file(sidecar(path))).write_text(text + "\n")
            else:
                sidecar(path).unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise FileProblem(
            f"{path} cannot be written ({reason(error)}); check the folder, the disk and the frame size."
        ) from error


# Pictures


def comment_gif(path: Path, text: str) -> None:
    """Insert a comment before the first frame of a GIF, where readers expect it; FFmpeg does not write comments."""
    data, content = text.encode("ascii"), path.read_bytes()
    colours = 3 * (2 << (content[10] & 7)) if content[10] & 0x80 else 0
    blocks = (data[start : start + 255] for start in range(0, len(data), 255))
    comment = b"!\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    path.write_bytes(content[: 13 + colours] + comment + content[13 + colours :])


def write_image(
    path: str | Path,
    frame: Frame,
    metadata: dict[str, Any] | None = None,
    allow: Callable[[], None] | None = None,
    complete: Completion | None = None,
) -> None:
    """Write a PNG, JPEG or WebP picture, with the settings `metadata` in the file and in a sidecar JSON.

    `allow` is called before a file is replaced, and raises where it must not be. `complete` is called with the written
    file before it gets its name.
    """
    from PIL import Image, PngImagePlugin

    path = check_writable(path, PICTURE_FORMATS)
    check_frame(path, frame)
    kind, text = PICTURE_FORMATS[path.suffix.lower()], tag_json(path, metadata)
    options: dict[str, Any] = {"PNG": {}, "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}[kind]
    if text and kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("comment", text)
    elif text and kind == "WEBP":
        options["exif"] = Image.Exif()
        options["exif"][EXIF_DESCRIPTION] = text
    elif len(text) < 65000:  # the longest comment that a JPEG can hold; the sidecar holds any length
        options["comment"] = text
    elif metadata is not None:
        options["comment"] = settings_json(path, {name: metadata[name] for name in metadata if name == "program"})
    with file_with_sidecar(path, completed(path, metadata, complete), allow) as growing:
        Image.fromarray(frame).save(growing, format=kind, **options)


# Sizes


def _frames(value: Any) -> UInt8[np.ndarray, "*t h w 3"]:
    """Return one frame or many; raise UsageError for anything else."""
    many = isinstance(value, np.ndarray) and value.ndim == 4
    return as_pixels("frames" if many else "frame", value, "frames, height, width" if many else "height, width")


def _side(name: str, value: Any) -> int:
    side = as_whole(name, value)
    if not 1 <= side <= MAX_FILE_SIDE:
        raise UsageError(f"{name} must lie between 1 and {MAX_FILE_SIDE} pixels, got {side}")
    return side


def resize(frames: UInt8[np.ndarray, "*t h w 3"], height: int, width: int) -> UInt8[np.ndarray, "*t height width 3"]:
    """Resample one frame or many: by area averaging to shrink, by cubic interpolation to enlarge."""
    frames, height, width = _frames(frames), _side("height", height), _side("width", width)
    return _resized(frames, height, width)


def _resized(frames: np.ndarray, height: int, width: int) -> UInt8[np.ndarray, "*t height width 3"]:
    import cv2

    if frames.ndim == 4:
        resized = np.empty((len(frames), height, width, 3), np.uint8)
        for index, frame in enumerate(frames):
            resized[index] = _resized(frame, height, width)
        return resized
    low, narrow = min(height, frames.shape[0]), min(width, frames.shape[1])
    if (low, narrow) != frames.shape[:2]:
        frames = cv2.resize(frames, (narrow, low), interpolation=cv2.INTER_AREA)
    if (low, narrow) != (height, width):
        frames = cv2.resize(frames, (width, height), interpolation=cv2.INTER_CUBIC)
    return frames


def fit(
    frames: UInt8[np.ndarray, "*t h w 3"], height: int, width: int
) -> tuple[UInt8[np.ndarray, "*t height width 3"], str]:
    """Scale frames to cover `height` x `width` and crop the centre; also return a sentence on what was done."""
    frames, height, width = _frames(frames), _side("height", height), _side("width", width)
    old_height, old_width = frames.shape[-3:-1]
    if (old_height, old_width) == (height, width):
        return frames, f"{width}x{height} used as it is"
    scale = max(height / old_height, width / old_width)
    tall, wide = max(height, round(old_height * scale)), max(width, round(old_width * scale))
    top, left = (tall - height) // 2, (wide - width) // 2
    cropped = _resized(frames, tall, wide)[..., top : top + height, left : left + width, :]
    done = f"{old_width}x{old_height} scaled to {wide}x{tall}"
    if (tall, wide) != (height, width):
        done += f" and its middle {width}x{height} kept ({1 - height * width / (tall * wide):.0%} cut off)"
    return np.ascontiguousarray(cropped), done
