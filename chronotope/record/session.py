"""Record episodes of an environment as a dataset: clips of equal length with the action that led to every frame.

A recording can be interrupted and run again: whole clips stay, and it goes on with a new episode.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from chronotope.actions import Actions, ActionSchema
from chronotope.config import to_dict
from chronotope.errors import UsageError
from chronotope.geometry import Picture
from chronotope.jsonl import append_jsonl
from chronotope.progress import Progress
from chronotope.record.environment import Environment
from chronotope.record.players import Player, player_of
from chronotope.worlds.world import Rendered
from chronotope.worlds.write import clip_seed, filled_folder, write_clip

__all__ = ["MAX_STEPS", "Recording", "record"]

MAX_STEPS = 100_000_000
MAX_CLIP_FRAMES = 10_000
OURS = re.compile(r"episode-\d{6}-\d{4}\.")  # files of clips
SAME = (
    "world",
    "environment",
    "policy",
    "seed",
    "size",
    "clip_frames",
    "caption",
    "fps",
)  # of a recording that goes on


@dataclass(frozen=True)
class Recording:
    """What is recorded: at least `steps` frames of an environment, in clips of at most `clip_frames`.

    `caption` is that of every clip, and `licence` an SPDX expression; both may be empty. `fps` is the environment's own
    rate if it is None.
    """

    environment: str
    steps: int
    policy: str = "random"
    seed: int = 0
    size: tuple[int, int] | None = None
    clip_frames: int = 64
    fps: float | None = None
    caption: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_STEPS:
            raise UsageError(f"steps = {self.steps}: expected 1 to {MAX_STEPS}")
        if not 2 <= self.clip_frames <= MAX_CLIP_FRAMES:
            raise UsageError(f"clip_frames = {self.clip_frames}: expected 2 to {MAX_CLIP_FRAMES}")

    def described(self, schema: ActionSchema) -> dict[str, Any]:
        """Return what `dataset.json` says of it."""
        about = {"world": "gymnasium", "scope": self.environment, "split": "train", **to_dict(self)}
        return {name: value for name, value in about.items() if value not in (None, "")} | {"actions": to_dict(schema)}


@dataclass
class _Clip:
    """The frames of a clip while it is recorded; `first` is its first step in the episode."""

    first: int = 0
    frames: list[Picture] = field(default_factory=list)
    values: list[Shaped[np.ndarray, " d"]] = field(default_factory=list)
    known: list[bool] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)

    def add(self, frame: Picture, values: Shaped[np.ndarray, " d"], known: bool, reward: float) -> None:
        self.frames.append(frame)
        self.values.append(values)
        self.known.append(known)
        self.rewards.append(reward)


def record(
    out: Path,
    request: Recording,
    environment: Environment,
    player: Callable[[int], Player] | None = None,
    progress: Progress | None = None,
    program: str = "",
) -> int:
    """Record until the folder holds as many frames as requested; return how many it holds.

    `player` makes the player of an episode from its seed; without it the policy of the request plays. It may end the
    recording earlier. Raises UsageError where the folder holds something else, FileProblem where it was changed or
    cannot be written.
    """
    choose = player or (lambda seed: player_of(request.policy, environment.schema, seed))
    about = request.described(environment.schema) | ({"program": program} if program else {})
    with filled_folder(out, about, SAME) as rows:
        _remove_unlisted(out, rows)
        _play(out, request, environment, choose, rows, progress)
        return _frames_of(rows)


def _remove_unlisted(out: Path, rows: dict[int, dict[str, Any]]) -> None:
    """Remove files of the clip that was being written when a recording was killed."""
    listed = {name for row in rows.values() for name in row["files"]}
    for path in out.glob("[0-9]*/*"):
        if OURS.match(path.name) and path.relative_to(out).as_posix() not in listed:
            path.unlink()


def _frames_of(rows: dict[int, dict[str, Any]]) -> int:
    return sum(row["frames"] for row in rows.values())


def _play(
    out: Path,
    request: Recording,
    environment: Environment,
    choose: Callable[[int], Player],
    rows: dict[int, dict[str, Any]],
    progress: Progress | None,
) -> None:
    """Play episodes until there are enough frames, and write every clip when it is full or its episode ends."""
    episode = max((row["episode"] + 1 for row in rows.values()), default=0)
    held, goes_on = _frames_of(rows), True
    neutral = np.array(environment.schema.neutral or (0,) * environment.schema.dims, environment.schema.dtype)
    neutral = np.maximum(neutral, environment.schema.low) if environment.schema.low else neutral

    def put(clip: _Clip) -> None:
        index = max(rows, default=-1) + 1  # clips before it may be gone
        rows[index] = _write(out, request, environment, index, episode, clip)
        append_jsonl(out / "manifest.jsonl", rows[index])

    while held < request.steps and goes_on:
        seed = clip_seed(request.seed, episode) % 2**31
        player = choose(seed)
        clip, over, step = _Clip(), False, 0
        clip.add(environment.reset(seed), neutral, False, 0.0)
        held += 1
        while held < request.steps and not over:
            action = player.choose(clip.frames[-1])
            if action is None:
                goes_on = False
                break
            if len(clip.frames) == request.clip_frames:
                put(clip)
                clip = _Clip(step + 1)
            frame, reward, over = environment.step(action)
            clip.add(frame, np.asarray(action), True, reward)
            step, held = step + 1, held + 1
            if progress:
                progress(held, request.steps)
        put(clip)
        episode += 1


def _write(
    out: Path, request: Recording, environment: Environment, index: int, episode: int, clip: _Clip
) -> dict[str, Any]:
    key = f"{index // 1000:04d}/episode-{episode:06d}-{clip.first // request.clip_frames:04d}"
    (out / key).parent.mkdir(exist_ok=True)
    values = environment.schema.check(np.stack(clip.values))
    actions = Actions(values, np.array(clip.known), np.array(clip.rewards, np.float32))
    record = {
        "captions": {"sentence": [request.caption]} if request.caption else {},
        "environment": request.environment,
        "episode": episode,
        "first_step": clip.first,
    }
    rendered = Rendered(np.stack(clip.frames), record, actions=actions)
    more = {"episode": episode, "frames": len(clip.frames)}
    return write_clip(out, index, key, rendered, request.fps or environment.fps, record, more)
