"""Check the movements, collisions and rest of solids on a table, as seen from above by the known camera.

Until its first contact a solid must move as in the simulation. Afterwards small differences grow, so that the checks
demand only what holds for every collision: the struck solid moves after the contact, in the direction of the blow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from jaxtyping import Bool, Float

from chronotope.worlds.check import Outcome
from chronotope.worlds.table.camera import View
from chronotope.worlds.table.checks.camera import fully_visible
from chronotope.worlds.table.checks.geometry import anchor_height, intersect_plane
from chronotope.worlds.table.checks.tracking import TrackedScene
from chronotope.worlds.table.spec import DIRECTIONS, Event

__all__ = ["TRAVEL_EVENTS", "action_checks", "longest_true_step", "stays_still"]

TRAVEL_EVENTS = ("roll", "slide", "hit", "push", "topple")
MIN_WAY = 0.15  # metres: shorter expected movements are not checked
MIN_SHARE = 0.35  # of the expected distance
MAX_ACROSS = 0.7, 0.1  # of the distance along the direction, at least metres
BACKWARD_STEP = 0.07  # metres: longer steps against the direction are failures
REST_SHIFT = 0.04  # short sides: a solid that moves less is at rest
REACHED = 1.35, 0.05  # times the distance of the centres at contact, plus metres: the two have met
REACHED_IN_PICTURE = 2.0  # times the same distance, if the two touch in the picture
FAR_APART = 1.5, 0.12  # times the same distance, plus metres: the two have not met yet
THROUGH = 0.5  # times the same distance: the two are inside each other
BESIDE = 0.6  # times the same distance
STRUCK_SHARE = 0.3  # of the expected distance of the struck solid
DEPARTED = 0.12  # metres
WELL_VISIBLE = 0.8  # of an actor
FALLEN = 0.35  # of the height on which a solid stood


def _ground_positions(scene: TrackedScene, path: tuple[View, ...], i: int) -> Float[np.ndarray, "t 2"]:
    """Return x, y on the table, in metres, of an actor that stands as it did at first; NaN where it is not found."""
    height, centres = anchor_height(scene.spec, scene.spec.actors[i]), scene.actors[i].centres
    return np.array([intersect_plane(view, centres[t : t + 1], height)[0] for t, view in enumerate(path)])


def action_checks(
    scene: TrackedScene, path: tuple[View, ...], event: Event
) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """Yield name and rule of each check of an event that moves an actor."""
    index = {actor.id: i for i, actor in enumerate(scene.spec.actors)}
    i, name = index[event.actor], f"{event.kind} {event.direction or ''}".strip()
    yield name, partial(_moves_as_asked, scene, path, event, i)
    yield "goes one way", partial(_moves_forward, scene, path, event, i)
    if event.target is not None:
        collision = _Collision(scene, path, event, i, index[event.target])
        if collision.is_expected:
            yield "meets it", collision.reaches_target
            yield "moves not before", collision.target_waits
            if event.kind == "topple":
                yield "comes down", collision.stack_falls
            if collision.target_distance >= MIN_WAY:
                yield "is struck", collision.target_moves
            yield "not through it", collision.stays_outside


def _moves_as_asked(scene: TrackedScene, path: tuple[View, ...], event: Event, i: int) -> Outcome:
    """Check that the actor moves by a good part of its expected distance, in its direction."""
    truth = scene.truth
    start = int(event.start * scene.spec.fps)
    until_contact = truth.untouched[:, i] | (np.cumsum(~truth.untouched[:, i]) <= 1)
    usable = (fully_visible(scene, i) | _well_visible(scene, i)) & until_contact
    times = np.flatnonzero(usable & (np.arange(scene.num_frames) >= start))
    if len(times) < 3:
        return None
    first, last = times[0], times[-1]
    expected = truth.trajectory.position[last, i, :2] - truth.trajectory.position[first, i, :2]
    distance = float(np.linalg.norm(expected))
    if distance < MIN_WAY:
        return None
    positions = _ground_positions(scene, path, i)
    moved = positions[last] - positions[first]
    way = _unit_direction(scene, path, event, i, int(first))
    along, across = float(moved @ way), float(abs(moved[0] * way[1] - moved[1] * way[0]))
    share, least = MAX_ACROSS
    if along >= MIN_SHARE * distance and across <= max(share * along, least):
        return None
    code = "MOT-STA" if float(np.linalg.norm(moved)) < MIN_SHARE * distance else "MOT-DIR"
    return code, int(last)


def _well_visible(scene: TrackedScene, i: int) -> Bool[np.ndarray, " t"]:
    """Return the frames in which most of an actor is visible, by the simulation or by its area."""
    track = scene.actors[i]
    large = np.nan_to_num(track.areas) >= WELL_VISIBLE * scene.truth.whole[:, i]
    return track.found & ~track.at_edge & ((scene.truth.visible[:, i] >= WELL_VISIBLE) | large)


def _unit_direction(
    scene: TrackedScene, path: tuple[View, ...], event: Event, i: int, first: int
) -> Float[np.ndarray, " 2"]:
    """Return the asked direction: that of the event, or from the actor to its target in the video."""
    if event.direction is not None:
        return np.array(DIRECTIONS[event.direction])
    target = next(j for j, actor in enumerate(scene.spec.actors) if actor.id == event.target)
    positions = _ground_positions(scene, path, target)
    known = np.flatnonzero(~np.isnan(positions[:, 0]))
    if len(known):
        gap = positions[known[0]] - _ground_positions(scene, path, i)[first]
    else:
        expected = scene.truth.trajectory.position[first]
        gap = expected[target, :2] - expected[i, :2]
    return np.asarray(gap / max(float(np.linalg.norm(gap)), 1e-9))


def _moves_forward(scene: TrackedScene, path: tuple[View, ...], event: Event, i: int) -> Outcome:
    """Check that the actor does not move back and forth before its first contact."""
    times = np.flatnonzero(fully_visible(scene, i) & scene.truth.untouched[:, i])
    if len(times) < 4:
        return None
    positions = _ground_positions(scene, path, i)[times]
    steps = np.diff(positions @ _unit_direction(scene, path, event, i, int(times[0])))
    backward = steps < -BACKWARD_STEP
    return ("MOT-SHK", int(times[1 + np.argmax(backward)])) if backward.sum() > 1 else None


def longest_true_step(scene: TrackedScene) -> float:
    """Return the longest step of any actor from frame to frame in the simulation, in pixels."""
    truth = scene.truth
    pairs = zip(truth.views, truth.trajectory.position, strict=True)
    pixels = np.stack([view.project(positions)[:, :2] for view, positions in pairs])
    return float(np.linalg.norm(np.diff(pixels, axis=0), axis=2).max()) if len(pixels) > 1 else 0.0


def stays_still(scene: TrackedScene, i: int) -> Outcome:
    """Check that a resting actor does not move in front of a still camera."""
    times = np.flatnonzero(fully_visible(scene, i))
    if len(times) < scene.num_frames // 2:  # another solid is in front of it, in the video or in the simulation
        times = np.flatnonzero(fully_visible(scene, i) | _well_visible(scene, i))
    if len(times) < 3:
        return None
    centres = scene.actors[i].centres[times] / scene.short
    quarter = max(1, len(times) // 4)
    first, last = np.median(centres[:quarter], axis=0), np.median(centres[-quarter:], axis=0)
    away = np.linalg.norm(centres - np.median(centres, axis=0), axis=1) > 2 * REST_SHIFT
    if np.linalg.norm(last - first) > REST_SHIFT or away.sum() > max(1, len(times) // 10):
        return "PHY-SLF", int(times[np.argmax(away)] if away.any() else times[0])
    return None


class _Collision:
    """Actor `i` is sent at target `j`."""

    def __init__(self, scene: TrackedScene, path: tuple[View, ...], event: Event, i: int, j: int) -> None:
        self.scene, self.path, self.event, self.i, self.j = scene, path, event, i, j
        self.one, self.two = _ground_positions(scene, path, i), _ground_positions(scene, path, j)
        self.gap = np.linalg.norm(self.one - self.two, axis=1)
        self.stack = [scene.spec.actors.index(actor) for actor in scene.spec.stack_on(scene.spec.actors[j])]
        self.expected = scene.truth.trajectory.position
        contacts = scene.truth.trajectory.contacts
        hits = [c for c in contacts if {c.actor, c.target} == {event.actor, event.target}]
        self.is_expected = bool(hits)
        self.contact_frame, self.contact_distance = -1, 0.0
        if hits:
            self.contact_frame = min(scene.num_frames - 1, int(hits[0].seconds * scene.spec.fps))
            distance = np.linalg.norm(self.expected[:, i, :2] - self.expected[:, j, :2], axis=1)
            self.contact_distance = float(distance[self.contact_frame : self.contact_frame + 2].min())
        moved = np.linalg.norm(self.expected[:, j, :2] - self.expected[0, j, :2], axis=1)
        self.target_distance = float(moved.max())

    def reaches_target(self) -> Outcome:
        """Check that the actor comes to its target."""
        known = self.gap[~np.isnan(self.gap)]
        if not len(known):
            return None
        touched = (self.scene.actors[self.i].touched[:, self.j] | self.scene.actors[self.j].touched[:, self.i]).any()
        factor, margin = REACHED
        if touched and known.min() <= REACHED_IN_PICTURE * self.contact_distance:
            return None
        if known.min() <= factor * self.contact_distance + margin:
            return None
        return "TXT-ACT", self.scene.num_frames - 1

    def target_waits(self) -> Outcome:
        """Check that the target and its stack do not move while the actor is far away."""
        factor, margin = FAR_APART
        for k in (self.j, *self.stack):
            distance = self._distance_moved(k)
            departed = (distance > DEPARTED) & (np.roll(distance, -1) > DEPARTED)
            departed[-1] = False
            if departed.any():
                first = int(np.argmax(departed))
                gap = self.gap[max(0, first - 1) : first + 1]
                if not np.isnan(gap).any() and gap.min() > factor * self.contact_distance + margin:
                    return "CAU-ORD", first
        return None

    def _distance_moved(self, k: int) -> Float[np.ndarray, " t"]:
        """Return the distance of an actor from its first position, in metres; NaN where it is not clearly visible."""
        positions = self.two if k == self.j else _ground_positions(self.scene, self.path, k)
        visible = fully_visible(self.scene, k)
        if visible.sum() < self.scene.num_frames // 3:
            visible = visible | _well_visible(self.scene, k)
        times = np.flatnonzero(visible)
        if not len(times):
            return np.full(len(positions), np.nan)
        return np.where(visible, np.linalg.norm(positions - positions[times[0]], axis=1), np.nan)

    def target_moves(self) -> Outcome:
        """Check that the target moves after the contact, and not against the blow."""
        distance = self._distance_moved(self.j)
        late = distance[self.contact_frame + 1 :]
        late = late[~np.isnan(late)]
        if len(late) < 2:
            return self._occluded_target_moves()
        times = np.flatnonzero(~np.isnan(distance))
        positions = self.expected[:, self.j, :2]
        expected = float(np.linalg.norm(positions[times] - positions[times[0]], axis=1).max())
        if expected < MIN_WAY:
            return None
        if late.max() < STRUCK_SHARE * expected:
            return "PHY-COL", int(times[-1])
        last = int(times[np.nanargmax(distance[times])])
        way = _unit_direction(self.scene, self.path, self.event, self.i, 0)
        is_against = float((self.two[last] - self.two[times[0]]) @ way) < -0.5 * late.max()
        expected_forward = (positions[last] - positions[0]) @ way > 0
        return ("PHY-COL", last) if is_against and expected_forward else None

    def _occluded_target_moves(self) -> Outcome:
        """Check that the visible part of a target, which the actor partly occludes, leaves its place."""
        late = self.two[self.contact_frame + 1 :]
        late = late[~np.isnan(late[:, 0])]
        if np.isnan(self.two[0, 0]) or len(late) < 3 or self.target_distance < 2 * MIN_WAY:
            return None
        moved = np.linalg.norm(late - self.two[0], axis=1)
        return ("PHY-COL", self.contact_frame + 1) if moved.max() < STRUCK_SHARE * self.target_distance else None

    def stack_falls(self) -> Outcome:
        """Check that a part of a stack that falls in the simulation leaves its place."""
        scene = self.scene
        fallen = {record.actor for record in scene.truth.trajectory.events if record.kind == "fall"}
        falling = [k for k in self.stack if scene.spec.actors[k].id in fallen]
        for k in falling:
            track, actor = scene.actors[k], scene.spec.actors[k]
            times = np.flatnonzero(track.found)
            if not len(times) or times[-1] < scene.num_frames - 4:
                return None  # it is outside the picture or occluded, and so not in its place
            last = int(times[-1])
            view = self.path[last]
            start = np.array([[*self._first_position(k), anchor_height(scene.spec, actor)]])
            column, row, depth = view.project(start)[0]
            moved = np.linalg.norm(track.centres[last] - (column, row)) * depth / view.focal  # metres
            if moved >= FALLEN * actor.lift:
                return None
        return ("TXT-ACT", scene.num_frames - 1) if falling else None

    def _first_position(self, k: int) -> Float[np.ndarray, " 2"]:
        positions = _ground_positions(self.scene, self.path, k)
        known = np.flatnonzero(~np.isnan(positions[:, 0]))
        return positions[known[0]] if len(known) else self.expected[0, k, :2]

    def stays_outside(self) -> Outcome:
        """Check that the actor is never inside its target, and never behind it while the target stays in its place."""
        both = fully_visible(self.scene, self.i) & fully_visible(self.scene, self.j)
        inside = both & (self.gap < THROUGH * self.contact_distance)
        if inside.any():
            return "PHY-PEN", int(np.argmax(inside))
        known = np.flatnonzero(_well_visible(self.scene, self.j))
        times = np.flatnonzero(_well_visible(self.scene, self.i))
        if len(times) < 2 or not len(known):
            return None
        # A target that the actor occludes is where it was last visible.
        target = self.two[known[np.maximum(np.searchsorted(known, times, side="right") - 1, 0)]]
        way = _unit_direction(self.scene, self.path, self.event, self.i, int(times[0]))
        gap = target - self.one[times]
        ahead, across = gap @ way, np.abs(gap @ np.array([-way[1], way[0]]))
        stayed = np.linalg.norm(target - target[0], axis=1) < THROUGH * self.contact_distance
        behind = stayed & (across < BESIDE * self.contact_distance) & (ahead < -BESIDE * self.contact_distance)
        return ("PHY-PEN", int(times[np.argmax(behind)])) if behind.any() and ahead[0] > 0 else None
