"""The terminal: help with examples, errors as one sentence and an exit status, progress on stderr, shared options."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from chronotope.errors import ChronotopeError, FileProblem, UsageError, suggest
from chronotope.progress import Progress
from chronotope.storage import read_json

__all__ = [
    "FILE",
    "JSON",
    "MODEL",
    "OVERWRITE",
    "PRESETS",
    "SEED",
    "SHUFFLED",
    "SIZE",
    "Command",
    "Commands",
    "Option",
    "check_finite",
    "option",
    "progress",
    "refuse_overwriting",
    "refuse_replacing",
    "say",
    "show",
]

SHUFFLED = 0.3  # share of clips that `encode` cuts into slices at random places, see `Geometry.shuffled_slices`


def say(text: str) -> None:
    """Print a sentence on stderr; stdout holds results only."""
    click.echo(text, err=True)


def show(facts: dict[str, Any], as_json: bool) -> None:
    """Print a result on stdout."""
    from chronotope.cli.info import in_words

    click.echo(json.dumps(facts, indent=1) if as_json else in_words(facts))


# Help


class Option(click.Option):
    """An option whose help leaves out the range of values, which the error message names."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        extra: dict[str, Any] = {**super().get_help_extra(ctx)}
        extra.pop("range", None)
        return extra


class Command(click.Command):
    """A command whose options are listed in named sections and whose help ends with examples.

    An option in `spread` takes all values up to the next option: `--data A B` is `--data A --data B`.
    """

    def __init__(
        self,
        *args: Any,
        sections: Mapping[str, Sequence[str]] | None = None,
        examples: str,
        spread: Sequence[str] = (),
        **named: Any,
    ) -> None:
        super().__init__(*args, **named)
        self.sections, self.examples, self.spread = sections or {}, examples, spread

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_spread(args, self.spread)))

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments = [piece for piece in self.collect_usage_pieces(ctx) if piece != "[OPTIONS]"]
        formatter.write_usage(ctx.command_path, " ".join([*arguments, "[options]"]), prefix="usage: ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = _records(self, ctx)
        placed = {name for names in self.sections.values() for name in names}
        rest = [name for name in records if name not in placed]
        sections = {title: list(names) for title, names in self.sections.items()} or {"options": []}
        list(sections.values())[-1].extend(rest)
        for title, names in sections.items():
            _section(formatter, title, [records[name] for name in names])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"\nexamples\n{_indented(self.examples)}")


