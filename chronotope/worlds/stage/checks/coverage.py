"""Measure how often actors go out of sight as requested, and how often they then come back right.

Absences are counted, one for each actor that should leave and return; a video may contain two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chronotope.metrics.statistics import Rate
from chronotope.worlds.check import Check
from chronotope.worlds.stage.checks.permanence import GATE_CHECK, RETURN_CHECKS

__all__ = ["Coverage", "coverage"]


@dataclass(frozen=True)
class Coverage:
    """Of all requested absences, how many passed the gate, and how many of those were right."""

    gate: Rate
    success: Rate  # among the absences that passed the gate

    @property
    def both(self) -> Rate:
        """The rate of absences that passed the gate and were right, among all."""
        return Rate(self.success.successes, self.gate.trials)

    @property
    def rates(self) -> dict[str, Rate]:
        """Those of the three rates that have trials, by name."""
        found = {"gate": self.gate, "success_given_gate": self.success, "success_and_gate": self.both}
        return {name: rate for name, rate in found.items() if rate.trials}


def coverage(checks: Iterable[Sequence[Check]]) -> Coverage:
    """Return the coverage over the checks of many videos; an actor that is missing has not passed the gate."""
    gate = success = Rate(0, 0)
    for found in checks:
        for actor in dict.fromkeys(check.actor for check in found if check.name == GATE_CHECK):
            own = [check for check in found if check.actor == actor]
            passed = all(check.holds for check in own if check.name == GATE_CHECK)
            # A duplicate after the return is no success either.
            right = all(check.holds for check in own if check.name in (*RETURN_CHECKS, "is one"))
            gate += Rate(int(passed), 1)
            success += Rate(int(right), 1) if passed else Rate(0, 0)
    return Coverage(gate, success)
