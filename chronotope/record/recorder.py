"""Episodes as a dataset: clips of equal length with the action that led to every frame.

A recording can be interrupted and run again: whole clips stay, and it goes on with a new episode.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from chronotope.actions import Actions, ActionSchema
from chronotope.config import to_dict
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Picture
from chronotope.jsonl import append_jsonl
from chronotope.manifest import LOST, manifest_hash, read_manifest
from chronotope.media import video
from chronotope.sealed import read_sealed
from chronotope.worlds.world import Rendered
from chronotope.worlds.write import Put, filled_folder, put_pixels, write_clip

__all__ = ["MAX_STEPS", "Episode", "Recorder", "Recording", "recording"]

MAX_STEPS = 100_000_000
MAX_CLIP_FRAMES = 10_000
MAX_FPS = 1000
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
    "episode_steps",
    "prompt",
    "generated_by",
    "licence",
    "actions",
)  # of a recording that goes on


@dataclass(frozen=True)
class Recording:
    """What is recorded: at least `steps` frames of an environment, in clips of at most `clip_frames`.

    `caption` is that of every clip, and `licence` an SPDX expression; both may be empty. `fps` is the environment's own
    rate if it is None. `world` says what kind of environment it is. Of a trained model `generated_by` names the
    weights, and `prompt` is what it is told. Episodes end after `episode_steps`, or where the environment ends them.
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
    world: str = "gymnasium"
    episode_steps: int | None = None
    prompt: str = ""
    generated_by: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_STEPS:
            raise UsageError(f"steps = {self.steps}: expected 1 to {MAX_STEPS}")
        if not 2 <= self.clip_frames <= MAX_CLIP_FRAMES:
            raise UsageError(f"clip_frames = {self.clip_frames}: expected 2 to {MAX_CLIP_FRAMES}")
        if self.fps is not None and not 0 < self.fps <= MAX_FPS:
            raise UsageError(f"fps = {self.fps:g}: expected a rate above 0, to {MAX_FPS}; leave it out for the rate of "
                             "the environment")  # fmt: skip

    def described(self, schema: ActionSchema) -> dict[str, Any]:
        """Return what `dataset.json` says of it."""
        about = {"scope": self.environment, "split": "train", **to_dict(self)}
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
        if self.frames and frame.shape != self.frames[0].shape:
            (height, width), (before, beside) = frame.shape[:2], self.frames[0].shape[:2]
            raise UsageError(
                f"step {self.first + len(self.frames)} of an episode shows {width}x{height} pixels, and the steps "
                f"before it {beside}x{before}; frames of a clip have one size: give --size {beside}x{before}"
            )
        self.frames.append(frame)
        self.values.append(values)
        self.known.append(known)
        self.rewards.append(reward)


class Recorder:
    """A folder that is being filled with clips of episodes; `held` counts its frames, those of open clips too."""

    def __init__(
        self,
        out: Path,
        request: Recording,
        schema: ActionSchema,
        fps: float,
        rows: dict[int, dict[str, Any]],
        put: Put = put_pixels,
    ) -> None:
        self.request, self.schema = request, schema
        self._out, self._fps, self._rows, self._write = out, request.fps or fps, rows, put
        self._next = max((row["episode"] + 1 for row in rows.values()), default=0)
        self._open: list[Episode] = []
        self.held = sum(row["frames"] for row in rows.values())

    @property
    def next_episode(self) -> int:
        """The number of the episode that begins next."""
        return self._next

    @property
    def complete(self) -> bool:
        """Whether the folder holds as many frames as requested."""
        return self.held >= self.request.steps

    def begin(self, frame: Picture, caption: str | None = None) -> Episode:
        """Begin an episode with its first frame; `caption`, if given, is that of its clips."""
        episode = Episode(self, self._next, frame, self.request.caption if caption is None else caption)
        self._open.append(episode)
        self._next += 1
        return episode

    def close(self) -> None:
        """End all episodes."""
        for episode in list(self._open):
            episode.close()

    def _ended(self, episode: Episode) -> None:
        self._open.remove(episode)

    def _put(self, episode: int, caption: str, clip: _Clip) -> None:
        """Write a clip and list it."""
        index = max(self._rows, default=-1) + 1  # clips before it may be gone
        key = f"{index // 1000:04d}/episode-{episode:06d}-{clip.first // self.request.clip_frames:04d}"
        (self._out / key).parent.mkdir(exist_ok=True)
        values = self.schema.check(np.stack(clip.values))
        actions = Actions(values, np.array(clip.known), np.array(clip.rewards, np.float32))
        record = {
            "captions": {"sentence": [caption]} if caption else {},
            "environment": self.request.environment,
            "episode": episode,
            "first_step": clip.first,
        }
        rendered = Rendered(np.stack(clip.frames), record, actions=actions)
        more = {"episode": episode, "frames": len(clip.frames)}
        self._rows[index] = write_clip(self._out, index, key, rendered, self._fps, record, more, self._write)
        append_jsonl(self._out / "manifest.jsonl", self._rows[index])


