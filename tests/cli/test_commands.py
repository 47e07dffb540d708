"""The command line as a whole: help, suggestions, exit status, generated pages."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest

from chronotope.arguments import MAX_SECONDS
from chronotope.cli import commands as cli
from chronotope.cli import terminal
from chronotope.cli.info import describe
from chronotope.cli.terminal import PRESETS as NAMED
from chronotope.config import Seed
from chronotope.errors import FileProblem
from chronotope.generate.stored.folders import WEIGHTS
from chronotope.geometry import MAX_SIDE
from chronotope.presets import PRESETS
from chronotope.request import NUM_STEPS
from chronotope.worlds.stage.scope import SCOPES
from tests.cli.models import program, refused, run

ROOT = Path(__file__).resolve().parents[2]


def commands(
    group: click.Group = cli.chronotope, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())
LEAVES = {path: command for path, command in COMMANDS.items() if not isinstance(command, click.Group)}


def test_all_commands_exist() -> None:
    expected = (
        "generate, expand, reconstruct, merge, serve, play, world crafter, world doom, world stage, world table, "
        "record, import, curate, inspect, caption, review, score-captions, export, encode, train autoencoder, "
        "train dit, train captioner, train expander, train track, teach, info, check, bench, audit, verify, disclose, "
        "evaluate, compare, layers, memorisation, export-suite, validate-checks, red-team, seal, prefer"
    ).split(", ")
    assert set(map(" ".join, LEAVES)) == set(expected)


def test_top_help_groups_commands_in_the_order_of_the_pipeline() -> None:
    result = run("--help")
    assert result.exit_code == 0
    places = [
        result.stdout.index(f"\n    {name} ")
        for name in (
            "world",
            "import",
            "caption",
            "review",
            "score-captions",
            "export",
            "encode",
            "train",
            "generate",
            "expand",
            "reconstruct",
            "merge",
            "evaluate",
            "compare",
            "export-suite",
            "info",
        )
    ]
    assert places == sorted(places)
    assert re.search(r"First time: +bash runs/tiny.sh", result.stdout)
    assert sorted(name for names in cli.STAGES.values() for name in names) == sorted(cli.chronotope.commands)
    assert list(cli.chronotope.commands) == [name for names in cli.STAGES.values() for name in names]


@pytest.mark.parametrize("words", [(), ("train",), ("world",)], ids=str)
def test_a_group_alone_shows_its_help(words: tuple[str, ...]) -> None:
    assert run(*words).stdout == run(*words, "--help").stdout
    assert run(*words).exit_code == 0


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_help_ends_with_examples_that_parse(path: tuple[str, ...]) -> None:
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert result.stdout.isascii()
    assert result.stdout.startswith(f"usage: chronotope {' '.join(path)}")
    examples = result.stdout.partition("\nexamples\n")[2].strip().splitlines()
    assert len(examples) >= 2
    for example in examples:
        words = shlex.split(example)
        assert words[: len(path) + 1] == ["chronotope", *path]
        LEAVES[path].make_context(" ".join(path), words[len(path) + 1 :])  # refuses unknown options and values


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_is_explained_once(path: tuple[str, ...]) -> None:
    text = run(*path, "--help").stdout
    for param in COMMANDS[path].params:
        if isinstance(param, click.Option):
            assert param.help
            assert len(re.findall(rf"^ +(?:-o, )?{param.opts[-1]}\b", text, re.MULTILINE)) == 1


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_an_option_of_one_value_is_given_once(path: tuple[str, ...]) -> None:
    for param in (COMMANDS[path] if path else cli.chronotope).params:
        if isinstance(param, click.Option) and param.expose_value and not param.multiple:
            words = [] if param.is_flag else ["1"] * param.nargs
            twice = [word for name in (param.opts[0], param.opts[-1]) for word in (name, *words)]
            said = refused(*path, *twice, *(() if path else ("info", ".")), status=2)
            assert said.startswith(f"{param.opts[0]} is given 2 times; give it once"), said


def test_help_names_all_presets_and_scopes() -> None:
    assert all(name in NAMED for name in PRESETS)
    text = run("world", "stage", "--help").stdout
    assert all(re.search(rf"\b{name}\b", text) for name in SCOPES)


def test_help_imports_nothing_heavy() -> None:
    """One process shows the help of every command, and names the first that imports something heavy."""
    heavy = {"av", "cv2", "einops", "httpx", "jaxtyping", "numpy", "rich", "safetensors", "torch"}
    code = f"""
