"""The tasks of the canvas as cases: what is given, what is to be made, and the spec by which the whole is judged.

What is given is rendered from the spec: its picture, its first or last frames, or the clip of a spec that differs in the one thing the
prompt changes. A system that only gives back what it was given therefore fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from chronotope.errors import UsageError, suggest
from chronotope.request import Inputs
from chronotope.worlds.case import SuiteItem, TaskInputs
from chronotope.worlds.splits import attribute_pairs, split_by
from chronotope.worlds.stage.checks.tracking import truth_of
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.suites.lengths import long_specs, storyboard
from chronotope.worlds.stage.suites.specs import held_out, pairs, travellers, worded

__all__ = [
    "CANVAS_TASKS",
    "END",
    "GIVEN",
    "RETAKE",
    "half_of",
    "task_inputs_of",
    "task_specs",
    "tasks_suite",
]

CLIP, GIVEN, END = 16, 8, 4  # frames: of a clip; of what is given to go on from; of each end where two are given
STRENGTH = 0.6  # of an edit
SPECS = 30  # of each task
RETAKE = (0.5, 1.5)  # seconds


@dataclass(frozen=True)
class _Task:
    """How specs for a task are found, and how one of them becomes what is asked."""

    specs: Callable[[int], Iterator[Spec]]
    ask: Callable[[Spec], TaskInputs]


def task_inputs_of(task: str, spec: Spec) -> TaskInputs:
    """What a task of this name asks where the result shall be a clip of this spec."""
    if task not in CANVAS_TASKS:
        raise UsageError(f"unknown task '{task}'. {suggest(task, CANVAS_TASKS)}")
    return CANVAS_TASKS[task].ask(spec)


def task_specs(task: str, seed: int) -> Iterator[Spec]:
    """Held-out specs on which a task can be tried."""
    return CANVAS_TASKS[task].specs(seed)


def tasks_suite() -> Iterator[SuiteItem]:
    """As many cases of every task, each of a scene of its own, tasks in turns."""
    for number in range(SPECS * len(CANVAS_TASKS)):
        task = list(CANVAS_TASKS)[number % len(CANVAS_TASKS)]
        for spec in task_specs(task, 4_500_000 + number):
            prompt = storyboard(spec) if task == "rollout" else worded(iter([spec]), "sentence")[1]
            yield SuiteItem(number, spec, prompt, "story" if task == "rollout" else "sentence", task)
            break


# Specs


def _moving(frames: int) -> Callable[[int], Iterator[Spec]]:
    return lambda seed: travellers(seed, frames)


def _pictures(seed: int) -> Iterator[Spec]:
    """Somebody of whom there is one frame."""
    found = (held_out(dataclasses.replace(spec, num_frames=1, events=())) for spec in travellers(seed, CLIP))
    yield from filter(None, found)


def _returning(seed: int) -> Iterator[Spec]:
    """A second one way, a second back: the end is the beginning."""
    for spec in travellers(seed, CLIP):
        (event,) = spec.events
        amount, half = round(min(event.amount or 0.5, 0.5), 4), spec.seconds / 2
        there = dataclasses.replace(event, end=half, amount=amount)
        back = dataclasses.replace(
            there, start=half, end=spec.seconds, direction="left" if event.direction == "right" else "right"
        )
        if (found := held_out(dataclasses.replace(spec, events=(there, back)))) is not None:
            yield found


def _coloured(seed: int) -> Iterator[Spec]:
    """Somebody whose colour can be another one, of pairs that training has seen."""
    return (spec for spec in travellers(seed, CLIP) if spec.actors[0].colour and _usual(_other_colour(spec)))


def _elsewhere(seed: int) -> Iterator[Spec]:
    return (spec for spec in travellers(seed, CLIP) if _usual(_other_place(spec)))


def _usual(spec: Spec) -> bool:
    return split_by("f" * 8, attribute_pairs(spec)) != "combination"


def _a_half_each(seed: int) -> Iterator[Spec]:
    """Two who stay, each in a half of the frame of its own."""
    return (spec for spec in pairs(seed, CLIP) if {half_of(spec, 0), half_of(spec, 1)} == {"left", "right"})


def half_of(spec: Spec, place: int) -> str | None:
    """The half of the frame in which an actor is through the whole clip."""
    truth = truth_of(spec)
    left, right = truth.x[:, place] - truth.width[:, place] / 2, truth.x[:, place] + truth.width[:, place] / 2
    return "left" if right.max() < spec.width / 2 else "right" if left.min() > spec.width / 2 else None


def _long(seed: int) -> Iterator[Spec]:
    story = ("to and fro", "goes, at the end comes back")[seed % 2]
    yield long_specs(seed, story)[64]


# What is asked


def _nothing_given(spec: Spec) -> TaskInputs:
    return TaskInputs(Inputs(), spec.num_frames)


def _frames(spec: Spec, *kept: int) -> Bool[np.ndarray, "t h w"]:
    """All pixels of these frames."""
    found = np.zeros((spec.num_frames, spec.height, spec.width), bool)
    found[list(kept)] = True
    return found


def _stills(*shares: float) -> Callable[[Spec], TaskInputs]:
    """The truth's frames at these shares of the clip, as pictures."""

    def ask(spec: Spec) -> TaskInputs:
        truth = render(spec).frames
        places = [round(share * (spec.num_frames - 1)) for share in shares]
        images = tuple((place / spec.fps, truth[place]) for place in places)
        joints = tuple(1 if place == 0 else place for place in places)
        return TaskInputs(Inputs(images=images), spec.num_frames, _frames(spec, *places), truth, joints)

    return ask


