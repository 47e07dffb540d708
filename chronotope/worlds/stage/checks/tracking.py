"""Things found in a clip and followed through time: each actor of the spec, and whatever else is there.

The detector labels cells of 4 x 4 pixels; connected cells of one kind are a patch. An actor is followed as the largest patch of its
kind; a second patch of that kind is its double, and patches of other kinds that touch nobody are strangers.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from chronotope.errors import UsageError
from chronotope.worlds.stage.checks.association import chances_of, grown
from chronotope.worlds.stage.checks.attributes import SURE, Detections, Trail, track_likely
from chronotope.worlds.stage.checks.detector import CELL, KINDS, NOTHING
from chronotope.worlds.stage.occlusion import absences
from chronotope.worlds.stage.render import Truth, render
from chronotope.worlds.stage.spec import Actor, Event, Spec

__all__ = [
    "ACTIONS",
    "TRAVELS",
    "WAY",
    "TrackedActor",
    "Scene",
    "unsupported",
    "track_actors",
    "overlaps",
    "stage_way",
    "truth_of",
]

FEWEST_CELLS = 8  # of a stranger or a double: half of what the smallest actor covers
TRAVELS = ("walk", "fly", "move", "roll", "creep", "dash")  # the deeds by which somebody gets about
ACTIONS = ("eat", "hit", "bounce", "stop", "meet", "spin")  # of the scope `deeds`, with checks of their own
WAY = 0.12  # short sides: who goes less on the stage cannot be seen to go
SHARE_OF_DOUBLE = 0.2  # of the actor's own cells


@dataclass(frozen=True)
class TrackedActor:
    """One actor through the clip; centres in short sides, areas in cells, NaN where unseen."""

    actor: Actor
    trail: Trail
    areas: Float[np.ndarray, " t"]
    doubles: Bool[np.ndarray, " t"]
    at_edge: Bool[np.ndarray, " t"]
    near_edge: Bool[np.ndarray, " t"]  # of the frame: it may be coming in, or going out
    touched: Bool[np.ndarray, " t"]  # another actor stands next to it, or over a part of it

    @property
    def alone(self) -> Bool[np.ndarray, " t"]:
        """The frames in which all of it can be seen."""
        return self.found & ~self.at_edge & ~self.touched

    @property
    def found(self) -> Bool[np.ndarray, " t"]:
        return self.trail.found


@dataclass(frozen=True)
class TrackedClip:
    """Everything that was found: actors in the spec's order, the frames in which there is a stranger, and the picture without them."""

    spec: Spec
    sight: Detections
    actors: tuple[TrackedActor, ...]
    strangers: Bool[np.ndarray, " t"]

    @property
    def num_frames(self) -> int:
        return len(self.sight.frames)

    def during(self, event: Event) -> slice:
        """The frames in which an event happens."""
        fps = self.spec.fps
        return slice(max(0, round(event.start * fps)), min(self.num_frames, round(event.end * fps) + 1))

    @property
    def backdrop(self) -> Bool[np.ndarray, "t h w"]:
        """Pixels in which nobody stands, with a margin of one cell."""
        taken = self.sight.likely[:, NOTHING] < SURE
        wide = np.stack([grown(cells) for cells in taken])
        pixels = np.repeat(np.repeat(wide, CELL, axis=1), CELL, axis=2)
        return ~pixels[:, : self.sight.frames.shape[1], : self.sight.frames.shape[2]]


@functools.lru_cache(maxsize=1024)
def truth_of(spec: Spec) -> Truth:
    """Where everybody really is when the stage plays this spec."""
    return render(spec).truth


def unsupported(spec: Spec) -> str | None:
    """Why this spec cannot be judged, or nothing."""
    unknown = [actor.noun for actor in spec.actors if actor.noun not in KINDS]
    if unknown:
        return f"the detector was never shown a {unknown[0]}; it knows {', '.join(KINDS[2:])}"
    looks = [(actor.noun, actor.colour) for actor in spec.actors]
    if len(set(looks)) < len(looks):
        return "two actors of one kind and colour cannot be told apart; give them different nouns, or shapes different colours"
    if sum(event.kind == "spin" for event in spec.events) > 1:
        return "two that turn at once cannot be told apart, for turned things look like others; let one of them rest"
    if any(event.kind == "meet" and abs(stage_way(spec, event.actor)) < WAY for event in spec.events):
        return "those who meet stand together from the beginning; put them farther apart, or make them smaller"
    often = next((actor.id for actor in spec.actors if _times_out_of_sight(spec, actor.id) > 1), None)
    return (
        f"{often} goes out of sight more than once, of which only the first time is looked at; let it go once"
        if often
        else None
    )


