"""Limits of size, rate and length -> how a clip is read: scaled down, at fewer frames a second, cut into parts.

A clip within the limits is read as it is. Each part of a clip is an item of its own, with the captions of the clip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chronotope.arguments import as_number, as_whole
from chronotope.data.captions import Captions
from chronotope.errors import UsageError
from chronotope.geometry import MAX_SIDE
from chronotope.prompt import story_between
from chronotope.request import FPS

__all__ = [
    "Limits",
    "captions_of_part",
    "clip_of_row",
    "limits_in_header",
    "part_key",
    "rows_by_clip",
    "what_was_limited",
]

MIN_SECONDS = 0.5  # of `max_seconds`, so that the keys of parts, in tenths of a second, differ
MAX_STRETCH = 0.02  # of the aspect ratio, for sides of whole tokens
SAME_RATE = 1.001  # a rate above the limit by less than this factor is the same rate
END = 0.02  # of a frame: how far the end of a file may be from what its header says

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Limits:
    """The most pixels along a side, frames a second and seconds of an item; None where clips are taken as they are."""

    max_side: int | None = None
    fps: float | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.max_side is not None and not 1 <= as_whole("max_side", self.max_side) <= MAX_SIDE:
            raise UsageError(f"a frame has 1 to {MAX_SIDE} pixels a side, got a limit of {self.max_side}")
        if self.fps is not None and not FPS[0] <= as_number("fps", self.fps) <= FPS[1]:
            raise UsageError(f"fps must lie between {FPS[0]} and {FPS[1]}, got {self.fps}")
        if self.max_seconds is not None and not as_number("max_seconds", self.max_seconds) >= MIN_SECONDS:
            raise UsageError(f"parts of a clip last at least {MIN_SECONDS} seconds, got {self.max_seconds}")

    def __bool__(self) -> bool:
        return any(value is not None for value in asdict(self).values())

    def __str__(self) -> str:
        """The options of the command line that set these limits; "none" where there is no limit."""
        names = {"--max-side": self.max_side, "--fps": self.fps, "--max-seconds": self.max_seconds}
        return " ".join(f"{name} {value:g}" for name, value in names.items() if value is not None) or "none"

    def described(self) -> dict[str, float]:
        """Return the limits that are set, as plain values."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def check_cell(self, cell: tuple[int, int]) -> None:
        """Raise UsageError where the largest size is below one token."""
        if self.max_side is not None and self.max_side < max(cell):
            raise UsageError(
                f"this autoencoder needs at least {max(cell)} pixels a side, and the limit is {self.max_side}"
            )

    def size(self, width: int, height: int, cell: tuple[int, int]) -> tuple[int, int]:
        """Return the width and height at which a clip is read: its own, or scaled down.

        The longer side becomes the most whole tokens of `cell` within the limit, the other one whole tokens as well, or
        a part of the last one where these would change the aspect ratio by more than `MAX_STRETCH`.
        """
        if self.max_side is None or max(width, height) <= self.max_side:
            return width, height
        if width < height:
            high, wide = self.size(height, width, (cell[1], cell[0]))
            return wide, high
        wide = self.max_side // cell[1] * cell[1]
        return wide, _rounded(height * wide / width, cell[0])

    def rate(self, fps: float) -> float:
        """Return the rate at which a video of `fps` frames a second is read; never a higher one."""
        return self.fps if self.fps is not None and fps > self.fps * SAME_RATE else fps

    def parts(self, num_frames: int, fps: float) -> list[int]:
        """Cut a number of frames into as few equal parts as the limit allows; their lengths differ by one at most."""
        if self.max_seconds is None or num_frames <= (most := self.most_frames(fps)):
            return [num_frames]
        count = -(-num_frames // most)
        return [num_frames * (index + 1) // count - num_frames * index // count for index in range(count)]

    def most_frames(self, fps: float) -> int:
        """Return the most frames of a part; at least one."""
        return max(1, math.floor((self.max_seconds or math.inf) * fps + END)) if self.max_seconds else 2**62

    def frames_at(self, seconds: float, fps: float) -> int:
        """Estimate the frames of a video that is resampled; where a part may be one frame, none too many."""
        return max(1, math.ceil(seconds * fps - (END if self.most_frames(fps) > 1 else 0.7)))


def _rounded(side: float, cell: int) -> int:
    """Round a side to a multiple of the cell, of its half and so on, the first that is near enough."""
    while cell > 1:
        found = round(side / cell) * cell
        if abs(found - side) <= MAX_STRETCH * side:
            return found
        cell //= 2
    return max(1, round(side))


def limits_in_header(header: Mapping[str, Any]) -> Limits:
    """Return the limits that the header of a folder of latents names; none where they are in another form."""
    try:
        return Limits(**header.get("limits", {}))
    except (TypeError, UsageError):
        return Limits()


def part_key(key: str, start: float) -> str:
    """Return the key of the part of a clip that begins at `start` seconds."""
    return f"{key}@{start:.1f}s"


def clip_of_row(row: Row) -> str:
    """Return the key of the clip that a row of an index is of: its own, or that of the clip that it is a part of."""
    return str(row.get("clip", row["key"]))


def rows_by_clip(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each clip; of two rows of one key the later one counts."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in {row["key"]: row for row in rows}.values():
        found.setdefault(clip_of_row(row), []).append(row)
    return found


def captions_of_part(captions: Captions, row: Row) -> Captions:
    """Return the captions of the item of a row: those of its clip, with stories cut to the times of a part."""
    if "clip" not in row or "story" not in captions:
        return captions
    start = float(row["start"])
    stop = start + sum(row["slices"]) / row["fps"]
    return {**captions, "story": tuple(story_between(text, start, stop) for text in captions["story"])}


def what_was_limited(rows: Sequence[Row], limits: Limits) -> str:
    """Say in a sentence how many clips were scaled, resampled and cut; "" where none were."""
    clips = {clip_of_row(row): row for row in rows if "original" in row}
    parts = sum("clip" in row for row in rows)
    scaled = [row for row in clips.values() if _shape(row) != _shape(row["original"])]
    resampled = sum(row["fps"] != row["original"]["fps"] for row in clips.values())
    cut = sum("clip" in row for row in clips.values())
    said = []
    if scaled:
        changed = max(_stretch(_shape(row), _shape(row["original"])) for row in scaled)
        stretched = f" (rounding changes their aspect ratio by at most {changed:.1%})" if changed >= 0.0005 else ""
        said.append(f"{len(scaled)} {_clips(len(scaled))} scaled to at most {limits.max_side} pixels{stretched}")
    if resampled:
        said.append(f"{resampled} {'' if said else _clips(resampled) + ' '}resampled to {limits.fps:g} fps")
    if cut:
        length = f"{limits.max_seconds:g} s"
        said.append(f"{cut} {'' if said else _clips(cut) + ' '}cut into {parts} parts of at most {length}")
    return ", ".join(said)


def _shape(facts: Mapping[str, Any]) -> tuple[int, int]:
    return facts["width"], facts["height"]


def _stretch(one: tuple[int, int], other: tuple[int, int]) -> float:
    ratio = one[0] / one[1] / (other[0] / other[1])
    return max(ratio, 1 / ratio) - 1


def _clips(count: int) -> str:
    return "clip" if count == 1 else "clips"
