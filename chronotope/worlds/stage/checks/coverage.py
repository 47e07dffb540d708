"""How often somebody goes out of sight as asked, and how often it then comes back right: three rates, none of which tells the others.

Absences are counted, one of each actor that is asked to go and come back; a video may hold two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chronotope.metrics.statistics import Rate
from chronotope.worlds.check import Check
from chronotope.worlds.stage.checks.permanence import BACK, GATE

__all__ = ["Coverage", "coverage"]


@dataclass(frozen=True)
class Coverage:
    """Of the absences that were asked for: how many passed the gate, and how many of those were right."""

    gate: Rate
    success: Rate  # among those that passed the gate

    @property
    def both(self) -> Rate:
        """Passed the gate and right, of all."""
        return Rate(self.success.successes, self.gate.trials)

    @property
    def rates(self) -> dict[str, Rate]:
        """Those of the three of which there is anything to say, by name."""
        found = {"gate": self.gate, "success_given_gate": self.success, "success_and_gate": self.both}
        return {name: rate for name, rate in found.items() if rate.trials}


def coverage(checks: Iterable[Sequence[Check]]) -> Coverage:
    """Over the checks of many videos; an actor who is not there at all has not passed the gate."""
    gate = success = Rate(0, 0)
    for found in checks:
        for actor in dict.fromkeys(one.actor for one in found if one.name == GATE):
            own = [one for one in found if one.actor == actor]
            passed = all(one.holds for one in own if one.name == GATE)
            # a second one like it, once it is back, is no success either
            right = all(one.holds for one in own if one.name in (*BACK, "is one"))
            gate += Rate(int(passed), 1)
            success += Rate(int(right), 1) if passed else Rate(0, 0)
    return Coverage(gate, success)
