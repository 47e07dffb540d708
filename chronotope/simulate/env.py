"""A trained model as a Gymnasium environment, and several of them as a vector environment.

`chronotope.make_env("runs/mine")` gives pictures for actions. A model knows no score, so rewards are 0, and no episode
ends by itself; `max_steps` truncates it. `reset(seed=..., options={"prompt": ..., "image": ...})` begins from a text or
a picture; the noise depends on the seed and the number of the step alone, so equal actions give equal frames. What an
action is stands in `metadata["actions"]`, as words, and in `env.unwrapped.schema`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Shaped

from chronotope.actions import ActionSchema
from chronotope.arguments import as_pixels, as_text, described
from chronotope.errors import UsageError
from chronotope.geometry import Picture
from chronotope.simulate.model import StepSettings, WorldModel, WorldState
from chronotope.simulate.record import Start

try:
    import gymnasium
    from gymnasium import spaces
except ModuleNotFoundError as problem:
    raise UsageError("environments need gymnasium: pip install 'chronotope[play]'") from problem

__all__ = ["WorldEnv", "WorldVectorEnv", "action_space", "make_env", "make_vector_env"]

MAX_SEED = 2**31


def action_space(schema: ActionSchema) -> spaces.Space[Any]:
    """Return the Gymnasium space of the actions of a schema."""
    if schema.kind == "continuous":
        return spaces.Box(np.array(schema.low, np.float32), np.array(schema.high, np.float32), dtype=np.float32)
    counts = [len(names) for names in schema.choices]
    return spaces.Discrete(counts[0]) if schema.kind == "discrete" else spaces.MultiDiscrete(counts)


def _numbers(value: Any) -> np.ndarray | None:
    """Return what a user gave as an array of numbers; None for anything else, such as a text."""
    try:
        values = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return values if values.dtype.kind in "iufb" else None


class WorldEnv(gymnasium.Env[np.ndarray, Any]):
    """A model that is stepped: an observation is a frame, uint8 [height, width, 3].

    A model whose slices hold several frames repeats the action in all of them, and shows the last one. `schema` says
    what an action is, and `start` how the current episode began.
    """

    def __init__(self, model: WorldModel, max_steps: int | None = None, render_mode: str | None = "rgb_array") -> None:
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"render_mode is rgb_array or None, got {described(render_mode)}")
        if max_steps is not None and max_steps < 1:
            raise UsageError(f"max_steps is a number of at least 1, or None, got {max_steps}")
        self.model, self.max_steps, self.render_mode = model, max_steps, render_mode
        self.schema = model.schema
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": model.fps / model.slice_frames,
            "actions": list(self.action_names),
        }
        self.observation_space = spaces.Box(0, 255, (*model.size, 3), np.uint8)
        self.action_space = action_space(model.schema)
        self.start = Start()
        self._state: WorldState | None = None
        self._frame: Picture | None = None
        self._steps = 0

    @property
    def action_names(self) -> tuple[str, ...]:
        """The names of the actions 0, 1, ... of a `Discrete` space; else of the dimensions of an action."""
        return self.schema.choices[0] if self.schema.kind == "discrete" else self.schema.names

    def get_action_meanings(self) -> list[str]:
        """Return `action_names`, as environments of Atari do."""
        return list(self.action_names)

    @property
    def expected(self) -> str:
        """What `step` takes, in words."""
        kind = "a number" if self.schema.dims == 1 else f"an array of {self.schema.dims} numbers"
        return f"{kind} ({self.schema.in_words()})"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin from `options["image"]`, uint8 [h, w, 3], else from `options["prompt"]`, else from a stored start.

        `options["consent"]` is what you state of the people in the image; a policy may need it.
        """
        super().reset(seed=seed)
        options = options or {}
        if unknown := options.keys() - {"image", "prompt", "consent"}:
            got = ", ".join(sorted(map(str, unknown)))
            raise UsageError(f"reset takes the options image, prompt and consent, got {got}")
        prompt, consent = (as_text(name, options.get(name, "")) for name in ("prompt", "consent"))
        picture = options.get("image")
        if picture is not None:
            picture = as_pixels("image", picture, "height, width")
        noise = int(self.np_random.integers(MAX_SEED))
        if picture is None and not prompt:
            picture = self.model.start_picture(noise)
        self.start = Start(noise, prompt, picture, consent)
        self._state, self._frame = self.model.begin(noise, prompt, picture, consent)
        self._steps = 0
        return self._frame.copy(), {"frame": 0}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Return the next frame, no reward, and whether `max_steps` are over; raise UsageError for no such action."""
        if self._state is None:
            raise UsageError("call reset before step: there is no first frame yet")
        actions = np.repeat(self._values(action)[None], self.model.slice_frames, axis=0)
        self._state, frames = self.model.step(self._state, actions)
        self._frame, self._steps = frames[-1], self._steps + 1
        truncated = self.max_steps is not None and self._steps >= self.max_steps
        return self._frame.copy(), 0.0, False, truncated, {"frame": self._steps}

    def _values(self, action: Any) -> Shaped[np.ndarray, " d"]:
        """Return an action as the schema stores it; raise UsageError for anything else."""
        values = _numbers(action)
        try:
            return self.schema.check(np.reshape(() if values is None else values, (1, -1)))[0]
        except UsageError:
            got = described(
                action.item() if isinstance(action, np.generic | np.ndarray) and action.size == 1 else action
            )
            raise UsageError(f"got the action {got}, expected {self.expected}") from None  # the schema speaks of clips

    def render(self) -> Any:
        """Return the current frame; None before the first reset."""
        return None if self.render_mode is None or self._frame is None else self._frame.copy()


class WorldVectorEnv(gymnasium.vector.SyncVectorEnv):
    """Sessions of one model, stepped one after the other; they share the weights."""

    def step(self, actions: Any) -> Any:
        """Do one action in each session; raise UsageError, before any is done, unless there is one for each."""
        sessions = [cast(WorldEnv, env.unwrapped) for env in self.envs]
        values, dims = _numbers(actions), self.single_action_space.shape or ()
        if values is None or values.shape != (self.num_envs, *dims):
            expected = sessions[0].expected
            raise UsageError(
                f"got the actions {described(actions)}, expected an array with one action for each of the "
                f"{self.num_envs} sessions, each {expected}"
            )
        checked = [session._values(action) for session, action in zip(sessions, values, strict=True)]
        return super().step(np.array(checked).reshape(values.shape))


def make_env(
    model: str | Path | WorldModel, *, max_steps: int | None = None, settings: StepSettings | None = None
) -> WorldEnv:
    """Return a model, by its name or folder, as a Gymnasium environment; it must have been trained with actions."""
    loaded = model if isinstance(model, WorldModel) else WorldModel.load(model, settings)
    return WorldEnv(loaded, max_steps)


def make_vector_env(
    model: str | Path | WorldModel,
    num_envs: int,
    *,
    max_steps: int | None = None,
    settings: StepSettings | None = None,
) -> WorldVectorEnv:
    """Return `num_envs` sessions of one model as a vector environment; they share the weights."""
    if not 1 <= num_envs <= 1024:
        raise UsageError(f"num_envs is a number from 1 to 1024, got {num_envs}")
    loaded = model if isinstance(model, WorldModel) else WorldModel.load(model, settings)
    return WorldVectorEnv([lambda: WorldEnv(loaded, max_steps) for _ in range(num_envs)])
