"""Real clips with actions, and what can be stepped from them: a learned world, the game itself, or a rule."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Shaped

from benchmarks.worlds.pixels import MOVES, shift_rule
from chronotope.actions import SUFFIX, Actions, ActionSchema, read_actions
from chronotope.config import from_dict
from chronotope.data.clips import find_clips, read_datasets
from chronotope.geometry import Frames, Picture
from chronotope.media import video
from chronotope.storage import read_json
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.playable import Playable
from chronotope.worlds.world import World


@dataclass(frozen=True, eq=False)
class Clip:
    """Real frames and the actions that led to them."""

    frames: Frames
    actions: Actions
    world: World
    spec: Any

    @property
    def schema(self) -> ActionSchema:
        assert self.world.actions is not None
        return self.world.actions

    def name(self, t: int) -> str:
        """Return the name of the action that led to frame t."""
        return name_of(self.schema, self.actions.values[t])


def name_of(schema: ActionSchema, action: Shaped[np.ndarray, " d"]) -> str:
    """Return the name of a discrete action."""
    return schema.choices[0][int(action[0])]


def action_of(schema: ActionSchema, name: str) -> Shaped[np.ndarray, "1 d"]:
    """Return the actions of one step, by the name of its only one."""
    return np.array([[schema.number(name)]])


def read_clips(folder: Path, schema: ActionSchema, count: int, num_frames: int) -> list[Clip]:
    """Read the first clips that are long enough, cut to `num_frames`."""
    described = [about for _, about in read_datasets(folder) if about.get("actions")]
    if not described or from_dict(ActionSchema, described[0]["actions"]) != schema:
        raise SystemExit(f"{folder} has no clips with the actions of this model")
    world = find_world(described[0]["world"])
    found: list[Clip] = []
    for clip in find_clips(folder):
        if len(found) == count:
            break
        frames = video.read(clip.path).frames
        if len(frames) >= num_frames:
            actions = read_actions(clip.path.with_name(clip.path.stem + SUFFIX), schema, len(frames))
            spec = world.read_spec(read_json(clip.path.with_suffix(".json"))["spec"])
            found.append(Clip(frames[:num_frames], actions, world, spec))
    if not found:
        raise SystemExit(f"{folder} has no clips of {num_frames} frames or more; choose fewer with --frames")
    return found


class Model(Protocol):
    """What is stepped; a `simulate.model.WorldModel` is one. States are never changed."""

    schema: ActionSchema

    def begin(self, seed: int = 0, prompt: str = "", picture: Picture | None = None) -> tuple[Any, Picture]: ...

    def step(self, state: Any, actions: Shaped[np.ndarray, "t d"]) -> tuple[Any, Frames]: ...

    def observe(self, state: Any, frames: Frames, actions: Shaped[np.ndarray, "t d"]) -> Any: ...


class Rule:
    """A baseline without a model: a function of the last frame and the name of the action; the state is the frame."""

    def __init__(self, schema: ActionSchema, moves: bool) -> None:
        self.schema, self.moves = schema, moves

    def begin(self, seed: int = 0, prompt: str = "", picture: Picture | None = None) -> tuple[Picture, Picture]:
        assert picture is not None
        return picture, picture

    def step(self, state: Picture, actions: Shaped[np.ndarray, "t d"]) -> tuple[Picture, Frames]:
        name = name_of(self.schema, actions[0])
        frame = shift_rule(state, name) if self.moves and name in MOVES else state
        return frame, frame[None]

    def observe(self, state: Picture, frames: Frames, actions: Shaped[np.ndarray, "t d"]) -> Picture:
        return frames[-1]


@dataclass(frozen=True, eq=False)
class Played:
    """A game in progress, of the clip of this number."""

    clip: int
    game: Playable


class Truth:
    """The game of each clip, which begins at the frame of a clip that is given; a game that is over begins anew."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self.clips, self.schema = clips, clips[0].schema
        self.places = {
            frame.tobytes(): (number, t) for number, clip in enumerate(clips) for t, frame in enumerate(clip.frames)
        }
        self.games = [clip.world.start(clip.spec) for clip in clips]

    def begin(self, seed: int = 0, prompt: str = "", picture: Picture | None = None) -> tuple[Played, Picture]:
        assert picture is not None
        number, t = self.places[picture.tobytes()]
        state = Played(number, self.games[number])
        for action in self.clips[number].actions.values[1 : t + 1]:
            state, _ = self.step(state, action[None])
        return state, picture

    def step(self, state: Played, actions: Shaped[np.ndarray, "t d"]) -> tuple[Played, Frames]:
        game = copy.deepcopy(state.game)
        shown = game.step(actions[0])
        return Played(state.clip, self.games[state.clip] if shown.over else game), shown.frame[None]

    def observe(self, state: Played, frames: Frames, actions: Shaped[np.ndarray, "t d"]) -> Played:
        return self.step(state, actions)[0]


def rollout(model: Model, first: Picture, actions: Shaped[np.ndarray, "t d"], seed: int) -> Frames:
    """Step a session from a picture with these actions; return the first frame and one for each action."""
    state, frame = model.begin(seed, picture=first)
    frames = [frame]
    for action in actions:
        state, made = model.step(state, action[None])
        frames.append(made[-1])
    return np.stack(frames)


def after(model: Model, clip: Clip, first: int, last: int, seed: int) -> Any:
    """Return the state of a session that has really seen the frames from `first` to `last`."""
    state, _ = model.begin(seed, picture=clip.frames[first])
    for t in range(first + 1, last + 1):
        state = model.observe(state, clip.frames[t : t + 1], clip.actions.values[t][None])
    return state
