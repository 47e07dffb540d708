"""The checks on trial: true clips must pass, planted faults must be caught and called by their name, and controls must fail.

Specs are held out and are none of a suite's; each class of the taxonomy has its injector (`taxonomy` says where). What is published is the
whole confusion matrix: which codes are raised on clips with which fault.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from chronotope.evaluate.suite import Case, specs_of
from chronotope.evaluate.verdict import check_case
from chronotope.geometry import Frames
from chronotope.metrics.statistics import Rate
from chronotope.progress import Progress
from chronotope.worlds.check import Check, succeeds
from chronotope.worlds.stage.checks.detector import Detector
from chronotope.worlds.stage.checks.predicates import check
from chronotope.worlds.stage.checks.tracking import ACTIONS
from chronotope.worlds.stage.faults.appearance import CONTROLS, FAULTS, plant
from chronotope.worlds.stage.faults.tasks import TASK_FAULTS, inject_into_case
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.scope import SCOPES, scope_of
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.suites.prompts import PROMPT_FORMS, PROMPT_KINDS
from chronotope.worlds.stage.suites.tasks import CANVAS_TASKS, task_specs
from chronotope.worlds.taxonomy import FAILURES

__all__ = ["BARS", "Trial", "trial_cases", "trial_specs", "try_checks"]

BARS = {"truth": 0.995, "recall": 0.95, "false alarm": 0.02, "control": 0.95}
# The stories of the scope `returns`, each with a deed that it may or may not tell
RETURNING = (("beside", None), ("hide", None), ("away", None), ("paced", "creep"), ("cross", None), ("altered", None), ("screened", None),
             ("away", "stay"), ("paced", "dash"), ("beside", None))  # fmt: skip
ENOUGH, FEWEST = 60, 10  # clips with each fault: no more are needed; with fewer nothing can be promised


@dataclass
class Trial:
    """What was raised on what."""

    predicates: Rate = field(default_factory=lambda: Rate(0, 0))
    of_deeds: Rate = field(default_factory=lambda: Rate(0, 0))  # those of clips with a deed of the scope `deeds`
    truth: Rate = field(default_factory=lambda: Rate(0, 0))
    alarms: Counter[str] = field(default_factory=Counter)
    planted: dict[str, int] = field(default_factory=dict)
    raised: dict[str, Counter[str]] = field(default_factory=dict)
    controls: dict[str, Rate] = field(default_factory=dict)
    injectors: tuple[str, ...] = (*FAULTS, *TASK_FAULTS)  # the classes that can be planted

    def recall(self, code: str) -> Rate:
        """How often a planted fault is among those that are raised."""
        return Rate(self.raised[code][code], self.planted[code])

    def false_alarm(self, code: str) -> Rate:
        """How often it is raised on true clips."""
        return Rate(self.alarms[code], self.truth.trials)

    def untested(self) -> list[str]:
        """The classes and controls of which there were too few clips to say anything."""
        counts = {
            **{code: self.planted.get(code, 0) for code in self.injectors},
            **{name: rate.trials for name, rate in self.controls.items()},
        }
        return [name for name, count in counts.items() if count < FEWEST]

    def note_truth(self, found: Sequence[Check]) -> Rate:
        """The checks of one more true clip; returns how many of them hold."""
        held = Rate(sum(one.holds for one in found), len(found))
        self.predicates += held
        self.truth += Rate(int(succeeds(tuple(found))), 1)
        self.alarms.update({one.code for one in found if one.code})
        return held

    def note_planted(
        self,
        code: str,
        spoil: Callable[[], Frames | None],
        judge: Callable[[Frames], Sequence[Check]],
        most: int = ENOUGH,
    ) -> None:
        """One more clip with this fault, where a clip can have it and there are not enough yet."""
        if self.planted.get(code, 0) < most and (spoilt := spoil()) is not None:
            self.planted[code] = self.planted.get(code, 0) + 1
            self.raised.setdefault(code, Counter()).update({one.code for one in judge(spoilt) if one.code})

    def note(self, name: str, fails: bool) -> None:
        """One more clip of a control."""
        self.controls[name] = self.controls.get(name, Rate(0, 0)) + Rate(int(fails), 1)

    def missed(self) -> list[str]:
        """The promises that are not kept."""
        problems = [f"truth passes {self.predicates} of all predicates"] * (self.predicates.share < BARS["truth"])
        problems += [f"truth passes {self.of_deeds} of those of deeds"] * (self.of_deeds.share < BARS["truth"])
        tested = [code for code in self.planted if self.planted[code] >= FEWEST]
        problems += [
            f"{code} is caught in {self.recall(code)}" for code in tested if self.recall(code).share < BARS["recall"]
        ]
        problems += [f"{code} is raised on {rate} of true clips" for code in FAILURES
                     if (rate := self.false_alarm(code)).share > BARS["false alarm"]]  # fmt: skip
        return problems + [f"{name}: {rate} fail" for name, rate in self.controls.items()
                           if rate.trials >= FEWEST and rate.share < BARS["control"]]  # fmt: skip


def trial_specs(count: int, first: int = 2_000_000) -> list[Spec]:
    """Held-out specs: a quarter of one act (half of these long), a quarter of two, and half with a deed of the scope `deeds`, in turns.

    After them as many of the scope `returns`, each of its stories in its turn.
    """
    specs = []
    for index in range(count):
        deed = ACTIONS[(index // 4 * 2 + index % 2) % len(ACTIONS)] if index % 4 >= 2 else None
        scope = scope_of(deed) if deed else SCOPES[("small", "acts")[index % 2]]
        if index % 8 == 0:
            scope = dataclasses.replace(
                scope, min_frames=33, max_frames=48, picture_share=0.0
            )  # 4 s and more at 8 frames a second
        specs.append(next(specs_of(first + index, scope, "heldout", deed)))
    for index in range(count):
        story, deed = RETURNING[index % len(RETURNING)]
        scope = dataclasses.replace(SCOPES["returns"], stories=(story,))
        specs.append(next(specs_of(first + count + index, scope, "heldout", deed)))
    return specs


def trial_cases(count: int, first: int = 2_500_000) -> list[Case]:
    """Held-out cases of every task of the canvas and of everything that prompts ask for, in turns; none is a suite's."""
    found, turns = [], [*((task, "") for task in CANVAS_TASKS), *(("", kind) for kind in PROMPT_KINDS)]
    for index in range(count):
        task, kind = turns[index % len(turns)]
        spec = next(task_specs(task, first + index) if task else PROMPT_KINDS[kind](first + index))
        found.append(Case(spec, "as its spec says", PROMPT_FORMS[0], "heldout", 0, index, index, task, kind))
    return found


