"""What is shown of Doom: clips with the poses of the game, turns away and back, and the frames of a model for both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool

from benchmarks.worlds.clips import Clip, Model, action_of, rollout
from benchmarks.worlds.triangulation import FARTHEST, Path, Pinhole, seen_from
from chronotope.geometry import Frames, Picture
from chronotope.simulate.model import WorldModel
from chronotope.worlds.doom.game import Seen, State, lens
from chronotope.worlds.doom.motion import measure
from chronotope.worlds.doom.simulate import Episode, play, simulate
from chronotope.worlds.doom.spec import DoomSpec
from chronotope.worlds.doom.things import MONSTERS, NOUNS

__all__ = ["Game", "Reconstruction", "Source", "Stepped", "Turn", "View", "find_turns", "find_views", "moving"]

TURNS = (4, 8)  # steps to the left, and then to the right: about 47 and 104 degrees
REST = 8  # steps without an action, in which the player comes to rest
STILL = 8.0  # map units by which a turn may end beside its beginning
FAINT = 0.5  # of the true turn: the least that counts as made


class Source(Protocol):
    """What shows frames: a session from the first frame of a clip, steps that follow true frames, and a turn."""

    def session(self, view: View) -> Frames: ...

    def steps(self, view: View, ends: Sequence[int]) -> Mapping[int, Picture]: ...

    def turn(self, turn: Turn) -> Frames: ...


@dataclass(frozen=True, eq=False)
class View:
    """A clip of Doom and what the game knows of it."""

    clip: Clip
    number: int
    episode: Episode

    @cached_property
    def frames(self) -> Frames:
        return self.episode.frames[: len(self.clip.frames)]

    @cached_property
    def path(self) -> Path:
        """Return where the eye is."""
        return path_of(self.episode.states)

    @cached_property
    def hole(self) -> Pinhole:
        return pinhole(self.clip.spec)

    @cached_property
    def weapon(self) -> Bool[np.ndarray, "t h w"]:
        return np.stack([seen.labels == 255 for seen in self.episode.seen])

    def told(self, first: int, last: int) -> list[np.ndarray]:
        """Return the actions that lead from a frame to another, one a step."""
        return [value[None] for value in self.clip.actions.values[first + 1 : last + 1]]


def path_of(states: Sequence[State]) -> Path:
    """Return where the eye is, which looks straight ahead."""
    places = np.array([(state.x, state.y, state.eye) for state in states])
    return Path.level(places, np.array([state.angle for state in states]))


def pinhole(spec: DoomSpec) -> Pinhole:
    """Return the pinhole of the frames of a spec."""
    found = lens(spec.width, spec.height)
    return Pinhole((found.focal_x, found.focal_y), (found.centre_x, found.centre_y), spec.width, spec.height)


def find_views(clips: Sequence[Clip]) -> list[View]:
    """Play the clips again; raise SystemExit where they are not of Doom, since only its poses are known."""
    for clip in clips:
        if not isinstance(clip.spec, DoomSpec):
            raise SystemExit(f"poses are known of clips of doom, got clips of {clip.world.name}; leave out consistency")
    return [View(clip, number, simulate(clip.spec)) for number, clip in enumerate(clips)]


def moving(seen: Seen) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of things that may move: monsters, and all that no caption names, such as missiles."""
    numbers = [n for n, thing in enumerate(seen.things, 1) if thing.name in MONSTERS or thing.name not in NOUNS]
    return np.isin(seen.labels, numbers)


@dataclass(frozen=True)
class Game:
    """The game itself."""

    def session(self, view: View) -> Frames:
        return view.frames

    def steps(self, view: View, ends: Sequence[int]) -> Mapping[int, Picture]:
        return {end: view.frames[end] for end in ends}

    def turn(self, turn: Turn) -> Frames:
        return turn.real


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """The game through the autoencoder of a model, frame by frame."""

    world: WorldModel

    def _through(self, frames: Frames) -> Frames:
        return np.stack([self.world.begin(0, picture=frame)[1] for frame in frames])

    def session(self, view: View) -> Frames:
        return self._through(view.frames)

    def steps(self, view: View, ends: Sequence[int]) -> Mapping[int, Picture]:
        return dict(zip(ends, self._through(view.frames[list(ends)]), strict=True))

    def turn(self, turn: Turn) -> Frames:
        return self._through(turn.real)


