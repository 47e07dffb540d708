"""From videos on disk to verdicts: this model's, or anybody's; what is missing or of the wrong form is refused with the list.

Videos are judged as files, as a stranger's are, so the same video always gets the same verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from chronotope.data.clips import SUFFIXES
from chronotope.errors import ChronotopeError, FileProblem
from chronotope.evaluate.ledger import Ledger
from chronotope.evaluate.make import Helpers, Make, check_file, one_by_one, sha256
from chronotope.evaluate.suite import suite_of
from chronotope.media import video
from chronotope.progress import Progress
from chronotope.worlds.case import Case
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.check import Check, succeeds

__all__ = ["Judged", "check_folder", "judge_folder", "sample_cases"]


@dataclass(frozen=True)
class Judged:
    """What is right and wrong with the video of one case."""

    case: Case
    checks: tuple[Check, ...]

    @cached_property
    def strata(self) -> dict[str, str]:
        """The levels by which rates are reported."""
        return find_world(self.case.world).strata(self.case)

    @cached_property
    def suite(self) -> str:
        """The suite that the case is of; empty where it was made elsewhere."""
        return suite_of(self.case)

    @property
    def success(self) -> bool:
        """Whether nothing that blocks success is wrong."""
        return succeeds(self.checks)

    @property
    def graded(self) -> float:
        """The share of checks that hold."""
        return sum(check.holds for check in self.checks) / len(self.checks)

    @property
    def codes(self) -> tuple[str, ...]:
        """The failures, each once, in the order of the checks."""
        return tuple(dict.fromkeys(check.code for check in self.checks if check.code))


def failed_to_run(case: Case) -> Judged:
    """The verdict on a video that does not exist because the system failed."""
    return Judged(case, (Check("is made", "", "SYS-RUN", 0),))


def sample_cases(
    make: Make,
    cases: Sequence[Case],
    folder: Path,
    report: Progress,
    about: dict[str, Any],
    helpers: Helpers | None = None,
) -> Ledger:
    """Make the videos of all cases that are not there yet, in order, first try; everything is planned before the first is made.

    With `helpers`, several at a time.
    """
    ledger = Ledger(folder / "ledger.jsonl")
    planned = [(row["case"], row["seed"], row["prompt"]) for row in ledger.rows if row["kind"] == "planned"]
    wanted = [(case.id, case.seed, case.prompt) for case in cases]
    if planned != wanted[: len(planned)] or (len(planned) < len(wanted) and ledger.of("started")):
        raise FileProblem(
            f"{folder} was planned for {len(planned)} videos, now {len(wanted)} are asked for, or others; a plan is never changed: "
            "give another --out"
        )
    if not ledger.rows:
        ledger.write({"kind": "began", "case": "", **about})
    elif (earlier := next(row for row in ledger.rows if row["kind"] == "began")) != {
        "kind": "began",
        "case": "",
        **about,
    }:
        other = [
            f"{name} {earlier.get(name)}, now {value}" for name, value in about.items() if earlier.get(name) != value
        ]
        raise FileProblem(f"{folder} was begun with {'; '.join(other)}; give another --out")
    ledger.write(
        *(
            {"kind": "planned", "case": name, "seed": seed, "prompt": prompt}
            for name, seed, prompt in wanted[len(planned) :]
        )
    )
    for name in ledger.unfinished():
        ledger.write({"kind": "failed", "case": name, "reason": "the program was killed while this video was made"})
    ended = ledger.ended()
    missing, videos = [case for case in cases if case.id not in ended], folder / "videos"
    done, under_way = len(cases) - len(missing), set[str]()
    try:
        for case, row in helpers.make(missing, videos) if helpers else one_by_one(make, missing, videos):
            ledger.write(row or {"kind": "started", "case": case.id})
            (under_way.add if row is None else under_way.remove)(case.id)
            done += row is not None
            report(done, len(cases))
    except KeyboardInterrupt:  # by a person: a way to another try, and it can be seen
        ledger.write(*({"kind": "interrupted", "case": name} for name in sorted(under_way)))
        raise
    except BrokenProcessPool as problem:  # one helper was killed, and its neighbours' cases went with it
        ledger.write(
            *({"kind": "interrupted", "case": name, "reason": "a helper was killed"} for name in sorted(under_way))
        )
        raise FileProblem(
            "a helper process was killed, mostly for want of memory; run again with fewer --workers to go on"
        ) from problem
    return ledger


def check_folder(folder: Path, cases: Sequence[Case], others: bool = False) -> None:
    """Refuse a folder from which videos are missing, or (unless `others` may be there) that holds others, or of another form."""
    if not folder.is_dir():
        raise FileProblem(f"{folder} is not a folder of videos")
    present = {path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES}
    wanted = {case.file for case in cases}
    problems = [f"{name} is missing" for name in sorted(wanted - present)]
    problems += [] if others else [f"{name} belongs to no case" for name in sorted(present - wanted)]
    for case in cases:
        if case.file in present:
            problems += _misfits(folder / case.file, case)
    if problems:
        shown = "; ".join(problems[:20]) + (f"; and {len(problems) - 20} more" if len(problems) > 20 else "")
        raise FileProblem(f"{folder} is not what the specs ask for ({len(problems)} problems): {shown}")


def _misfits(path: Path, case: Case) -> list[str]:
    spec = case.spec
    try:
        content = video.read(path)
    except ChronotopeError as problem:
        return [str(problem)]
    count, height, width = content.frames.shape[:3]
    found = {"frames": count, "height": height, "width": width}
    wanted = {"frames": spec.num_frames, "height": spec.height, "width": spec.width}
    wrong = [
        f"{path.name} has {name} {found[name]}, expected {wanted[name]}"
        for name in found
        if found[name] != wanted[name]
    ]
    if spec.num_frames > 1 and abs(content.fps - spec.fps) > 0.01 * spec.fps:
        wrong.append(f"{path.name} runs at {content.fps:g} frames a second, expected {spec.fps:g}")
    return wrong


def judge_folder(
    folder: Path,
    cases: Sequence[Case],
    ledger: Ledger | None,
    report: Progress,
    helpers: Helpers | None = None,
) -> list[Judged]:
    """A verdict on every case. With a ledger, videos must be those it names, and what failed counts as failed."""
    done, failed = {}, {}
    if ledger is not None:
        ledger.check_whole()
        done, failed = ledger.of("done"), ledger.of("failed")
    made = [case for case in cases if case.id not in failed]
    for case in made if ledger is not None else ():
        path = folder / case.file
        if not path.is_file() or sha256(path) != done[case.id]["sha256"]:
            raise FileProblem(f"{path} is not the video that the ledger names; it was changed or removed")
    checked = helpers.check(made, folder) if helpers else (check_file(case, folder / case.file) for case in made)
    verdicts = []
    for number, case in enumerate(cases, start=1):
        verdicts.append(failed_to_run(case) if case.id in failed else Judged(case, next(checked)))
        report(number, len(cases))
    return verdicts
