"""Any Gymnasium environment with pictures -> frames, and what its actions are."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np
from jaxtyping import Shaped

from chronotope.actions import ActionSchema
from chronotope.errors import FileProblem, UsageError, nearest
from chronotope.geometry import Picture
from chronotope.worlds.write import Put, put_pixels

__all__ = ["Environment", "opened", "schema_of"]

INSTALL = "recording needs the package gymnasium: pip install 'chronotope[record]'"
IDLE = ("noop", "no-op", "nothing", "none", "idle", "stay")  # names of actions that do nothing
DEFAULT_FPS = 15.0


class Environment:
    """An environment of Gymnasium in which frames are RGB pictures of one size and actions are vectors.

    Episodes begin with `options`, and `put` writes the frames of a recorded clip.
    """

    def __init__(
        self,
        name: str,
        env: Any,
        size: tuple[int, int] | None = None,
        options: Mapping[str, Any] | None = None,
        put: Put = put_pixels,
    ) -> None:
        self.name, self.put = name, put
        self._env, self._size = env, size
        self._options = dict(options) if options else None
        self.schema = schema_of(env)
        self.fps = float((env.metadata or {}).get("render_fps") or DEFAULT_FPS)

    def reset(self, seed: int) -> Picture:
        """Start an episode and return its first frame."""
        observation, _ = self._env.reset(seed=seed, options=self._options)
        return self._picture(observation)

    def step(self, values: Shaped[np.ndarray, " d"]) -> tuple[Picture, float, bool]:
        """Do an action; return the frame it led to, the reward, and whether the episode is over."""
        stored = self.schema.check(np.asarray(values)[None])[0]
        observation, reward, terminated, truncated, _ = self._env.step(_of_space(stored, self._env.action_space))
        return self._picture(observation), float(reward), bool(terminated or truncated)

    def _picture(self, observation: Any) -> Picture:
        frame = self._env.render() if self._env.render_mode == "rgb_array" else observation
        frame = np.asarray(frame)
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise UsageError(
                f"{self.name} shows an array of shape {frame.shape} and type {frame.dtype}, expected RGB pictures of "
                "shape (height, width, 3) and type uint8; wrap the environment so that it renders 'rgb_array'"
            )
        if self._size and (frame.shape[1], frame.shape[0]) != self._size:
            frame = cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA)
        return np.array(frame, order="C")  # a copy: many environments draw every frame into one buffer


@contextlib.contextmanager
def opened(name: str, size: tuple[int, int] | None = None, episode_steps: int | None = None) -> Iterator[Environment]:
    """Open an environment by its id, `module:id` for one that a module registers, and close it afterwards.

    Frames are resized to `size`, width and height, and episodes end after `episode_steps`, if they are given. Raises
    FileProblem where Gymnasium or what the environment needs is not installed, UsageError for an unknown id and for one
    without pictures.
    """
    try:
        import gymnasium
    except ImportError as problem:
        raise FileProblem(INSTALL) from problem
    module, _, known = name.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        modes = _render_modes(known)
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pictures alone: pygame looks for no display
        mode = "rgb_array" if "rgb_array" in modes else None
        env = gymnasium.make(known, render_mode=mode, max_episode_steps=episode_steps)
        try:
            yield _with_pictures(name, env, modes, size)
        finally:
            env.close()
    except gymnasium.error.DependencyNotInstalled as problem:
        raise FileProblem(f"{name} needs a package that is not installed: {problem}") from problem
    except (gymnasium.error.Error, ModuleNotFoundError) as problem:
        near = nearest(known, gymnasium.registry)
        hint = f"Did you mean '{near}'?" if near else "Give the id of a registered environment, module:id, or a model."
        raise UsageError(f"{name} cannot be made by Gymnasium: {str(problem).rstrip('.')}. {hint}") from problem


def _render_modes(name: str) -> tuple[str, ...]:
    """Return the render modes of an environment; Gymnasium refuses to make one with a mode that it lacks."""
    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    entry = gymnasium.spec(name).entry_point
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    return tuple((getattr(creator, "metadata", None) or {}).get("render_modes", ()))


def _with_pictures(name: str, env: Any, modes: tuple[str, ...], size: tuple[int, int] | None) -> Environment:
    from gymnasium import spaces

    space = env.observation_space
    pictures = isinstance(space, spaces.Box) and len(space.shape) == 3 and space.shape[2] == 3
    if env.render_mode != "rgb_array" and not pictures:
        raise UsageError(
            f"{name} has no pictures: it renders {', '.join(modes) or 'nothing'}, not 'rgb_array', and its "
            f"observations are {space}"
        )
    return Environment(name, env, size)


def schema_of(env: Any) -> ActionSchema:
    """Return the schema of an environment's actions; raise UsageError for a space that is none of vectors."""
    from gymnasium import spaces

    if isinstance(schema := getattr(env.unwrapped, "schema", None), ActionSchema):
        return schema  # of a trained model
    space = env.action_space
    if isinstance(space, spaces.Discrete):
        names = _meanings(env, int(space.n), int(space.start))
        neutral = next((number for number, name in enumerate(names) if name.lower() in IDLE), None)
        return ActionSchema("discrete", ("action",), (names,), neutral=() if neutral is None else (float(neutral),))
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        sizes, starts = np.full(math.prod(space.shape), 2), np.zeros(math.prod(space.shape), int)
        if isinstance(space, spaces.MultiDiscrete):
            sizes, starts = space.nvec.flatten(), space.start.flatten()
        ranges = [range(int(start), int(start + size)) for start, size in zip(starts, sizes, strict=True)]
        choices = tuple(tuple(map(str, values)) for values in ranges)
        return ActionSchema("multi-discrete", tuple(f"action {i}" for i in range(len(sizes))), choices)
    # a Box of whole numbers would be given others than are recorded
    is_box = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
    if is_box and np.isfinite(space.low).all() and np.isfinite(space.high).all():
        low, high = (tuple(float(value) for value in bounds.flatten()) for bounds in (space.low, space.high))
        has_zero = all(below <= 0 <= above for below, above in zip(low, high, strict=True))
        names = tuple(f"action {i}" for i in range(len(low)))
        return ActionSchema("continuous", names, low=low, high=high, neutral=(0.0,) * len(low) if has_zero else ())
    raise UsageError(
        f"actions of {space} cannot be recorded: expected Discrete, MultiDiscrete, MultiBinary or a Box of "
        "floating-point numbers with finite bounds; wrap the environment so that it has one of these"
    )


def _meanings(env: Any, count: int, start: int) -> tuple[str, ...]:
    """Return the names of discrete actions, which some environments tell, or their numbers."""
    tell = getattr(env.unwrapped, "get_action_meanings", None)
    if callable(tell) and len(names := tell()) == count:
        return tuple(str(name).lower() for name in names)
    return tuple(str(start + number) for number in range(count))


def _of_space(values: Shaped[np.ndarray, " d"], space: Any) -> Any:
    """Return an action as the environment's own space holds it."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return int(space.start) + int(values[0])
    shaped = values.reshape(space.shape).astype(space.dtype)
    return shaped + space.start if isinstance(space, spaces.MultiDiscrete) else shaped
