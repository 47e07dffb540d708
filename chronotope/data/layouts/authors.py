"""Imported captions that programs wrote -> lines of `recaptions.jsonl` and `reviews.jsonl` in the new dataset.

So their authors are known there as they were before, and no such caption passes for one that a person wrote.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope.data.captions import Captions
from chronotope.data.recaptions import RECAPTIONS, Written
from chronotope.data.reviews import REVIEWS
from chronotope.manifest import ChainedLines, seal

__all__ = ["Line", "lines_of", "without_written", "write_lines"]

_PLACES = ("", "heldout/")  # each has a file of its own, as readers take one of these folders
_SUBJECT = {RECAPTIONS: ("file", "detail"), REVIEWS: ("file", "sha256", "detail", "text", "reviewer")}


@dataclass(frozen=True)
class Line:
    """A sealed line of the file `name` in the folder `place`, "" or "heldout/"."""

    place: str
    name: str
    row: Mapping[str, Any]

    @property
    def seal(self) -> str:
        return str(self.row["seal"])


def lines_of(key: str, sha256: str, written: Sequence[Written]) -> list[Line]:
    """Return the lines on the captions that programs wrote for the clip `key` of this content."""
    place = max(start for start in _PLACES if key.startswith(start))
    lines = []
    for one in written:
        facts = {"file": key.removeprefix(place), "sha256": sha256, "detail": one.detail, "text": one.text}
        lines.append(Line(place, RECAPTIONS, seal({**facts, "failed": "", "author": json.loads(one.author)})))
        for reviewer, verdict, mended in one.reviews:
            row = seal({**facts, "verdict": verdict, "mended": mended, "reviewer": reviewer})
            lines.append(Line(place, REVIEWS, row))
    return lines


def without_written(captions: Captions, written: Sequence[Written]) -> Captions:
    """Return the captions but for those texts that programs wrote."""
    used = {one.used for one in written}
    left = {level: tuple(text for text in texts if text not in used) for level, texts in captions.items()}
    return {level: texts for level, texts in left.items() if texts}


def write_lines(out: Path, lines: Sequence[Line], before: Collection[str]) -> None:
    """Bring the lines of a dataset up to date. Those of other seals than `before`, of earlier imports, are untouched.

    Where a user had a caption written or judged in the new dataset, his line stays the last one.
    """
    for place in _PLACES:
        for name, subject in _SUBJECT.items():
            wanted = {line.seal: line.row for line in lines if (line.place, line.name) == (place, name)}
            _write(out / place / name, subject, wanted, set(before))


def _write(path: Path, subject: Sequence[str], wanted: Mapping[str, Mapping[str, Any]], before: set[str]) -> None:
    damaged: list[str] = []
    lines = ChainedLines(path, damaged.append)
    there = lines.rows
    kept = [row for row in there if row["seal"] in wanted or row["seal"] not in before or damaged]
    held = {row["seal"] for row in kept}
    theirs = [place for place, row in enumerate(kept) if row["seal"] not in before and row["seal"] not in wanted]
    own = {_values(kept[place], subject) for place in theirs}
    new = [row for one, row in wanted.items() if one not in held and _values(row, subject) not in own]
    if not new and len(kept) == len(there):
        return
    path.parent.mkdir(exist_ok=True)
    if damaged:
        lines.add(*new)  # the damaged lines stay, and are named to whoever reads them
    elif theirs:
        lines.replace([*kept[: theirs[0]], *new, *kept[theirs[0] :]])
    else:
        lines.replace(list(wanted.values()))  # in the order of a new import


def _values(row: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in names)
