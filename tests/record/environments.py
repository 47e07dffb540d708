"""Small environments that Gymnasium makes by their ids, `tests.record.environments:Dot-v0` and others."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

SPACES: dict[str, Any] = {
    "discrete": spaces.Discrete(3, start=-1),
    "multi": spaces.MultiDiscrete([2, 3]),
    "numbered": spaces.MultiDiscrete([2, 3], start=[10, -1]),
    "binary": spaces.MultiBinary(2),
    "box": spaces.Box(-1, 1, (2,)),
    "whole": spaces.Box(0, 10, (2,), np.uint8),
    "unbounded": spaces.Box(-np.inf, np.inf, (2,)),
    "dict": spaces.Dict({"a": spaces.Discrete(2)}),
}


class Dot(gymnasium.Env[np.ndarray, Any]):
    """A dot of random colour on a line that moves by the sum of an action; an episode has 10 steps."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, space: str = "discrete", render_mode: str | None = None) -> None:
        self.action_space = SPACES[space]
        self.observation_space = spaces.Box(0, 100, (1,))
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.colour = self.np_random.integers(64, 255, 3)
        self.x, self.steps = 32.0, 0
        return np.array([self.x], np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.x = float(np.clip(self.x + 3 * np.sum(action), 0, 63))
        self.steps += 1
        return np.array([self.x], np.float32), self.x, self.steps >= 10, False, {}

    def render(self) -> np.ndarray:
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[16:32, max(int(self.x) - 4, 0) : int(self.x) + 4] = self.colour
        return frame


class Buffered(Dot):
    """An environment that draws every frame into one buffer, as many do."""

    def render(self) -> np.ndarray:
        self.buffer: np.ndarray = getattr(self, "buffer", np.zeros((48, 64, 3), np.uint8))
        self.buffer[:] = 20 * self.steps
        return self.buffer


class Growing(Dot):
    """An environment whose pictures become larger."""

    def render(self) -> np.ndarray:
        return np.zeros((48 + 2 * self.steps, 64, 3), np.uint8)


class Blind(Dot):
    """An environment without pictures."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["human"]}


for name in SPACES:
    gymnasium.register(f"Dot-{name}-v0", entry_point=Dot, kwargs={"space": name}, disable_env_checker=True)
gymnasium.register("Buffered-v0", entry_point=Buffered, disable_env_checker=True)
gymnasium.register("Growing-v0", entry_point=Growing, disable_env_checker=True)
gymnasium.register("Blind-v0", entry_point=Blind, disable_env_checker=True)
