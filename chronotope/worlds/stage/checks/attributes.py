"""Judge from pixels whether each actor of a spec is present, has its colour and moves in its direction.

The detector labels every frame, and each detected kind is tracked through time. The spec says what to expect, so no
prompt is parsed. An actor that is not found counts as wrong in every respect.
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
    "detect",
    "direction_of",
    "dominant_colour",
    "inner_cells",
    "judge",
    "judge_detections",
    "mean_colour",
    "shades",
    "stays_put",
    "step_towards",
    "to_lab",
    "to_pixels",
    "track",
    "track_probability",
]


MIN_PROBABILITY = 0.5  # a cell with at least this probability of a kind contains that kind
MIN_PATCH_CELLS = 2  # smaller patches are noise
MIN_SEEN_SHARE = 0.5  # of the frames in which the truth shows an actor
MIN_VISIBLE = 0.3  # of the pixels of an actor: the truth shows it
WHOLE = 0.75  # visible share of an actor below which the centre of what is seen of it moves
MIN_MOTION = 0.07  # short sides: a shorter displacement counts as rest
DIRECTED = ("left", "right", "up", "down")
_STEPS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}


@dataclass(frozen=True)
class Detections:
    """The frames of a clip with a short side of 64 pixels, and the detector's probability of each kind in each cell."""

    frames: Frames
    probability: Float[np.ndarray, "t k rows columns"]


@dataclass(frozen=True)
class Trail:
    """The cells of one kind of thing in each frame, and its centre in short sides (NaN where it is not found)."""

    cells: Bool[np.ndarray, "t rows columns"]
    centres: Float[np.ndarray, "t 2"]

    @property
    def found(self) -> Bool[np.ndarray, " t"]:
        return ~np.isnan(self.centres[:, 0])

    @property
    def seen_share(self) -> float:
        return float(self.found.mean())

    def only(self, times: np.ndarray) -> Trail:
        """Return the trail at these times, with nothing at all others."""
        cells, centres = np.zeros_like(self.cells), np.full_like(self.centres, np.nan)
        cells[times], centres[times] = self.cells[times], self.centres[times]
        return Trail(cells, centres)

    @property
    def travelled(self) -> tuple[float, float]:
        """The displacement in x and y from the first frame to the last, in short sides, by the Theil-Sen estimator.

        Up to about 29% of the centres may be wrong.
        """
        times = np.flatnonzero(self.found)
        if len(times) < 2:
            return 0.0, 0.0
        pairs = np.array(list(itertools.combinations(times, 2)))
        slopes = (self.centres[pairs[:, 1]] - self.centres[pairs[:, 0]]) / (pairs[:, 1] - pairs[:, 0])[:, None]
        x, y = np.median(slopes, axis=0) * (times[-1] - times[0])
        return float(x), float(y)


@dataclass(frozen=True)
class Verdict:
    """What is right about one actor; None where the spec requires nothing of that sort."""

    actor: str
    who: bool
    colour: bool | None = None
    direction: bool | None = None
    stays: bool | None = None  # an actor without events keeps its place; reported, not part of the score

    @property
    def all_right(self) -> bool:
        return self.who and self.colour is not False and self.direction is not False


def detect(detector: Detector, frames: Frames) -> Detections:
    """Run the detector on a clip of any size."""
    small = scaled(frames)
    return Detections(small, look(detector, small))


def track(detections: Detections, kinds: tuple[str, ...]) -> Trail:
    """Track the largest patch of these kinds, taken together."""
    return track_probability(detections, detections.probability[:, [KINDS.index(kind) for kind in kinds]].sum(axis=1))


def track_probability(detections: Detections, probability: Float[np.ndarray, "t rows columns"]) -> Trail:
    """Track the largest connected patch of cells with at least `MIN_PROBABILITY`."""
    cells = np.zeros(probability.shape, bool)
    centres = np.full((len(probability), 2), np.nan)
    for t, chance in enumerate(probability):
        count, labels = cv2.connectedComponents((chance >= MIN_PROBABILITY).astype(np.uint8), connectivity=8)
        if count < 2:
            continue
        mass = np.bincount(labels.ravel(), weights=chance.ravel())[1:]
        patch = labels == 1 + int(mass.argmax())
        if patch.sum() < MIN_PATCH_CELLS:
            continue
        cells[t] = patch
        y, x = np.nonzero(patch)
        weight = chance[patch]
        centre = np.array([(x + 0.5) @ weight, (y + 0.5) @ weight]) / weight.sum()
        centres[t] = centre * CELL / min(detections.frames.shape[1:3])
    return Trail(cells, centres)


