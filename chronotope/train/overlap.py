"""Held-out clips that a training shows all the same: in its own data, or in those of the weights that it began with.

A loss on such clips says nothing of unseen ones. Clips are the same where they show a common stretch of one file, by
its content: parts of a clip overlap, whatever their lengths and frame rates are. They are the same, too, where their
latents are equal to the bit, as those of a film in another container are.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chronotope import checkpoint
from chronotope.data.latents import read_header, read_index
from chronotope.data.record import data_behind, find_latents, latents_of_run, more_than_once
from chronotope.errors import FileProblem

__all__ = ["num_shown", "overlaps", "repeated_rows", "trained_before"]

_TOUCH = 1e-3  # seconds: parts that follow each other share no frame


def _stretch(row: Mapping[str, Any]) -> tuple[str, float, float] | None:
    """Return the hash of the file of a row of latents, and from where to where it shows it, in seconds."""
    sha256 = (row.get("source") or {}).get("sha256")
    start = float(row.get("start", 0))
    return (sha256, start, start + sum(row["slices"]) / row["fps"]) if sha256 else None


def _seconds(start: float, stop: float) -> range:
    """Return the whole seconds that a stretch touches: parts of a long film are compared with neighbours alone."""
    return range(math.floor(start), math.floor(stop) + 1)


class Stretches:
    """The stretches of files that rows of latents show, each with the name of the first row that showed it."""

    def __init__(self) -> None:
        self._named: dict[tuple[str, int], list[tuple[float, float, str]]] = defaultdict(list)  # by file and second
        self._latents: dict[str, str] = {}  # by the hash of the latents

    def add(self, name: str, row: Mapping[str, Any]) -> str:
        """Add a row; return the name of an earlier one that has frames in common with it, "" where none has."""
        before = self.first(row)
        if stretch := _stretch(row):
            file, start, stop = stretch
            for second in _seconds(start, stop):
                self._named[file, second].append((start, stop, before or name))
        if latents := row.get("sha256"):
            self._latents.setdefault(latents, before or name)
        return before

    def first(self, row: Mapping[str, Any]) -> str:
        """Return the name of an added row that has frames in common with `row`, "" where none has."""
        if stretch := _stretch(row):
            file, start, stop = stretch
            for second in _seconds(start, stop):
                for a, b, name in self._named.get((file, second), ()):
                    if start < b - _TOUCH and a < stop - _TOUCH:
                        return name
        return self._latents.get(row.get("sha256", ""), "")


def repeated_rows(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Say in a sentence how many clips are in the data more than once, whole or in part; `rows` come with names."""
    stretches = Stretches()
    pairs = [(before, name) for name, row in rows if (before := stretches.add(name, row))]
    return more_than_once(len({before for before, _ in pairs}), *pairs[0]) if pairs else []


def num_shown(rows: Iterable[Mapping[str, Any]], trained: Iterable[Mapping[str, Any]]) -> int:
    """Count the rows of latents that have frames of their file in common with a row of `trained`."""
    stretches = Stretches()
    for row in trained:
        stretches.add("trained", row)
    return sum(bool(stretches.first(row)) for row in rows)


def trained_before(run: Path, start: Path | None) -> tuple[list[dict[str, Any]], list[Path]]:
    """Return the data that trained the weights with which a training goes on, and where latents of them may lie.

    These are the newest checkpoint in `run`, or the network in `start`.
    """
    latest = checkpoint.latest_checkpoint(run)
    source = latest or start
    if source is None:
        return [], []
    with contextlib.suppress(FileProblem):
        description = checkpoint.read_description(source)
        places = [*latents_of_run(run, description), *(latents_of_run(start, description) if start else ())]
        return data_behind(description), places
    return [], []


def overlaps(
    heldout: Sequence[Path], trained: Sequence[Path], before: Sequence[Mapping[str, Any]], places: Sequence[Path]
) -> list[str]:
    """Say in a sentence for each held-out folder how many of its clips are trained on, or were.

    `before` are the data that trained the weights which the training goes on with, see `data_behind`, and `places`
    folders of latents that may be theirs; of those that are gone the hash of their manifest alone is known.
    """
    now = {str(read_header(folder).get("manifest")) for folder in trained}
    earlier = [about for about in before if str(about.get("manifest")) not in now]
    found, gone = find_latents(earlier, places)
    shown, shown_before = _rows(trained), _rows(found)
    sentences = []
    for folder in heldout:
        rows, manifest = read_index(folder), str(read_header(folder).get("manifest"))
        if seen := num_shown(rows, shown):
            sentences.append(
                f"note: {seen} of {len(rows)} clips in {folder} are trained on as well; --heldout means others"
            )
        known = any(manifest == about.get("manifest") for about in gone)
        if seen := len(rows) if known else num_shown(rows, shown_before):
            sentences.append(
                f"note: {seen} of {len(rows)} clips in {folder} were trained on before, by the weights that this "
                "training goes on with; their losses are not those of unseen clips"
            )
    if heldout and gone:
        sentences.append(
            f"note: of the data that trained the weights before, {len(gone)} of {len(earlier)} folders of latents are "
            "not at hand, so clips of these are not found among those that are held out"
        )
    return sentences


def _rows(folders: Iterable[Path]) -> list[dict[str, Any]]:
    return [row for folder in folders for row in read_index(folder)]
