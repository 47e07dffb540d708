"""Folders that a server shows, and never writes into: datasets, training runs and evaluation reports."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chronotope.errors import ChronotopeError
from chronotope.jsonl import read_jsonl
from chronotope.media.picture import PICTURE_FORMATS
from chronotope.media.video import VIDEO_FORMATS
from chronotope.serve.service import MissingError
from chronotope.storage import read_json

__all__ = ["Shown", "content_of", "find_shown", "media_of", "shown_of"]

Kind = Literal["dataset", "run", "report"]
MARKS: tuple[tuple[str, Kind], ...] = (("report.json", "report"), ("log.jsonl", "run"), ("manifest.jsonl", "dataset"))
MAX_DEPTH = 3
MAX_SHOWN = 200
MAX_POINTS = 400  # of the curve of a training run
MAX_BYTES = 64 << 20  # of a file that is read whole
MEDIA = {*VIDEO_FORMATS, *PICTURE_FORMATS}


@dataclass(frozen=True)
class Shown:
    """A folder that is shown; `id` names it to clients and holds no path of this machine beyond the shown folder."""

    id: str
    kind: Kind
    name: str
    path: Path


def find_shown(roots: Sequence[Path]) -> list[Shown]:
    """Find what can be shown in some folders; links that leave them are not followed."""
    found: list[Shown] = []
    for number, root in enumerate(roots):
        for folder, inside, files in os.walk(root):
            path = Path(folder)
            relative = path.relative_to(root)
            inside[:] = sorted(name for name in inside if not name.startswith("."))
            if len(relative.parts) >= MAX_DEPTH:
                inside.clear()
            kind = next((kind for mark, kind in MARKS if mark in files), None)
            if kind is not None and len(found) < MAX_SHOWN:
                found.append(Shown(f"{number}:{relative.as_posix()}", kind, _name_of(root, relative), path))
    return found


def _name_of(root: Path, relative: Path) -> str:
    return "/".join((root.resolve().name, *relative.parts))


def shown_of(roots: Sequence[Path], name: str) -> Shown:
    """Return what has an identifier; raise `MissingError` where nothing that is shown has it."""
    number, _, relative = name.replace("\0", "").partition(":")
    if re.fullmatch(r"[0-9]{1,4}", number) and int(number) < len(roots):
        root = roots[int(number)]
        path = root / relative
        inside = path.resolve().is_relative_to(root.resolve()) and len(Path(relative).parts) <= MAX_DEPTH
        kind = next((kind for mark, kind in MARKS if inside and (path / mark).is_file()), None)
        if kind is not None:
            return Shown(name, kind, _name_of(root, Path(relative)), path)
    raise MissingError("id", "there is no such folder among those that are shown", "not_found")


def content_of(one: Shown, offset: int, limit: int) -> dict[str, Any]:
    """Return what a page shows of a folder; of a dataset the rows of its manifest from `offset` on."""
    try:
        if one.kind == "dataset":
            return _dataset(one.path, offset, limit)
        return _run(one.path) if one.kind == "run" else _report(one.path)
    except (ChronotopeError, OSError) as problem:
        reason = str(problem).replace(str(one.path), one.name)
        raise MissingError("id", f"{one.name} cannot be read: {reason}", "not_readable") from None


def media_of(one: Shown, name: str) -> Path:
    """Return the path of a picture or video in a shown folder; raise `MissingError` for any other path."""
    path = one.path / name.replace("\0", "")
    inside = path.resolve().is_relative_to(one.path.resolve())
    if not inside or path.suffix.lower() not in MEDIA or not path.is_file():
        raise MissingError("name", "there is no such picture or video in this folder", "not_found")
    return path


def _dataset(folder: Path, offset: int, limit: int) -> dict[str, Any]:
    about = folder / "dataset.json"
    rows = _rows(folder / "manifest.jsonl")
    page = [{name: value for name, value in row.items() if name != "seal"} for row in rows[offset : offset + limit]]
    return {
        "kind": "dataset",
        "about": read_json(about) if about.is_file() else {},
        "count": len(rows),
        "rows": [{**row, "file": _file_of(folder, row)} for row in page],
    }


def _file_of(folder: Path, row: dict[str, Any]) -> str | None:
    """Return the picture or video of a row of a manifest, relative to the folder."""
    for value in (row.get("media"), row.get("source"), row.get("file"), row.get("key")):
        named = value.get("file") if isinstance(value, dict) else value
        if not isinstance(named, str):
            continue
        for suffix in ("", ".mp4", ".png"):
            path = folder / f"{named}{suffix}"
            if path.suffix.lower() in MEDIA and path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                return f"{named}{suffix}"
    return None


def _run(folder: Path) -> dict[str, Any]:
    rows = _rows(folder / "log.jsonl")
    step = max(1, -(-len(rows) // MAX_POINTS))
    kept = rows[::-step][::-1]  # the last row is always there
    config = folder / "config.toml"
    samples = sorted(path for path in folder.glob("samples/**/*") if path.suffix.lower() in MEDIA)[-24:]
    return {
        "kind": "run",
        "config": config.read_text(encoding="utf-8", errors="replace")[:20_000] if config.is_file() else "",
        "count": len(rows),
        "rows": kept,
        "samples": [path.relative_to(folder).as_posix() for path in samples],
    }


def _report(folder: Path) -> dict[str, Any]:
    path = folder / "report.json"
    if path.stat().st_size > MAX_BYTES:
        raise MissingError("id", "the report is too large to be shown", "too_large")
    report = read_json(path)
    return {"kind": "report", "about": report.get("about", {}), "summary": report.get("summary", {})}


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.stat().st_size > MAX_BYTES:
        raise MissingError("id", f"{path.name} is too large to be shown", "too_large")
    return read_jsonl(path)
