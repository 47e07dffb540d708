"""The same scenes at every length from a picture to two minutes; the actors must still be there at the end.

Four stories take turns. Story, actors and place are the same at every length, and only the last story has more events
in a longer clip. The seed of the backdrop differs between lengths, because each spec is held out by a hash that
includes its number of frames; so does the seed of the model's noise, a hash of the spec. Compare lengths over many
scenes, because a single scene shows these differences too.
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
from chronotope.worlds.stage.suites.specs import held_out, pair_specs, travelling_specs
from chronotope.worlds.stage.vocabulary import places

__all__ = ["FRAMES", "STORIES", "lengths_suite", "long_specs", "storyboard"]

FRAMES = (1, 16, 32, 64, 128, 256, 960)
BASE_FRAMES = 16  # of the clips from which longer ones are made
ACT_SECONDS = 2.0
MAX_DISTANCE = 0.6  # short sides in one second
NUM_SCENES = 32
NUM_LONGEST = 12  # scenes that are also requested at the greatest length, which costs as much as all other lengths
OPPOSITE: dict[str | None, Direction] = {"left": "right", "right": "left"}


def _base_events(base: Spec, seconds: float) -> tuple[Event, ...]:
    """Act once, then rest."""
    return base.events


def _there_and_back_at_end(base: Spec, seconds: float) -> tuple[Event, ...]:
    """Move away in the first second and back in the last."""
    (event,) = base.events
    # In a clip that mostly rests, a step of more than an eighth of the short side would count as a jump.
    farthest = MAX_DISTANCE * min(base.width, base.height) / base.width
    event = dataclasses.replace(event, amount=round(min(event.amount or 0.5, farthest), 4))
    back = dataclasses.replace(event, start=seconds - ACT_SECONDS / 2, end=seconds, direction=OPPOSITE[event.direction])
    return dataclasses.replace(event, end=ACT_SECONDS / 2), back


def _back_and_forth(base: Spec, seconds: float) -> tuple[Event, ...]:
    """Move back and forth, one act after the other, to the end."""
    (event,) = base.events
    directions = (event.direction, OPPOSITE[event.direction])
    starts = np.arange(0, seconds - 1e-9, ACT_SECONDS)
    return tuple(
        dataclasses.replace(event, start=float(start), end=float(start + ACT_SECONDS), direction=directions[number % 2])
        for number, start in enumerate(starts)
    )


STORIES: dict[str, Callable[[Spec, float], tuple[Event, ...]]] = {
    "goes, then stays": _base_events,
    "goes, at the end comes back": _there_and_back_at_end,
    "two, of whom one changes its size": _base_events,
    "to and fro": _back_and_forth,
}


def lengths_suite() -> Iterator[SuiteItem]:
    """Yield every scene at every length, stories in turns."""
    for index in range(NUM_SCENES):
        story = list(STORIES)[index % len(STORIES)]
        for frames, spec in long_specs(4_000_000 + index, story).items():
            if frames < max(FRAMES) or index >= NUM_SCENES - NUM_LONGEST:
                prompt = storyboard(spec)
                yield SuiteItem(index, spec, prompt, "story" if "\n" in prompt else "sentence", kind=story)


def long_specs(seed: int, story: str) -> dict[int, Spec]:
    """Return one scene at every length, by its number of frames; each held out."""
    is_pair = story == "two, of whom one changes its size"
    for base in _resizing_pairs(seed) if is_pair else travelling_specs(seed, BASE_FRAMES):
        found = {frames: _with_length(base, story, frames) for frames in FRAMES}
        feasible = {frames: spec for frames, spec in found.items() if spec is not None}
        if len(feasible) == len(FRAMES):
            return feasible
    raise AssertionError("the scope holds such scenes")


def _with_length(base: Spec, story: str, frames: int) -> Spec | None:
    events = STORIES[story](base, frames / base.fps) if frames > 1 else ()
    return held_out(dataclasses.replace(base, num_frames=frames, events=events))


def _resizing_pairs(seed: int) -> Iterator[Spec]:
    """Yield specs of two separate actors, one of which grows or shrinks through the whole clip."""
    for spec in pair_specs(seed, BASE_FRAMES):
        if len(spec.events) == 1 and spec.events[0].start == 0 and spec.events[0].end >= ACT_SECONDS - 1e-6:
            yield spec


def storyboard(spec: Spec) -> str:
    """Return one line for each time at which an event starts or ends: '0: a fox walks right in the sky'."""
    writer = StageWriter(spec, simulate(spec), np.random.default_rng(int(spec_key(spec)[:12], 16)))
    place = places(spec.backdrop)[0]
    moments = sorted({0.0, *(event.start for event in spec.events), *(event.end for event in spec.events)})
    lines = []
    for moment in (moment for moment in moments if moment < spec.seconds - 1e-6):
        sentences = writer.limited_to(tuple(event for event in spec.events if event.start == moment))
        lines.append(f"{moment:g}: {clauses(sentences)} {place}")
    return "\n".join(lines) if len(lines) > 1 else lines[0].partition(": ")[2]
