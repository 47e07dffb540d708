"""Inject faults: a true clip is edited, or played without a weapon."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.case import Case
from chronotope.worlds.controls import moment_of, splice
from chronotope.worlds.doom.checks import true_motion, visible_deeds
from chronotope.worlds.doom.deeds import brightness
from chronotope.worlds.doom.motion import measure
from chronotope.worlds.doom.simulate import Episode, actions_of, play, simulate
from chronotope.worlds.doom.spec import DoomSpec
from chronotope.worlds.persistence import persistent_frames

__all__ = ["FAULTS", "inject"]

Injector = Callable[[DoomSpec, Episode, np.random.Generator], Frames | None]
SKIPPED = 6  # frames that a leap leaves out
LEAST_LEAP = 14.0  # levels of 255 by which the frames around a leap must differ, whatever motion is assumed


def inject(code: str, case: Case) -> Frames | None:
    """Return the true clip of a case with this fault, or None where its spec cannot have it."""
    return FAULTS[code](case.spec, simulate(case.spec), np.random.default_rng([case.index, 29]))


def _unarmed(spec: DoomSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    armed = [(seen.labels == 255).any() for seen in episode.seen]
    return play(spec, actions_of(spec), armed=False).frames if all(armed) else None


def _disarmed(spec: DoomSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    moment, unarmed = moment_of(spec, rng), _unarmed(spec, episode, rng)
    if moment is None or unarmed is None or spec.num_frames - moment < persistent_frames(spec.fps):
        return None
    return splice(episode.frames, unarmed, max(moment, spec.num_frames // 2 + 1))


def _mirrored(spec: DoomSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Mirror a clip in which the player turns one way."""
    ways = {one.deed.what for one in visible_deeds(spec) if one.deed.kind == "turn"}
    return episode.frames[:, :, ::-1].copy() if len(ways) == 1 else None


def _frozen(spec: DoomSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    return np.repeat(episode.frames[:1], spec.num_frames, axis=0) if visible_deeds(spec) else None


def _leap(spec: DoomSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Leave out frames where the view changes most."""
    frames = episode.frames
    if len(frames) < SKIPPED + 6:
        return None
    pairs = [np.stack([frames[t], frames[t + SKIPPED]]) for t in range(2, len(frames) - SKIPPED - 2)]
    rests = [measure(pair).rest[1] for pair in pairs]
    largest = int(np.argmax(rests))
    true = true_motion(spec).rest.max()
    if rests[largest] < max(LEAST_LEAP, 2 * true):
        return None
    kept = np.r_[: largest + 3, largest + 2 + SKIPPED : len(frames)]
    return frames[np.r_[kept, [len(frames) - 1] * (len(frames) - len(kept))]]


def _lit(spec: DoomSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    """Light a dark clip, or darken a bright one."""
    light = brightness(episode.seen[0])
    if not light:
        return None
    frames = episode.frames.astype(float)
    return (np.clip(frames * 1.5 + 70, 0, 255) if light == "dark" else frames * 0.35).astype(np.uint8)


def _blurred(spec: DoomSpec, episode: Episode, rng: np.random.Generator) -> Frames | None:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), spec.width / 24) for frame in episode.frames])


FAULTS: dict[str, Injector] = {
    "TXT-CNT": _unarmed,
    "TXT-PLC": _lit,
    "OBJ-DIS": _disarmed,
    "MOT-STA": _frozen,
    "MOT-DIR": _mirrored,
    "MOT-JMP": _leap,
    "VIS-BLR": _blurred,
}