def _extend(spec: Spec) -> TaskInputs:
    truth = render(spec).frames
    given = Inputs("extend", video=truth[:GIVEN])
    return TaskInputs(given, spec.num_frames - GIVEN, _frames(spec, *range(GIVEN)), truth, (GIVEN,))


def _extend_backward(spec: Spec) -> TaskInputs:
    truth, made = render(spec).frames, spec.num_frames - GIVEN
    given = Inputs("extend_backward", video=truth[made:])
    return TaskInputs(given, made, _frames(spec, *range(made, spec.num_frames)), truth, (made,))


def _connect(spec: Spec) -> TaskInputs:
    truth, last = render(spec).frames, spec.num_frames - END
    # all of the way is made: the usual dissolve under it suits two scenes, not one that moves on
    given = Inputs("connect", video=truth[:END], into=truth[last:], strength=1.0)
    return TaskInputs(given, last - END, _frames(spec, *range(END), *range(last, spec.num_frames)), truth, (END, last))


def _loop(spec: Spec) -> TaskInputs:
    return TaskInputs(Inputs("loop"), spec.num_frames, wraps=True)


def _loop_of_a_clip(spec: Spec) -> TaskInputs:
    truth = render(spec).frames
    given = Inputs("loop", video=truth[:GIVEN])
    return TaskInputs(given, spec.num_frames - GIVEN, _frames(spec, *range(GIVEN)), truth, (GIVEN,), wraps=True)


def _other_colour(spec: Spec) -> Spec:
    """The same with the next colour but one."""
    colours, (actor,) = SCOPES["small"].colours, spec.actors
    other = colours[(colours.index(actor.colour or "") + 2) % len(colours)]
    return dataclasses.replace(spec, actors=(dataclasses.replace(actor, colour=other),))


def _other_place(spec: Spec) -> Spec:
    """The same on plain white, or on black where it is white or in the night."""
    other = "black" if spec.backdrop == "white" else "white"
    return dataclasses.replace(spec, backdrop=other)


def _edit(before: Callable[[Spec], Spec]) -> Callable[[Spec], TaskInputs]:
    """The clip of a spec that differs in one thing; the prompt says how it shall be."""
    return lambda spec: TaskInputs(
        Inputs("edit", video=render(before(spec)).frames, strength=STRENGTH), spec.num_frames
    )


def _retake(spec: Spec) -> TaskInputs:
    """The clip without its actor in the middle: the stretch is made again, and it goes through."""
    truth, (first, last) = render(spec).frames, (round(second * spec.fps) for second in RETAKE)
    broken = truth.copy()
    broken[first:last] = render(dataclasses.replace(spec, actors=(), events=())).frames[first:last]
    kept = _frames(spec, *range(first), *range(last, spec.num_frames))
    return TaskInputs(Inputs("retake", video=broken, span=RETAKE), spec.num_frames, kept, truth, (first, last))


def _inpaint(spec: Spec) -> TaskInputs:
    """The clip without the second actor, and a mask over the half in which it shall be."""
    one = spec.actors[0]
    alone = dataclasses.replace(spec, actors=(one,), events=tuple(e for e in spec.events if e.actor == one.id))
    source, mask = render(alone).frames, np.zeros((1, spec.height, spec.width), bool)
    middle = spec.width // 2
    mask[:, :, slice(0, middle) if half_of(spec, 1) == "left" else slice(middle, None)] = True
    kept = np.broadcast_to(~mask, source.shape[:3])
    return TaskInputs(Inputs("retake", video=source, mask=mask), spec.num_frames, kept, source)


CANVAS_TASKS: dict[str, _Task] = {
    "picture": _Task(_pictures, _nothing_given),
    "animate a picture": _Task(_moving(CLIP + 1), _stills(0.0)),
    "first and last frame": _Task(_moving(CLIP + 1), _stills(0.0, 1.0)),
    "extend forward": _Task(_moving(CLIP), _extend),
    "extend backward": _Task(_moving(CLIP), _extend_backward),
    "connect": _Task(_moving(CLIP), _connect),
    "loop of words": _Task(_returning, _loop),
    "loop of a clip": _Task(_returning, _loop_of_a_clip),
    "edit the colour": _Task(_coloured, _edit(_other_colour)),
    "edit the place": _Task(_elsewhere, _edit(_other_place)),
    "retake": _Task(_moving(CLIP), _retake),
    "inpaint": _Task(_a_half_each, _inpaint),
    "rollout": _Task(_long, _nothing_given),
}