def colour_votes(detections: Detections, trail: Trail) -> dict[str, int]:
    """Count the pixels of a tracked thing that are nearest to each colour of the palette."""
    pixels = detections.frames[to_pixels(inner_cells(trail.cells), detections.frames)]
    if not len(pixels):
        return {}
    distance = np.linalg.norm(to_lab(pixels)[:, None] - shades(*COLOURS)[None], axis=2)
    votes = np.bincount(distance.argmin(axis=1) // len(_SHADES), minlength=len(COLOURS))
    return dict(zip(COLOURS, votes.tolist(), strict=True))


def dominant_colour(detections: Detections, trail: Trail) -> str | None:
    """Return the colour of the palette with the most votes, or None where nothing was tracked."""
    votes = colour_votes(detections, trail)
    return max(votes, key=lambda name: votes[name]) if votes else None


def mean_colour(detections: Detections, trail: Trail) -> Float[np.ndarray, " 3"]:
    """Return the mean colour of a tracked thing in the space of `to_lab`."""
    return np.asarray(to_lab(detections.frames[to_pixels(trail.cells, detections.frames)]).mean(axis=0))


def to_pixels(cells: Bool[np.ndarray, "*t rows columns"], frames: Frames) -> Bool[np.ndarray, "*t h w"]:
    """Enlarge a mask of cells to a mask of the pixels of `frames`."""
    height, width = frames.shape[1:3]
    return cells.repeat(CELL, axis=-2).repeat(CELL, axis=-1)[..., :height, :width]


def inner_cells(cells: Bool[np.ndarray, "t rows columns"]) -> Bool[np.ndarray, "t rows columns"]:
    """Remove the outermost cells, which also show the background; keep all where nothing else would be left."""
    kernel = np.ones((3, 3), np.uint8)
    if not len(cells):
        return cells
    inner = np.stack([cv2.erode(c.astype(np.uint8), kernel, borderValue=0) > 0 for c in cells])
    return np.where(inner.any(axis=(1, 2), keepdims=True), inner, cells)


# A shape is shaded from a light upper left to a dark lower right: (share of the way to white, factor)
_SHADES = ((0.28, 1.0), (0.0, 1.0), (0.0, 0.82))


def shades(*colours: str) -> Float[np.ndarray, "shades 3"]:
    """Return the three shades of each of these colours in the space of `to_lab`."""
    values = [[(c + (255 - c) * lift) * keep for c in COLOURS[colour]] for colour in colours for lift, keep in _SHADES]
    return to_lab(np.array(values).round().astype(np.uint8))


def to_lab(pixels: UInt8[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Convert RGB to CIELAB with half the weight on lightness, because shading changes lightness but not hue."""
    lab = cv2.cvtColor((pixels[None] / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    return lab * np.array([0.5, 1.0, 1.0])


def direction_of(spec: Spec, actor: Actor) -> str | None:
    """Return the direction of an actor's events, or None if they have none or disagree."""
    directions = {e.direction for e in spec.events if e.actor == actor.id and e.direction in DIRECTED}
    return directions.pop() if len(directions) == 1 else None


def stays_put(spec: Spec, actor: Actor) -> bool:
    """Tell whether an actor has no events in a clip long enough to show motion, with a still camera, and is in view.

    What another actor partly hides is not asked: the centre of the part that is seen moves with the one that hides it.
    """
    touched = any(actor.id in (e.actor, e.target) for e in spec.events)
    if spec.num_frames == 1 or touched or spec.camera.kind != "still":
        return False
    return bool((_visible(spec)[:, spec.actors.index(actor)] >= WHOLE).all())


def judge(detector: Detector, spec: Spec, frames: Frames) -> tuple[Verdict, ...]:
    """Return a verdict on every actor of the spec, in their order; the clip may have any size and length."""
    return judge_detections(detect(detector, frames), spec)


def judge_detections(detections: Detections, spec: Spec) -> tuple[Verdict, ...]:
    """Return the same verdicts for a clip on which the detector has already run.

    Raises UsageError where the detector does not know an actor's noun.
    """
    unknown = [actor.noun for actor in spec.actors if actor.noun not in KINDS]
    if unknown:
        raise UsageError(f"the detector was never shown a {unknown[0]}; it knows {', '.join(KINDS[2:])}")
    shares = (_visible(spec) >= MIN_VISIBLE).mean(axis=0)
    return tuple(_verdict(detections, spec, *each) for each in zip(spec.actors, shares.tolist(), strict=True))


@functools.lru_cache(maxsize=1024)
def _visible(spec: Spec) -> Float[np.ndarray, "t actors"]:
    """Return the share of the pixels of each actor that the truth shows in each frame."""
    return render(spec).truth.visible_fraction


def _verdict(detections: Detections, spec: Spec, actor: Actor, visible_share: float) -> Verdict:
    trail = track(detections, (actor.noun,))
    who = trail.found.any() and trail.seen_share >= MIN_SEEN_SHARE * visible_share
    direction = direction_of(spec, actor)
    stays = None
    if stays_put(spec, actor):
        stays = bool(who) and max(map(abs, trail.travelled)) < 2 * MIN_MOTION
    return Verdict(
        actor=actor.id,
        who=bool(who),
        colour=_has_colour(detections, trail, actor.colour) if actor.colour else None,
        direction=_goes(trail, direction) if direction else None,
        stays=stays,
    )


def _has_colour(detections: Detections, trail: Trail, colour: str) -> bool:
    """Tell whether the actor, or where it is missing any other shape, has this colour."""
    return dominant_colour(detections, trail if trail.found.any() else track(detections, SHAPE_KINDS)) == colour


def _goes(trail: Trail, direction: str) -> bool:
    """Tell whether a trail moves in this direction, and more so than across it."""
    along, across = step_towards(trail.travelled, direction)
    return along >= MIN_MOTION and along > across


def step_towards(displacement: tuple[float, float], direction: str) -> tuple[float, float]:
    """Return how far a displacement goes in a direction, and how far across it."""
    (x, y), (step_x, step_y) = displacement, _STEPS[direction]
    return x * step_x + y * step_y, abs(x * step_y) + abs(y * step_x)
