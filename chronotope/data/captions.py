"""The files beside a clip -> its captions by level of detail, as people and programs save them.

`NAME.json` holds {"captions": {level: [texts]}}, {"caption": text}, {"text": text}, a list of texts, or one text.
`NAME.txt` holds one text, a `sentence`. Text is UTF-8 with or without a byte order mark, UTF-16, or Windows-1252.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem

__all__ = ["Captions", "captions_of", "decode_text", "read_captions"]

Captions = dict[str, tuple[str, ...]]

MAX_BYTES = 2**24  # of one caption file
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SINGLE = ("caption", "text")  # keys of one text, by preference


def read_captions(path: Path, note: Callable[[str], None] | None = None) -> Captions:
    """Read the captions of the clip at `path` by level of detail; {} where it has none.

    `note` receives a sentence for each file whose encoding had to be guessed. Raises FileProblem, which names the
    file, for content that is no caption.
    """
    for file in (path.with_suffix(".json"), path.with_name(path.name + ".txt"), path.with_suffix(".txt")):
        if file == path or not file.is_file():
            continue
        text = decode_text(file, note)
        found = _from_json(file, text) if file.suffix == ".json" else captions_of(text, str(file))
        if found:
            return found
    return {}


def decode_text(path: Path, note: Callable[[str], None] | None = None) -> str:
    """Read a text file in the encoding that it is in; raise FileProblem where no text can be read from it."""
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
        if note is not None:
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


def _from_json(file: Path, text: str) -> Captions:
    if not text.strip():
        return {}
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as problem:
        why = str(problem) or "it is nested too deeply"
        raise FileProblem(f"{file} is not readable JSON ({why}); expected captions such as {_EXAMPLE}") from problem
    return captions_of(data, str(file))


_EXAMPLE = '{"captions": {"sentence": ["a red ball rolls"]}}'


def captions_of(data: Any, where: str) -> Captions:
    """Read captions from parsed JSON or a text; raise FileProblem, which begins with `where`, for anything else."""
    if isinstance(data, dict):
        if isinstance(data.get("captions"), dict):
            by_level = data["captions"].items()
            levels = {level: _texts(texts, f"{where}, level {level},") for level, texts in by_level}
            return {level: texts for level, texts in levels.items() if texts}
        data = next((data[key] for key in ("captions", *_SINGLE) if data.get(key)), None)
    texts = _texts(data, where)
    return {"sentence": texts} if texts else {}


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
