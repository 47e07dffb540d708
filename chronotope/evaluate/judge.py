"""Turn videos on disk into verdicts; videos that are missing or of the wrong form are refused with a list, and those
that cannot be decoded fail.

The model's own videos are checked as files, as those of any other system, so the same video always gets the same
verdict.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from chronotope.data.clips import SUFFIXES
from chronotope.errors import ChronotopeError, DecoderUnavailableError, FileProblem
from chronotope.evaluate.ledger import MAX_STARTS, Ledger
from chronotope.evaluate.make import Make, Workers, check_bytes, check_file, one_by_one
from chronotope.evaluate.selection import disk_problem
from chronotope.evaluate.suite import suite_of
from chronotope.evaluate.told import Origins, case_of
from chronotope.media import video
from chronotope.progress import Progress
from chronotope.storage import file_sha256
from chronotope.worlds.case import Case
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.check import Check, succeeds

__all__ = ["Judged", "check_folder", "content_of", "failed_to_run", "judge_folder", "judge_output", "sample_cases"]

NOTHING_TOLD: Origins = MappingProxyType({})


@dataclass(frozen=True)
class Judged:
    """The checks of the video of one case."""

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
        """Whether no check fails with a blocking severity."""
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
    """Return the verdict on a video that does not exist because the system failed."""
    return Judged(case, (Check("is made", "", "SYS-RUN", 0),))


def sample_cases(
    make: Make,
    cases: Sequence[Case],
    folder: Path,
    report: Progress,
    about: dict[str, Any],
    workers: Workers | None = None,
    expected: str = "",
) -> Ledger:
    """Make the videos of all cases that are not there yet, in order, one try each; with `workers`, several at a time.

    The whole plan is in the ledger before the first video is made. `expected` is the hash of a line of the ledger that
    an earlier report names. Raises FileProblem where the folder holds another plan, and where the disk fails: that is
    no verdict, and the same command continues.
    """
    ledger, videos = Ledger(folder / "ledger.jsonl", expected), folder / "videos"
    if not ledger.rows and videos.is_dir() and any(videos.iterdir()):
        raise FileProblem(
            f"{folder} holds videos, and its ledger, which says how they were made, is gone; give another --out"
        )
    _plan(ledger, cases, folder, about)
    for name, starts in ledger.unfinished().items():
        # The seed and the weights are the same, so another try makes the same video and selects nothing.
        if starts >= MAX_STARTS:
            reason = f"the program was killed {starts} times while this video was made"
            ledger.write({"kind": "failed", "case": name, "reason": reason})
    ended = ledger.ended()
    missing = [case for case in cases if case.id not in ended]
    done, running = len(cases) - len(missing), set[str]()
    try:
        for case, row in workers.make(missing, videos) if workers else one_by_one(make, missing, videos):
            if row is None:
                running.add(case.id)
                ledger.write({"kind": "started", "case": case.id})
            else:
                ledger.write(row)
                running.remove(case.id)
                done += 1
            report(done, len(cases))
    except KeyboardInterrupt:
        _allow_again(ledger, running)
        raise
    except BrokenProcessPool as problem:  # it ends with its first killed worker, and so do the cases of the others
        _allow_again(ledger, running, reason="a worker was killed")
        raise FileProblem(_KILLED) from problem
    except (OSError, FileProblem) as problem:
        if not (found := disk_problem(problem)):
            raise
        _allow_again(ledger, running, reason="the disk failed")
        raise FileProblem(
            f"{str(found).rstrip('.')}; this is no verdict: once it is mended, run the same command to continue"
        ) from problem
    return ledger


_KILLED = "a worker process was killed, mostly for lack of memory; run again with fewer --workers to continue"


def _allow_again(ledger: Ledger, cases: set[str], **why: str) -> None:
    """Record that the cases that were being made may be tried again."""
    with contextlib.suppress(OSError, FileProblem):  # the disk may be full: then they count as killed once
        ledger.write(*({"kind": "interrupted", "case": name, **why} for name in sorted(cases)))


def _plan(ledger: Ledger, cases: Sequence[Case], folder: Path, about: dict[str, Any]) -> None:
    """Write into the ledger what is to be made, or check that it is what was planned there."""
    planned = [(row["case"], row["seed"], row["prompt"]) for row in ledger.rows if row["kind"] == "planned"]
    wanted = [(case.id, case.seed, case.prompt) for case in cases]
    if planned != wanted[: len(planned)] or (len(planned) < len(wanted) and ledger.of("started")):
        raise FileProblem(
            f"{folder} was planned for {len(planned)} videos, now {len(wanted)} or others are wanted; "
            "a plan is never changed: give another --out"
        )
    if ledger.rows:
        began = {name: value for name, value in ledger.rows[0].items() if name not in ("kind", "case", "head")}
        if "precision" in about:  # earlier versions had one, and did not say so
            began = {"precision": "fp32", **began}
        other = [
            f"{name} {began.get(name, 'unsaid')}, now {about.get(name, 'unsaid')}"
            for name in {**began, **about}
            if began.get(name) != about.get(name)
        ]
        if other:
            raise FileProblem(f"{folder} was begun with {'; '.join(other)}; give another --out")
    else:
        ledger.write({"kind": "began", "case": "", **about})
    unplanned = wanted[len(planned) :]
    ledger.write(*({"kind": "planned", "case": name, "seed": seed, "prompt": text} for name, seed, text in unplanned))


def check_folder(
    folder: Path,
    cases: Sequence[Case],
    others: bool = False,
    note: Callable[[str], None] = lambda _: None,
    origins: Origins = NOTHING_TOLD,
) -> dict[str, str]:
    """Raise FileProblem where videos are missing, of the wrong form or, as their `origins` say, of another case, or
    (unless `others` are allowed) belong to no case.

    Returns the videos that cannot be decoded, each with the reason: they count as failed. A folder of nothing else is
    refused. `note` receives a sentence for each video that is damaged inside.
    """
    if not folder.is_dir():
        raise FileProblem(f"{folder} is not a folder of videos")
    present = {path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES}
    wanted = {case.file for case in cases}
    problems = [f"{name} is missing" for name in sorted(wanted - present)]
    if not others:
        problems += [f"{name} belongs to no case" for name in sorted(present - wanted)]
    damaged: dict[str, str] = {}
    for case in cases:
        path = folder / case.file
        if case.file not in present:
            continue
        check_bytes(path)
        try:
            misfits = _misfits(case, video.probe(path))  # before all of it is decoded
            if (of := case_of(origins.get(case.file, {}))) not in ("", case.id):
                misfits.append(f"{case.file} was made for the case {of}, as its tags say; give it that name")
            if not misfits:
                content = video.read(path)
                for sentence in filter(None, (*content.remarks, content.damage)):
                    note(f"{path}: {sentence}")
            problems += misfits
        except DecoderUnavailableError:
            raise
        except ChronotopeError as problem:
            damaged[case.file] = str(problem)
    if problems or len(damaged) == len(cases):
        problems += damaged.values()
        shown = "; ".join(problems[:20]) + (f"; and {len(problems) - 20} more" if len(problems) > 20 else "")
        raise FileProblem(f"{folder} is not what the specs ask for ({len(problems)} problems): {shown}")
    return damaged


def content_of(folder: Path, files: Iterable[str]) -> str:
    """Hash the videos of a report, by name; one that is missing or cannot be read counts as such."""
    digest = hashlib.sha256()
    for name in sorted(files):
        try:
            found = file_sha256(folder / name)
        except FileProblem:
            found = "unreadable"
        digest.update(f"{name} {found}\n".encode())
    return digest.hexdigest()[:16]


def _misfits(case: Case, info: video.VideoInfo) -> list[str]:
    spec = case.spec
    found = {"frames": info.num_frames, "height": info.height, "width": info.width}
    wanted = {"frames": spec.num_frames, "height": spec.height, "width": spec.width}
    wrong = [
        f"{case.file} has {name} {found[name]}, expected {wanted[name]}"
        for name in found
        if found[name] != wanted[name]
    ]
    if spec.num_frames > 1 and abs(info.fps - spec.fps) > 0.01 * spec.fps:
        wrong.append(f"{case.file} runs at {info.fps:g} frames a second, expected {spec.fps:g}")
    return wrong


def judge_output(case: Case, path: Path | None) -> Judged:
    """Return the verdict on an output of a foreign system; one that is missing or of the wrong form fails."""
    if path is None:
        return failed_to_run(case)
    check_bytes(path)
    try:
        misfits = _misfits(case, video.probe(path))
    except DecoderUnavailableError:
        raise
    except ChronotopeError:
        return Judged(case, (Check("is readable", "", "SYS-RUN", 0),))
    if misfits:
        return Judged(case, (Check("has the form that was asked for", "", "SYS-RUN", 0),))
    return Judged(case, check_file(case, path))


def judge_folder(
    folder: Path,
    cases: Sequence[Case],
    ledger: Ledger | None,
    report: Progress,
    workers: Workers | None = None,
) -> list[Judged]:
    """Return a verdict on every case.

    With a ledger, the videos must be those that it names, and a case that failed there counts as failed. Raises
    FileProblem where a worker is killed, which is no verdict.
    """
    done, failed = {}, {}
    if ledger is not None:
        ledger.check_whole()
        done, failed = ledger.of("done"), ledger.of("failed")
    made = [case for case in cases if case.id not in failed]

    def compare_with_ledger() -> None:
        for case in made if ledger is not None else ():
            path = folder / case.file
            if not path.is_file() or file_sha256(path) != done[case.id]["sha256"]:
                raise FileProblem(f"{path} is not the video that the ledger names; it was changed or removed")

    compare_with_ledger()
    checked = workers.check(made, folder) if workers else (check_file(case, folder / case.file) for case in made)
    verdicts = []
    try:
        for number, case in enumerate(cases, start=1):
            verdicts.append(failed_to_run(case) if case.id in failed else Judged(case, next(checked)))
            report(number, len(cases))
    except BrokenProcessPool as problem:
        raise FileProblem(_KILLED) from problem
    compare_with_ledger()  # judging takes hours, in which files can be exchanged
    return verdicts
