"""What the terminal shows: no text of a file moves the cursor, hides a line or reverses its letters."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import chronotope
from chronotope.cli import commands
from chronotope.cli.check import check
from chronotope.cli.terminal import MAX_SENTENCE, echo, facts_text, say, visible
from chronotope.evaluate.report import write_report
from chronotope.train.log import TrainingLog
from tests.cli.models import refused, run, save_clips
from tests.evaluate.test_attribution import BACK, MODEL, TRUTH

ATTACK = "\x1b[2J\x1b]0;owned\x07\r\x08\x7f\x9b1m\u202eevil\u2066\u2028last\ufeff"
SAVED = Path(__file__).parents[1] / "evaluate" / "saved"
PRINTERS = {"click.echo", "click.secho", "print", "sys.stdout.write", "sys.stderr.write"}


def clean(text: str) -> bool:
    """Whether a text holds no control character but the ends of its lines."""
    return not any(unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") for one in text if one != "\n")


def test_control_characters_become_visible() -> None:
    assert visible(ATTACK) == ("\\x1b[2J\\x1b]0;owned\\x07\\x0d\\x08\\x7f\\x9b1m\\u202eevil\\u2066\\u2028last\\ufeff")
    assert visible("a\nb") == "a\\x0ab" and visible("a\nb", keep="\n") == "a\nb"
    assert visible("\udc80.mp4 \U000e0041") == "\\udc80.mp4 \\U000e0041"
    for kept in (
        "a red ball",
        "M\u00fcller, \u6f22\u5b57, \u0641\u0627\u0631\u0633\u06cc\u200c",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    ):
        assert visible(kept) == kept


def test_a_name_with_line_ends_is_printed_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Sentences, paths, the log of a training and the verdict of a check: none is more than its line."""
    name = "a\nchronotope: all is well\x1b[2K"
    say(f"left out: {name}")
    echo(Path(name))
    TrainingLog(tmp_path, "dit", 1, 0).say(name)
    (tmp_path / name).mkdir()
    check(tmp_path / name, as_json=False)
    out, err = capsys.readouterr()
    assert clean(out) and len(out.splitlines()) == 2
    assert clean(err) and all("a\\x0achronotope" in line for line in err.splitlines()) and len(err.splitlines()) == 3


def test_facts_are_a_line_each_whatever_their_texts_hold() -> None:
    text = facts_text({"kind\n": "dataset", "a": "1\nb: 2", "list": ["x\ny", "z\r"], "table": {"k\x1b": "v\u202e"}})
    assert clean(text) and len(text.splitlines()) == 7


def test_only_the_terminal_prints() -> None:
    """Everything else passes through its functions."""
    folder = Path(chronotope.__file__).parent / "cli"
    for path in folder.glob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {ast.unparse(call) for call in calls}
        if path.name != "terminal.py":
            assert names.isdisjoint({"click.echo", "click.secho", "print", "sys.stdout.write", "sys.stderr.write"}), (
                path
            )


def hostile_report(folder: Path, report: dict[str, Any], **about: Any) -> str:
    report = json.loads(json.dumps(report))
    report["about"] |= {"model": "m" + ATTACK, "suite": "s" + ATTACK, **about}
    for case in report["cases"]:
        case["strata"] = {name + ATTACK: level + ATTACK for name, level in case["strata"].items()}
        case["prompt"] += ATTACK
    strata = report["summary"]["strata"]
    report["summary"]["strata"] = {
        name + ATTACK: {level + ATTACK: rate for level, rate in levels.items()} for name, levels in strata.items()
    }
    write_report(report, folder)
    (folder / "index.html").touch()
    return str(folder)


