"""The schema describes real reports whole: they validate, and every kind of damage to one is seen."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from benchmarks.judging import judged
from chronotope.evaluate.judge import Judged
from chronotope.evaluate.ledger import Ledger
from chronotope.evaluate.page.html import _drift_by_measure
from chronotope.evaluate.report import SCHEMA, make_report
from chronotope.evaluate.suite import make_suite, read_cases, write_cases
from chronotope.metrics.statistics import Rate, wilson
from chronotope.worlds.check import DRIFT_CHECK, Check
from chronotope.worlds.stage.checks.drift import MEASURES
from chronotope.worlds.stage.suites.trial import task_cases
from chronotope.worlds.stage.world import STAGE
from chronotope.worlds.table.world import TABLE
from tools.keep_suites import rate_of, survival_by_second

SAVED = Path(__file__).parent / "saved"
CASES = make_suite("smoke")[:6]
ABOUT = {"program": "chronotope 0.1.0", "model": "somebody", "suite": "some", "videos": len(CASES)}
MAPS = {"about", "checks", "strata", "cube", "failures", "measured", "measures", DRIFT_CHECK}


@functools.lru_cache
def validator(part: str = "") -> jsonschema.Draft202012Validator:
    """Of whole reports, or of one of the definitions."""
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{part}", "$defs": schema["$defs"]} if part else schema)


def verdicts() -> list[Judged]:
    """Some good, some that fail in one way or two, one with the numbers of a long clip."""
    numbers = dict.fromkeys(MEASURES, 1.5) | {f"{name} a second": 0.1 for name in MEASURES}
    good, bad = Check("is sharp"), Check("stays in being", "a", "OBJ-DIS", 3)
    rows = [
        (good,),
        (good, bad),
        (bad, Check("is made", "", "SYS-RUN", 0)),
        (good, Check(DRIFT_CHECK, "", "LNG-DRF", 30, numbers)),
    ]
    return [Judged(case, rows[place % len(rows)]) for place, case in enumerate(CASES)]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return json.loads(json.dumps(make_report(verdicts(), ABOUT)))


def test_real_reports_are_as_the_schema_says(report: dict[str, Any]) -> None:
    validator().validate(report)
    pictures = [
        Judged(
            dataclasses.replace(case, spec=dataclasses.replace(case.spec, num_frames=1, events=())),
            (Check("is sharp"),),
        )
        for case in CASES
    ]
    validator().validate(json.loads(json.dumps(make_report(pictures, ABOUT))))
    assert (
        report["summary"]["long_range"]["videos"] == 1 and report["cases"][3]["measured"][DRIFT_CHECK]["flicker"] == 1.5
    )


def test_reports_and_plans_of_tasks_and_prompts_too(tmp_path: Path) -> None:
    cases = list(task_cases(22))[::3]  # with the forms of prompts, and tasks with what they give
    assert any(case.task for case in cases) and any(case.kind for case in cases)
    away = (Check("is sharp"), Check("goes out of sight", "a"), Check("comes back", "a"))
    validator().validate(json.loads(json.dumps(make_report([Judged(case, away) for case in cases], ABOUT))))
    write_cases(cases, tmp_path / "plan.jsonl")
    for line in (tmp_path / "plan.jsonl").read_text().splitlines():
        validator("plan_line").validate(json.loads(line))


def damaged(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The same with one leaf of the wrong kind, one key too many or, where keys are no names of things, one too few."""
    if not isinstance(value, dict):
        yield path, {} if not isinstance(value, list) else "text"
    else:
        yield (*path, "another key"), {**value, "another key": None}
        names = (path and path[-1] in MAPS) or (len(path) > 1 and path[-2] in ("strata", "cube"))
        free = {"measured", "suite"} if path[:1] == ("cases",) else set()
        for key in () if names else value.keys() - free:
            yield (*path, "without", key), {name: one for name, one in value.items() if name != key}
    if isinstance(value, dict | list):
        entries = list(value.items() if isinstance(value, dict) else enumerate(value))
        for key, inner in (
            entries if path in ((), ("summary",)) or (len(entries) < 14 and path[-1] != "strata") else entries[:2]
        ):
            for where, changed in damaged(inner, (*path, key)):
                whole = copy.copy(value)
                whole[key] = changed
                yield where, whole


