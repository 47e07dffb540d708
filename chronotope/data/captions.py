"""The files beside a clip -> its captions by level of detail, as people and programs save them.

`NAME.json` holds {"captions": {level: [texts]}}, {"caption": text}, {"text": text}, {"prompt": text}, a list of texts,
or one text. `NAME.txt` and `NAME.mp4.txt` hold one text, a `sentence`. Text is UTF-8 with or without a byte order mark,
UTF-16, or Windows-1252. Where several files hold captions, the first of this order is used, and the others are named.
"""

from __future__ import annotations

import codecs
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem

__all__ = ["Captions", "caption_files", "caption_names", "captions_of", "decode_text", "read_captions"]

Captions = dict[str, tuple[str, ...]]
Note = Callable[[str], None]

MAX_BYTES = 2**24  # of one caption file
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_KEYS = ("captions", "caption", "text", "prompt")  # of texts, in any letter case, by preference


def read_captions(path: Path, note: Note = lambda _: None) -> Captions:
    """Read the captions of the clip at `path` by level of detail; {} where it has none.

    `note` receives a sentence for each file whose encoding had to be guessed, that holds no caption, or whose captions
    are not used because another file has some. Raises FileProblem, which names the file, for content that is no
    caption.
    """
    used: Path | None = None
    captions: Captions = {}
    for file in caption_files(path):
        text = decode_text(file, note)
        found = _from_json(file, text, note) if file.suffix.lower() == ".json" else captions_of(text, str(file))
        if used is None and found:
            used, captions = file, found
        elif not _all_texts(found) <= _all_texts(captions):
            note(f"{file} is not used, for {used} has captions too")
    return captions


def caption_files(path: Path) -> list[Path]:
    """Return the files that can hold captions of the clip at `path` and exist, by preference; endings in any case."""
    beside = map(Path, caption_names(str(path)))
    return [file for file in beside if file != path and os.path.lexists(file)]


def caption_names(clip: str) -> tuple[str, ...]:
    """Return the names that the caption files of a clip can have, by preference, from its name or path."""
    stem = str(Path(clip).with_suffix(""))
    return tuple(
        f"{start}{ending}"
        for start, kind in ((stem, ".json"), (clip, ".json"), (clip, ".txt"), (stem, ".txt"))
        for ending in (kind, kind.upper())
    )


def _all_texts(captions: Captions) -> set[str]:
    return {text for texts in captions.values() for text in texts}


def decode_text(path: Path, note: Note = lambda _: None) -> str:
    """Read a text file in the encoding that it is in; raise FileProblem where no text can be read from it."""
    if path.exists() and not path.is_file():  # a folder, or a pipe, whose reader would wait for ever
        raise FileProblem(f"{path} is no regular file, so no captions can be read from it; remove it")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileProblem(f"{path} has {path.stat().st_size} bytes; a caption file has at most {MAX_BYTES}")
        data = path.read_bytes()
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror or problem}") from problem
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded(path, data[len(mark) :], encoding)
    if b"\0" in data:  # ASCII letters in UTF-16 have zeros in every second place
        return _decoded(path, data, "utf-16-be" if data[::2].count(0) > data[1::2].count(0) else "utf-16-le")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = _decoded(path, data, "cp1252")
        note(f"{path} is not UTF-8 and was read as Windows-1252; save it as UTF-8 if letters are wrong")
        return text


def _decoded(path: Path, data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as problem:
        raise FileProblem(f"{path} is no text in UTF-8, UTF-16 or Windows-1252; save it as UTF-8") from problem
    if "\0" in text:
        raise FileProblem(f"{path} holds zero bytes, so it is no text; save it as UTF-8")
    return text


def _from_json(file: Path, text: str, note: Note) -> Captions:
    if not text.strip():
        return {}

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        count = Counter(key for key, _ in pairs)
        if twice := [key for key in count if count[key] > 1]:
            note(f"{file} has the key {twice[0]!r} more than once, of which the last is read")
        return dict(pairs)

    try:
        data = json.loads(text, object_pairs_hook=table)
    except (ValueError, RecursionError) as problem:
        why = str(problem) or "it is nested too deeply"
        raise FileProblem(f"{file} is not readable JSON ({why}); expected captions such as {_EXAMPLE}") from problem
    if isinstance(data, dict) and _caption_key(data) is None:
        keys = ", ".join(map(repr, list(data)[:3]))
        note(f"{file} holds no caption ({keys or 'it is empty'}); expected captions such as {_EXAMPLE}")
    return captions_of(data, str(file))


_EXAMPLE = '{"captions": {"sentence": ["a red ball rolls"]}}'


def captions_of(data: Any, where: str) -> Captions:
    """Read captions from parsed JSON or a text; raise FileProblem, which begins with `where`, for anything else."""
    if isinstance(data, dict):
        key = _caption_key(data)
        data = None if key is None else data[key]
    if isinstance(data, dict):
        levels = {level: _texts(texts, f"{where}, level {level},") for level, texts in data.items()}
        return {level: texts for level, texts in levels.items() if texts}
    texts = _texts(data, where)
    return {"sentence": texts} if texts else {}


def _caption_key(data: dict[str, Any]) -> str | None:
    """Return the key under which an object holds captions: the first of the known ones that is not empty, or there."""
    written = {key.strip().lower(): key for key in reversed(data)}
    known = [written[key] for key in _KEYS if key in written]
    return next((key for key in known if data[key]), known[0] if known else None)


def _texts(data: Any, where: str) -> tuple[str, ...]:
    """Read one text, a list of texts, or null; texts of spaces alone are left out."""
    if data is None:
        return ()
    texts = [data] if isinstance(data, str) else data
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise FileProblem(f"{where} holds {_short(data)} where a text or a list of texts is expected, as in {_EXAMPLE}")
    return tuple(text.strip() for text in texts if text.strip())


def _short(data: Any) -> str:
    text = json.dumps(data)
    return text if len(text) <= 60 else f"{text[:57]}..."
