"""Arguments of the Python interface -> plain values, or one UsageError that says what was expected and what was got."""

from __future__ import annotations

import contextlib
import math
import os
import reprlib
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from chronotope.errors import UsageError

__all__ = [
    "as_callback",
    "as_flag",
    "as_number",
    "as_path",
    "as_pixels",
    "as_seconds",
    "as_text",
    "as_whole",
    "described",
]

MAX_SIDE = 16384  # pixels of a picture or clip that is given, as of a file that is read
MAX_BITS = 128  # of whole numbers, so that a message can show them
MAX_SECONDS = 1e9  # a million frames, the longest video, at a hundredth of a frame a second are 1e8


class _Short(reprlib.Repr):
    """A short `repr` in which an array is its type and shape."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 100
        self.maxlist = self.maxtuple = self.maxdict = 3

    def repr1(self, x: Any, level: int) -> str:
        if hasattr(x, "dtype") and hasattr(x, "shape") and not isinstance(x, type):
            return f"{type(x).__name__} of {x.dtype} with shape {list(x.shape)}"
        return super().repr1(x, level)


def described(value: Any) -> str:
    """Describe a value in a few words of ASCII: an array by its type and shape, anything else by its beginning."""
    kind = type(value).__name__
    if isinstance(value, type):
        return f"the class {value.__name__}"
    try:
        shown = _Short().repr(value)
    except ValueError:  # Python shows no whole number of more than 4300 digits
        return kind
    shown = " ".join(shown.encode("ascii", "backslashreplace").decode().split())
    return shown if value is None or isinstance(value, str | bytes) or hasattr(value, "dtype") else f"{shown} ({kind})"


def as_whole(name: str, value: Any) -> int:
    """Return a whole number as an int, one of numpy as well; truth values and floats are refused."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"{name} must be a whole number, got {described(value)}")
    found = int(value)
    if found.bit_length() > MAX_BITS:
        raise UsageError(f"{name} must be a whole number, got one of {found.bit_length()} bits")
    return found


def as_number(name: str, value: Any) -> float:
    """Return a finite number as a float, one of numpy as well; truth values are refused."""
    found = math.nan
    with contextlib.suppress(OverflowError):  # a whole number of more than 308 digits
        found = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    if not math.isfinite(found):
        raise UsageError(f"{name} must be a finite number, got {described(value)}")
    return found


def as_seconds(name: str, value: Any) -> float:
    """Return a time in seconds that can be multiplied by a frame rate."""
    seconds = as_number(name, value)
    if abs(seconds) > MAX_SECONDS:
        raise UsageError(f"{name} may be at most {MAX_SECONDS:,.0f}, got {seconds:g}")
    return seconds


def as_text(name: str, value: Any) -> str:
    """Return a text; bytes are refused."""
    if isinstance(value, str):
        return str(value)
    raise UsageError(f"{name} must be a text, got {described(value)}")


def as_flag(name: str, value: Any) -> bool:
    """Return a truth value; numbers are refused."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise UsageError(f"{name} must be True or False, got {described(value)}")


def as_path(name: str, value: Any) -> Path:
    """Return a path; bytes, and numbers, which the system takes for open files, are refused."""
    if isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str):
        return Path(value)
    raise UsageError(f"{name} must be a path, a text or a pathlib.Path, got {described(value)}")


def as_pixels(name: str, value: Any, axes: str) -> np.ndarray:
    """Return RGB pixels, a numpy array uint8 [axes, 3], where `axes` are "height, width" with or without "frames, "."""
    expected = f"{name} must be a numpy array, uint8 [{axes}, 3]"
    if not isinstance(value, np.ndarray):
        raise UsageError(f"{expected}, got {described(value)}{_conversion(value)}")
    if value.dtype != np.uint8:
        raise UsageError(
            f"{expected} of 0 to 255, got {described(value)}; convert it first, (255 * x).round() for 0 to 1"
        )
    if value.ndim != axes.count(",") + 2 or value.shape[-1] != 3 or 0 in value.shape:
        raise UsageError(f"{expected}, got shape {list(value.shape)}")
    if max(value.shape[-3:-1]) > MAX_SIDE:
        raise UsageError(f"{name} may have {MAX_SIDE} pixels a side, got {value.shape[-2]}x{value.shape[-3]}")
    return np.ascontiguousarray(value)  # torch takes no negative strides, as those of frames[::-1]


def _conversion(value: Any) -> str:
    """Say how to convert a value of a well-known library that is no numpy array."""
    if hasattr(value, "detach"):
        return "; give x.cpu().numpy() of a torch tensor, its last axis RGB"
    if hasattr(value, "convert"):
        return '; give numpy.asarray(image.convert("RGB")) of a Pillow image'
    return ""


def as_callback(report: Callable[[int], None]) -> Callable[[int], None]:
    """Return a function of the step; raise UsageError for what is none."""
    if not callable(report):
        raise UsageError(f"report must be a function of the step, got {described(report)}")
    return report
