"""A still or animated picture file -> facts, stored settings and frames as Pillow decodes them.

The guarded child imports this module, so it needs no numpy.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from chronotope.errors import FileProblem
from chronotope.media.files import MediaFile, check_picture_size, check_total_pixels, reason
from chronotope.media.planes import Layout, Planes

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["EXIF_DESCRIPTION", "is_picture", "load_pillow", "picture_comments", "picture_facts", "picture_frames"]

FORMATS = ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "ICO"]
ANIMATED = {"GIF", "WEBP", "PNG", "TIFF"}  # not JPEG: further pictures in a phone's JPEG are previews, not later frames
EXIF_ORIENTATION, EXIF_DESCRIPTION = 0x0112, 0x010E


def is_picture(file: MediaFile) -> bool:
    """Return whether Pillow should read this file, by its first bytes; TGA, which has no signature, by its name."""
    head = file.head()
    webp = head[:4] == b"RIFF" and head[8:] == b"WEBP"
    motion_jpeg = file.suffix in (".mjpeg", ".mjpg")  # concatenated pictures, which FFmpeg reads as a video
    signed = head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\1\0"))
    return webp or (signed and not motion_jpeg) or file.suffix == ".tga"


def load_pillow() -> None:
    """Import every part of Pillow that reading needs, before the child may open no more files."""
    from PIL import (  # noqa: F401
        BmpImagePlugin,
        ExifTags,
        GifImagePlugin,
        IcoImagePlugin,
        Image,
        ImageCms,
        ImageMath,
        ImageOps,
        JpegImagePlugin,
        MpoImagePlugin,
        PngImagePlugin,
        TgaImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    Image.preinit()


@contextlib.contextmanager
def open_picture(file: MediaFile) -> Iterator[Image.Image]:
    """Open a picture whose size is accepted; raise FileProblem for every error of Pillow."""
    from PIL import Image, UnidentifiedImageError

    limit = Image.MAX_IMAGE_PIXELS
    formats = ["TGA"] if file.suffix == ".tga" else FORMATS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of unusual metadata
            Image.MAX_IMAGE_PIXELS = None  # check_picture_size applies our own limit, and its message names the size
            with Image.open(file.reader(), formats=formats) as image:  # type: ignore[arg-type]
                count = _num_frames(image)
                check_picture_size(file, *image.size, moving=count > 1)
                if count > 1:
                    check_total_pixels(file, count * image.width * image.height, file.max_animation)
                yield image
    except (FileProblem, MemoryError):
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files: KeyError, TypeError, ZeroDivisionError ...
        known = isinstance(error, OSError | SyntaxError | ValueError) and not isinstance(error, UnidentifiedImageError)
        why = reason(error) if known else "it is damaged or has another format"
        raise FileProblem(
            f"{file.path} cannot be read as a picture ({why}); a complete PNG, JPEG, WebP, GIF or TIFF is needed."
        ) from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def picture_frames(file: MediaFile) -> Iterator[tuple[float, float, Planes]]:
    """Yield (time, seconds on screen, pixels) of each frame; a still picture is one frame of one second."""
    with open_picture(file) as image:
        first, count, time, pixels = _first_frame(image), _num_frames(image), 0.0, 0
        for index in range(first, first + count):
            file.progress()
            image.seek(index)
            check_picture_size(file, *image.size, moving=count > 1)  # the pages of a TIFF differ in size
            pixels += image.width * image.height
            if count > 1:
                check_total_pixels(file, pixels, file.max_animation)
            image.load()
            seconds = float(image.info.get("duration", 0)) / 1000 if count > 1 else 1.0
            seconds = seconds if seconds > 0.01 else 0.1  # browsers play shorter durations as 0.1 s
            yield time, seconds, _planes(image, file, moving=count > 1)
            time += seconds


def _first_frame(image: Image.Image) -> int:
    """Return the index of the first frame; the cover of an animated PNG is no frame of its animation."""
    return int(bool(image.info.get("default_image")) and getattr(image, "n_frames", 1) > 1)


def _num_frames(image: Image.Image) -> int:
    return getattr(image, "n_frames", 1) - _first_frame(image) if image.format in ANIMATED else 1


def _planes(image: Image.Image, file: MediaFile, moving: bool) -> Planes:
    """Return the pixels of one picture, oriented by its EXIF data; rows are converted when they are asked for."""
    from PIL import ImageMath, ImageOps

    if moving or image.getexif().get(EXIF_ORIENTATION, 1) != 1:  # this copies, and the next frame overwrites `image`
        image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise FileProblem(f"{file.path} holds floating-point values; a picture with 8 or 16 bits a channel is needed.")
    if image.mode == "I":
        low, high = cast(tuple[float, float], image.getextrema())
        if low < 0 or high > 65535:
            raise FileProblem(
                f"{file.path} holds integers from {low:g} to {high:g}; a picture with 8 or 16 bits a channel is needed."
            )
    mode, kind, size = "RGB", "rgb24", 3
    if image.mode == "I" or image.mode.startswith("I;16"):
        mode, kind, size = "I", "grey32", 4
    elif image.has_transparency_data:
        mode, kind, size = "RGBA", "rgba", 4
    width, height = image.size

    clear = image.info.get("transparency") if mode == "I" else None  # the level that is transparent (tRNS of PNG)

    def rows(start: int, stop: int) -> list[bytes]:
        part = image if stop - start == height else image.crop((0, start, width, stop))
        converted = part.convert(mode)
        if isinstance(clear, int):  # white in its place, over which transparency is laid
            operation = partial(_whitened, clear=clear)
            converted = ImageMath.lambda_eval(operation, levels=converted)
        return [converted.tobytes()]

    return Planes(Layout(cast(Any, kind), width, height, size * width, width, height), rows)


def _whitened(images: dict[str, Any], clear: int) -> Any:
    """Return levels of 16 bits with one of them white; Pillow computes it, since the child has no numpy."""
    return images["levels"] + (images["levels"] == clear) * (65535 - clear)


def picture_facts(file: MediaFile) -> tuple[dict[str, Any], bool]:
    """Return the fields of VideoInfo that a picture's header holds, and whether the picture has one frame."""
    with open_picture(file) as image:
        kind = (image.format or "picture").lower()
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        swapped = orientation in (5, 6, 7, 8) and image.format != "TIFF"  # Pillow has rotated the size of a TIFF
        facts = dict(
            container=kind,
            codec=kind,
            pixel_format=image.mode.lower(),
            transparent=image.has_transparency_data,
            width=image.height if swapped else image.width,
            height=image.width if swapped else image.height,
            rotation={3: 180, 6: 90, 8: 270}.get(orientation, 0),
            pixel_aspect=1.0,
            metadata={
                str(key): str(value) for key, value in image.info.items() if isinstance(value, str | int | float)
            },
        )
        return facts, _num_frames(image) == 1


def picture_comments(file: MediaFile) -> list[str]:
    """Return the texts in a picture that may hold its settings."""
    with open_picture(file) as image:
        texts = [image.info.get("comment", ""), image.getexif().get(EXIF_DESCRIPTION, "")]
    return [text.decode(errors="replace") if isinstance(text, bytes) else str(text) for text in texts]