def _spread(args: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Repeat the name of a repeatable option before each of its values."""
    current, named = "", False
    for arg in args:
        if arg.startswith("-"):
            current, named = (arg if arg in names else ""), True
        elif current and not named:
            yield current
        else:
            named = False
        yield arg


def _records(command: click.Command, ctx: click.Context) -> dict[str, tuple[str, str]]:
    """Return the two columns of help of every option, by its name."""
    records = {}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
        if record:
            records[str(param.name)] = record
    return records


def _section(formatter: click.HelpFormatter, title: str, records: Sequence[tuple[str, str]]) -> None:
    formatter.write(f"\n{title}\n")
    formatter.indent()
    formatter.write_dl(records)
    formatter.dedent()


def _indented(text: str) -> str:
    return "".join(f"  {line.strip()}\n" for line in text.strip().splitlines())


class Commands(click.Group):
    """A group of commands in named stages; without a command it prints its help."""

    def __init__(
        self, *args: Any, stages: Mapping[str, Sequence[str]] | None = None, closing: str, **named: Any
    ) -> None:
        super().__init__(*args, **named)
        self.stages, self.closing = stages or {}, closing

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            raise click.UsageError(f"there is no command '{args[0]}'. {suggest(args[0], self.commands)}", ctx)
        return super().resolve_command(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "COMMAND [options]", prefix="usage: ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands)) + 2
        for title, names in (self.stages or {"commands": list(self.commands)}).items():
            lines = (
                f"    {name:{width}}{self.commands[name].get_short_help_str(limit=90).rstrip('.')}\n" for name in names
            )
            formatter.write(f"\n  {title}\n" + "".join(lines))
        _section(formatter, "options", list(_records(self, ctx).values()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write("\n" + self.closing.strip() + "\n")

    def main(self, args: Sequence[str] | None = None, *rest: Any, **named: Any) -> Any:
        """Run a command and exit with its status."""
        words = sys.argv[1:] if args is None else list(args)
        named |= {"prog_name": "chronotope", "standalone_mode": False}
        sys.exit(_status(lambda: super(Commands, self).main(words, **named), debug="--debug" in words))


def _status(run: Callable[[], Any], debug: bool) -> int:
    """Return 0, 1 for a failure, 2 for a wrong request or 130 for Ctrl-C, with one sentence on stderr."""
    try:
        status = run()
        return status if isinstance(status, int) else 0
    except click.UsageError as problem:
        where = f" See: {problem.ctx.command_path} --help" if problem.ctx else ""
        sentence = _one_line(problem.format_message())
        stop = "." if where and not sentence.endswith((".", "?", "!")) else ""
        say(f"chronotope: {sentence}{stop}{where}")
        return 2
    except click.ClickException as problem:
        say(f"chronotope: {_one_line(problem.format_message())}")
        return problem.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("chronotope: interrupted; nothing half-written is left behind")
        return 130
    except ChronotopeError as problem:
        if debug:
            raise
        say(f"chronotope: {_one_line(str(problem))}")
        return problem.exit_code
    except OSError as problem:
        if debug:
            raise
        known = problem.filename and problem.strerror
        what = f"{problem.filename}: {problem.strerror}" if known else _one_line(str(problem))
        say(f"chronotope: {what}; check the path, its permissions and the disk")
        return 1
    except Exception as problem:
        if debug:
            raise
        what = _one_line(str(problem))[:300]
        say(
            f"chronotope: unexpected {type(problem).__name__}: {what} - "
            "run `chronotope --debug ...` to see where, and please report it"
        )
        return 1


def _one_line(text: str) -> str:
    return " ".join(text.split())


# Values


class Size(click.ParamType):
    """WIDTHxHEIGHT in pixels; the value is (width, height)."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        width, _, height = str(value).lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            self.fail(f"'{value}' is not a size; write WIDTHxHEIGHT in pixels, for example 128x72", param, ctx)
        return int(width), int(height)


SIZE = Size()


# Options of several commands

FILE = click.Path(path_type=Path)
PRESETS = "tiny or small; base and large are shape only, for --dry-run"

option = functools.partial(click.option, cls=Option)
MODEL = option(
    "--model",
    default="small",
    show_default=True,
    metavar="DIR",
    help="A run folder, or the name of a model inside the package.",
)
SEED = option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="Seed of everything random.",
)
OVERWRITE = option("--overwrite", is_flag=True, help="Also replace a file that this program did not make.")
JSON = option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


# Progress


@contextlib.contextmanager
def progress(what: str, unit: str) -> Iterator[Progress]:
    """Give `report(done, total)`, which keeps a live line on stderr with counts, speed and remaining time."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    speed = TextColumn("{task.fields[speed]}")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        speed,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as line:
        task = line.add_task(what, total=None, speed="")

        def report(done: int, total: int) -> None:
            speed = line.tasks[0].finished_speed or line.tasks[0].speed
            line.update(task, completed=done, total=total, speed=f"{speed:.3g} {unit}/s" if speed else "")

        yield report


# Checks


def check_finite(name: str, value: float | None) -> None:
    """Refuse infinities and NaN, which click's ranges accept."""
    if value is not None and not abs(value) < float("inf"):
        raise UsageError(f"{name} is {value}; a finite number is needed")


def refuse_overwriting(source: Path, output: Path) -> None:
    """Refuse to write over the file that is read."""
    if source.exists() and output.exists() and output.samefile(source):
        raise UsageError(f"{output} is the file to read; give another name with -o")


def refuse_replacing(output: Path, overwrite: bool) -> None:
    """Refuse to replace a file, a sidecar or a link that this program did not make, unless `overwrite`."""
    from chronotope.media.picture import sidecar

    for path in () if overwrite else (output, sidecar(output)):
        if path.is_symlink():
            raise UsageError(f"{path} is a link; give another name with -o, or --overwrite to replace the link itself")
        if path.exists() and path.stat().st_size and not _made_here(path, is_sidecar=path != output):
            raise UsageError(
                f"{path} exists and was not made by this program; give another name with -o, or --overwrite to "
                "replace it"
            )


def _made_here(path: Path, is_sidecar: bool) -> bool:
    """Return whether the settings in a file or sidecar say that this program made it."""
    from chronotope.media import video

    try:
        origin = read_json(path) if is_sidecar else video.read_origin(path)
    except FileProblem:
        return False
    return isinstance(origin, dict) and str(origin.get("program", "")).startswith("chronotope ")
