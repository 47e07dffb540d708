"""Files of strangers -> stored inputs: bytes or data URLs, looked at by the guarded decoder before they are kept."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from chronotope.errors import ChronotopeError, DecoderUnavailableError
from chronotope.media import video
from chronotope.media.picture import PICTURE_FORMATS
from chronotope.media.video import VIDEO_FORMATS
from chronotope.serve.jobs.store import StoredFile
from chronotope.serve.limits import Limits
from chronotope.serve.order import FieldError, Upload
from chronotope.storage import file_sha256, write_atomically

__all__ = ["decode_data_url", "made_settings", "save_upload", "unchanged", "unchanged_output"]

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,(.*)", re.DOTALL)
_SUFFIXES = {*VIDEO_FORMATS, *PICTURE_FORMATS, ".avi", ".bmp", ".mpg", ".mpeg", ".ts", ".tif", ".tiff"}


def decode_data_url(param: str, text: str) -> Upload:
    """Return the file of a data URL; raise `FieldError` for another text."""
    found = _DATA_URL.fullmatch(text.strip())
    if not found:
        raise FieldError(param, f"{param} names no file of yours, and is no data URL such as data:image/png;base64,...")
    try:
        content = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        raise FieldError(param, f"the data URL of {param} is not base64") from None
    kind = (found[1] or "").partition("/")[2].lower()
    return Upload(f"file.{kind}" if re.fullmatch(r"\w+", kind) else "file", content)


def save_upload(param: str, upload: Upload, path_of: Callable[[str], Path], limits: Limits) -> tuple[str, str]:
    """Write an upload to `path_of(suffix)`, look at it, and return its suffix and the SHA-256 of its content.

    Raises `FieldError`, and keeps nothing, where it is no picture or video, or one beyond the limits.
    """
    if not upload.content:
        raise FieldError(param, f"{param} is an empty file; a picture or video is needed", "invalid_file")
    suffix = Path(upload.name[-20:]).suffix.lower()
    suffix = suffix if suffix in _SUFFIXES else ""  # a hint for formats without a signature; no other part of the name
    path = path_of(suffix)
    write_atomically(path, upload.content)
    try:
        _check(param, path, limits)
    except BaseException:
        os.unlink(path)
        raise
    return suffix, hashlib.sha256(upload.content).hexdigest()


def unchanged(path: Path, file: StoredFile) -> Path:
    """Return the path of a stored file; raise `FieldError` where its content is not the one that was accepted."""
    if file.sha256 and file_sha256(path) != file.sha256:
        said = f"the file {file.name} was changed on the server's disk after it was accepted; send it again"
        raise FieldError("file", said, "file_changed")
    return path


def unchanged_output(path: Path, sha256: str | None, name: str) -> Path:
    """Return the path of a finished video or picture; raise `FieldError` where its content is not what was made."""
    try:
        state = path.stat()
        found = _hash_of(path, state.st_mtime_ns, state.st_size)
    except FileNotFoundError:
        return path  # it was deleted meanwhile, which is said where it is used
    if sha256 and found != sha256:  # earlier versions stored no hash
        said = f"the output of {name} was changed on the server's disk after it was made; make it again"
        raise FieldError("video", said, "file_changed")
    return path


def made_settings(path: Path, sha256: str | None, name: str) -> dict[str, Any] | None:
    """Return what a sidecar says, None where it is gone or no JSON object; raise `FieldError` where it was changed."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:  # earlier versions stored no hash
        said = f"the settings of {name} were changed on the server's disk after it was made; make it again"
        raise FieldError("settings", said, "file_changed")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@lru_cache(maxsize=256)  # a video is asked for in many parts
def _hash_of(path: Path, mtime_ns: int, size: int) -> str:
    del mtime_ns, size  # another one has another hash
    return file_sha256(path)


def _check(param: str, path: Path, limits: Limits) -> None:
    try:
        info = video.probe(path, **limits.of_file)
    except DecoderUnavailableError:
        raise
    except ChronotopeError as problem:
        reason = str(problem).replace(str(path), "the file")
        raise FieldError(param, f"{param} cannot be used: {reason}", "invalid_file") from None
    if info.num_frames > limits.file_frames:
        raise FieldError(
            param,
            f"{param} has {info.num_frames} frames, at most {limits.file_frames} are read; cut it first",
            "file_too_large",
        )
