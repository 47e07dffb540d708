"""Track every actor of a spec through a clip, and find whatever else is in it.

The detector labels cells of 4 x 4 pixels; connected cells of one kind are a patch. The largest patch of an actor's kind
is the actor, a second patch of that kind is a duplicate, and patches of other kinds that touch no actor are strangers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from chronotope.errors import UsageError
from chronotope.geometry import Frames
from chronotope.worlds.check import Outcome
from chronotope.worlds.stage.checks.association import actor_probabilities, dilate
from chronotope.worlds.stage.checks.attributes import MIN_PROBABILITY, Detections, Trail, to_pixels, track_probability
from chronotope.worlds.stage.checks.detector import KINDS, NOTHING
from chronotope.worlds.stage.occlusion import absences
from chronotope.worlds.stage.render import Truth, render
from chronotope.worlds.stage.spec import Actor, Event, Spec

__all__ = [
    "ACTIONS",
    "MIN_STRANGER_CELLS",
    "MIN_WAY",
    "TRAVELS",
    "Predicates",
    "TrackedActor",
    "TrackedClip",
    "largest_patch",
    "overlaps",
    "track_actors",
    "true_way",
    "truth_of",
    "unsupported",
]

MIN_STRANGER_CELLS = 8  # of a stranger or a duplicate: half of what the smallest actor covers
TRAVELS = ("walk", "fly", "move", "roll", "creep", "dash")  # the kinds of events that displace an actor
ACTIONS = ("eat", "hit", "bounce", "stop", "meet", "spin")  # of the scope `deeds`, with checks of their own
MIN_WAY = 0.12  # short sides: a shorter true displacement cannot be detected reliably
MIN_DUPLICATE_SHARE = 0.2  # of the cells of the actor
EDGE_MARGIN = 2  # cells
Predicates = Iterator[tuple[str, Callable[[], Outcome]]]  # names of checks, and how to evaluate each


@dataclass(frozen=True)
class TrackedActor:
    """One actor through the clip; centres in short sides, areas in cells, NaN where it is not found."""

    actor: Actor
    trail: Trail
    areas: Float[np.ndarray, " t"]
    doubles: Bool[np.ndarray, " t"]
    at_edge: Bool[np.ndarray, " t"]
    near_edge: Bool[np.ndarray, " t"]  # of the frame: the actor may be entering or leaving
    touched: Bool[np.ndarray, " t"]  # another actor is next to it or covers a part of it

    @property
    def alone(self) -> Bool[np.ndarray, " t"]:
        """The frames in which the whole actor is visible."""
        return self.found & ~self.at_edge & ~self.touched

    @property
    def found(self) -> Bool[np.ndarray, " t"]:
        return self.trail.found


@dataclass(frozen=True)
class TrackedClip:
    """The detections of a clip, its actors in the order of the spec, and the frames that contain a stranger."""

    spec: Spec
    detections: Detections
    actors: tuple[TrackedActor, ...]
    strangers: Bool[np.ndarray, " t"]

    @property
    def frames(self) -> Frames:
        return self.detections.frames

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    def during(self, event: Event) -> slice:
        """Return the frames in which an event happens."""
        fps = self.spec.fps
        return slice(max(0, round(event.start * fps)), min(self.num_frames, round(event.end * fps) + 1))

    @property
    def backdrop(self) -> Bool[np.ndarray, "t h w"]:
        """The background pixels, with a margin of one cell around everything detected."""
        foreground = self.detections.probability[:, NOTHING] < MIN_PROBABILITY
        return ~to_pixels(np.stack([dilate(cells) for cells in foreground]), self.frames)


@functools.lru_cache(maxsize=1024)
def truth_of(spec: Spec) -> Truth:
    """Render a spec and return its true positions."""
    return render(spec).truth


def unsupported(spec: Spec) -> str | None:
    """Return why a spec cannot be checked, or None."""
    unknown = [actor.noun for actor in spec.actors if actor.noun not in KINDS]
    if unknown:
        return f"the detector was never shown a {unknown[0]}; it knows {', '.join(KINDS[2:])}"
    looks = [(actor.noun, actor.colour) for actor in spec.actors]
    if len(set(looks)) < len(looks):
        return (
            "two actors of one kind and colour cannot be told apart; "
            "give them different nouns, or shapes different colours"
        )
    if sum(event.kind == "spin" for event in spec.events) > 1:
        return "two that turn at once cannot be told apart, for turned things look like others; let one of them rest"
    if any(event.kind == "meet" and abs(true_way(spec, event.actor)) < MIN_WAY for event in spec.events):
        return "those who meet stand together from the beginning; put them farther apart, or make them smaller"
    repeated = next((actor.id for actor in spec.actors if _times_out_of_sight(spec, actor.id) > 1), None)
    if repeated:
        return f"{repeated} goes out of sight more than once, of which only the first time is looked at; let it go once"
    return None


def _times_out_of_sight(spec: Spec, actor: str) -> int:
    """Count how often an actor goes out of sight, whether it returns or not."""
    return len(absences(spec, actor)) + sum(event.kind == "stay" and event.actor == actor for event in spec.events)


def true_way(spec: Spec, name: str, frames: slice = slice(None)) -> float:
    """Return the true horizontal displacement of an actor inside the frame, in short sides to the right."""
    truth = truth_of(spec)
    x = truth.x[frames, truth.actors.index(name)].clip(0, spec.width)
    return float(x[-1] - x[0]) / min(spec.width, spec.height)


def overlaps(spec: Spec, num_frames: int, margin: float = 0.0) -> Bool[np.ndarray, "t one two"]:
    """Find the frames in which the true boxes of two actors overlap or are closer than `margin` short sides.

    No actor overlaps itself.
    """
    truth, count = truth_of(spec), len(spec.actors)
    gap = margin * min(spec.width, spec.height)
    pairs = ((truth.x, truth.width), (truth.y, truth.height))
    near = [np.abs(at[:, :, None] - at[:, None]) < (size[:, :, None] + size[:, None]) / 2 + gap for at, size in pairs]
    there = truth.present[:, :, None] & truth.present[:, None]
    return (near[0] & near[1] & there & ~np.eye(count, dtype=bool))[:num_frames]


def track_actors(detections: Detections, spec: Spec) -> TrackedClip:
    """Track every actor of the spec and find strangers.

    Raises UsageError where the spec cannot be checked.
    """
    if problem := unsupported(spec):
        raise UsageError(problem)
    probabilities = actor_probabilities(detections, spec)
    trails = [track_probability(detections, probability) for probability in probabilities]
    overlapping, found = overlaps(spec, len(detections.frames)), np.array([trail.found for trail in trails]).T
    actors = []
    for index, actor in enumerate(spec.actors):
        hidden_by_overlap = (overlapping[:, index] & ~found).any(axis=1)
        others = trails[:index] + trails[index + 1 :]
        actors.append(_track_actor(actor, probabilities[index], trails[index], others, hidden_by_overlap))
    kinds = {KINDS.index(actor.noun) for actor in spec.actors}
    cells = [[trail.cells[t] for trail in trails] for t in range(len(detections.frames))]
    strangers = np.array([_stranger(detections, kinds, occupied, t) for t, occupied in enumerate(cells)], bool)
    return TrackedClip(spec, detections, tuple(actors), strangers)


def _track_actor(
    actor: Actor,
    probability: Float[np.ndarray, "t rows columns"],
    trail: Trail,
    others: list[Trail],
    hidden_by_overlap: Bool[np.ndarray, " t"],
) -> TrackedActor:
    areas = np.where(trail.found, trail.cells.sum(axis=(1, 2)), np.nan)
    rest = np.array([largest_patch(cells) for cells in (probability >= MIN_PROBABILITY) & ~trail.cells])
    # Where the actor is not found its area is NaN, the comparison false, and no patch a duplicate.
    doubles = (rest >= MIN_STRANGER_CELLS) & (rest >= MIN_DUPLICATE_SHARE * areas)
    edge = trail.cells[:, [0, -1]].any(axis=(1, 2)) | trail.cells[:, :, [0, -1]].any(axis=(1, 2))
    inner = trail.cells[:, EDGE_MARGIN:-EDGE_MARGIN, EDGE_MARGIN:-EDGE_MARGIN]
    near = inner.sum(axis=(1, 2)) < trail.cells.sum(axis=(1, 2))
    around = [dilate(cells, 2) for cells in trail.cells]
    touched = np.array([any((a & other.cells[t]).any() for other in others) for t, a in enumerate(around)], bool)
    touched |= hidden_by_overlap  # where two overlap and one is not recognised, the other may cover it
    return TrackedActor(actor, trail, areas, doubles, np.asarray(edge), np.asarray(near), touched)


def largest_patch(cells: Bool[np.ndarray, "rows columns"]) -> int:
    """Return the size of the largest connected patch, in cells."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=8)
    return int(stats[1:, cv2.CC_STAT_AREA].max()) if count > 1 else 0


def _stranger(detections: Detections, kinds: set[int], occupied: list[np.ndarray], t: int) -> bool:
    """Tell whether this frame contains a patch of another kind that touches no actor."""
    probability = detections.probability[t]
    best = probability.argmax(axis=0)
    foreign = (probability[NOTHING] < MIN_PROBABILITY) & ~np.isin(best, [NOTHING, *kinds])
    near = dilate(np.any(occupied, axis=0)) if occupied else np.zeros_like(foreign)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreign.astype(np.uint8), connectivity=8)
    return any(
        stats[i, cv2.CC_STAT_AREA] >= MIN_STRANGER_CELLS and not near[labels == i].any() for i in range(1, count)
    )
