"""Suites and ledgers: fixed before anything is made, and nothing can be left out."""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from chronotope.errors import ChronotopeError, FileProblem
from chronotope.evaluate import suite
from chronotope.evaluate.ledger import Ledger
from chronotope.evaluate.suite import make_suite, read_cases, write_cases
from chronotope.worlds.case import Case
from chronotope.worlds.splits import split_of
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.checks.tracking import ACTIONS
from chronotope.worlds.stage.suites.mixture import MIXTURES
from chronotope.worlds.stage.world import STAGE


@functools.cache
def standard() -> list[Case]:
    """The first specs of the standard suite, once each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MIXTURES, "standard", (160, 1))
        return make_suite("standard")


def test_a_suite_is_the_same_every_time_and_was_never_trained_on() -> None:
    cases = make_suite("smoke")
    suite._suite.cache_clear()
    assert cases == make_suite("smoke") and len(cases) == math.prod(MIXTURES["smoke"])
    assert len({case.id for case in cases}) == len({case.seed for case in cases}) == len(cases)
    assert {case.split for case in cases} == {"heldout", "combination"}
    for case in cases:
        assert split_of(case.spec) == case.split != "train"
        assert case.prompt == captions(case.spec)[case.form][0]
        assert case.file.endswith(".png") == (case.spec.num_frames == 1)


def test_strata_cover_what_they_name() -> None:
    levels: dict[str, Counter[str]] = {}
    for case in make_suite("smoke"):
        for name, level in STAGE.strata(case).items():
            levels.setdefault(name, Counter())[level] += 1
    assert set(levels) == {
        "length",
        "size",
        "words",
        "deeds",
        "actors",
        "cast",
        "place",
        "identity",
        "novelty",
        "physics",
    }
    assert all(len(counts) > 1 for counts in levels.values()), levels
    assert levels["deeds"]["C3 one deed after the other"] >= 4
    assert {"P1 inertia", "P2 gravity", "P3 two bodies", "P5 irreversible"} <= set(levels["physics"])


@pytest.mark.slow
def test_a_fifth_does_a_deed_of_its_own_each_in_its_turn() -> None:
    cases = standard()
    done = Counter(event.kind for case in cases for event in case.spec.events if event.kind in ACTIONS)
    assert (
        set(done) == set(ACTIONS)
        and min(done.values()) >= len(cases) // 30
        and sum(done.values()) <= len(cases) // 5 + 20
    )
    for case in cases:
        kinds = {event.kind for event in case.spec.events}
        assert ("eat" in kinds) == (STAGE.strata(case)["physics"] == "P5 irreversible")
        assert bool(kinds & {"eat", "hit", "meet"}) == STAGE.strata(case)["deeds"].startswith("C4")


def test_every_wording_meets_every_kind_of_case_and_names_its_place() -> None:
    cases = standard()
    assert len({(case.form, STAGE.strata(case)["deeds"][:2]) for case in cases}) >= 8
    assert all(
        len({(actor.noun, actor.colour) for actor in case.spec.actors}) == len(case.spec.actors) for case in cases
    )
    words = {"hills": "hills", "sky": "sky", "sea": "sea", "night": "night"}
    assert all(words.get(case.spec.backdrop, case.spec.backdrop) in case.prompt for case in cases)


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    cases = make_suite("smoke")
    write_cases(cases, tmp_path / "specs.jsonl")
    assert read_cases(tmp_path / "specs.jsonl") == cases


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_frames": 99}, "contradicts itself: num_frames is 99"),
        ({"spec": {"width": 3}}, "is no case"),
        ({"seed": "x"}, "is no case"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    path = tmp_path / "specs.jsonl"
    write_cases(make_suite("smoke")[:3], path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1] |= change
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(FileProblem, match=f"line 2.*{says}"):
        read_cases(path)


def test_bad_plans(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    for call in (
        lambda: read_cases(tmp_path / "none.jsonl"),
        lambda: read_cases(tmp_path / "empty.jsonl"),
        lambda: make_suite("smokes"),
    ):
        with pytest.raises(ChronotopeError):
            call()
    write_cases(make_suite("smoke")[:1] * 2, tmp_path / "twice.jsonl")
    with pytest.raises(FileProblem, match="twice"):
        read_cases(tmp_path / "twice.jsonl")


def filled(path: Path) -> Ledger:
    ledger = Ledger(path)
    ledger.write(*({"kind": "planned", "case": name, "seed": 1, "prompt": "a fox"} for name in "abc"))
    for name in "ab":
        ledger.write({"kind": "started", "case": name})
        ledger.write(done(name))
    return ledger


def done(name: str) -> dict[str, Any]:
    return {"kind": "done", "case": name, "file": f"{name}.mp4", "sha256": "0" * 64, "seconds": 1.0}


def test_a_ledger_goes_on_where_it_stopped(tmp_path: Path) -> None:
    head = filled(tmp_path / "l").head
    again = Ledger(tmp_path / "l")
    assert again.head == head and list(again.of("done")) == ["a", "b"]
    with pytest.raises(FileProblem, match=r"1 planned and missing \(c\)"):
        again.check_whole()
    again.write({"kind": "started", "case": "c"})
    assert Ledger(tmp_path / "l").unfinished() == {"c": 1}
    again.write({"kind": "interrupted", "case": "c"})
    assert again.unfinished() == {}
    again.write({"kind": "failed", "case": "c", "reason": "out of memory"})
    again.check_whole()
    again.write(done("c"))
    with pytest.raises(FileProblem, match="ended twice"):
        again.check_whole()


@pytest.mark.parametrize("tampering", ["changed", "dropped", "swapped", "added"])
def test_a_ledger_that_was_tampered_with_is_refused(tmp_path: Path, tampering: str) -> None:
    path = tmp_path / "l"
    filled(path)
    lines = path.read_text().splitlines()
    if tampering == "changed":
        lines[1] = lines[1].replace('"seed": 1', '"seed": 2')
    elif tampering == "dropped":
        del lines[2]
    elif tampering == "swapped":
        lines[0], lines[1] = lines[1], lines[0]
    else:
        lines.insert(3, lines[2])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(FileProblem, match="was changed"):
        Ledger(path)


def test_a_line_cut_off_by_a_crash_is_dropped(tmp_path: Path) -> None:
    head = filled(tmp_path / "l").head
    with (tmp_path / "l").open("a") as file:
        file.write('{"kind": "done", "ca')
    again = Ledger(tmp_path / "l")
    assert again.head == head
    again.write(done("c"))
    Ledger(tmp_path / "l").check_whole()
