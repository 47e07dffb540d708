"""Files of strangers: every fault is one sentence, and the schema is checked as the reference implementation does."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from chronotope.errors import FileProblem
from chronotope.evaluate.documents import MAX_DEPTH, MAX_TEXT, parse_json, read_file, read_rows
from chronotope.evaluate.ledger import Ledger
from chronotope.evaluate.report import read_report
from chronotope.evaluate.schema import SCHEMA, first_problem
from chronotope.evaluate.suite import read_cases

SAVED = Path(__file__).parent / "saved"  # made before files were checked against the schema
REPORTS = [SAVED / name / "report.json" for name in ("stage", "table")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1,", "Expecting value at line 1, column 4"),
        ("NaN", "NaN is no number"),
        ('{"a": [1, -Infinity]}', "-Infinity is no number"),
        ("1e400", "too large"),
        ("9" * 5000, "too large"),
        (str(2**63), "too large"),
        ('{"a": 1, "b": 2, "a": 3}', 'the key "a" stands twice'),
        ("[" * 100_000, "deeper than 32"),
        ("[" * 40 + "]" * 40, "deeper than 32"),
        ('{"a":' * 100_000, "deeper than 32"),
        (json.dumps("x" * (MAX_TEXT + 1)), "100,001 characters"),
        (json.dumps({"x" * (MAX_TEXT + 1): 1}), "100,001 characters"),
        ('["\\ud800"]', "half of a character"),
    ],
)
def test_json_beyond_all_bounds_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises(FileProblem, match=r"^report\.json is not readable JSON: ") as problem:
        parse_json(text, "report.json")
    assert says in str(problem.value) and len(str(problem.value)) < 200 and "\n" not in str(problem.value)


def test_json_within_the_bounds_is_what_the_parser_of_python_gives() -> None:
    for text in ('{"a": [1, -2.5, true, null, "\\u00e4"]}', str(2**63 - 1), "[" * MAX_DEPTH + "]" * MAX_DEPTH):
        assert parse_json(text, "x") == json.loads(text)


def test_files_that_are_no_text_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b'{"a": "\xff\xfe"}')
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf[]")
    for name, says in (("binary", "at byte 7"), ("none", "is missing"), (".", "is no regular file")):
        with pytest.raises(FileProblem, match=says):
            read_file(tmp_path / name)
    with pytest.raises(FileProblem, match="is no regular file"):
        read_file(Path("/dev/zero"))
    assert read_file(tmp_path / "marked") == "[]"


def test_lines_end_with_line_feeds_alone(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text('{"a": "x\u2028y\x85"}\r\n{"a": 2}')
    assert [row["a"] for _, row in read_rows(tmp_path / "rows", "line")] == ["x\u2028y\x85", 2]
    assert [row["a"] for _, row in read_rows(tmp_path / "rows", "line", whole=True)] == ["x\u2028y\x85"]
    for text, says in (
        ("[]\n", "got a list, expected an object"),
        ('{"a": 1}\n\n{"a": 2}\n', "line 2, is no line: it is"),
    ):
        (tmp_path / "rows").write_text(text)
        with pytest.raises(FileProblem, match=says):
            list(read_rows(tmp_path / "rows", "line"))


# The schema


STRANGE = [None, True, 0, -1, 1, 2.5, "", "x", "a\nb", [], {}, [1], {"a": 1}, [[]], "OBJ-DIS", "0" * 64]


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places in a JSON value at which something can be exchanged."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


def mutants(value: Any, count: int, seed: int) -> Iterator[tuple[str, Any]]:
    """The same with one thing exchanged, removed or added, at a random place."""
    rng, every = random.Random(seed), list(places(value))
    for _ in range(count):
        *outer, key = rng.choice(every)
        changed = copy.deepcopy(value)
        inside = changed
        for step in outer:
            inside = inside[step]
        what = rng.choice(["exchange", "exchange", "remove", "add"])
        if what == "exchange":
            inside[key] = rng.choice(STRANGE)
        elif what == "remove":
            del inside[key]
        elif isinstance(inside, dict):
            inside["another key"] = rng.choice(STRANGE)
        else:
            inside.append(rng.choice(STRANGE))
        yield f"{what} {[*outer, key]}", changed


def some(report: dict[str, Any]) -> dict[str, Any]:
    """A report with few cases, so that all places are exchanged as often."""
    return {**report, "cases": report["cases"][:2]}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        *(("", some(json.loads(path.read_text()))) for path in REPORTS),
        *(("ledger_line", json.loads(line)) for line in (SAVED / "table/ledger.jsonl").read_text().splitlines()[:8]),
        *(("plan_line", json.loads(line)) for line in (SAVED / "plan.jsonl").read_text().splitlines()),
    ],
)
def test_the_schema_is_checked_as_the_reference_implementation_does(part: str, value: Any) -> None:
    schema = json.loads(SCHEMA.read_text())
    whole = {"$ref": f"#/$defs/{part}", "$defs": schema["$defs"]} if part else schema
    reference = jsonschema.Draft202012Validator(whole)
    assert first_problem(value, part) == ""
    refused = 0
    for what, changed in mutants(value, 60 if part else 150, 5):
        problem = first_problem(changed, part)
        # "$" of Python's patterns also matches before a last line feed, which no text here has
        assert bool(problem) == (not reference.is_valid(changed)), (what, problem)
        assert len(problem) < 400 and "\n" not in problem
        refused += bool(problem)
    assert refused > 5


def test_an_end_of_line_is_no_end_of_a_name() -> None:
    row = json.loads((SAVED / "plan.jsonl").read_text().splitlines()[0])
    assert "file" in first_problem({**row, "file": row["file"] + "\n"}, "plan_line")


# What today's version and earlier ones wrote


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    for path in REPORTS:
        report = read_report(path.parent)
        ledger = Ledger(path.with_name("ledger.jsonl"), report["about"]["ledger"])
        ledger.check_whole()
        assert ledger.head == report["about"]["ledger"] and len(ledger.of("done")) == len(report["cases"])
    assert len(read_cases(SAVED / "plan.jsonl")) == 6
    rows = [json.loads(line) for line in (SAVED / "plan.jsonl").read_text().splitlines()]
    for row in rows:
        del row["world"]  # plans of the first versions name none
    (tmp_path / "plan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_cases(tmp_path / "plan.jsonl") == read_cases(SAVED / "plan.jsonl")


# Reports and plans of strangers


def altered(path: Path, *steps: str | int, value: Any) -> dict[str, Any]:
    report = json.loads(path.read_text())
    inside = report
    for step in steps[:-1]:
        inside = inside[step]
    inside[steps[-1]] = value
    return report


@pytest.mark.parametrize(
    ("steps", "value", "says"),
    [
        (("cases", 3, "file"), "../../etc/passwd", r"cases\[3\].file is"),
        (("cases", 3, "file"), "/etc/passwd.png", r"cases\[3\].file is"),
        (("cases", 3, "prompt"), 5, r"cases\[3\].prompt is 5, expected a text"),
        (("cases", 3), [], r"cases\[3\] is a list, expected an object"),
        (("cases",), [], r"cases has 0 entries, expected at least 1"),
        (("summary",), [], r"summary is a list, expected an object"),
        (("summary", "success", "share"), "1.0", r"summary.success.share is .1.0., expected a number"),
        (("summary", "success", "right"), 24, "summary.success is 24 of 24, by its cases 19 of 24"),
        (("summary", "survival", "alive"), [1.0], "different lengths"),
        (("summary", "failures", "XXX-YYY"), {"right": 0, "of": 1, "share": 0.0, "interval": [0, 1]}, "XXX-YYY"),
        (("version",), "<b>", "version .<b>., this program reads version 1"),
        (("more",), 1, "has the unknown key .more."),
    ],
)
def test_reports_that_are_not_as_the_schema_says(tmp_path: Path, steps: Any, value: Any, says: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(altered(REPORTS[0], *steps, value=value)))
    with pytest.raises(FileProblem, match=says) as problem:
        read_report(path)
    assert str(problem.value).startswith(str(path))


def test_a_case_that_stands_twice_is_refused(tmp_path: Path) -> None:
    report = json.loads(REPORTS[0].read_text())
    report["cases"].append(report["cases"][0])
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(FileProblem, match=f"cases holds {report['cases'][0]['id']} 2 times"):
        read_report(tmp_path)


@pytest.mark.parametrize(
    ("place", "change", "says"),
    [
        (4, {"spec": [1]}, "spec is a list, expected an object"),
        (4, {"kind": "counting"}, "the world 'table' has no kinds; leave it out"),
        (0, {"kind": "counting"}, 'unknown kind "counting"'),
        (0, {"width": 10**9}, "width is 1000000000, expected at most 8192"),
        (0, {"form": "sonnet"}, 'form is "sonnet", expected one of sentence'),
        (0, {"prompt": " "}, 'prompt is " ", expected words'),
        (0, {"world": "moon"}, "unknown world 'moon'"),
        (2, {"inputs": None}, "inputs is null, expected an object"),
    ],
)
def test_lines_of_plans_that_are_no_cases(tmp_path: Path, place: int, change: dict[str, Any], says: str) -> None:
    row = json.loads((SAVED / "plan.jsonl").read_text().splitlines()[place])
    (tmp_path / "plan.jsonl").write_text(json.dumps(row | change) + "\n")
    with pytest.raises(FileProblem) as problem:
        read_cases(tmp_path / "plan.jsonl")
    assert says in str(problem.value) and "line 1, is no case of a suite" in str(problem.value)


def test_a_spec_of_no_named_world_is_told_the_problem_of_the_world_that_it_is_most_like(tmp_path: Path) -> None:
    row = json.loads((SAVED / "plan.jsonl").read_text().splitlines()[4])
    assert row.pop("world") == "table"
    row["spec"]["camera"] = 7
    (tmp_path / "plan.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(FileProblem, match="camera = 7: expected a table for"):
        read_cases(tmp_path / "plan.jsonl")
