"""Generate held-out cases on which the checks are tested; no suite contains them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from chronotope.worlds.case import PROMPT_FORMS, Case
from chronotope.worlds.stage.checks.tracking import ACTIONS
from chronotope.worlds.stage.scope import SCOPES, single_event_scope
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.suites.prompts import PROMPT_KINDS
from chronotope.worlds.stage.suites.specs import specs_of
from chronotope.worlds.stage.suites.tasks import CANVAS_TASKS, task_specs

__all__ = ["task_cases", "trial_cases", "trial_specs"]

# The stories of the scope `returns`, each with an event that it must contain, if any
RETURN_STORIES = (
    ("side_by_side", None),
    ("hide", None),
    ("leave_and_return", None),
    ("speed", "creep"),
    ("crossing", None),
    ("size_change", None),
    ("partial_occlusion", None),
    ("leave_and_return", "stay"),
    ("speed", "dash"),
    ("side_by_side", None),
)
LONG_FRAMES = (33, 48)  # 4 s and more at 8 frames a second
FIRST_SPEC, FIRST_CASE = 2_000_000, 2_500_000  # seeds


def trial_cases(count: int) -> Iterator[tuple[str, Case]]:
    """Yield `count` cases each of single specs, of the scope `returns`, and of tasks and kinds of prompts."""
    for index, (group, spec) in enumerate(trial_specs(count)):
        yield group, Case("stage", spec, "as its spec says", "sentence", "heldout", 0, index, index)
    for case in task_cases(count):
        yield "tasks and kinds of prompts", case


def trial_specs(count: int, first: int = FIRST_SPEC) -> Iterator[tuple[str, Spec]]:
    """Yield specs with the name of their group.

    Of the first `count`, a quarter has one action (half of these are long), a quarter two, and half an interaction, in
    turns. Then come `count` of the scope `returns`, its stories in turns.
    """
    for index in range(count):
        action = ACTIONS[(index // 4 * 2 + index % 2) % len(ACTIONS)] if index % 4 >= 2 else None
        scope = single_event_scope(action) if action else SCOPES[("small", "acts")[index % 2]]
        if index % 8 == 0:
            low, high = LONG_FRAMES
            scope = dataclasses.replace(scope, min_frames=low, max_frames=high, picture_share=0.0)
        spec = next(specs_of(first + index, scope, "heldout", action))
        is_action = any(event.kind in ACTIONS for event in spec.events)
        yield "scope deeds" if is_action else "scopes small and acts", spec
    for index in range(count):
        story, action = RETURN_STORIES[index % len(RETURN_STORIES)]
        scope = dataclasses.replace(SCOPES["returns"], stories=(story,))
        yield "scope returns", next(specs_of(first + count + index, scope, "heldout", action))


def task_cases(count: int, first: int = FIRST_CASE) -> Iterator[Case]:
    """Yield cases of every canvas task and every kind of prompt, in turns."""
    turns = [*((task, "") for task in CANVAS_TASKS), *(("", kind) for kind in PROMPT_KINDS)]
    for index in range(count):
        task, kind = turns[index % len(turns)]
        spec = next(task_specs(task, first + index) if task else PROMPT_KINDS[kind](first + index))
        yield Case("stage", spec, "as its spec says", PROMPT_FORMS[0], "heldout", 0, index, index, task, kind)
