"""The splits of a dataset of LeRobot, ranges of episodes in `meta/info.json` -> which episodes are held out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from chronotope.data.layouts.splits import KNOWN, split_of_values
from chronotope.data.lerobot.layout import INFO
from chronotope.errors import FileProblem

__all__ = ["held_out_episodes"]


def held_out_episodes(info: Mapping[str, Any], episodes: Collection[int]) -> tuple[frozenset[int], tuple[str, ...]]:
    """Return the episodes that belong to another split than that of training, and sentences about the splits.

    Raises FileProblem where a split is no range of episodes.
    """
    splits = info.get("splits") or {}
    if not isinstance(splits, Mapping):
        raise FileProblem(f"{INFO}: splits are {splits!r}, expected ranges by name, such as {{'train': '0:50'}}")
    heldout, named, notes = set[int](), set[int](), []
    for name, text in splits.items():
        found = re.fullmatch(r"(\d{1,18}):(\d{1,18})", str(text))
        if not found:
            raise FileProblem(f"{INFO}: the split {name!r} is {text!r}, expected FIRST:END, such as '0:50'")
        first, end = map(int, found.groups())
        inside = {index for index in episodes if first <= index < end}
        named |= inside
        split, unknown = split_of_values({"split": name})
        if split is not None and split.heldout and inside:
            heldout |= inside
            notes.append(f"{_episodes(inside)} of split {name!r} by {INFO}, and held out")
        if unknown and inside:
            notes.append(f"{_episodes(inside)} of split {name!r}, which is none of {KNOWN}, and for training")
    if splits and (others := set(episodes) - named):
        notes.append(f"{_episodes(others)} in no split of {INFO}, and for training")
    return frozenset(heldout), tuple(notes)


def _episodes(some: Collection[int]) -> str:
    return "1 episode is" if len(some) == 1 else f"{len(some)} episodes are"