def test_commands_that_show_a_strangers_texts(tmp_path: Path) -> None:
    reports = [
        hostile_report(tmp_path / name, report, **about)
        for name, report, about in (
            ("model", MODEL, {}),
            ("back", BACK, {}),
            ("truth", TRUTH, {}),
            ("more", MODEL, {"steps" + ATTACK: "60" + ATTACK}),
        )
    ]
    row = json.loads((SAVED / "plan.jsonl").read_text().splitlines()[0])
    (tmp_path / "plan.jsonl").write_text(json.dumps({**row, "prompt": row["prompt"] + ATTACK}) + "\n")
    clips = save_clips(tmp_path / "clips", 1)
    (clips / "0.txt").write_text("a ball" + ATTACK.replace("\u2028", ""))
    (clips / "0.mp4").rename(clips / "0\x1b[31m.mp4")
    (clips / "0.txt").rename(clips / "0\x1b[31m.txt")
    for words in (
        ("info", reports[0]),
        ("info", tmp_path / "plan.jsonl"),
        ("info", clips),
        ("info", clips / "0\x1b[31m.mp4"),
        ("compare", *reports[:2]),
        ("layers", *reports),
    ):
        for more in ((), ("--json",)):
            result = run(*words, *more)
            assert result.exit_code == 0, result.output
            assert clean(result.stdout) and clean(result.stderr), (words, result.output)
            cleaned = words == ("info", clips)  # captions are read without such characters
            assert more or cleaned or "\\x1b" in result.stdout or "\\u202e" in result.stdout, words


def test_errors_name_strange_files_visibly_and_in_one_line(tmp_path: Path) -> None:
    name = tmp_path / "no\x1b[1mne\u202e"
    for words in (("info", name), ("compare", name, name), ("evaluate", "--videos", name, "--specs", name)):
        said = refused(*words, status=1)
        assert clean(said) and "\\x1b[1mne\\u202e" in said
    (tmp_path / "plan.jsonl").write_text(json.dumps({"file": "x" * 90_000}) + "\n")
    said = refused("info", tmp_path / "plan.jsonl", status=1)
    assert len(said) < 400
    row = json.loads((SAVED / "plan.jsonl").read_text().splitlines()[0])
    row["spec"]["backdrop" + "x" * 90_000] = ATTACK
    (tmp_path / "plan.jsonl").write_text(json.dumps(row) + "\n")
    said = refused("evaluate", "--videos", tmp_path, "--specs", tmp_path / "plan.jsonl", status=1)
    assert len(said) < MAX_SENTENCE + 10 and clean(said)


# Bounds before work


@pytest.mark.parametrize(
    "words",
    [
        ("validate-checks", "--count", "1000000000000"),
        ("evaluate", "small", "--workers", "1000000"),
        ("evaluate", "small", "--best-of", "1000000000"),
        ("evaluate", "small", "--steps", "1000000000"),
        ("evaluate", "small", "--first", "1" + "0" * 40),
        ("world", "stage", "--count", "5", "--scope", "small", "--out", "o", "--workers", "1000000"),
        ("world", "table", "--count", "5", "--out", "o", "--workers", "1000000"),
        ("generate", "a ball", "--count", "1000000000"),
        ("train", "dit", "--preset", "tiny", "--dry-run", "--seed", "9223372036854780000"),
    ],
)
def test_numbers_beyond_all_bounds_are_refused_before_work(words: tuple[str, ...]) -> None:
    assert "0000" in refused(*words, status=2).replace(",", "")


def test_no_option_takes_what_is_no_finite_number() -> None:
    def options(command: click.Command) -> Iterator[click.Parameter]:
        for inner in getattr(command, "commands", {}).values():
            yield from options(inner)
        yield from command.params

    numbers = [found for found in options(commands.chronotope) if isinstance(found.type, click.types.FloatParamType)]
    assert len(numbers) > 10
    for found in numbers:
        for word in ("nan", "inf", "-inf"):
            with pytest.raises(click.BadParameter):
                found.type.convert(word, found, None)


def test_a_locale_that_misreads_names_is_refused() -> None:
    """A legacy locale reads a word such as a prompt or a file name as other letters, or as halves of characters."""
    legacy = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "chronotope", "check", "."]
    found = subprocess.run(command, env=legacy, capture_output=True, text=True, check=False)
    assert found.returncode == 2 and "reads file names and the words of a command as ascii" in found.stderr
    assert "PYTHONUTF8=1" in found.stderr and found.stdout == ""
    found = subprocess.run(command, env={**legacy, "PYTHONUTF8": "1"}, capture_output=True, text=True, check=False)
    assert "reads file names" not in found.stderr
