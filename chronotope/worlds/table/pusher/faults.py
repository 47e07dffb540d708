"""Inject faults: the true clip of a pusher is drawn again with one change."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.case import Case
from chronotope.worlds.controls import moment_of, pick, splice
from chronotope.worlds.persistence import persistent_frames
from chronotope.worlds.table.edits import EXTRA_ID, changed, free_place, moved, other_colour, with_extra, without
from chronotope.worlds.table.pusher.checks import LEAST_PUSH, expected
from chronotope.worlds.table.pusher.deeds import Deed, deeds
from chronotope.worlds.table.pusher.simulate import simulate
from chronotope.worlds.table.pusher.spec import PusherSpec, scene_of
from chronotope.worlds.table.render import render
from chronotope.worlds.table.simulate import Trajectory
from chronotope.worlds.table.spec import Actor, TableSpec

__all__ = ["FAULTS", "inject", "moves"]

VISIBLE = 0.9  # of an actor through the whole clip, so that its fault can be seen
UNREACHED, SEEN = 0.6, 0.18  # metres: the stick is far from a solid, and the solid has moved
DRIFT = 0.5  # metres
INSIDE = 0.9  # of the half size of the frame: the border of what is drawn


@dataclass(frozen=True)
class _Clip:
    """A true clip: its spec, its table and what moved on it."""

    spec: PusherSpec
    scene: TableSpec
    trajectory: Trajectory
    deeds: tuple[Deed, ...]

    @functools.cached_property
    def frames(self) -> Frames:
        return render(self.scene, self.trajectory).frames

    def drawn(self, trajectory: Trajectory) -> Frames:
        return render(self.scene, trajectory).frames

    def index(self, name: str) -> int:
        return [actor.id for actor in self.scene.actors].index(name)

    def visible(self) -> list[Actor]:
        """Return the solids that can be seen in every frame."""
        least = expected(self.spec).visible.min(axis=0)
        return [actor for actor, share in zip(self.spec.actors, least, strict=False) if share >= VISIBLE]

    def resting(self) -> list[Actor]:
        rests = expected(self.spec).rests
        return [actor for actor in self.visible() if rests[self.index(actor.id)]]

    def pushed(self) -> list[Deed]:
        """Return the first pushes of solids that end far from where they began."""
        away = np.linalg.norm(self.trajectory.position[-1] - self.trajectory.position[0], axis=1)
        first = {deed.actor: deed for deed in reversed(self.deeds)}
        return [deed for deed in first.values() if away[self.index(deed.actor)] >= LEAST_PUSH]


def _clip_of(spec: PusherSpec) -> _Clip:
    episode = simulate(spec)
    return _Clip(spec, scene_of(spec), episode.trajectory, deeds(spec, episode))


Injector = Callable[[_Clip, np.random.Generator], Frames | None]


def inject(code: str, case: Case) -> Frames | None:
    """Return the true clip of a case with this fault, or None where its spec cannot have it."""
    return FAULTS[code](_clip_of(case.spec), np.random.default_rng([case.index, 29]))


def moves(spec: PusherSpec) -> bool:
    """Tell whether a solid is pushed."""
    return bool(_clip_of(spec).pushed())


def _missing(clip: _Clip, rng: np.random.Generator) -> Frames | None:
    actor = pick(clip.visible(), rng)
    return without(clip.scene, clip.trajectory, actor.id) if actor else None


def _extra(clip: _Clip, rng: np.random.Generator) -> Frames | None:
    place = free_place(clip.scene, clip.trajectory, rng, 0.5)
    extra = Actor(EXTRA_ID, "cube", other_colour(clip.scene, rng), *(place or (0.0, 0.0)), size=0.3)
    return with_extra(clip.scene, clip.trajectory, extra) if place else None


def _recoloured(clip: _Clip, rng: np.random.Generator) -> Frames | None:
    actor = pick(clip.visible(), rng)
    if actor is None:
        return None
    return render(changed(clip.scene, actor.id, colour=other_colour(clip.scene, rng)), clip.trajectory).frames


def _spliced(edit: Injector, reverse: bool = False) -> Injector:
    """Return an injector that goes over from the true clip to an edited one, or back."""

    def inject_late(clip: _Clip, rng: np.random.Generator) -> Frames | None:
        moment, other = moment_of(clip.spec, rng), edit(clip, rng)
        if moment is None or other is None:
            return None
        return splice(other, clip.frames, moment) if reverse else splice(clip.frames, other, moment)

    return inject_late


def _doubled(clip: _Clip, rng: np.random.Generator) -> Frames | None:
    actor, place = pick(clip.spec.actors, rng), free_place(clip.scene, clip.trajectory, rng, 0.5)
    if actor is None or place is None:
        return None
    return with_extra(clip.scene, clip.trajectory, dataclasses.replace(actor, id=EXTRA_ID, x=place[0], y=place[1]))


def _frozen(clip: _Clip, rng: np.random.Generator) -> Frames | None:
    return np.repeat(clip.frames[:1], len(clip.frames), axis=0) if clip.pushed() else None


def _stopped(clip: _Clip, rng: np.random.Generator) -> Frames | None:
    """Let everything stop at the first touch of a solid that is to be pushed."""
    first = min(clip.pushed(), key=lambda deed: deed.start, default=None)
    if first is None or first.start < 3 or len(clip.pushed()) < len({deed.actor for deed in clip.deeds}):
        return None
    return clip.frames[np.minimum(np.arange(len(clip.frames)), first.start)]


def _mirrored(clip: _Clip, rng: np.random.Generator) -> Frames | None:
    """Turn the ways of a solid and of the stick around the place where the solid begins."""
    for deed in clip.pushed():
        i, position = clip.index(deed.actor), clip.trajectory.position.copy()
        if len({each.actor for each in clip.deeds}) > 1:
            continue
        for j in (i, -1):
            position[:, j, :2] = 2 * clip.trajectory.position[0, i, :2] - position[:, j, :2]
        if _in_view(clip, position) and _apart(clip, position, {i, len(clip.scene.actors) - 1}):
            return clip.drawn(dataclasses.replace(clip.trajectory, position=position))
    return None


def _in_view(clip: _Clip, position: np.ndarray) -> bool:
    view = expected(clip.spec).views[0]
    seen = view.project(position.reshape(-1, 3))[:, :2] / [view.width / 2, view.height / 2] - 1
    return bool((np.abs(seen) < INSIDE).all())


def _apart(clip: _Clip, position: np.ndarray, edited: set[int]) -> bool:
    """Tell whether edited actors stay away from all others."""
    others = [j for j in range(len(clip.scene.actors)) if j not in edited]
    gaps = [np.linalg.norm(position[:, i, :2] - position[:, j, :2], axis=1).min() for i in edited for j in others]
    return min(gaps, default=np.inf) > 0.5


def _jumped(clip: _Clip, rng: np.random.Generator) -> Frames | None:
    actor, place = pick(clip.resting(), rng), free_place(clip.scene, clip.trajectory, rng, 0.5)
    if actor is None or place is None or np.hypot(place[0] - actor.x, place[1] - actor.y) < 0.7:
        return None
    shift = np.array([place[0] - actor.x, place[1] - actor.y, 0.0])
    return clip.drawn(moved(clip.scene, clip.trajectory, actor.id, shift))


def _passed_through(clip: _Clip, rng: np.random.Generator) -> Frames | None:
    """Let the solids stay in their places while the stick goes its way."""
    far = [deed for deed in clip.pushed() if deed.metres >= 0.35]
    if not far or len(clip.spec.actors) > 1:
        return None
    position, orientation = clip.trajectory.position.copy(), clip.trajectory.orientation.copy()
    position[:, :-1], orientation[:, :-1] = position[0, :-1], orientation[0, :-1]
    return clip.drawn(dataclasses.replace(clip.trajectory, position=position, orientation=orientation))


def _early(clip: _Clip, rng: np.random.Generator) -> Frames | None:
    """Let a solid move before the stick has come to it, as far ahead as it takes to be seen."""
    for deed in clip.pushed():
        i = clip.index(deed.actor)
        for ahead in range(3, deed.start):
            times = np.minimum(np.arange(clip.spec.num_frames) + ahead, clip.spec.num_frames - 1)
            position = clip.trajectory.position.copy()
            position[:, i] = position[times, i]
            gap = np.linalg.norm(position[:, i, :2] - position[:, -1, :2], axis=1)
            away = np.linalg.norm(position[:, i, :2] - position[0, i, :2], axis=1)
            if (np.logical_and.accumulate(gap > UNREACHED) & (away > SEEN)).sum() >= persistent_frames(clip.spec.fps):
                return clip.drawn(dataclasses.replace(clip.trajectory, position=position))
    return None


def _drifted(clip: _Clip, rng: np.random.Generator) -> Frames | None:
    """Let a resting solid slide away by itself."""
    actor = pick(clip.resting(), rng)
    if actor is None or clip.spec.num_frames < 12:
        return None
    for angle in rng.permutation(8) * np.pi / 4:
        way = DRIFT * np.linspace(0, 1, clip.spec.num_frames)[:, None] * [np.cos(angle), np.sin(angle), 0.0]
        trajectory = moved(clip.scene, clip.trajectory, actor.id, way)
        if _in_view(clip, trajectory.position) and _apart(clip, trajectory.position, {clip.index(actor.id)}):
            return clip.drawn(trajectory)
    return None


FAULTS: dict[str, Injector] = {
    "TXT-CNT": _missing,
    "TXT-EXT": _extra,
    "TXT-ATT": _recoloured,
    "TXT-ACT": _stopped,
    "OBJ-DIS": _spliced(_missing),
    "OBJ-APP": _spliced(_missing, reverse=True),
    "OBJ-DUP": _spliced(_doubled),
    "ID-COL": _spliced(_recoloured),
    "MOT-STA": _frozen,
    "MOT-DIR": _mirrored,
    "MOT-JMP": _spliced(_jumped),
    "PHY-PEN": _passed_through,
    "PHY-SLF": _drifted,
    "CAU-ORD": _early,
}