def test_damaged_reports_are_refused(report: dict[str, Any]) -> None:
    every = list(damaged({**report, "cases": report["cases"][2:4]}))
    # cases of earlier versions name no world
    every = [(where, changed) for where, changed in every if where[0] != "cases" or where[2:] != ("without", "world")]
    assert len(every) > 200
    sure = {("cases", 1, "measured", DRIFT_CHECK, "noise"), ("summary", "survival", "without", "alive"), ("version",)}
    some = random.Random(0).sample(every, 60) + [one for one in every if one[0] in sure]
    assert sure <= {where for where, _ in some}
    for where, changed in some:
        assert not validator().is_valid(changed), where


def test_lines_of_plans_and_ledgers_too(tmp_path: Path) -> None:
    write_cases(CASES, tmp_path / "plan.jsonl")
    for line in (tmp_path / "plan.jsonl").read_text().splitlines():
        validator("plan_line").validate(json.loads(line))
        assert not validator("plan_line").is_valid({**json.loads(line), "seed": -1})
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write(
        {"kind": "began", "case": "", **ABOUT}, {"kind": "planned", "case": CASES[0].id, "seed": 1, "prompt": "a fox"}
    )
    ledger.write({"kind": "started", "case": CASES[0].id})
    ledger.write({"kind": "done", "case": CASES[0].id, "file": CASES[0].file, "sha256": "0" * 64, "seconds": 0.5})
    ledger.write(
        {"kind": "failed", "case": CASES[1].id, "reason": "none"}, {"kind": "interrupted", "case": CASES[1].id}
    )
    rows = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    for row in rows:
        validator("ledger_line").validate(row)
        for name in row.keys() - {*ABOUT, "head"}:
            assert not validator("ledger_line").is_valid({key: value for key, value in row.items() if key != name}), (
                row["kind"],
                name,
            )


def test_a_video_that_was_not_made_lasts_for_no_time() -> None:
    moving = [case for case in CASES if case.spec.num_frames > 1][:2]
    unmade = [Judged(case, (Check("is made", "", "SYS-RUN", 0),)) for case in moving]
    curve = make_report(unmade, ABOUT)["summary"]["survival"]
    assert (
        curve["median"] == 0.0
        and curve["alive"][-1] == 0.0
        and curve["longest"] == max(case.spec.seconds for case in moving)
    )
    half = make_report([unmade[0], Judged(moving[1], (Check("is sharp"),))], ABOUT)["summary"]["survival"]
    assert (half["times"][-1], half["alive"][-1]) == (0.0, 0.5)
    validator().validate(json.loads(json.dumps(make_report(unmade, ABOUT))))


