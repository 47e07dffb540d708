"""Validate the checks: true clips must pass, injected faults must be caught and named right, and controls must fail.

The cases are held out and in no suite. The result is the whole confusion matrix: which codes are raised on clips with
which fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from chronotope.metrics.statistics import Rate
from chronotope.progress import Progress
from chronotope.worlds.case import Case
from chronotope.worlds.check import Check, succeeds
from chronotope.worlds.taxonomy import FAILURES
from chronotope.worlds.world import World

__all__ = ["BARS", "FEWEST", "Trial", "try_checks"]

BARS = {"truth": 0.995, "recall": 0.95, "false alarm": 0.02, "control": 0.95}
ENOUGH = 60  # clips with one fault, of specs and of tasks each: no more are needed
FEWEST = 10  # with fewer clips than this nothing can be promised


@dataclass
class Trial:
    """What was raised on what."""

    predicates: Rate = field(default_factory=lambda: Rate(0, 0))
    groups: dict[str, Rate] = field(default_factory=dict)  # the same, by the group of the case
    truth: Rate = field(default_factory=lambda: Rate(0, 0))
    alarms: Counter[str] = field(default_factory=Counter)
    injected: dict[str, int] = field(default_factory=dict)
    raised: dict[str, Counter[str]] = field(default_factory=dict)
    controls: dict[str, Rate] = field(default_factory=dict)
    codes: tuple[str, ...] = ()  # the failures that can be injected

    def recall(self, code: str) -> Rate:
        """Return how often an injected fault is among the failures that are raised."""
        return Rate(self.raised[code][code], self.injected[code])

    def false_positive_rate(self, code: str) -> Rate:
        """Return how often a failure is raised on true clips."""
        return Rate(self.alarms[code], self.truth.trials)

    def untested(self) -> dict[str, int]:
        """Return the failures and controls with too few clips to say anything, each with the number of its clips."""
        counts = {code: self.injected.get(code, 0) for code in self.codes}
        counts |= {name: rate.trials for name, rate in self.controls.items()}
        return {name: count for name, count in counts.items() if count < FEWEST}

    def note_truth(self, group: str, found: Sequence[Check]) -> None:
        """Count the checks of one more true clip."""
        held = Rate(sum(one.holds for one in found), len(found))
        self.predicates += held
        self.groups[group] = self.groups.get(group, Rate(0, 0)) + held
        self.truth += Rate(int(succeeds(found)), 1)
        self.alarms.update({one.code for one in found if one.code})

    def note_injected(self, code: str, found: Sequence[Check]) -> None:
        """Count the checks of one more clip with this fault."""
        self.injected[code] = self.injected.get(code, 0) + 1
        self.raised.setdefault(code, Counter()).update({one.code for one in found if one.code})

    def note_control(self, name: str, found: Sequence[Check]) -> None:
        """Count one more clip of a control."""
        self.controls[name] = self.controls.get(name, Rate(0, 0)) + Rate(int(not succeeds(found)), 1)

    def missed(self) -> list[str]:
        """Return the promises that are not kept, in words."""
        problems = []
        if self.predicates.share < BARS["truth"]:
            problems.append(f"truth passes {self.predicates} of all predicates")
        for group, rate in self.groups.items():
            if rate.share < BARS["truth"]:
                problems.append(f"truth passes {rate} of the predicates of {group}")
        for code, count in self.injected.items():
            if count >= FEWEST and self.recall(code).share < BARS["recall"]:
                problems.append(f"{code} is caught in {self.recall(code)}")
        for code in FAILURES:
            if self.false_positive_rate(code).share > BARS["false alarm"]:
                problems.append(f"{code} is raised on {self.false_positive_rate(code)} of true clips")
        for name, rate in self.controls.items():
            if rate.trials >= FEWEST and rate.share < BARS["control"]:
                problems.append(f"{name}: {rate} fail")
        return problems


def try_checks(world: World, cases: Sequence[tuple[str, Case]], report: Progress = lambda done, total: None) -> Trial:
    """Check every case as the world renders it, with every fault that it can have, and, if it is words alone, as every
    control.

    `cases` come with the names of their groups.
    """
    trial = Trial()
    plain = [case for _, case in cases if not case.task and not case.kind]
    plain_codes = {code for case in plain[:1] for code in world.faults(case)}
    position = 0  # among the plain cases
    for done, (group, case) in enumerate(cases, start=1):
        frames = world.render(case.spec).frames
        trial.note_truth(group, world.check(case, frames))
        faults = world.faults(case)
        trial.codes = tuple(dict.fromkeys([*trial.codes, *faults]))
        is_plain = not case.task and not case.kind
        for code, inject in faults.items():
            # Clips of specs come first; those of tasks and kinds are counted beside them.
            most = ENOUGH if is_plain or code not in plain_codes else 2 * ENOUGH
            if trial.injected.get(code, 0) >= most:
                continue
            changed = inject(case)
            if changed is not None:
                trial.note_injected(code, world.check(case, changed))
        if is_plain:
            other = plain[(position + 2) % len(plain)]
            position += 1
            for name, control in world.controls(case, frames, other).items():
                trial.note_control(name, world.check(case, control))
        report(done, len(cases))
    return trial
