"""Keep the best of several videos of one prompt, chosen by the world's selector, which never sees the truth.

Candidates have seeds by hash; the first one has the case's own seed. Such a report is another row than that of first
tries: it names the number of tries and the selector.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from chronotope.errors import ChronotopeError, FileProblem, UsageError
from chronotope.flow.solvers import SolverName
from chronotope.geometry import Frames
from chronotope.request import GUIDANCE_SCALES, NUM_STEPS
from chronotope.worlds.case import Case
from chronotope.worlds.catalogue import find_world

__all__ = ["REFUSALS", "DiskProblem", "Sampled", "best_of", "candidate_seeds", "disk_problem"]

REFUSALS = (ChronotopeError, MemoryError, RuntimeError, ValueError)  # by which a system fails to make a video
Make = Callable[[Case], tuple[Frames, dict[str, Any]]]


@dataclass(frozen=True)
class Sampled:
    """How the model is sampled; None is the model's default. With `tries` above 1, the best of so many is kept."""

    steps: int | None = None
    guidance: float | None = None
    solver: SolverName = "euler"
    tries: int = 1

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise UsageError(f"the best of {self.tries}: expected at least 1")
        # every video would fail in its turn, and count as a failure of the model
        for name, value, (low, high) in (
            ("steps", self.steps, NUM_STEPS),
            ("guidance", self.guidance, GUIDANCE_SCALES),
        ):
            if value is not None and not low <= value <= high:
                raise UsageError(f"{name} must be between {low} and {high}, got {value}")

    def described(self, selector: str) -> dict[str, Any]:
        """Return what a report says of it: only what differs from the defaults."""
        found: dict[str, Any] = {"steps": self.steps, "guidance": self.guidance}
        found["solver"] = self.solver if self.solver != "euler" else None
        if self.tries > 1:
            found["selection"] = f"best of {self.tries} by {selector} (where it knows none, the first), seeds by hash"
        return {name: value for name, value in found.items() if value is not None}


class DiskProblem(FileProblem):
    """The disk or its permissions failed, not the system that is evaluated: this is no verdict on a video."""


def disk_problem(problem: BaseException) -> DiskProblem | None:
    """Return an error as a DiskProblem where it, or what caused it, came from the disk, else None."""
    cause: BaseException | None = problem
    while cause is not None and not isinstance(cause, OSError | DiskProblem):
        cause = cause.__cause__
    if cause is None:
        return None
    known = isinstance(problem, OSError) and problem.filename and problem.strerror
    return DiskProblem(f"{problem.filename}: {problem.strerror}" if known else str(problem))  # type: ignore[attr-defined]


def candidate_seeds(seed: int, count: int) -> list[int]:
    """Return the case's own seed, followed by others by hash."""
    digests = (hashlib.sha256(f"chronotope candidate|{seed}|{number}".encode()).digest() for number in range(1, count))
    return [seed, *(int.from_bytes(digest[:4], "big") for digest in digests)]


def best_of(make: Make, tries: int) -> Make:
    """Make a case's video `tries` times and keep the one of which the selector is surest; of equals, the first.

    A try that fails is recorded and skipped. If all fail, the error of the first is raised.
    """

    def chosen(case: Case) -> tuple[Frames, dict[str, Any]]:
        world = find_world(case.world)
        if not world.selectable(case.prompt):
            frames, origin = make(case)
            by = "nobody: the prompt names nothing that the detector knows, so the first try stands"
            return frames, {**origin, "selected": {"by": by, "tries": [{"seed": case.seed}], "kept": 0}}
        best, kept = -1.0, None
        records: list[dict[str, Any]] = []
        problems: list[Exception] = []
        for number, seed in enumerate(candidate_seeds(case.seed, tries)):
            try:
                frames, origin = make(replace(case, seed=seed))
            except REFUSALS as problem:
                if disk_problem(problem):
                    raise
                problems.append(problem)
                records.append({"seed": seed, "failed": f"{type(problem).__name__}: {problem}"})
                continue
            sure = world.confidence(case.prompt, frames)
            records.append({"seed": seed, "confidence": round(sure, 4)})
            if sure > best:
                selected = {"by": world.selector, "tries": records, "kept": number}
                best, kept = sure, (frames, {**origin, "selected": selected})
        if kept is None:
            raise problems[0]
        return kept

    return chosen
