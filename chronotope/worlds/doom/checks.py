"""Judge a Doom video: the player turns and walks as asked, is armed, and the view never leaps.

A deed is asked for where it can be seen in the true clip: before a bare wall no camera tells a step, and a turn makes
the picture grow or shrink as steps do. The order of two deeds is asked for where their motions in the true clip have
it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool

from chronotope.geometry import Frames
from chronotope.worlds.check import Check, Outcome
from chronotope.worlds.doom.deeds import Deed, brightness, deeds
from chronotope.worlds.doom.motion import Motion, largest_run, measure
from chronotope.worlds.doom.simulate import Episode, simulate
from chronotope.worlds.doom.spec import DoomSpec
from chronotope.worlds.persistence import first_run

__all__ = ["Visible", "judge", "true_motion", "visible_deeds"]

LEAST_SHIFT, LEAST_GROWTH = 0.2, 0.12  # of a deed that can be seen: widths of the frame, and the logarithm of growth
ENOUGH = 0.4  # of what the true clip shows
STILL = 0.2  # of the change from frame to frame of the true clip
LEAP, LEAP_OVER = 1.5, 8.0  # times the true clip's largest difference that no motion explains, and levels above it
UNSTEADY, UNSTEADY_OVER = 1.5, 3.0  # the same of the mean difference that no motion explains
SHARP = 0.5  # of the steepness of the true clip's edges
STEEP = 98  # percentile of the differences of neighbouring pixels that counts as the edges
LEAST_WEAPON = 12  # pixels
HANDS = 0.6  # correlation with the weapon of the true clip
ASIDE = 0.12  # of the frame by which the weapon may sway
DARKER, BRIGHTER = 60.0, 50.0  # mean levels that a dark frame stays below, and a bright one above


@dataclass(frozen=True)
class Visible:
    """A deed that can be seen in the true clip, and by how much; positive amounts are its way."""

    deed: Deed
    amount: float

    def amounts(self, motion: Motion) -> np.ndarray:
        """Return by how much a video moves in the way of the deed, by frame."""
        along = motion.shift if self.deed.kind == "turn" else motion.growth
        return along if self.deed.what in ("left", "forward") else -along


@functools.lru_cache(maxsize=64)
def true_motion(spec: DoomSpec) -> Motion:
    """Measure the motion of the true clip."""
    return measure(simulate(spec).frames)


@functools.lru_cache(maxsize=64)
def visible_deeds(spec: DoomSpec) -> tuple[Visible, ...]:
    """Return the turns and walks of a clip that can be seen in its frames, whose motion is not larger the other way."""
    motion, found = true_motion(spec), list[Visible]()
    for deed in deeds(simulate(spec).states):
        if deed.kind in ("turn", "walk"):
            amounts = Visible(deed, 0.0).amounts(motion)[deed.start + 1 : deed.end + 1]
            if amounts.sum() >= (LEAST_SHIFT if deed.kind == "turn" else LEAST_GROWTH):
                found.append(Visible(deed, float(amounts.sum())))
    return tuple(one for one in found if not _wrong_way(one, found, motion))


def _wrong_way(one: Visible, wanted: Sequence[Visible], motion: Motion) -> bool:
    """Tell whether a video moves the other way, by more than it moves the way of a deed; not if both are asked for."""
    amount, opposite = largest_run(one.amounts(motion))[0], largest_run(-one.amounts(motion))[0]
    ways = {other.deed.what for other in wanted if other.deed.kind == one.deed.kind}
    return opposite > max(ENOUGH * one.amount, amount) and len(ways) == 1


def _in_order(wanted: Sequence[Visible], motion: Motion) -> bool:
    """Tell whether the middles of the motions of two deeds are in the order of the deeds."""
    deeds = [one.deed.start + one.deed.end for one in wanted]
    runs = [sum(largest_run(one.amounts(motion))[1:]) for one in wanted]
    return (deeds[0] < deeds[1]) == (runs[0] < runs[1])


def judge(spec: DoomSpec, frames: Frames) -> tuple[Check, ...]:
    """Check a video of the size and length of its spec."""
    episode = simulate(spec)
    return (*_weapon(spec, episode, frames), *_picture(episode, frames), *_motion(spec, frames))


def _weapon(spec: DoomSpec, episode: Episode, frames: Frames) -> Iterator[Check]:
    seen = np.array([_armed(episode, frames, t) for t in range(len(frames))])
    gone: Outcome = ("TXT-CNT", 0) if seen.mean() < 0.5 else first_run("OBJ-DIS", ~seen, spec.fps)
    yield Check.of("is in view", gone, "weapon")


def _armed(episode: Episode, frames: Frames, t: int) -> bool:
    """Tell whether a frame shows the weapon as the true clip shows it in this frame, or where it is raised most.

    Nothing is asked while the weapon is lowered.
    """
    width = frames.shape[2]
    found = []
    sizes = [int((seen.labels == 255).sum()) for seen in episode.seen]
    if sizes[t] < max(LEAST_WEAPON, max(sizes) / 2):
        return True
    for seen in (episode.seen[t], episode.seen[int(np.argmax(sizes))]):
        mask = seen.labels == 255
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        found.append(_correlation(frames[t], seen.picture[box], mask[box], box, round(ASIDE * width)))
    return max(found) >= HANDS


def _correlation(
    frame: np.ndarray, weapon: np.ndarray, mask: Bool[np.ndarray, "h w"], box: tuple[slice, slice], aside: int
) -> float:
    """Return the highest correlation of the weapon with a frame around a box."""
    rows, columns = box
    region = frame[max(0, rows.start - aside) :, max(0, columns.start - aside) : columns.stop + aside]
    inside = cv2.erode(mask.astype(np.uint8), np.ones((2, 2), np.uint8), borderValue=1)
    inside = (inside if inside.sum() >= 12 else mask.astype(np.uint8))[..., None].repeat(3, axis=2)
    scores = cv2.matchTemplate(
        region.astype(np.float32), weapon.astype(np.float32), cv2.TM_CCOEFF_NORMED, mask=inside.astype(np.float32)
    )
    return float(np.nan_to_num(scores, nan=-1.0, posinf=-1.0, neginf=-1.0).max())


def _picture(episode: Episode, frames: Frames) -> Iterator[Check]:
    ratio = _steepness(frames) / max(_steepness(episode.frames), 1.0)
    yield Check("is sharp", "", "VIS-BLR" if ratio < SHARP else None, 0, {"steepness of edges": ratio})
    wanted, level = brightness(episode.seen[0]), float(frames[0].mean())
    wrong = (wanted == "dark" and level > DARKER) or (wanted == "bright" and level < BRIGHTER)
    if wanted:
        yield Check("is as bright as asked", "", "TXT-PLC" if wrong else None, 0, {"mean level": level})


def _steepness(frames: Frames) -> float:
    return float(np.percentile(np.abs(np.diff(frames[::4].astype(np.int16), axis=2)), STEEP))


def _motion(spec: DoomSpec, frames: Frames) -> Iterator[Check]:
    true, shown, wanted = true_motion(spec), measure(frames), visible_deeds(spec)
    moves = shown.change.mean() >= STILL * true.change.mean()
    if wanted:
        yield Check("moves", "player", None if moves else "MOT-STA", 0)
    leap = shown.rest > max(LEAP * true.rest.max(), true.rest.max() + LEAP_OVER)
    first = int(leap.argmax())
    yield Check("view moves without leaps", "", "MOT-JMP" if leap.any() else None, first if leap.any() else None)
    unsteady = shown.rest.mean() > UNSTEADY * true.rest.mean() + UNSTEADY_OVER
    yield Check("view moves steadily", "", "MOT-SHK" if unsteady else None, 0)
    if not moves:
        return
    seen = 0
    for one in wanted:
        amount = largest_run(one.amounts(shown))[0]
        measured = {"share of the true motion": amount / one.amount}
        name, wrong_way = f"{one.deed.kind}s {one.deed.what}", _wrong_way(one, wanted, shown)
        if amount >= ENOUGH * one.amount and not wrong_way:
            yield Check(name, "player", measured=measured)
            seen += 1
            continue
        code, frame = ("MOT-DIR", largest_run(-one.amounts(shown))[1]) if wrong_way else ("TXT-ACT", 0)
        yield Check(name, "player", code, frame, measured)
    if seen == len(wanted) == 2 and _in_order(wanted, true):
        same = _in_order(wanted, shown)
        yield Check("deeds come in order", "player", None if same else "TXT-ORD", None if same else 0)