import sys
from chronotope.cli.commands import chronotope
for path in {[(), *LEAVES]}:
    try: chronotope.main([*path, "--help"])
    except SystemExit as ended: assert ended.code == 0, path
    assert not {heavy} & set(sys.modules), path
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("usage: chronotope") == 1 + len(LEAVES)


def test_the_program_answers() -> None:
    result = program("--version")
    assert result.returncode == 0
    assert re.fullmatch(r"chronotope \d+\.\d+\.\d+\n", result.stdout)
    wrong = program("genrate", "a ball")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert (
        wrong.stderr == "chronotope: there is no command 'genrate'. Did you mean 'generate'? See: chronotope --help\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["genrate", "x"], "Did you mean 'generate'?"),
        (["quux"], "Choose from: world, record, import, curate, inspect, caption, review, score-captions, export, enc"),
        (["train", "autoencodr"], "Did you mean 'autoencoder'?"),
        (["world", "stge"], "Did you mean 'stage'?"),
        (["generate", "x", "--sede", "4"], "--seed"),
        (["generate"], "Missing argument 'PROMPT'"),
        (["generate", "a", "b", "-o", "x.mp4"], "unexpected extra argument"),
        (["generate", "x", "--size", "128"], "for example 128x72"),
        (["generate", "x", "--size", "axb"], "for example 128x72"),
        (["generate", "x", "--size", "-4x4"], "for example 128x72"),
        (["generate", "x", "--seconds", "-1"], "0<=x<=1000000000"),
        (["generate", "x", "--seconds", "1e300", "--dry-run"], "'--seconds': 1e+300 is not in the range"),
        (["generate", "x", "--at", "1e308", "--fps", "240", "--dry-run"], "'--at': 1e+308 is not in the range"),
        (["reconstruct", "x.mp4", "-o", "y.mp4", "--seconds", "1e300"], "0<x<=1000000000"),
        (["generate", "x", "--seconds", "nan", "--dry-run"], "finite"),
        (["generate", "x", "--guidance", "inf", "--dry-run"], "finite"),
        (["generate", "x", "--fps", "0"], "0<x<=240"),
        (["generate", "x", "--steps", "0"], "1<=x<=1000"),
        (["generate", "x", "--seed", "-1"], "0<=x<=9223372036854775807"),
        (["generate", "x", "--seed", str(2**63 - 1), "--count", "2", "-o", "x.mp4"], "beyond 2^63 - 1"),
        (["world", "stage", "--count", "1", "--out", "x", "--seed", str(2**63)], "0<=x<=9223372036854775807"),
        (["evaluate", "--steps", "1001", "--out", "x"], "1<=x<=1000"),
        (["evaluate", "--guidance", "1001", "--out", "x"], "guidance must be between 0 and 1000, got 1001"),
        (["generate", "x", "--count", "0"], "1<=x<=100000"),
        (["generate", "x", "--solver", "rk4"], "'euler', 'heun'"),
        (["train", "dit", "--hours", "1", "--from", "small"], "--hours chooses the size of a new model"),
        (["train", "dit", "--preset", "smal", "--dry-run"], "unknown preset 'smal'. Did you mean 'small'?"),
        (["train", "autoencoder", "--preset", "tiny", "--set", "train.step=3", "--dry-run"], "Did you mean 'steps'?"),
        (["train", "autoencoder", "--preset", "tiny", "--set", "train.steps=many", "--dry-run"], "expected int"),
        (["train", "autoencoder", "--preset", "tiny", "--set", "train.steps", "--dry-run"], "write path=value"),
        (["train", "dit", "--preset", "tiny", "--out", "x"], "--data"),
        (["train", "dit", "--preset", "tiny", "--data", "."], "--out"),
        (["world", "stage", "--out", "x"], "--count"),
        (["world", "stage", "--count", "1", "--out", "x", "--scope", "smal"], "Did you mean 'small'?"),
        (["world", "stage", "--count", "1", "--out", "x", "--split", "trian"], "Did you mean 'train'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_refused(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(*words, status=2)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


SIZED = [path for path, command in LEAVES.items() if any(param.name == "size" for param in command.params)]


@pytest.mark.parametrize("path", SIZED, ids=" ".join)
@pytest.mark.parametrize("size", ["0x0", "0x64", "64x0", f"{MAX_SIDE + 1}x8", "8x" + "9" * 500])
def test_every_size_has_pixels(path: tuple[str, ...], size: str) -> None:
    assert f"write WIDTHxHEIGHT, each 1 to {MAX_SIDE} pixels" in refused(*path, "--size", size, status=2)


def test_the_command_line_has_the_limits_of_the_interface() -> None:
    assert (terminal.STEPS.min, terminal.STEPS.max) == NUM_STEPS
    assert terminal.SEEDS.max in get_args(Seed)[1] and terminal.SEEDS.max + 1 not in get_args(Seed)[1]
    assert terminal.SECONDS.max == MAX_SECONDS


def test_every_error_has_its_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends_with(error: BaseException) -> tuple[int, str, str]:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(cli.chronotope.commands["info"], "callback", fail)
        result = run("info", "x")
        return result.exit_code, result.stdout, result.stderr

    assert ends_with(FileProblem("x is\nmissing")) == (1, "", "chronotope: x is missing\n")
    status, out, message = ends_with(KeyboardInterrupt())
    assert (status, out) == (130, "")
    assert "interrupted" in message
    status, out, message = ends_with(ZeroDivisionError("by nothing"))
    assert (status, out, message.count("\n")) == (1, "", 1)
    assert "by nothing" in message
    assert "chronotope --debug" in message

    with_debug = run("--debug", "info", "x")
    assert isinstance(with_debug.exception, ZeroDivisionError)


def test_values_spread_over_an_option() -> None:
    words = ["--data", "a", "b", "--set", "x=1", "y=2", "--out", "o", "--data", "c"]
    spread = list(terminal._spread(words, ("--data", "--set")))
    assert spread == ["--data", "a", "--data", "b", "--set", "x=1", "--set", "y=2", "--out", "o", "--data", "c"]


def test_threads_can_be_set(tmp_path: Path) -> None:
    assert "is none of" in refused("--threads", "1", "info", tmp_path, status=1)
    assert "x>=1" in refused("--threads", "0", "info", tmp_path, status=2)


def test_the_page_of_commands_is_up_to_date() -> None:
    script = ROOT / "tools/generate_docs.py"
    result = subprocess.run(
        [sys.executable, script, "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "60"},
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("script", sorted((ROOT / "runs").glob("*.sh")), ids=lambda path: path.name)
def test_run_scripts_use_commands_that_exist(script: Path) -> None:
    """Every `chronotope` line of a script parses: continued lines are joined, variables stand for themselves."""
    text = re.sub(r"\\\n\s*", " ", script.read_text()).replace(' "$@"', "")
    text = re.sub(r"^make_one (\S+)", r"chronotope generate -o \1", text, flags=re.MULTILINE)
    lines = [found[1] for line in text.splitlines() if (found := re.search(r"(?:^|-m )(chronotope .*)", line.strip()))]
    assert lines
    for line in lines:
        words = shlex.split(re.sub(r"\$\{?[\w@\[\]]+\}?", "1", line))[1:]
        path = tuple(words[:2]) if tuple(words[:2]) in LEAVES else tuple(words[:1])
        LEAVES[path].make_context(" ".join(path), words[len(path) :])
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_connect_with_one_clip_says_what_is_missing() -> None:
    assert "takes two clips, as in --connect a.mp4 b.mp4, got a.mp4 alone" in refused(
        "generate", "x", "--connect", "a.mp4", "-o", "x.mp4", status=2
    )


@pytest.mark.parametrize("words", [(), ("train",), ("world",)], ids=str)
def test_summaries_of_commands_are_whole_sentences(words: tuple[str, ...]) -> None:
    text = " ".join(run(*words, "--help").stdout.split())
    for path, command in COMMANDS.items():
        if path[:-1] == words and path:
            assert " ".join(command.get_short_help_str(limit=1000).rstrip(".").split()) in text


def test_shipped_models_state_their_licence() -> None:
    for folder in sorted(WEIGHTS.iterdir()):
        licence = describe(folder)["summary"]["licence"]
        assert f"| licence | {licence} |" in (folder / "README.md").read_text()