def _times_out_of_sight(spec: Spec, actor: str) -> int:
    """How often it comes back from where it cannot be seen, or is said to stay there."""
    return len(absences(spec, actor)) + sum(event.kind == "stay" and event.actor == actor for event in spec.events)


def stage_way(spec: Spec, name: str, frames: slice = slice(None)) -> float:
    """How far the stage carries somebody sideways while it can be seen: short sides, to the right."""
    truth = truth_of(spec)
    x = truth.x[frames, truth.actors.index(name)].clip(0, spec.width)
    return float(x[-1] - x[0]) / min(spec.width, spec.height)


def overlaps(spec: Spec, num_frames: int, margin: float = 0.0) -> Bool[np.ndarray, "t one two"]:
    """In which frames the boxes of two overlap on the stage, or are closer than so many short sides; nobody's with its own."""
    truth, count = truth_of(spec), len(spec.actors)
    gap = margin * min(spec.width, spec.height)
    pairs = ((truth.x, truth.width), (truth.y, truth.height))
    near = [np.abs(at[:, :, None] - at[:, None]) < (size[:, :, None] + size[:, None]) / 2 + gap for at, size in pairs]
    there = truth.present[:, :, None] & truth.present[:, None]
    return (near[0] & near[1] & there & ~np.eye(count, dtype=bool))[:num_frames]


def track_actors(sight: Detections, spec: Spec) -> TrackedClip:
    """Follow every actor of the spec, and note who else is there."""
    if problem := unsupported(spec):
        raise UsageError(problem)
    chances = chances_of(sight, spec)
    trails = [track_likely(sight, chance) for chance in chances]
    together, found = overlaps(spec, len(sight.frames)), np.array([trail.found for trail in trails]).T
    actors = tuple(
        _followed(
            actor,
            chances[place],
            trails[place],
            trails[:place] + trails[place + 1 :],
            (together[:, place] & ~found).any(axis=1),
        )
        for place, actor in enumerate(spec.actors)
    )
    own = {KINDS.index(actor.noun) for actor in spec.actors}
    strangers = np.array(
        [_stranger(sight, own, [one.trail.cells[t] for one in actors], t) for t in range(len(sight.frames))], bool
    )
    return TrackedClip(spec, sight, actors, strangers)


def _followed(
    actor: Actor,
    chance: Float[np.ndarray, "t rows columns"],
    trail: Trail,
    others: list[Trail],
    unseen_there: Bool[np.ndarray, " t"],
) -> TrackedActor:
    areas = np.where(trail.found, trail.cells.sum(axis=(1, 2)), np.nan)
    sure = chance >= SURE
    frames = range(len(sure))
    doubles = np.array(
        [_largest(sure[t] & ~trail.cells[t]) >= max(FEWEST_CELLS, SHARE_OF_DOUBLE * areas[t]) for t in frames], bool
    )
    edge = trail.cells[:, [0, -1]].any(axis=(1, 2)) | trail.cells[:, :, [0, -1]].any(axis=(1, 2))
    near = _inside(trail.cells, 2) < trail.cells.sum(axis=(1, 2))
    touched = np.array(
        [any((grown(trail.cells[t], 2) & other.cells[t]).any() for other in others) for t in frames], bool
    )
    touched |= unseen_there  # one of two is not recognised just now, perhaps for the other that stands before it
    return TrackedActor(
        actor, trail, areas, np.asarray(doubles & trail.found), np.asarray(edge), np.asarray(near), touched
    )


def _inside(cells: Bool[np.ndarray, "t rows columns"], margin: int) -> Float[np.ndarray, " t"]:
    """How many cells are at least so far from the edge of the frame."""
    return np.asarray(cells[:, margin:-margin, margin:-margin].sum(axis=(1, 2)), float)


def _largest(cells: Bool[np.ndarray, "rows columns"]) -> int:
    """Cells of the largest connected patch."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=8)
    return int(stats[1:, cv2.CC_STAT_AREA].max()) if count > 1 else 0


def _stranger(sight: Detections, own: set[int], taken: list[np.ndarray], t: int) -> bool:
    """Whether a patch of another kind stands in this frame that touches none of the actors."""
    likely = sight.likely[t]
    best = likely.argmax(axis=0)
    foreign = (likely[NOTHING] < SURE) & ~np.isin(best, [NOTHING, *own])
    near = np.any(taken, axis=0) if taken else np.zeros_like(foreign)
    near = grown(near)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreign.astype(np.uint8), connectivity=8)
    return any(stats[i, cv2.CC_STAT_AREA] >= FEWEST_CELLS and not near[labels == i].any() for i in range(1, count))