@dataclass(frozen=True, eq=False)
class Stepped:
    """What is stepped: a learned world, or a rule; sessions are kept."""

    model: Model
    seed: int = 0
    played: dict[int, Frames] = field(default_factory=dict)

    def session(self, view: View) -> Frames:
        if view.number not in self.played:
            actions = view.clip.actions.values[1 : len(view.frames)]
            self.played[view.number] = rollout(self.model, view.frames[0], actions, self.seed + view.number)
        return self.played[view.number]

    def steps(self, view: View, ends: Sequence[int]) -> Mapping[int, Picture]:
        state, _ = self.model.begin(self.seed + view.number, picture=view.frames[0])
        made: dict[int, Picture] = {}
        for t, action in enumerate(view.told(0, max(ends)), 1):
            if t in ends:
                made[t] = self.model.step(state, action)[1][-1]
            state = self.model.observe(state, view.frames[t : t + 1], action)
        return made

    def turn(self, turn: Turn) -> Frames:
        actions = np.concatenate([action_of(turn.view.clip.schema, name) for name in turn.names])
        return rollout(self.model, turn.real[0], actions, self.seed + turn.view.number)


@dataclass(frozen=True, eq=False)
class Turn:
    """A turn of some steps to the left and back that the game really makes, and its frames in the game.

    It begins when the player has come to rest. Between the two is a step without action, after which Doom begins a turn
    as slowly as before.
    """

    view: View
    steps: int
    seen: tuple[Seen, ...]
    states: tuple[State, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return turn_of(self.steps)

    @property
    def real(self) -> Frames:
        return np.stack([seen.picture for seen in self.seen])

    def lost(self) -> Bool[np.ndarray, "h w"]:
        """Return the pixels of the first frame that were out of view at the farthest point, without what may move."""
        hole, path = self.view.hole, path_of(self.states)
        y, x = np.mgrid[: hole.height, : hole.width] + 0.5
        rays, ahead = seen_from(path, hole.rays(np.stack([x, y], axis=2).reshape(-1, 2)), np.full(x.size, 1 / FARTHEST))
        away, depth = hole.pixels(rays)[:, self.steps], ahead[:, self.steps]
        outside = (depth <= 0) | ~((away[:, 0] >= 0) & (away[:, 0] <= hole.width))
        ends = (self.seen[0], self.seen[-1])
        blocked = np.any([moving(seen) | (seen.labels == 255) for seen in ends], axis=0)
        return outside.reshape(x.shape) & ~blocked

    def made(self, frames: Frames) -> bool:
        """Tell whether the picture is shifted both ways by at least a part of what it is in the game."""
        ours, real = (self._shifts(each) for each in (frames, self.real))
        return all(np.sign(a) == np.sign(b) and abs(a) >= FAINT * abs(b) for a, b in zip(ours, real, strict=True))

    def _shifts(self, frames: Frames) -> tuple[float, float]:
        shift = measure(frames).shift
        return float(shift[1 : self.steps + 2].sum()), float(shift[self.steps + 2 :].sum())


def turn_of(steps: int) -> tuple[str, ...]:
    """Return the actions of a turn to the left and back."""
    return (*["turn left"] * steps, "noop", *["turn right"] * steps, "noop")


def find_turns(views: Sequence[View]) -> list[Turn]:
    """Return the turns from first frames that end where they began."""
    found = []
    for view in views:
        for steps in TURNS:
            names = ("noop",) * REST + turn_of(steps)
            spec: Any = dataclasses.replace(view.clip.spec, actions=names, num_frames=len(names) + 1)
            episode = play(spec, names)
            turn = Turn(view, steps, episode.seen[REST:], episode.states[REST:])
            first, last = turn.states[0], turn.states[-1]
            aside = float(np.hypot(last.x - first.x, last.y - first.y))
            back = abs((last.angle - first.angle + 180) % 360 - 180) < 1
            if episode.over is None and aside < STILL and back:
                found.append(turn)
    return found
