"""Ledgers that were cut, disks that fail and programs that are killed: nothing is lost, and none of it is a verdict."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope import jsonl
from chronotope.errors import FileProblem
from chronotope.evaluate import ledger as ledger_module
from chronotope.evaluate.judge import check_folder, judge_folder, sample_cases
from chronotope.evaluate.ledger import MAX_STARTS, Ledger
from chronotope.evaluate.make import Workers, check_file
from chronotope.evaluate.selection import best_of
from chronotope.evaluate.suite import make_suite
from chronotope.media import video
from chronotope.worlds.case import Case
from chronotope.worlds.check import Check

CASES = make_suite("smoke")[:3]
ABOUT: dict[str, Any] = {"program": "chronotope", "model": "noise"}


def quiet(done: int, total: int) -> None:
    pass


def noise(case: Case) -> tuple[np.ndarray, dict[str, Any]]:
    """A system that knows its seed alone."""
    spec = case.spec
    rng = np.random.default_rng(case.seed)
    return rng.integers(0, 256, (spec.num_frames, spec.height, spec.width, 3), np.uint8), {"seed": case.seed}


def sampled(folder: Path, make: Any = noise, **named: Any) -> Ledger:
    return sample_cases(make, CASES, folder, quiet, ABOUT, **named)


def videos_of(folder: Path) -> dict[str, bytes]:
    return {case.file: (folder / "videos" / case.file).read_bytes() for case in CASES}


# Ledgers that were cut


@pytest.mark.parametrize("lines", [0, 1, 5, -1])
def test_a_ledger_that_was_cut_at_the_end_of_a_line_is_refused(tmp_path: Path, lines: int) -> None:
    path = sampled(tmp_path).path
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
    with pytest.raises(FileProblem, match=r"ledger\.jsonl was cut: it has \d+ whole lines, and .* says 10; restore"):
        sampled(tmp_path)


def test_a_ledger_that_was_cut_within_a_line_or_removed_is_refused(tmp_path: Path) -> None:
    path = sampled(tmp_path).path
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(FileProblem, match="it has 9 whole lines"):
        Ledger(path)
    path.unlink()
    with pytest.raises(FileProblem, match="it has 0 whole lines"):
        Ledger(path)
    path.write_bytes(whole)
    head = path.with_name("ledger.head.json")
    told = json.loads(head.read_text())
    for damaged, says in (
        (None, "is missing, which says how long"),
        (json.dumps({**told, "hash": "0" * 64}), "is another ledger than ledger.head.json says"),
        (json.dumps({**told, "lines": "10"}), "lines is .10., expected a whole number"),
        ("", "is not readable JSON"),
    ):
        head.unlink(missing_ok=True)
        if damaged is not None:
            head.write_text(damaged)
        with pytest.raises(FileProblem, match=says):
            Ledger(path)
    path.unlink()
    head.unlink()
    with pytest.raises(FileProblem, match="holds videos, and its ledger, which says how they were made, is gone"):
        sampled(tmp_path)


def test_a_ledger_of_an_earlier_version_is_held_to_its_report(tmp_path: Path) -> None:
    saved = Path(__file__).parent / "saved" / "table"
    lines = (saved / "ledger.jsonl").read_text().splitlines(keepends=True)
    expected = json.loads((saved / "report.json").read_text())["about"]["ledger"]
    for count in (0, len(lines) - 1):
        (tmp_path / "ledger.jsonl").write_text("".join(lines[:count]))
        Ledger(tmp_path / "ledger.jsonl")  # where nothing says how long it was
        with pytest.raises(FileProblem, match="the report beside it names a line of it that is not there"):
            Ledger(tmp_path / "ledger.jsonl", expected)
    (tmp_path / "ledger.jsonl").write_text("".join(lines))
    assert Ledger(tmp_path / "ledger.jsonl", expected).head == expected


def test_a_line_of_a_ledger_that_is_not_as_the_schema_says(tmp_path: Path) -> None:
    path = sampled(tmp_path).path
    lines = path.read_text().splitlines()
    row = json.loads(lines[1])
    lines[1] = json.dumps({**row, "seed": "1"})
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(FileProblem, match=r"line 2, is no line of a ledger: seed is .1., expected a whole number"):
        Ledger(path)


# Disks that fail


def failing(number: int, code: int) -> Callable[[Case], Any]:
    """A system whose disk fails once, at the call of this number."""
    calls = []

    def make(case: Case) -> Any:
        calls.append(case.id)
        if len(calls) == number:
            raise OSError(code, os.strerror(code), "/weights/dit")
        return noise(case)

    return make


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_a_failing_disk_is_no_verdict(tmp_path: Path, code: int) -> None:
    sampled(tmp_path / "whole")
    with pytest.raises(FileProblem, match=f"^/weights/dit: {os.strerror(code)}; this is no verdict: .* to continue$"):
        sampled(tmp_path / "broken", failing(2, code))
    halfway = Ledger(tmp_path / "broken" / "ledger.jsonl")
    assert not halfway.of("failed") and halfway.rows[-1]["kind"] == "interrupted" and halfway.unfinished() == {}
    ledger = sampled(tmp_path / "broken")
    assert videos_of(tmp_path / "broken") == videos_of(tmp_path / "whole") and not ledger.of("failed")


def test_what_a_disk_caused_is_no_verdict_either(tmp_path: Path) -> None:
    def make(case: Case) -> Any:
        try:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        except OSError as problem:
            raise FileProblem("the weights cannot be read") from problem

    for one in (make, best_of(make, 2)):
        with pytest.raises(FileProblem, match="the weights cannot be read; this is no verdict"):
            sampled(tmp_path / str(id(one)), one)


def full_once(number: int, real: Any) -> Callable[..., None]:
    """A function that writes, but finds the disk full at the call of this number."""
    calls: list[int] = []

    def write(*given: Any, **named: Any) -> None:
        calls.append(1)
        if len(calls) != number:
            real(*given, **named)
            return
        if real is jsonl.append_jsonl:
            with given[0].open("a") as file:
                file.write('{"kind": "sta')  # a full disk takes a part of a line
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")

    return write


@pytest.mark.parametrize(
    ("module", "name"), [(ledger_module, "append_jsonl"), (ledger_module, "write_json"), (video, "write")]
)
def test_a_disk_that_is_full_at_any_write_leaves_a_folder_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    """Each write fails once; the same command then makes the same videos."""
    sampled(tmp_path / "whole")
    real = getattr(module, name)
    for number in range(1, 20):
        monkeypatch.setattr(module, name, full_once(number, real))
        try:
            sampled(tmp_path / str(number))
            break
        except (FileProblem, OSError) as problem:
            assert "No space left" in str(problem)
        monkeypatch.setattr(module, name, real)
        ledger = sampled(tmp_path / str(number))
        ledger.check_whole()
        assert not ledger.of("failed") and videos_of(tmp_path / str(number)) == videos_of(tmp_path / "whole"), number
    assert number > 3


# Programs that are killed

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.evaluate.test_interruption import noise, sampled

def killing(case):
    if case.id == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return noise(case)

sampled(Path(sys.argv[1]), killing)
"""


