"""Folders that a server shows, and never writes into: datasets, training runs and evaluation reports."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chronotope.arguments import described
from chronotope.errors import ChronotopeError, FileProblem
from chronotope.jsonl import read_jsonl, read_sealed_rows
from chronotope.media.picture import PICTURE_FORMATS
from chronotope.media.video import VIDEO_FORMATS
from chronotope.parsing import portable
from chronotope.sealed import check_seal
from chronotope.serve.service import MissingError
from chronotope.storage import read_json

__all__ = ["Shown", "content_of", "find_shown", "media_of", "shown_of"]

Kind = Literal["dataset", "run", "report"]
MARKS: tuple[tuple[str, Kind], ...] = (("report.json", "report"), ("log.jsonl", "run"), ("manifest.jsonl", "dataset"))
MAX_DEPTH = 3
MAX_SHOWN = 200
MAX_POINTS = 400  # of the curve of a training run
MAX_BYTES = 64 << 20  # of a file that is read whole
MAX_CONFIG_BYTES = 20_000
MAX_SAMPLES = 24  # of a training run, the last ones
_COPY = "restore it from a copy"
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
        for folder, inside, _ in os.walk(root):
            path = Path(folder)
            relative = path.relative_to(root)
            inside[:] = sorted(name for name in inside if not name.startswith(".") and _is_text(name))
            if len(relative.parts) >= MAX_DEPTH:
                inside.clear()
            kind = _kind_of(path)
            if kind is not None and len(found) < MAX_SHOWN:
                found.append(Shown(f"{number}:{relative.as_posix()}", kind, _name_of(root, relative), path))
    return found


def _is_text(name: str) -> bool:
    """Return whether a name is UTF-8, as an address must be."""
    return portable(name) == name


def _name_of(root: Path, relative: Path) -> str:
    return str(portable("/".join((root.resolve().name, *relative.parts))))


def _kind_of(folder: Path) -> Kind | None:
    return next((kind for mark, kind in MARKS if _file_in(folder, mark)), None)


def _inside(folder: Path, name: str) -> Path | None:
    """Return the path of what has a name in a folder; None where there is nothing, or where a link leads elsewhere."""
    try:
        path = (folder / name).resolve(strict=True)
        return folder / name if path.is_relative_to(folder.resolve()) else None
    except (OSError, RuntimeError, ValueError):  # such as a name that is too long, links in a circle, a zero byte
        return None


def _file_in(folder: Path, name: str) -> Path | None:
    """Return the path of a regular file in a folder; every file that is shown is found by this function."""
    path = _inside(folder, name)
    return path if path is not None and path.is_file() else None


def shown_of(roots: Sequence[Path], name: str) -> Shown:
    """Return what has an identifier; raise `MissingError` where nothing that is shown has it."""
    number, _, relative = name.partition(":")
    if re.fullmatch(r"[0-9]{1,4}", number) and int(number) < len(roots) and len(Path(relative).parts) <= MAX_DEPTH:
        root = roots[int(number)]
        path = _inside(root, relative)
        kind = _kind_of(path) if path else None
        if path and kind:
            return Shown(name, kind, _name_of(root, Path(relative)), path)
    raise MissingError("id", "there is no such folder among those that are shown", "not_found")


def content_of(one: Shown, offset: int, limit: int) -> dict[str, Any]:
    """Return what a page shows of a folder; of a dataset the rows of its manifest from `offset` on."""
    try:
        if one.kind == "dataset":
            found = _dataset(one.path, offset, limit)
        else:
            found = _run(one.path) if one.kind == "run" else _report(one.path)
        return dict(portable(found))
    except (ChronotopeError, OSError, ValueError) as problem:
        reason = str(portable(str(problem))).replace(str(one.path), one.name)
        raise MissingError("id", f"{one.name} cannot be read: {reason}", "not_readable") from None


def media_of(one: Shown, name: str) -> Path:
    """Return the path of a picture or video in a shown folder; raise `MissingError` for any other path."""
    path = _media_in(one.path, name)
    if path is None:
        raise MissingError("name", "there is no such picture or video in this folder", "not_found")
    return path


def _media_in(folder: Path, name: str) -> Path | None:
    return _file_in(folder, name) if Path(name).suffix.lower() in MEDIA else None


def _dataset(folder: Path, offset: int, limit: int) -> dict[str, Any]:
    path = _readable(folder, "manifest.jsonl")
    rows = [check_seal(row, path, _COPY) for row in read_jsonl(path)]
    page = [{name: value for name, value in row.items() if name != "seal"} for row in rows[offset : offset + limit]]
    return {
        "kind": "dataset",
        "about": _object(folder, "dataset.json") if _file_in(folder, "dataset.json") else {},
        "count": len(rows),
        "missing": sum(_file_of(folder, row) is None for row in rows),
        "rows": [{**row, "file": _file_of(folder, row)} for row in page],
    }


def _file_of(folder: Path, row: dict[str, Any]) -> str | None:
    """Return the picture or video of a row of a manifest, relative to the folder."""
    for value in (row.get("media"), row.get("source"), row.get("file"), row.get("key")):
        named = value.get("file") if isinstance(value, dict) else value
        if not isinstance(named, str):
            continue
        for suffix in ("", ".mp4", ".png"):
            if _media_in(folder, f"{named}{suffix}"):
                return f"{named}{suffix}"
    return None


def _run(folder: Path) -> dict[str, Any]:
    rows = read_sealed_rows(_readable(folder, "log.jsonl")).rows
    step = max(1, -(-len(rows) // MAX_POINTS))
    kept = rows[::-step][::-1]  # the last row is always there
    return {
        "kind": "run",
        "config": _config(folder),
        "count": len(rows),
        "rows": kept,
        "samples": _samples(folder),
    }


def _config(folder: Path) -> str:
    path = _file_in(folder, "config.toml")
    if path is None:
        return ""
    with path.open("rb") as file:
        return file.read(MAX_CONFIG_BYTES).decode("utf-8", errors="replace")


def _samples(folder: Path) -> list[str]:
    """Return the last pictures and videos of a training run, relative to its folder."""
    if _inside(folder, "samples") is None:
        return []
    names = (path.relative_to(folder).as_posix() for path in folder.glob("samples/**/*"))
    return sorted(name for name in names if _is_text(name) and _media_in(folder, name))[-MAX_SAMPLES:]


def _report(folder: Path) -> dict[str, Any]:
    report = _object(folder, "report.json")
    about, summary = (_checked(report.get(name, {}), f"'{name}' in report.json") for name in ("about", "summary"))
    return {"kind": "report", "about": about, "summary": summary}


def _object(folder: Path, name: str) -> dict[str, Any]:
    """Return a JSON object that fits its seal, if it has one: an edited report is not shown as it was made."""
    path = _readable(folder, name)
    return check_seal(_checked(read_json(path), name), path, _COPY)


def _checked(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FileProblem(f"{name} holds {described(value)}, expected a JSON object; write the folder again")
    return value


def _readable(folder: Path, name: str) -> Path:
    """Return the path of a file that is small enough to be read whole."""
    path = _file_in(folder, name)
    if path is None:
        raise FileProblem(f"{name} is missing")
    if path.stat().st_size > MAX_BYTES:
        raise FileProblem(f"{name} has more than {MAX_BYTES >> 20} MiB, so it is not shown")
    return path
