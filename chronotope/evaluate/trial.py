"""The checks on trial: true clips must pass, planted faults must be caught and called by their name, and controls must fail.

Specs are held out and are none of a suite's; each class of the taxonomy has its injector (`inject`). What is published is the
whole confusion matrix: which codes are raised on clips with which fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from chronotope.evaluate.checks import check, succeeds
from chronotope.evaluate.inject import CONTROLS, INJECTORS, plant
from chronotope.evaluate.probe import Probe
from chronotope.evaluate.statistics import Rate
from chronotope.evaluate.suite import specs_of
from chronotope.evaluate.taxonomy import FAILURES
from chronotope.evaluate.tracking import DEEDS
from chronotope.worlds.sample import SCOPES, scope_of
from chronotope.worlds.spec import Spec
from chronotope.worlds.stage import render

__all__ = ["BARS", "Trial", "trial_specs", "try_checks"]

BARS = {"truth": 0.995, "recall": 0.95, "false alarm": 0.02, "control": 0.95}
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
    injectors: tuple[str, ...] = tuple(INJECTORS)  # the classes that can be planted

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

    def note(self, name: str, fails: bool) -> None:
        """One more clip of a control."""
        self.controls[name] = self.controls.get(name, Rate(0, 0)) + Rate(int(fails), 1)

    def missed(self) -> list[str]:
        """The promises that are not kept."""
        problems = [f"truth passes {self.predicates} of all predicates"] * (self.predicates.share < BARS["truth"])
        problems += [f"truth passes {self.of_deeds} of those of deeds"] * (self.of_deeds.share < BARS["truth"])
        problems += [f"{code} is caught in {self.recall(code)}" for code in self.planted if self.recall(code).share < BARS["recall"]]
        problems += [f"{code} is raised on {rate} of true clips" for code in FAILURES
                     if (rate := self.false_alarm(code)).share > BARS["false alarm"]]  # fmt: skip
        return problems + [f"{name}: {rate} fail" for name, rate in self.controls.items() if rate.share < BARS["control"]]


def trial_specs(count: int, first: int = 2_000_000) -> list[Spec]:
    """Held-out specs: a quarter of one act, a quarter of two, and half with a deed of the scope `deeds`, each deed in its turn."""
    specs = []
    for index in range(count):
        deed = DEEDS[(index // 4 * 2 + index % 2) % len(DEEDS)] if index % 4 >= 2 else None
        scope = scope_of(deed) if deed else SCOPES[("small", "acts")[index % 2]]
        specs.append(next(specs_of(first + index, scope, "heldout", deed)))
    return specs


def try_checks(probe: Probe, specs: Sequence[Spec], report: Callable[[int, int], None] = lambda done, total: None) -> Trial:
    """Every spec as the stage renders it, with every fault that it can have, and as every control."""
    trial = Trial()
    for number, spec in enumerate(specs):
        frames = render(spec).frames
        found = check(probe, spec, frames)
        held = Rate(sum(one.holds for one in found), len(found))
        trial.predicates += held
        trial.of_deeds += held if any(event.kind in DEEDS for event in spec.events) else Rate(0, 0)
        trial.truth += Rate(int(succeeds(found)), 1)
        trial.alarms.update({one.code for one in found if one.code})
        for code in INJECTORS:
            if trial.planted.get(code, 0) < ENOUGH and (spoilt := plant(code, spec, number)) is not None:
                trial.planted[code] = trial.planted.get(code, 0) + 1
                trial.raised.setdefault(code, Counter()).update({one.code for one in check(probe, spec, spoilt) if one.code})
        for name, change in CONTROLS.items():
            if (changed := change(spec, frames, np.random.default_rng([number, 13]))) is not None:
                trial.note(name, not succeeds(check(probe, spec, changed)))
        other = specs[(number + 2) % len(specs)]
        if {a.noun for a in other.actors} != {a.noun for a in spec.actors} and other.num_frames > 1:
            trial.note("another prompt's video", not succeeds(check(probe, spec, _as_long(render(other).frames, spec.num_frames))))
        report(number + 1, len(specs))
    return trial


def _as_long(frames: np.ndarray, count: int) -> np.ndarray:
    """The first frames, or all of them and the last one again."""
    return frames[np.minimum(np.arange(count), len(frames) - 1)]
