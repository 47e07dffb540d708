"""Measure how near generated videos are to training clips, beside how near held-out true clips are.

The distance is that between eight moments of each clip, see `metrics.near_copies`: a copy that was recoded, slightly
blurred or slowed down stays near; one that shows the same actor in another place does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from jaxtyping import Float, UInt8

from chronotope.data.clips import find_clips
from chronotope.errors import UsageError, suggest
from chronotope.evaluate.report import as_row
from chronotope.media import video
from chronotope.metrics.near_copies import MOMENTS, SAME, SIDE, nearest, signature
from chronotope.metrics.statistics import Rate
from chronotope.worlds.catalogue import all_worlds
from chronotope.worlds.splits import Split
from chronotope.worlds.write import clip_seed

__all__ = [
    "ClipSignatures",
    "gather",
    "gather_all",
    "memorisation",
    "signatures_of",
]

SPACE = f"{MOMENTS} moments of {SIDE} x {SIDE} pixels, root mean square difference in levels of 255"
NEAR_QUANTILE = 0.01  # a video counts as near if it is nearer than this share of the held-out clips
COPY = 0.5  # of that distance: a video that is nearer counts as a copy
ENOUGH = round(1 / NEAR_QUANTILE)  # held-out clips, of which the nearest is the first percentile
SHARES = ("dissolves", "pictures")  # of the clips of a dataset
LISTED = 20  # videos named in the report, the nearest first

NamedFrames = tuple[str, np.ndarray]  # frames [t, h, w, 3], of another size in every clip


@dataclass(frozen=True)
class ClipSignatures:
    """The names of clips and the signature of each."""

    names: tuple[str, ...]
    signatures: UInt8[np.ndarray, "n d"]


def gather(source: str) -> Iterator[NamedFrames]:
    """Yield the clips of a folder, or of a world as `chronotope world` renders them: SCOPE:COUNT:SEED.

    After more colons stands what differs from the defaults: a split, `dissolves=SHARE` or `pictures=SHARE`, as in
    acts:9000:31:dissolves=0.4.
    """
    if Path(source).is_dir():
        yield from ((clip.key, video.read(clip.path).frames) for clip in find_clips(Path(source)))
        return
    name, *rest = source.split(":")
    if len(rest) < 2 or not all(part.isdecimal() for part in rest[:2]):
        raise UsageError(f"{source} is no folder, and does not read as clips of a world; expected such as small:2000:7")
    world = next((world for world in all_worlds() if name in world.scopes), all_worlds()[0])
    split, shares = _options(rest[2:])
    scope = world.scope(name, None, **shares)
    for index in range(int(rest[0])):
        spec = world.sample(clip_seed(int(rest[1]), index), scope, split)
        yield f"{source}, clip {index}", world.render(spec).frames


def _options(parts: Sequence[str]) -> tuple[Split, dict[str, float]]:
    """The split, and the shares that are given by name."""
    split, shares = "train", dict[str, float]()
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals and part in get_args(Split):
            split = part
        elif name in SHARES and re.fullmatch(r"0|1|0?\.[0-9]+", value):
            shares[name] = float(value)
        else:
            known = (*get_args(Split), *(f"{share}=0.4" for share in SHARES))
            raise UsageError(f"'{part}' is no split and no share of clips. {suggest(part, known)}")
    return cast(Split, split), shares


def signatures_of(clips: Iterable[NamedFrames]) -> ClipSignatures:
    """Compute the signature of each clip; UsageError if there are none."""
    pairs = [(name, signature(frames)) for name, frames in clips]
    if not pairs:
        raise UsageError("there are no clips to compare with")
    return ClipSignatures(tuple(name for name, _ in pairs), np.stack([row for _, row in pairs]))


def _held_out(
    training: ClipSignatures, baseline: ClipSignatures, note: Callable[[str], None] = lambda _: None
) -> Float[np.ndarray, " n"]:
    """Return the distances of the baseline's clips to their nearest training clips, without those that are the same.

    `note` receives how many are left out, and that too few are left for a percentile. Raises UsageError where none is.
    """
    place, distance = nearest(baseline.signatures, training.signatures)
    same = distance < SAME
    if same.any():
        first = int(same.argmax())
        note(
            f"{int(same.sum())} of {len(same)} baseline clips are training clips too, or the same coded again, and are "
            f"left out; the first: {baseline.names[first]}, which is {distance[first]:.1f} levels from "
            f"{training.names[place[first]]}"
        )
    if same.all():
        raise UsageError(
            f"all {len(same)} baseline clips are training clips, too (nearer than {SAME:g} levels to one); give clips "
            "that were held out, such as SCOPE:COUNT:SEED:heldout"
        )
    left = distance[~same]
    if len(left) < ENOUGH:
        note(
            f"the baseline has {len(left)} clip{'' if len(left) == 1 else 's'} to compare with, too few for a first "
            f"percentile, which needs {ENOUGH}: about the distance of its nearest clip is used, {left.min():.1f} levels"
        )
    return left


def memorisation(
    videos: ClipSignatures,
    training: ClipSignatures,
    baseline: ClipSignatures,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Count the videos that are nearer to a training clip than 1 % of the held-out clips are; returns JSON values.

    `copies` are those at less than half of that distance. Clips of the baseline that are training clips are left out,
    see `_held_out`, which tells `note`; raises UsageError where none is left.
    """
    baseline_distance = _held_out(training, baseline, note)
    place, distance = nearest(videos.signatures, training.signatures)
    percentile = np.searchsorted(np.sort(baseline_distance), distance, side="left") / len(baseline_distance)
    threshold = float(np.quantile(baseline_distance, NEAR_QUANTILE))
    order = np.argsort(distance, kind="stable")[:LISTED]
    return {
        "space": SPACE,
        "training_clips": len(training.names),
        "baseline_clips": len(baseline_distance),
        "baseline_left_out": len(baseline.names) - len(baseline_distance),
        "videos": len(videos.names),
        "threshold": round(threshold, 4),
        "below": as_row(Rate(int((distance < threshold).sum()), len(distance))),
        "copies": as_row(Rate(int((distance < COPY * threshold).sum()), len(distance))),
        "median_percentile": round(float(np.median(percentile)), 4),
        "baseline": [round(float(value), 4) for value in np.quantile(baseline_distance, np.linspace(0, 1, 101))],
        "distances": [round(float(value), 4) for value in np.quantile(distance, np.linspace(0, 1, 101))],
        "nearest": [
            {
                "video": videos.names[n],
                "clip": training.names[place[n]],
                "distance": round(float(distance[n]), 4),
                "percentile": round(float(percentile[n]), 4),
            }
            for n in order.tolist()
        ],
    }


def gather_all(sources: Sequence[str]) -> Iterator[NamedFrames]:
    """Yield the clips of several folders and scopes."""
    for source in sources:
        yield from gather(source)
