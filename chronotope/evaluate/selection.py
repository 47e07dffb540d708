"""The best of several videos of one prompt, chosen by a selector that never sees the truth: is what the words name in the picture?

Candidates have seeds by hash, the first one the case's own. The selector reads the nouns and shapes that the prompt asks for and asks
the detector how sure it is of each, frame by frame; where it knows none of them, the first video stands. The judge uses the same detector, so
what selection gains here is an upper bound, and such a report is another row than that of first tries: it names N and the selector.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from chronotope.errors import ChronotopeError, UsageError
from chronotope.evaluate.suite import Case
from chronotope.flow.solvers import SolverName
from chronotope.geometry import Frames
from chronotope.worlds.stage.cast import CAST
from chronotope.worlds.stage.checks.attributes import detect
from chronotope.worlds.stage.checks.detector import KINDS, Detector
from chronotope.worlds.stage.vocabulary import SYNONYMS

__all__ = ["REFUSALS", "Sampled", "best_of", "candidate_seeds", "confidence", "named_kinds"]

SELECTOR = "the detector's confidence in the nouns of the prompt"
NONE_NAMED = "nobody: the prompt names nothing that the detector knows, so the first try stands"
REFUSALS = (ChronotopeError, MemoryError, RuntimeError, ValueError)  # by which a system fails to make a video
_CLAUSES = re.compile(r"[.,;:!?\n]+|\b(?:where|but|while)\b")
_DENIES_WHAT_FOLLOWS = re.compile(r"\b(?:no|not|without|nor|neither|lacks|lacking|except)\b|n't\b")
_DENIES_ALL = re.compile(r"\b(?:nowhere|absent|missing)\b")
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
            found["selection"] = f"best of {self.tries} by {SELECTOR} (where it knows none, the first), seeds by hash"
        return {name: value for name, value in found.items() if value is not None}


def candidate_seeds(seed: int, count: int) -> list[int]:
    """The case's own seed, and others by hash."""
    digests = (hashlib.sha256(f"chronotope candidate|{seed}|{number}".encode()).digest() for number in range(1, count))
    return [seed, *(int.from_bytes(digest[:4], "big") for digest in digests)]


def named_kinds(prompt: str) -> list[str]:
    """The kinds of the detector's cast that the words ask for, one or several, by the grammar's synonyms too; not what they deny.

    A denial holds to the end of its clause: to miss a noun there is better than to choose for what shall not be there.
    """
    found = set()
    for clause in _CLAUSES.split(prompt.lower()):
        if not _DENIES_ALL.search(clause):
            found |= {_MEANT[word] for word in _NOUN.findall(_DENIES_WHAT_FOLLOWS.split(clause)[0])}
    return [kind for kind in KINDS[2:] if kind in found]


def _forms(noun: str) -> tuple[str, ...]:
    """A noun, and how several of it are called; the suite of prompts adds a bare s to all."""
    return noun, noun + "s", noun + "es", *((noun[:-1] + "ies",) if noun.endswith("y") else ())


# Every noun of the world, so that a hot dog is no dog; the longest is read first
_WORDS = {word: kind for kind, words in SYNONYMS.items() for word in words} | {
    noun: noun for noun in (*CAST, *KINDS[2:])
}
_MEANT = {form: kind for word, kind in _WORDS.items() for form in _forms(word)}
_NOUN = re.compile(rf"\b(?:{'|'.join(re.escape(form) for form in sorted(_MEANT, key=len, reverse=True))})\b")


def confidence(detector: Detector, prompt: str, frames: Frames) -> float:
    """How sure the detector is of what the prompt names: the largest chance of any cell, mean over frames, least over what is named."""
    likely = detect(detector, frames).likely
    sure = [float(likely[:, KINDS.index(kind)].max(axis=(1, 2)).mean()) for kind in named_kinds(prompt)]
    return min(sure, default=0.0)


def best_of(make: Make, detector: Detector, tries: int) -> Make:
    """Makes a case's video so many times and keeps that of which the selector is surest; of equals the first.

    A try that fails is told and passed over; if all fail, so does the case, as its first try did.
    """

    def chosen(case: Case) -> tuple[Frames, dict[str, Any]]:
        if not named_kinds(case.prompt):
            frames, origin = make(case)
            return frames, {**origin, "selected": {"by": NONE_NAMED, "tries": [{"seed": case.seed}], "kept": 0}}
        best, kept, told, problems = -1.0, None, list[dict[str, Any]](), list[Exception]()
        for number, seed in enumerate(candidate_seeds(case.seed, tries)):
            try:
                frames, origin = make(replace(case, seed=seed))
            except REFUSALS as problem:
                problems.append(problem)
                told.append({"seed": seed, "failed": f"{type(problem).__name__}: {problem}"})
                continue
            sure = confidence(detector, case.prompt, frames)
            told.append({"seed": seed, "confidence": round(sure, 4)})
            if sure > best:
                best, kept = sure, (frames, {**origin, "selected": {"by": SELECTOR, "tries": told, "kept": number}})
        if kept is None:
            raise problems[0]
        return kept

    return chosen