def killed_at(case: Case, folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run([sys.executable, "-c", KILLED, folder, case.id], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL


def test_a_killed_program_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    sampled(tmp_path / "whole")
    killed_at(CASES[1], tmp_path / "killed")
    assert Ledger(tmp_path / "killed" / "ledger.jsonl").unfinished() == {CASES[1].id: 1}
    ledger = sampled(tmp_path / "killed")
    assert not ledger.of("failed") and videos_of(tmp_path / "killed") == videos_of(tmp_path / "whole")


def test_a_case_over_which_the_program_dies_again_and_again_fails(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write({"kind": "began", "case": "", **ABOUT})
    ledger.write(*({"kind": "planned", "case": one.id, "seed": one.seed, "prompt": one.prompt} for one in CASES))
    for _ in range(MAX_STARTS):
        ledger.write({"kind": "started", "case": CASES[0].id})
    again = sampled(tmp_path)
    assert again.of("failed")[CASES[0].id]["reason"] == "the program was killed 3 times while this video was made"
    verdicts = judge_folder(tmp_path / "videos", CASES, again, quiet)
    assert verdicts[0].codes == ("SYS-RUN",)


# Videos that are submitted


def test_a_damaged_video_fails_and_a_failing_disk_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampled(tmp_path)
    videos, moving = tmp_path / "videos", next(case for case in CASES if case.spec.num_frames > 1)
    (videos / moving.file).write_bytes(b"no video")
    damaged = check_folder(videos, CASES)
    assert list(damaged) == [moving.file]
    verdict = judge_folder(videos, [moving], None, quiet)[0]
    assert not verdict.success and [check.name for check in verdict.checks] == ["is readable"]
    for case in CASES:
        (videos / case.file).write_bytes(b"no video")
    with pytest.raises(FileProblem, match="3 problems"):
        check_folder(videos, CASES)

    def broken(self: Path, *given: Any, **named: Any) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))

    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(FileProblem, match="Input/output error; check the disk"):
        check_file(moving, videos / moving.file)


def test_a_worker_that_is_killed_while_it_judges_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = sampled(tmp_path)

    def killed(*_: object) -> Iterator[tuple[Check, ...]]:
        yield check_file(CASES[0], tmp_path / "videos" / CASES[0].file)
        raise BrokenProcessPool("A process in the process pool was terminated abruptly")

    workers = Workers(1)
    monkeypatch.setattr(workers, "check", killed)
    with pytest.raises(FileProblem, match=r"worker process was killed.*fewer --workers"):
        judge_folder(tmp_path / "videos", CASES, ledger, quiet, workers)


def test_a_ledger_goes_on_in_the_precision_that_began_it(tmp_path: Path) -> None:
    """One of an earlier version does not name it: it was begun in single precision."""

    def went_on(folder: Path, **about: str) -> Ledger:
        return sample_cases(noise, CASES, folder, quiet, {**ABOUT, **about})

    went_on(tmp_path / "earlier")
    assert len(went_on(tmp_path / "earlier", precision="fp32").of("done")) == len(CASES)
    with pytest.raises(FileProblem, match="was begun with precision fp32, now bf16; give another --out"):
        went_on(tmp_path / "earlier", precision="bf16")
    went_on(tmp_path / "half", precision="bf16")
    with pytest.raises(FileProblem, match="was begun with precision bf16, now fp32"):
        went_on(tmp_path / "half", precision="fp32")
