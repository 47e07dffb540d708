"""Pictures in and out, and the manners with files that videos share: limits, writing beside then renaming, settings.

A picture comes back as 8-bit RGB, upright as its EXIF says, with transparency over white. `video.py` re-exports what others need.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from chronotope.errors import FileProblem, UsageError, suggest

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["fit", "resize", "write_image"]

MAX_SIDE = 16384
MAX_PIXELS = 2**28

PICTURE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
ANIMATED = {"GIF", "WEBP", "PNG", "TIFF"}  # not JPEG: the further pictures in a phone's JPEG are no later moments
EXIF_ORIENTATION, EXIF_DESCRIPTION = 0x0112, 0x010E

Frame = UInt8[np.ndarray, "h w 3"]
Number = int | float  # the runtime check of types in tests takes no int for a float


# Files


def readable(path: str | Path) -> Path:
    """The path of an existing file that is not empty, or one sentence on why it is none."""
    path = Path(path)
    if path.is_dir():
        raise FileProblem(f"{path} is a folder; give the path of a video or picture file in it.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise FileProblem(f"{path} does not exist; give the path of a video or picture file.") from None
    except OSError as error:
        raise FileProblem(f"{path} cannot be read ({reason(error)}); check the path and its permissions.") from None
    if empty:
        raise FileProblem(f"{path} is empty (0 bytes); a video or picture file is needed.")
    return path


def writable(path: str | Path, suffixes: dict[str, Any]) -> Path:
    """The path of a file that can be written, or one sentence on why it cannot."""
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        got = f"ends in '{path.suffix}'" if path.suffix else "has no suffix"
        raise UsageError(
            f"{path} {got}, which names no format that can be written here. {suggest(path.suffix.lower(), suffixes)}"
        )
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


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse sizes that no video has, before memory is taken for them."""
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise FileProblem(
            f"{path} says its frames are {width}x{height} pixels; at most {MAX_SIDE} a side and {MAX_PIXELS / 1e6:.0f} million"
            " in all are accepted. If the file is not damaged, scale it down first."
        )


def check_frame(path: Path, frame: Frame) -> None:
    """Refuse what is no RGB frame."""
    shape = tuple(getattr(frame, "shape", ()))
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or frame.dtype != np.uint8:
        got = f"{frame.dtype} {list(shape)}" if shape else type(frame).__name__
        raise UsageError(f"a frame for {path} is {got}; uint8 [height, width, 3] is needed.")
    if max(shape) > MAX_SIDE or shape[0] * shape[1] > MAX_PIXELS:
        raise UsageError(
            f"a frame for {path} is {shape[1]}x{shape[0]} pixels; at most {MAX_SIDE} a side can be written."
        )


def reason(error: Exception) -> str:
    """What the system or a library said, without its numbers and paths."""
    return str(getattr(error, "strerror", None) or error).rstrip(".") or type(error).__name__


def part(path: Path) -> Path:
    """Where a file grows before it gets its name; the suffix stays, because encoders go by it."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


def sidecar(path: Path) -> Path:
    """The JSON beside a file that says how it was made."""
    return path.with_name(path.name + ".json")


def to_json(path: Path, metadata: dict[str, Any] | None) -> str:
    """The settings as one line of ASCII, so that every kind of tag can hold them; empty where there are none."""
    try:
        return "" if metadata is None else json.dumps(metadata)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the settings to store in {path} are not JSON ({error}); use texts, numbers, lists and dicts."
        ) from None


@contextlib.contextmanager
def complete_or_nothing(path: Path, told: Callable[[], str]) -> Iterator[Path]:
    """Let the block write a file beside `path`, then give it its name, what is told of it beside it; on failure leave nothing behind."""
    growing, settings = part(path), part(sidecar(path))
    try:
        yield growing
        text = told()
        if text:
            settings.write_text(text + "\n")
        growing.replace(path)
        if text:
            settings.replace(sidecar(path))
        else:
            sidecar(path).unlink(missing_ok=True)  # it told of the file that was just replaced
    except (OSError, ValueError) as error:
        raise FileProblem(
            f"{path} cannot be written ({reason(error)}); check the folder, the disk and the frame size."
        ) from error
    finally:
        growing.unlink(missing_ok=True)
        settings.unlink(missing_ok=True)


# Pictures


def is_picture(path: Path) -> bool:
    """Whether Pillow should read this file: judged by its first bytes, not by its name."""
    with path.open("rb") as file:
        head = file.read(12)
    webp = head[:4] == b"RIFF" and head[8:] == b"WEBP"
    film = path.suffix.lower() in (".mjpeg", ".mjpg")  # pictures joined end to end: FFmpeg's business
    return webp or (not film and head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")))


@contextlib.contextmanager
def picture(path: Path) -> Iterator[Image.Image]:
    """An opened picture of a checked size; Pillow's errors become one sentence."""
    from PIL import Image, UnidentifiedImageError

    limit = Image.MAX_IMAGE_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata
            Image.MAX_IMAGE_PIXELS = None  # our own limit follows, and names the size
            with Image.open(path, formats=["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"]) as image:
                check_size(path, *image.size)
                yield image
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
        why = "it is damaged or of another kind" if isinstance(error, UnidentifiedImageError) else reason(error)
        raise FileProblem(
            f"{path} cannot be read as a picture ({why}); a complete PNG, JPEG, WebP, GIF or TIFF is needed."
        ) from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def picture_frames(path: Path) -> Iterator[tuple[float, float, Frame]]:
    """Each frame with its time and its seconds on screen; a still picture is one frame of one second."""
    with picture(path) as image:
        count, time = _num_frames(image), 0.0
        for index in range(count):
            image.seek(index)
            image.load()
            seconds = float(image.info.get("duration", 0)) / 1000 if count > 1 else 1.0
            seconds = seconds if seconds > 0.01 else 0.1  # as browsers play them
            yield time, seconds, _to_rgb(image, path)
            time += seconds


