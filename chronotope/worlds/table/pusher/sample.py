"""Sample specs of pushes: simulated, and sampled again unless the pushes have their effect in full view."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from chronotope.errors import UsageError
from chronotope.worlds.splits import Split, split_of, split_rng
from chronotope.worlds.table.camera import views
from chronotope.worlds.table.pusher.deeds import deeds
from chronotope.worlds.table.pusher.simulate import Episode, simulate
from chronotope.worlds.table.pusher.spec import AREA, Push, PusherSpec, scene_of
from chronotope.worlds.table.spec import DIRECTIONS, STICK, Actor, extent

__all__ = ["PusherScope", "sample_pusher"]

MAX_TRIES = 4000
SIZES = {"cube": 0.3, "cylinder": 0.36, "brick": 0.45}  # metres
ROUND = ("cylinder",)  # solids that look the same from all sides
GAP = 0.08  # metres between two things at the start
UPRIGHT = 0.05  # metres by which the centre of a solid may rise or sink


@dataclass(frozen=True)
class PusherScope:
    """What the clips may contain: who moves the stick, the things on the table, and the sizes and lengths of clips."""

    policy: str = "pusher"
    solids: tuple[str, ...] = tuple(SIZES)
    colours: tuple[str, ...] = ("red", "green", "yellow")
    stick: str = "blue"
    table: str = "white"
    sizes: tuple[tuple[int, int], ...] = ((64, 64),)
    fps: float = 8.0
    min_frames: int = 24
    max_frames: int = 32
    picture_share: float = 0.0


def sample_pusher(seed: int, scope: PusherScope, split: Split) -> PusherSpec:
    """Return the spec of this seed: the first random one of the split with a valid outcome."""
    rng = split_rng(seed, split)
    for _ in range(MAX_TRIES):
        spec = _draft(rng, scope)
        if spec is not None and split_of(spec) == split and _is_valid(spec, simulate(spec)):
            return spec
    raise UsageError(f"no spec of split '{split}' found for the pusher: it is too small to hold one out")


def _draft(rng: np.random.Generator, scope: PusherScope) -> PusherSpec | None:
    width, height = scope.sizes[int(rng.integers(len(scope.sizes)))]
    picture = rng.random() < scope.picture_share
    num_frames = 1 if picture else int(rng.integers(scope.min_frames, scope.max_frames + 1))
    actors = list[Actor]()
    for number in range(int(rng.integers(1, 3))):
        colour = str(rng.choice([each for each in scope.colours if each not in {actor.colour for actor in actors}]))
        noun = str(rng.choice(scope.solids))
        turn = 0.0 if noun in ROUND else round(float(rng.uniform(0, 90)), 2)
        size = round(float(rng.uniform(0.9, 1.15)) * SIZES[noun], 3)
        x, y = (round(float(rng.uniform(-0.55, 0.55)), 3) for _ in range(2))
        actors.append(Actor(f"{noun}{number}", noun, colour, x, y, size, turn=turn, restitution=0.15))
    x, y = (round(float(rng.uniform(-side, side)), 3) for side in AREA)
    stick = Actor(STICK, STICK, scope.stick, x, y, 0.45, restitution=0.15)
    if not _apart((*actors, stick)):
        return None
    pushes = list[Push]()
    for _ in range(int(rng.integers(1, 3)) if scope.policy == "pusher" else 0):
        actor, direction = actors[int(rng.integers(len(actors)))], str(rng.choice(list(DIRECTIONS)))
        pushes.append(Push(actor.id, direction, round(float(rng.uniform(0.25, 0.7)), 2)))  # type: ignore[arg-type]
    return PusherSpec(
        width,
        height,
        scope.fps,
        num_frames,
        int(rng.integers(2**31)),
        0,
        scope.table,
        stick,
        tuple(actors),
        tuple(pushes),
        scope.policy,
    )


def _apart(actors: tuple[Actor, ...]) -> bool:
    """Tell whether no two things are nearer than a gap, whatever way they are turned."""
    radius = [math.hypot(*extent(actor)[:2]) / 2 for actor in actors]
    return all(
        math.hypot(one.x - two.x, one.y - two.y) > radius[i] + radius[j] + GAP
        for i, one in enumerate(actors)
        for j, two in enumerate(actors[:i])
    )


def _is_valid(spec: PusherSpec, episode: Episode) -> bool:
    """Tell whether all stays upright and in view, and the first push has its effect."""
    view, position = views(scene_of(spec))[0], episode.trajectory.position
    if np.abs(position[:, :-1, 2] - position[0, :-1, 2]).max() > UPRIGHT:
        return False
    seen = view.project(position.reshape(-1, 3)).reshape(position.shape)
    radius = np.array([actor.size / 2 for actor in (*spec.actors, spec.stick)]) * view.focal / seen[..., 2]
    beside = np.minimum(seen[..., :2], np.array([spec.width, spec.height]) - seen[..., :2])
    if (beside.min(axis=-1) < radius).any():
        return False
    if not spec.events or spec.num_frames == 1:
        return True
    wanted = spec.events[0]
    return any((deed.actor, deed.direction) == (wanted.actor, wanted.direction) for deed in deeds(spec, episode))
