"""Is what the prompt asked for in the video? Who is there, in which colour, moving which way: judged from pixels against the spec.

The prompt was written from a typed spec, so the spec says what must be seen and nobody parses prose. The detector maps every frame;
what it finds is followed through time. Anything not found counts as wrong: a fox that is not there does not walk left either.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from chronotope.errors import UsageError
from chronotope.geometry import Frames
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.stage.checks.detector import CELL, KINDS, SHAPE_KINDS, Detector, look, scaled
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Actor, Spec

__all__ = [
    "DIRECTED",
    "Detections",
    "Trail",
    "Verdict",
    "colour_votes",
    "core",
    "direction_of",
    "follow",
    "track_likely",
    "judge",
    "judge_sight",
    "mean_colour",
    "perceived",
    "shades_of",
    "stays_put",
    "step_towards",
    "watch",
]


SURE = 0.5  # a cell holds a kind when the detector says so with at least this probability
FEWEST_CELLS = 2  # of 4 x 4 pixels: anything smaller is a speck
SEEN_SHARE = 0.5  # of the frames in which the truth shows an actor, it must be seen in this many
VISIBLE = 0.3  # the truth shows an actor where at least this share of it is visible
FARTHEST_STILL = 0.07  # of the short side: who moves less has not moved
DIRECTED = ("left", "right", "up", "down")
_STEPS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}


@dataclass(frozen=True)
class Detections:
    """What the detector made of a clip: its frames with a short side of 64, and how likely each kind is in each cell."""

    frames: Frames
    likely: Float[np.ndarray, "t k rows columns"]


@dataclass(frozen=True)
class Trail:
    """Where one kind of thing is in each frame: its cells, and its centre in short sides (NaN where it is not found)."""

    cells: Bool[np.ndarray, "t rows columns"]
    centres: Float[np.ndarray, "t 2"]

    @property
    def found(self) -> Bool[np.ndarray, " t"]:
        return ~np.isnan(self.centres[:, 0])

    @property
    def seen_share(self) -> float:
        return float(self.found.mean())

    def only(self, times: np.ndarray) -> Trail:
        """The trail at these times, and nothing at the others."""
        cells, centres = np.zeros_like(self.cells), np.full_like(self.centres, np.nan)
        cells[times], centres[times] = self.cells[times], self.centres[times]
        return Trail(cells, centres)

    @property
    def travelled(self) -> tuple[float, float]:
        """How far it went in x and y from its first frame to its last, in short sides (Theil-Sen: half the frames may be wrong)."""
        times = np.flatnonzero(self.found)
        if len(times) < 2:
            return 0.0, 0.0
        pairs = np.array(list(itertools.combinations(times, 2)))
        slopes = (self.centres[pairs[:, 1]] - self.centres[pairs[:, 0]]) / (pairs[:, 1] - pairs[:, 0])[:, None]
        x, y = np.median(slopes, axis=0) * (times[-1] - times[0])
        return float(x), float(y)


@dataclass(frozen=True)
class Verdict:
    """What of one actor is right; None where the spec asks for nothing of that sort."""

    actor: str
    who: bool
    colour: bool | None = None
    direction: bool | None = None
    stays: bool | None = None  # an actor of whom nothing is said keeps its place; reported, not part of the score

    @property
    def all_right(self) -> bool:
        return self.who and self.colour is not False and self.direction is not False


def detect(detector: Detector, frames: Frames) -> Detections:
    """Look at a clip of any size."""
    small = scaled(frames)
    return Detections(small, look(detector, small))


def track(sight: Detections, kinds: tuple[str, ...]) -> Trail:
    """Find the largest patch of these kinds (taken together) in every frame."""
    return track_likely(sight, sight.likely[:, [KINDS.index(kind) for kind in kinds]].sum(axis=1))


def track_likely(sight: Detections, likely: Float[np.ndarray, "t rows columns"]) -> Trail:
    """The largest patch of cells that are likely enough, in every frame."""
    cells = np.zeros(likely.shape, bool)
    centres = np.full((len(likely), 2), np.nan)
    for t, chance in enumerate(likely):
        count, labels = cv2.connectedComponents((chance >= SURE).astype(np.uint8), connectivity=8)
        if count < 2:
            continue
        mass = np.bincount(labels.ravel(), weights=chance.ravel())[1:]
        patch = labels == 1 + int(mass.argmax())
        if patch.sum() < FEWEST_CELLS:
            continue
        cells[t] = patch
        y, x = np.nonzero(patch)
        weight = chance[patch]
        middle = np.array([(x + 0.5) @ weight, (y + 0.5) @ weight]) / weight.sum()
        centres[t] = middle * CELL / min(sight.frames.shape[1:3])
    return Trail(cells, centres)


def colour_votes(sight: Detections, path: Trail) -> dict[str, int]:
    """To which colour of the palette each pixel of a followed thing is nearest."""
    mask = np.repeat(np.repeat(core(path.cells), CELL, axis=1), CELL, axis=2)[
        :, : sight.frames.shape[1], : sight.frames.shape[2]
    ]
    pixels = sight.frames[mask]
    if not len(pixels):
        return {}
    distance = np.linalg.norm(perceived(pixels)[:, None] - shades_of(*COLOURS)[None], axis=2)
    votes = np.bincount(distance.argmin(axis=1) // len(_SHADES), minlength=len(COLOURS))
    return dict(zip(COLOURS, votes.tolist(), strict=True))


def mean_colour(sight: Detections, path: Trail) -> Float[np.ndarray, " 3"]:
    """The mean of all pixels of a followed thing, as they are perceived."""
    height, width = sight.frames.shape[1:3]
    mask = np.repeat(np.repeat(path.cells, CELL, axis=1), CELL, axis=2)[:, :height, :width]
    return np.asarray(perceived(sight.frames[mask]).mean(axis=0))


def core(cells: Bool[np.ndarray, "t rows columns"]) -> Bool[np.ndarray, "t rows columns"]:
    """Without the outermost cells, which also hold what is behind; all of them where nothing else is left."""
    kernel = np.ones((3, 3), np.uint8)
    inner = np.stack([cv2.erode(c.astype(np.uint8), kernel, borderValue=0) > 0 for c in cells]) if len(cells) else cells
    return np.where(inner.any(axis=(1, 2), keepdims=True), inner, cells)


# A shape is drawn from a light upper left to a dark lower right: (towards white, times)
_SHADES = ((0.28, 1.0), (0.0, 1.0), (0.0, 0.82))


def shades_of(*colours: str) -> Float[np.ndarray, "shades 3"]:
    """Each of these colours in its three shades."""
    shades = [[(c + (255 - c) * lift) * keep for c in COLOURS[colour]] for colour in colours for lift, keep in _SHADES]
    return perceived(np.array(shades).round().astype(np.uint8))


def perceived(pixels: UInt8[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """CIELAB with half the weight on lightness, which shading changes and hue does not."""
    lab = cv2.cvtColor((pixels[None] / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    return lab * np.array([0.5, 1.0, 1.0])


def direction_of(spec: Spec, actor: Actor) -> str | None:
    """Which way the spec sends this actor: the direction of its events, if they have one and agree."""
    ways = {e.direction for e in spec.events if e.actor == actor.id and e.direction in DIRECTED}
    return ways.pop() if len(ways) == 1 else None


def stays_put(spec: Spec, actor: Actor) -> bool:
    """Whether nothing happens to this actor in a clip that could show it."""
    touched = any(actor.id in (e.actor, e.target) for e in spec.events)
    return spec.num_frames > 1 and not touched and spec.camera.kind == "still"


def judge(detector: Detector, spec: Spec, frames: Frames) -> tuple[Verdict, ...]:
    """A verdict on every actor of the spec, in their order; the clip may have any size and length."""
    return judge_sight(detect(detector, frames), spec)


def judge_sight(sight: Detections, spec: Spec) -> tuple[Verdict, ...]:
    """The same for a clip that has been looked at already."""
    unknown = [actor.noun for actor in spec.actors if actor.noun not in KINDS]
    if unknown:
        raise UsageError(f"the detector was never shown a {unknown[0]}; it knows {', '.join(KINDS[2:])}")
    return tuple(
        _verdict(sight, spec, actor, share) for actor, share in zip(spec.actors, _visible_shares(spec), strict=True)
    )


@functools.lru_cache(maxsize=1024)
def _visible_shares(spec: Spec) -> tuple[float, ...]:
    """In what share of the frames the truth shows each actor."""
    return tuple((render(spec).truth.visible_fraction >= VISIBLE).mean(axis=0).tolist())


def _verdict(sight: Detections, spec: Spec, actor: Actor, visible_share: float) -> Verdict:
    path = track(sight, (actor.noun,))
    who = path.found.any() and path.seen_share >= SEEN_SHARE * visible_share
    way = direction_of(spec, actor)
    return Verdict(
        actor=actor.id,
        who=bool(who),
        colour=_has_colour(sight, path, actor.colour) if actor.colour else None,
        direction=_goes(path, way) if way else None,
        stays=bool(who) and max(map(abs, path.travelled)) < 2 * FARTHEST_STILL if stays_put(spec, actor) else None,
    )


def _has_colour(sight: Detections, path: Trail, colour: str) -> bool:
    """The asked shape has the colour; where the shape itself is missing, whatever shape is there instead."""
    votes = colour_votes(sight, path if path.found.any() else track(sight, SHAPE_KINDS))
    return bool(votes) and max(votes, key=lambda name: votes[name]) == colour


def _goes(path: Trail, way: str) -> bool:
    """It really moves, and more that way than sideways."""
    along, across = step_towards(path.travelled, way)
    return along >= FARTHEST_STILL and along > across


def step_towards(way: tuple[float, float], direction: str) -> tuple[float, float]:
    """How far a way leads in a direction, and how far it leads aside."""
    (x, y), (step_x, step_y) = way, _STEPS[direction]
    return x * step_x + y * step_y, abs(x * step_y) + abs(y * step_x)