def try_checks(
    detector: Detector,
    specs: Sequence[Spec],
    report: Progress = lambda done, total: None,
    cases: Sequence[Case] = (),
) -> Trial:
    """Every spec as the stage renders it, with every fault that it can have, and as every control; then the cases, likewise."""
    trial = Trial()
    for number, spec in enumerate(specs):
        frames = render(spec).frames
        held = trial.note_truth(check(detector, spec, frames))
        trial.of_deeds += held if any(event.kind in ACTIONS for event in spec.events) else Rate(0, 0)
        for code in FAULTS:
            trial.note_planted(code, partial(plant, code, spec, number), partial(check, detector, spec))
        for name, change in CONTROLS.items():
            if (changed := change(spec, frames, np.random.default_rng([number, 13]))) is not None:
                trial.note(name, not succeeds(check(detector, spec, changed)))
        other = specs[(number + 2) % len(specs)]
        if {a.noun for a in other.actors} != {a.noun for a in spec.actors} and other.num_frames > 1:
            trial.note(
                "another prompt's video",
                not succeeds(check(detector, spec, _as_long(render(other).frames, spec.num_frames))),
            )
        report(number + 1, len(specs) + len(cases))
    for number, case in enumerate(cases):
        _try_case(detector, trial, case, number)
        report(len(specs) + number + 1, len(specs) + len(cases))
    return trial


def _try_case(detector: Detector, trial: Trial, case: Case, number: int) -> None:
    trial.note_truth(check_case(detector, case, case.truth()))
    for code in TASK_FAULTS:
        most = ENOUGH * (1 + (code in FAULTS))  # those planted in specs before this count too
        trial.note_planted(
            code, partial(inject_into_case, code, case, number), partial(check_case, detector, case), most
        )


def _as_long(frames: np.ndarray, count: int) -> np.ndarray:
    """The first frames, or all of them and the last one again."""
    return frames[np.minimum(np.arange(count), len(frames) - 1)]