def test_intervals_are_over_scenes_and_scenes_of_two_suites_are_two() -> None:
    """Four runs of a scene that all fail count as one; scenes with the same index in two suites are two scenes."""
    cases = [dataclasses.replace(case, run=run, seed=run) for case in make_suite("smoke")[:10] for run in range(4)]
    bad = Check("stays in being", "a", "OBJ-DIS", 3)
    summary = make_report(
        [Judged(case, (bad if case.index == 0 else Check("stays in being"),)) for case in cases], ABOUT
    )["summary"]
    once = [round(bound, 4) for bound in wilson(9, 10)]
    assert summary["success"]["interval_over_specs"] == pytest.approx(once, abs=1e-3)
    assert summary["checks"]["stays in being"]["interval"] == pytest.approx(once, abs=1e-3)
    assert summary["failures"]["OBJ-DIS"]["interval"] == pytest.approx(
        [round(bound, 4) for bound in wilson(1, 10)], abs=1e-3
    )
    cells = [cell for row in summary["cube"].values() for cell in row.values()]
    assert all(
        cell["interval"] == pytest.approx(wilson(cell["right"] // 4, cell["of"] // 4), abs=1e-3)
        for cell in cells
        if cell["right"]
    )
    joined = [
        Judged(case, (Check("is sharp"),)) for case in (*CASES, *(dataclasses.replace(case, seed=7) for case in CASES))
    ]
    report = make_report(joined, ABOUT)
    assert [row.get("suite") for row in report["cases"]] == ["smoke"] * 6 + [None] * 6
    assert report["summary"]["success"]["interval_over_specs"] == [round(bound, 4) for bound in wilson(12, 12)]


def test_the_table_for_the_docs_is_of_the_reports_own_curve() -> None:
    moving = [case for case in CASES if case.spec.num_frames > 1]
    rows = [(Check("is made", "", "SYS-RUN", 0),), (Check("stays in being", "a", "OBJ-DIS", 12),), (Check("is sharp"),)]
    report = make_report([Judged(case, rows[place % 3]) for place, case in enumerate(moving)], ABOUT)
    curve = report["summary"]["survival"]
    for second, (alive, low, high, _) in survival_by_second(
        report["cases"], {case.id: case.spec.seconds for case in moving}
    ).items():
        place = max(i for i, time in enumerate(curve["times"]) if time <= float(second))
        assert (alive, low, high) == tuple(curve[name][place] for name in ("alive", "low", "high")) and alive < 1
    whole = rate_of(report["cases"])
    assert (
        whole["interval"] == report["summary"]["success"]["interval_over_specs"] and whole["failures"]["SYS-RUN"] >= 1
    )


def test_the_judging_benchmark_is_of_the_clips_that_the_docs_name() -> None:
    specs = judged()
    assert (len(specs), sum(spec.num_frames for spec in specs)) == (16, 283)
    page = (Path(__file__).parents[2] / "docs" / "evaluation" / "checks.md").read_text()
    assert "the same 16 held-out clips with 283 frames" in " ".join(page.split())


def test_rates_and_drift_of_two_worlds_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each world has its own spread of true clips, and may name a rate as another does."""
    numbers = dict.fromkeys(MEASURES, 1.5) | {f"{name} a second": 0.1 for name in MEASURES}
    monkeypatch.setattr(TABLE, "drift_spread", dict.fromkeys(STAGE.drift_spread, 1.0), raising=False)
    monkeypatch.setattr(TABLE, "extra_rates", lambda checks: {"gate": Rate(len(list(checks)), 9)}, raising=False)
    tables = read_cases(SAVED / "plan.jsonl")[4:5]
    long = (Check(DRIFT_CHECK, "", None, None, numbers), Check("goes out of sight", "a"), Check("comes back", "a"))
    report = json.loads(json.dumps(make_report([Judged(case, long) for case in [*CASES, *tables]], ABOUT)))
    validator().validate(report)
    measures, rates = report["summary"]["long_range"]["measures"], report["summary"]["permanence"]
    assert set(measures) == {f"{world}: {name}" for world in ("stage", "table") for name in MEASURES}
    assert measures["table: noise"]["spread"] == 1.0 and measures["table: noise"]["within"]["of"] == 1
    assert measures["stage: noise"]["spread"] == STAGE.drift_spread["noise"]
    assert measures["stage: noise"]["within"]["of"] == len(CASES)
    assert rates["table: gate"]["right"] == 1 and rates["stage: gate"]["of"] == len(CASES)
    drawn = _drift_by_measure(report["summary"], report["cases"])
    assert [len(drawn[f"{world}: noise"]) for world in ("stage", "table")] == [len(CASES), 1]
    alone = make_report([Judged(case, long) for case in CASES], ABOUT)["summary"]
    assert set(alone["long_range"]["measures"]) == set(MEASURES) and "gate" in alone["permanence"]