def _num_frames(image: Image.Image) -> int:
    return getattr(image, "n_frames", 1) if image.format in ANIMATED else 1


def _to_rgb(image: Image.Image, path: Path) -> Frame:
    """One picture as 8-bit RGB, upright, transparency over white."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise FileProblem(f"{path} holds floating-point values; a picture with 8 or 16 bits a channel is needed.")
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return np.repeat(((grey * 255 + 32767) // 65535).astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        return over_white(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def over_white(rgba: UInt8[np.ndarray, "h w 4"]) -> Frame:
    """What a transparent picture looks like on a white page."""
    alpha = rgba[..., 3:].astype(np.uint32)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def picture_facts(path: Path) -> tuple[dict[str, Any], bool]:
    """What a picture's header says, in the words of VideoInfo, and whether it is a still."""
    with picture(path) as image:
        kind = (image.format or "picture").lower()
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        upright = orientation < 5 or image.format == "TIFF"  # whose size Pillow has turned already
        facts = dict(
            path=path,
            container=kind,
            codec=kind,
            pixel_format=image.mode.lower(),
            width=image.width if upright else image.height,
            height=image.height if upright else image.width,
            rotation={3: 180, 6: 90, 8: 270}.get(orientation, 0),
            pixel_aspect=1.0,
            metadata={
                str(key): str(value) for key, value in image.info.items() if isinstance(value, str | int | float)
            },
        )
        return facts, _num_frames(image) == 1


def picture_comments(path: Path) -> list[str]:
    """The texts in a picture that may hold its settings."""
    with picture(path) as image:
        texts = [image.info.get("comment", ""), image.getexif().get(EXIF_DESCRIPTION, "")]
    return [text.decode(errors="replace") if isinstance(text, bytes) else str(text) for text in texts]


def comment_gif(path: Path, text: str) -> None:
    """Put a comment into a GIF, which FFmpeg does not write: before its first frame, where readers look for one."""
    beside, data = part(path), text.encode("ascii")
    try:
        with path.open("rb") as source, beside.open("wb") as target:
            head = source.read(13)
            colours = source.read(6 << (head[10] & 7)) if head[10] & 0x80 else b""
            blocks = (data[start : start + 255] for start in range(0, len(data), 255))
            target.write(head + colours + b"!\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0")
            shutil.copyfileobj(source, target)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_image(path: str | Path, frame: Frame, metadata: dict[str, Any] | None = None) -> None:
    """Write a PNG, JPEG or WebP picture with its settings in it and beside it."""
    from PIL import Image, PngImagePlugin

    path = writable(path, PICTURE_FORMATS)
    check_frame(path, frame)
    kind, text = PICTURE_FORMATS[path.suffix.lower()], to_json(path, metadata)
    options: dict[str, Any] = {"PNG": {}, "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}[kind]
    if text and kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("comment", text)
    elif text and kind == "WEBP":
        options["exif"] = Image.Exif()
        options["exif"][EXIF_DESCRIPTION] = text
    elif len(text) < 65000:  # the longest comment that a JPEG can hold; the sidecar holds any
        options["comment"] = text
    with complete_or_nothing(path, lambda: text) as growing:
        Image.fromarray(frame).save(growing, format=kind, **options)


# Sizes


def resize(frames: UInt8[np.ndarray, "*t h w 3"], height: int, width: int) -> UInt8[np.ndarray, "*t height width 3"]:
    """Resample one frame or many: by area where they shrink, by cubic interpolation where they grow."""
    import cv2

    if frames.ndim == 4:
        resized = np.empty((len(frames), height, width, 3), np.uint8)
        for index, frame in enumerate(frames):
            resized[index] = resize(frame, height, width)
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
    """Scale to cover `height` x `width` and keep the middle, never distorting; also say what was done."""
    old_height, old_width = frames.shape[-3:-1]
    if (old_height, old_width) == (height, width):
        return frames, f"{width}x{height} used as it is"
    scale = max(height / old_height, width / old_width)
    tall, wide = max(height, round(old_height * scale)), max(width, round(old_width * scale))
    top, left = (tall - height) // 2, (wide - width) // 2
    kept = resize(frames, tall, wide)[..., top : top + height, left : left + width, :]
    done = f"{old_width}x{old_height} scaled to {wide}x{tall}"
    if (tall, wide) != (height, width):
        done += f" and its middle {width}x{height} kept ({1 - height * width / (tall * wide):.0%} cut off)"
    return np.ascontiguousarray(kept), done