class Episode:
    """An episode that is being recorded; a clip is written when it is full, and the last one when the episode ends."""

    def __init__(self, recorder: Recorder, number: int, frame: Picture, caption: str) -> None:
        self._recorder, self._number, self._caption = recorder, number, caption
        self._clip, self._step, self._closed = _Clip(), 0, False
        schema = recorder.schema
        neutral = np.array(schema.neutral or (0,) * schema.dims, schema.dtype)
        self._add(frame, np.maximum(neutral, schema.low) if schema.low else neutral, False, 0.0)

    def add(self, frame: Picture, values: Shaped[np.ndarray, " d"], reward: float = 0.0) -> None:
        """Add a frame, the action that led to it, and its reward."""
        self._step += 1
        if len(self._clip.frames) == self._recorder.request.clip_frames:
            self._put()
            self._clip = _Clip(self._step)
        self._add(frame, np.asarray(values), True, reward)

    def close(self) -> None:
        """Write what is left; an episode that is closed already stays as it is."""
        if not self._closed:
            self._closed = True
            self._recorder._ended(self)
            self._put()

    def _add(self, frame: Picture, values: Shaped[np.ndarray, " d"], known: bool, reward: float) -> None:
        self._clip.add(frame, values, known, reward)
        self._recorder.held += 1

    def _put(self) -> None:
        self._recorder._put(self._number, self._caption, self._clip)


@contextlib.contextmanager
def recording(
    out: Path, request: Recording, schema: ActionSchema, fps: float, program: str = "", put: Put = put_pixels
) -> Iterator[Recorder]:
    """Yield what records episodes into a folder, and end those that are open when nothing has failed.

    `put` writes the frames of a clip. Raises UsageError where the folder holds something else, FileProblem where it was
    changed or cannot be written.
    """
    about = request.described(schema) | ({"program": program} if program else {})
    _check_listed(out)
    with filled_folder(out, about, SAME) as rows:
        _check_rate(out, rows, request.fps or fps)
        _remove_unlisted(out, rows)
        recorder = Recorder(out, request, schema, fps, rows, put)
        about["steps"] = max(request.steps, recorder.held)  # fewer may be asked for than were recorded before
        yield recorder
        recorder.close()


def _check_listed(out: Path) -> None:
    """Raise FileProblem where lines on clips are lost or damaged: these clips would be deleted.

    The last line may have been cut off when its writer was killed.
    """
    manifest, about = out / "manifest.jsonl", out / "dataset.json"
    if not about.is_file() or not manifest.is_file():
        return
    damaged: list[str] = []
    rows, found = read_manifest(manifest, damaged.append), read_sealed(about, LOST)
    torn = len(damaged) == 1 and not manifest.read_bytes().endswith(b"\n") and not found.get("complete")
    if damaged and not torn:
        raise FileProblem(f"{damaged[0]}; its clip would be deleted; {LOST}")
    if found.get("manifest", listed := manifest_hash(rows)) != listed:
        raise FileProblem(f"{manifest} is not the one that {about.name} tells of: lines were lost or added; {LOST}")


def _check_rate(out: Path, rows: dict[int, dict[str, Any]], fps: float) -> None:
    """Raise UsageError where the clips that are there have another frame rate."""
    film = next((out / name for row in rows.values() for name in row["files"] if name.endswith(".mp4")), None)
    if film and abs((found := video.probe(film).fps) - fps) > 0.01 * fps:
        raise UsageError(f"{out} holds clips of {found:g} frames/s, and these would have {fps:g}; give another --out")


def _remove_unlisted(out: Path, rows: dict[int, dict[str, Any]]) -> None:
    """Remove files of the clip that was being written when a recording was killed."""
    listed = {name for row in rows.values() for name in row["files"]}
    for path in out.glob("[0-9]*/*"):
        if OURS.match(path.name) and path.relative_to(out).as_posix() not in listed:
            path.unlink()
