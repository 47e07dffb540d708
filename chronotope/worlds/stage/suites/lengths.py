"""The same few scenes from a picture to two minutes: who does something at first, must still be there, as it was, at the end.

Four stories in turns. Story, actors and place are the same at every length, and what is done does not grow with it but in the last. The
backdrop's seed does change, because each spec is held out by a hash that counts its frames: clouds stand elsewhere, and the seed of
the model's noise, which is a hash of the spec, is another. So levels can be compared over many scenes; one scene alone shows both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from chronotope.worlds.case import SuiteItem
from chronotope.worlds.splits import spec_key
from chronotope.worlds.stage.captions import clauses
from chronotope.worlds.stage.phrases import StageWriter
from chronotope.worlds.stage.simulate import simulate
from chronotope.worlds.stage.spec import Direction, Event, Spec
from chronotope.worlds.stage.suites.specs import held_out, pairs, travellers
from chronotope.worlds.stage.vocabulary import places

__all__ = ["FRAMES", "STORIES", "lengths_suite", "long_specs", "storyboard"]

FRAMES = (1, 16, 32, 64, 128, 256, 960)
BASE = 16  # frames: of the clips from which longer ones are made
ACT = 2.0  # seconds of an act
FARTHEST = 0.6  # short sides in the second in which it goes or comes back
SPECS, LONGEST = (
    32,
    12,
)  # scenes; those of them that are also asked for at the greatest length, which costs as much as all others
OPPOSITE: dict[str | None, Direction] = {"left": "right", "right": "left"}


def _goes_and_stays(base: Spec, seconds: float) -> tuple[Event, ...]:
    """One act, then nothing more."""
    return base.events


def _goes_and_comes_back(base: Spec, seconds: float) -> tuple[Event, ...]:
    """A second one way at first, the last second back."""
    (event,) = base.events
    # in a clip that mostly rests, a step of more than an eighth of the short side would count as a jump
    event = dataclasses.replace(
        event, amount=round(min(event.amount or 0.5, FARTHEST * min(base.width, base.height) / base.width), 4)
    )
    back = dataclasses.replace(event, start=seconds - ACT / 2, end=seconds, direction=OPPOSITE[event.direction])
    return dataclasses.replace(event, end=ACT / 2), back


def _to_and_fro(base: Spec, seconds: float) -> tuple[Event, ...]:
    """There and back, an act after the other to the end."""
    (event,) = base.events
    ways = (event.direction, OPPOSITE[event.direction])
    starts = np.arange(0, seconds - 1e-9, ACT)
    return tuple(
        dataclasses.replace(event, start=float(start), end=float(start + ACT), direction=ways[number % 2])
        for number, start in enumerate(starts)
    )


STORIES: dict[str, Callable[[Spec, float], tuple[Event, ...]]] = {
    "goes, then stays": _goes_and_stays,
    "goes, at the end comes back": _goes_and_comes_back,
    "two, of whom one changes its size": _goes_and_stays,
    "to and fro": _to_and_fro,
}


def lengths_suite() -> Iterator[SuiteItem]:
    """Every scene at every length, stories in turns."""
    for index in range(SPECS):
        story = list(STORIES)[index % len(STORIES)]
        for frames, spec in long_specs(4_000_000 + index, story).items():
            if frames < max(FRAMES) or index >= SPECS - LONGEST:
                prompt = storyboard(spec)
                yield SuiteItem(index, spec, prompt, "story" if "\n" in prompt else "sentence", kind=story)


def long_specs(seed: int, story: str) -> dict[int, Spec]:
    """One scene at every length, by its frames; each held out, for which the seed of its backdrop may differ."""
    two = story == "two, of whom one changes its size"
    for base in _of_whom_one_changes(seed) if two else travellers(seed, BASE):
        found = {frames: _as_long(base, story, frames) for frames in FRAMES}
        whole = {frames: spec for frames, spec in found.items() if spec is not None}
        if len(whole) == len(FRAMES):
            return whole
    raise AssertionError("the scope holds such scenes")


def _as_long(base: Spec, story: str, frames: int) -> Spec | None:
    events = STORIES[story](base, frames / base.fps) if frames > 1 else ()
    return held_out(dataclasses.replace(base, num_frames=frames, events=events))


def _of_whom_one_changes(seed: int) -> Iterator[Spec]:
    """Two who stand apart, one of whom grows or shrinks through the whole clip."""
    for spec in pairs(seed, BASE):
        if len(spec.events) == 1 and spec.events[0].start == 0 and spec.events[0].end >= ACT - 1e-6:
            yield spec


def storyboard(spec: Spec) -> str:
    """A line for each moment at which something begins or ends: '0: a fox walks right in the sky', '2: a fox in the sky'."""
    pen = StageWriter(spec, simulate(spec), np.random.default_rng(int(spec_key(spec)[:12], 16)))
    place = places(spec.backdrop)[0]
    moments = sorted({0.0, *(event.start for event in spec.events), *(event.end for event in spec.events)})
    lines = []
    for moment in (moment for moment in moments if moment < spec.seconds - 1e-6):
        told = pen.limited_to(tuple(event for event in spec.events if event.start == moment))
        lines.append(f"{moment:g}: {clauses(told)} {place}")
    return "\n".join(lines) if len(lines) > 1 else lines[0].partition(": ")[2]
