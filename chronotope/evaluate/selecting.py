"""The best of several videos of one prompt, chosen by a selector that never sees the truth: is what the words name in the picture?

Candidates have seeds by hash, the first one the case's own. The selector reads the nouns and shapes in the prompt and asks the probe how
sure it is of each, frame by frame. The judge uses the same probe, so what selection gains here is an upper bound, and such a report is
another row than that of first tries: it names N and the selector.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chronotope.errors import UsageError
from chronotope.evaluate.probe import KINDS, Probe
from chronotope.evaluate.suite import Case
from chronotope.evaluate.words import Frames, watch
from chronotope.flow.solvers import SolverName

__all__ = ["SELECTOR", "Sampled", "best_of", "candidate_seeds", "confidence", "named_kinds"]

SELECTOR = "the probe's confidence in the nouns of the prompt"
Make = Callable[[Case], tuple[Frames, dict[str, Any]]]


@dataclass(frozen=True)
class Sampled:
    """How the model is sampled where that is not as its weights say; `tries` above 1 keep the best of so many."""

    steps: int | None = None
    guidance: float | None = None
    solver: SolverName = "euler"
    tries: int = 1

    def __post_init__(self) -> None:
        if self.tries < 1 or (self.steps is not None and self.steps < 1):
            raise UsageError(f"{self.steps} steps and the best of {self.tries}: expected at least 1")

    def said(self) -> dict[str, Any]:
        """What a report says of it: only what was switched."""
        found: dict[str, Any] = {"steps": self.steps, "guidance": self.guidance}
        found["solver"] = self.solver if self.solver != "euler" else None
        if self.tries > 1:
            found["selection"] = f"best of {self.tries} by {SELECTOR}, seeds by hash"
        return {name: value for name, value in found.items() if value is not None}


def candidate_seeds(seed: int, count: int) -> list[int]:
    """The case's own seed, and others by hash."""
    digests = (hashlib.sha256(f"chronotope candidate|{seed}|{number}".encode()).digest() for number in range(1, count))
    return [seed, *(int.from_bytes(digest[:4], "big") for digest in digests)]


def named_kinds(prompt: str) -> list[str]:
    """The nouns and shapes of the probe's cast that the words name, in the singular."""
    words = set(re.findall(r"[a-z]+", prompt.lower()))
    return [kind for kind in KINDS[2:] if set(kind.split()) <= words]


def confidence(probe: Probe, prompt: str, frames: Frames) -> float:
    """How sure the probe is of what the prompt names: the largest chance of any cell, mean over frames, least over what is named."""
    likely = watch(probe, frames).likely
    sure = [float(likely[:, KINDS.index(kind)].max(axis=(1, 2)).mean()) for kind in named_kinds(prompt)]
    return min(sure, default=0.0)


def best_of(make: Make, probe: Probe, tries: int) -> Make:
    """Makes a case's video so many times and keeps that of which the selector is surest; of equals the first."""

    def chosen(case: Case) -> tuple[Frames, dict[str, Any]]:
        seeds = candidate_seeds(case.seed, tries)
        made = [make(replace(case, seed=seed)) for seed in seeds]
        sure = [confidence(probe, case.prompt, frames) for frames, _ in made]
        best = int(np.argmax(sure))
        told = [{"seed": seed, "confidence": round(value, 4)} for seed, value in zip(seeds, sure, strict=True)]
        return made[best][0], {**made[best][1], "selected": {"by": SELECTOR, "tries": told, "kept": best}}

    return chosen
