"""The canvas tasks as cases: their inputs, and the spec by which the result is judged.

The inputs are rendered from the spec: its picture, its first or last frames, or the clip of a spec that differs in what
the prompt changes. A system that only returns its inputs therefore fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from chronotope.errors import UsageError, suggest
from chronotope.request import Inputs
from chronotope.worlds.case import SuiteItem, TaskInputs
from chronotope.worlds.splits import attribute_pairs, split_by
from chronotope.worlds.stage.checks.tracking import truth_of
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Direction, Spec
from chronotope.worlds.stage.suites.lengths import long_specs, storyboard
from chronotope.worlds.stage.suites.specs import held_out, pair_specs, travelling_specs, worded

__all__ = [
    "CANVAS_TASKS",
    "CONTEXT_FRAMES",
    "END_FRAMES",
    "RETAKE_SECONDS",
    "half_of",
    "task_inputs_of",
    "task_specs",
    "tasks_suite",
]

CLIP_FRAMES = 16
CONTEXT_FRAMES = 8  # of an input clip that is continued
END_FRAMES = 4  # of each of two input clips that are connected
EDIT_STRENGTH = 0.6
SPECS_PER_TASK = 30
RETAKE_SECONDS = (0.5, 1.5)


@dataclass(frozen=True)
class CanvasTask:
    """How to sample specs for a task, and how to derive the inputs from a spec."""

    specs: Callable[[int], Iterator[Spec]]
    inputs_of: Callable[[Spec], TaskInputs]


def task_inputs_of(task: str, spec: Spec) -> TaskInputs:
    """Return the inputs of a task whose result should be a clip of this spec.

    Raises UsageError for an unknown task.
    """
    if task not in CANVAS_TASKS:
        raise UsageError(f"unknown task '{task}'. {suggest(task, CANVAS_TASKS)}")
    return CANVAS_TASKS[task].inputs_of(spec)


def task_specs(task: str, seed: int) -> Iterator[Spec]:
    """Yield held-out specs that fit a task."""
    return CANVAS_TASKS[task].specs(seed)


def tasks_suite() -> Iterator[SuiteItem]:
    """Yield the same number of cases of every task, each with its own scene, tasks in turns."""
    for index in range(SPECS_PER_TASK * len(CANVAS_TASKS)):
        task = list(CANVAS_TASKS)[index % len(CANVAS_TASKS)]
        spec = next(task_specs(task, 4_500_000 + index))
        if task == "rollout":
            yield SuiteItem(index, spec, storyboard(spec), "story", task)
        else:
            yield SuiteItem(index, spec, worded(iter([spec]), "sentence")[1], "sentence", task)


# Specs


def _travelling(frames: int) -> Callable[[int], Iterator[Spec]]:
    return lambda seed: travelling_specs(seed, frames)


def _picture_specs(seed: int) -> Iterator[Spec]:
    """Yield specs of a single frame."""
    for spec in travelling_specs(seed, CLIP_FRAMES):
        if (found := held_out(dataclasses.replace(spec, num_frames=1, events=()))) is not None:
            yield found


def _returning_specs(seed: int) -> Iterator[Spec]:
    """Yield specs of an actor that moves away for a second and back for a second, so that the clip loops."""
    for spec in travelling_specs(seed, CLIP_FRAMES):
        (event,) = spec.events
        amount, half = round(min(event.amount or 0.5, 0.5), 4), spec.seconds / 2
        there = dataclasses.replace(event, end=half, amount=amount)
        opposite: Direction = "left" if event.direction == "right" else "right"
        back = dataclasses.replace(there, start=half, end=spec.seconds, direction=opposite)
        if (found := held_out(dataclasses.replace(spec, events=(there, back)))) is not None:
            yield found


def _coloured_specs(seed: int) -> Iterator[Spec]:
    """Yield specs of a shape that has another colour in the input, by a pair that training has seen."""
    for spec in travelling_specs(seed, CLIP_FRAMES):
        if spec.actors[0].colour and _is_trained_pair(_other_colour(spec)):
            yield spec


def _backdrop_specs(seed: int) -> Iterator[Spec]:
    return (spec for spec in travelling_specs(seed, CLIP_FRAMES) if _is_trained_pair(_other_backdrop(spec)))


def _is_trained_pair(spec: Spec) -> bool:
    return split_by("f" * 8, attribute_pairs(spec)) != "combination"


def _specs_in_halves(seed: int) -> Iterator[Spec]:
    """Yield specs of two actors that stay in different halves of the frame."""
    return (spec for spec in pair_specs(seed, CLIP_FRAMES) if {half_of(spec, 0), half_of(spec, 1)} == {"left", "right"})


def half_of(spec: Spec, index: int) -> str | None:
    """Return the half of the frame in which an actor stays through the whole clip, or None."""
    truth = truth_of(spec)
    left, right = truth.x[:, index] - truth.width[:, index] / 2, truth.x[:, index] + truth.width[:, index] / 2
    if right.max() < spec.width / 2:
        return "left"
    return "right" if left.min() > spec.width / 2 else None


def _rollout_specs(seed: int) -> Iterator[Spec]:
    story = ("to and fro", "goes, at the end comes back")[seed % 2]
    yield long_specs(seed, story)[64]


# Inputs


def _text_only(spec: Spec) -> TaskInputs:
    return TaskInputs(Inputs(), spec.num_frames)


def _mask_frames(spec: Spec, *kept: int) -> Bool[np.ndarray, "t h w"]:
    """Return a mask of all pixels of these frames."""
    found = np.zeros((spec.num_frames, spec.height, spec.width), bool)
    found[list(kept)] = True
    return found


def _pictures_at(*shares: float) -> Callable[[Spec], TaskInputs]:
    """Give the true frames at these relative times as pictures."""

    def inputs_of(spec: Spec) -> TaskInputs:
        truth = render(spec).frames
        indices = [round(share * (spec.num_frames - 1)) for share in shares]
        images = tuple((index / spec.fps, truth[index]) for index in indices)
        boundaries = tuple(1 if index == 0 else index for index in indices)
        return TaskInputs(Inputs(images=images), spec.num_frames, _mask_frames(spec, *indices), truth, boundaries)

    return inputs_of


def _extend(spec: Spec) -> TaskInputs:
    return _continued(spec, "extend")


def _loop_clip(spec: Spec) -> TaskInputs:
    return _continued(spec, "loop", wraps=True)


def _continued(spec: Spec, mode: Literal["extend", "loop"], wraps: bool = False) -> TaskInputs:
    truth, kept = render(spec).frames, _mask_frames(spec, *range(CONTEXT_FRAMES))
    inputs = Inputs(mode, video=truth[:CONTEXT_FRAMES])
    return TaskInputs(inputs, spec.num_frames - CONTEXT_FRAMES, kept, truth, (CONTEXT_FRAMES,), wraps)


def _extend_backward(spec: Spec) -> TaskInputs:
    truth, num_new = render(spec).frames, spec.num_frames - CONTEXT_FRAMES
    inputs = Inputs("extend_backward", video=truth[num_new:])
    return TaskInputs(inputs, num_new, _mask_frames(spec, *range(num_new, spec.num_frames)), truth, (num_new,))


def _connect(spec: Spec) -> TaskInputs:
    truth, last = render(spec).frames, spec.num_frames - END_FRAMES
    # Strength 1 generates all frames: the default dissolve suits two scenes, not one with continuous motion.
    inputs = Inputs("connect", video=truth[:END_FRAMES], into=truth[last:], strength=1.0)
    kept = _mask_frames(spec, *range(END_FRAMES), *range(last, spec.num_frames))
    return TaskInputs(inputs, last - END_FRAMES, kept, truth, (END_FRAMES, last))


def _loop(spec: Spec) -> TaskInputs:
    return TaskInputs(Inputs("loop"), spec.num_frames, wraps=True)


def _other_colour(spec: Spec) -> Spec:
    """Change the colour of the shape to the second next."""
    colours, (actor,) = SCOPES["small"].colours, spec.actors
    other = colours[(colours.index(actor.colour or "") + 2) % len(colours)]
    return dataclasses.replace(spec, actors=(dataclasses.replace(actor, colour=other),))


def _other_backdrop(spec: Spec) -> Spec:
    """Change the backdrop to white, or white to black."""
    other = "black" if spec.backdrop == "white" else "white"
    return dataclasses.replace(spec, backdrop=other)


def _edit(before: Callable[[Spec], Spec]) -> Callable[[Spec], TaskInputs]:
    """Give the clip of a spec that differs in one property; the prompt describes the result."""

    def inputs_of(spec: Spec) -> TaskInputs:
        return TaskInputs(Inputs("edit", video=render(before(spec)).frames, strength=EDIT_STRENGTH), spec.num_frames)

    return inputs_of


def _retake(spec: Spec) -> TaskInputs:
    """Give the clip without its actor in the middle; that span is generated again."""
    truth, (first, last) = render(spec).frames, (round(second * spec.fps) for second in RETAKE_SECONDS)
    broken = truth.copy()
    broken[first:last] = render(dataclasses.replace(spec, actors=(), events=())).frames[first:last]
    kept = _mask_frames(spec, *range(first), *range(last, spec.num_frames))
    return TaskInputs(Inputs("retake", video=broken, span=RETAKE_SECONDS), spec.num_frames, kept, truth, (first, last))


def _inpaint(spec: Spec) -> TaskInputs:
    """Give the clip without the second actor, and a mask over the half in which it belongs."""
    one = spec.actors[0]
    alone = dataclasses.replace(spec, actors=(one,), events=tuple(e for e in spec.events if e.actor == one.id))
    source, mask = render(alone).frames, np.zeros((1, spec.height, spec.width), bool)
    middle = spec.width // 2
    mask[:, :, slice(0, middle) if half_of(spec, 1) == "left" else slice(middle, None)] = True
    kept = np.broadcast_to(~mask, source.shape[:3])
    return TaskInputs(Inputs("retake", video=source, mask=mask), spec.num_frames, kept, source)


CANVAS_TASKS: dict[str, CanvasTask] = {
    "picture": CanvasTask(_picture_specs, _text_only),
    "animate a picture": CanvasTask(_travelling(CLIP_FRAMES + 1), _pictures_at(0.0)),
    "first and last frame": CanvasTask(_travelling(CLIP_FRAMES + 1), _pictures_at(0.0, 1.0)),
    "extend forward": CanvasTask(_travelling(CLIP_FRAMES), _extend),
    "extend backward": CanvasTask(_travelling(CLIP_FRAMES), _extend_backward),
    "connect": CanvasTask(_travelling(CLIP_FRAMES), _connect),
    "loop of words": CanvasTask(_returning_specs, _loop),
    "loop of a clip": CanvasTask(_returning_specs, _loop_clip),
    "edit the colour": CanvasTask(_coloured_specs, _edit(_other_colour)),
    "edit the place": CanvasTask(_backdrop_specs, _edit(_other_backdrop)),
    "retake": CanvasTask(_travelling(CLIP_FRAMES), _retake),
    "inpaint": CanvasTask(_specs_in_halves, _inpaint),
    "rollout": CanvasTask(_rollout_specs, _text_only),
}
