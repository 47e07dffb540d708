"""An environment that is played on the page, and recorded: the clips hold its frames and the player's actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped

from chronotope.errors import UsageError
from chronotope.geometry import Frames, Picture
from chronotope.progress import Progress
from chronotope.record.environment import Environment
from chronotope.record.recorder import Episode, Recorder
from chronotope.record.session import episode_seed
from chronotope.simulate.world import Recorded

__all__ = ["RealWorld"]


class RealWorld:
    """An environment as `Session` steps it; it has one state, so it is played by one session and does not go back.

    An episode that is over is followed by the next one. `progress` is called with the frames that are held and wanted,
    and `finished` tells that the player was told of the end.
    """

    slice_frames, goes_back = 1, False

    def __init__(
        self, environment: Environment, recorder: Recorder, progress: Progress = lambda held, wanted: None
    ) -> None:
        self._environment, self._recorder, self._progress = environment, recorder, progress
        self.schema = environment.schema
        self.fps = recorder.request.fps or environment.fps
        self._state = object()
        self._episode: Episode | None = None
        self._first: Picture | None = None
        self._over = False
        self.finished = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames, which are known when the environment has begun."""
        first = self._reset() if self._first is None else self._first
        return first.shape[0], first.shape[1]

    @property
    def recorded(self) -> Recorded:
        """What the recording holds."""
        return Recorded(self._recorder.held, self._recorder.request.steps)

    def end(self) -> None:
        """End the recording."""
        self.finished = True

    @property
    def names(self) -> Mapping[str, str]:
        """What the page and the record call it."""
        return {"environment": self._environment.name}

    def sampling_facts(self) -> Mapping[str, Any]:
        """Return nothing: no model makes the frames."""
        return {}

    def start_picture(self, number: int) -> Picture | None:
        """Return None: an environment begins by itself."""
        return None

    def begin(
        self, seed: int = 0, prompt: str = "", picture: Picture | None = None, consent: str = ""
    ) -> tuple[object, Picture]:
        """Begin an episode by the seed of the recording; raise UsageError for words and pictures."""
        if prompt.strip() or picture is not None:
            name = self._environment.name
            raise UsageError(f"{name} is recorded, and begins by itself; leave words and pictures out")
        if self._episode is not None:
            self._episode.close()
        first = self._reset()
        return self._state, first

    def step(self, state: object, actions: Shaped[np.ndarray, "t d"]) -> tuple[object, Frames]:
        """Do an action and record where it led; after the end of an episode, begin the next one.

        Raises UsageError for a session that is not the newest, and when the recording is complete.
        """
        if state is not self._state:
            raise UsageError("another session has begun, and what is recorded has one at a time; begin again")
        if self._recorder.complete or self.finished:
            raise UsageError(f"the recording has ended; it holds {self._recorder.held} frames")
        if self._over:
            first = self._reset()
            return self._state, first[None]
        if self._episode is None:  # not before the first action: a page that is only opened leaves no clip
            self._episode = self._recorder.begin(self._reset() if self._first is None else self._first)
        frame, reward, self._over = self._environment.step(actions[0])
        self._episode.add(frame, actions[0], reward)
        if self._over or self._recorder.complete:
            self._episode.close()
        self._progress(self._recorder.held, self._recorder.request.steps)
        self._state = object()
        return self._state, frame[None]

    def _reset(self) -> Picture:
        self._first = first = self._environment.reset(episode_seed(self._recorder))
        self._state, self._episode, self._over = object(), None, False
        return first
