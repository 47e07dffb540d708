"""A plan's line whose task or kind its spec does not fit is refused with the reason; those of the suites fit."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from chronotope.errors import FileProblem
from chronotope.evaluate.suite import Case, read_cases, write_cases
from chronotope.worlds.splits import split_of
from chronotope.worlds.stage.spec import Actor, Camera, Event, Spec
from chronotope.worlds.stage.suites.feasibility import infeasible
from chronotope.worlds.stage.suites.lengths import STORIES, lengths_suite
from chronotope.worlds.stage.suites.prompts import PROMPT_KINDS, prompts_suite
from chronotope.worlds.stage.suites.tasks import CANVAS_TASKS, tasks_suite

BALL = Actor("ball", "circle", "shape", 0.25, 0.5, 0.4, "red")
BOX = Actor("box", "square", "shape", 0.75, 0.5, 0.4, "blue")
FOX = Actor("fox", "fox", "emoji", 0.3, 0.5, 0.4)
ROLLS = Event("roll", "ball", 0.0, 2.0, "right", amount=0.4)
SHORT, PLAIN_COLOURS = dataclasses.replace(ROLLS, end=0.5), Camera()


def spec_of(
    *actors: Actor, events: tuple[Event, ...] = (), frames: int = 16, camera: Camera = PLAIN_COLOURS, fps: float = 8.0
) -> Spec:
    return Spec(64, 64, fps, frames, 1, "white", camera, actors, events)


ONE, TWO, MOVING = spec_of(BALL), spec_of(BALL, BOX), spec_of(BALL, events=(ROLLS,))
OF_KINDS = [
    ("spatial relation", ONE, "2 actors"),
    (
        "spatial relation",
        spec_of(BALL, dataclasses.replace(BOX, x=0.27)),
        "one is left of the other by 0.1 short sides",
    ),
    ("camera motion", ONE, "a camera that goes right, left, in, out"),
    ("camera motion", spec_of(BALL, camera=Camera("pan", "up", amount=0.3)), "a camera that goes right, left, in, out"),
    ("camera motion", spec_of(BALL, camera=Camera("follow", actor="ball")), "a camera that goes right, left, in, out"),
    ("camera motion", spec_of(BALL, camera=Camera("pan", "right", amount=0.01)), "a camera that is seen to move"),
    ("count", TWO, "actors of one kind and colour"),
    ("count", spec_of(BALL, dataclasses.replace(BALL, id="other", x=0.3)), "actors that stand apart"),
    ("count", MOVING, "actors to whom nothing happens"),
    ("count", spec_of(), "1 to 5 actors"),
    ("absence", ONE, "a prompt that rules out the"),
    ("absence", spec_of(), "1 or more actors"),
    ("attribute binding", spec_of(BALL, dataclasses.replace(BOX, colour="red")), "two colours"),
    ("single attribute", spec_of(FOX), "shapes, which have a colour"),
    ("motion verb", ONE, "1 or more events"),
    ("ordered events", MOVING, "2 or more events"),
    ("background", ONE, "no plain colour"),
    ("to and fro", TWO, "1 actor"),
    ("goes, at the end comes back", MOVING, "2 events"),
]
OF_TASKS = [
    ("picture", ONE, "1 frame"),
    ("animate a picture", spec_of(BALL, frames=1), "more than 1 frames"),
    ("first and last frame", spec_of(BALL, frames=2), "more than 2 frames"),
    ("extend forward", spec_of(BALL, frames=8), "more than 8 frames"),
    ("extend backward", spec_of(BALL, frames=4, events=(SHORT,)), "more than 8 frames"),
    ("connect", spec_of(BALL, frames=8), "more than 8 frames"),
    ("loop of words", MOVING, "whose end is its beginning"),
    ("loop of a clip", TWO, "1 actor"),
    ("edit the colour", spec_of(FOX), "a shape in"),
    ("edit the colour", spec_of(), "1 actor"),
    ("retake", spec_of(BALL, frames=8), "a clip of more than 1.5 s"),
    ("inpaint", ONE, "2 actors"),
    ("inpaint", spec_of(BALL, dataclasses.replace(BOX, x=0.5)), "a half of the frame"),
    ("rollout", spec_of(BALL, frames=1), "more than 1 frames"),
]


def read_one(folder: Path, spec: Spec, **change: Any) -> None:
    """Read a plan of one line that says what is right of any case, but for these changes."""
    path = folder / "plan.jsonl"
    write_cases([Case("stage", spec, "a red circle", "sentence", split_of(spec), 0, 0, 7)], path)
    row = json.loads(path.read_text())
    path.write_text(json.dumps(row | change) + "\n")
    read_cases(path)


@pytest.mark.parametrize(("kind", "spec", "says"), OF_KINDS)
def test_a_kind_that_the_spec_does_not_show_is_refused(tmp_path: Path, kind: str, spec: Spec, says: str) -> None:
    with pytest.raises(FileProblem, match=rf"line 1, cannot be judged: .*{says}"):
        read_one(tmp_path, spec, kind=kind)


@pytest.mark.parametrize(("task", "spec", "says"), OF_TASKS)
def test_a_task_that_has_no_room_in_the_spec_is_refused(tmp_path: Path, task: str, spec: Spec, says: str) -> None:
    with pytest.raises(FileProblem, match=rf"line 1, cannot be judged: {task} asks for .*{says}"):
        read_one(tmp_path, spec, task=task)


def test_a_task_and_a_kind_of_prompt_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="a case is one of the two"):
        read_one(tmp_path, spec_of(BALL, frames=1), task="picture", kind="count")


def test_what_the_suites_ask_fits() -> None:
    draws = [
        *itertools.islice(prompts_suite(), 4 * len(PROMPT_KINDS)),
        *itertools.islice(tasks_suite(), len(CANVAS_TASKS)),
        *itertools.islice(lengths_suite(), 6 * len(STORIES)),
    ]
    assert [why for draw in draws if (why := infeasible(draw.task, draw.kind, draw.spec, draw.prompt))] == []
