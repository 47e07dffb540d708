"""The terminal: help with examples, errors as one sentence and an exit status, progress on stderr, shared options.

Names, captions and messages can come from anybody's files. Whatever is printed goes through `visible`, so that no text
moves the cursor, changes colours, hides a line or reverses the order of its letters.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from chronotope.config import MOST
from chronotope.errors import ChronotopeError, FileProblem, UsageError, suggest, visible
from chronotope.progress import Progress
from chronotope.storage import PARTS, read_json

__all__ = [
    "DEVICE",
    "FILE",
    "JSON",
    "MODEL",
    "OVERWRITE",
    "PRECISION",
    "PRECISIONS",
    "PRESETS",
    "SECONDS",
    "SEED",
    "SEEDS",
    "SHUFFLED",
    "SIZE",
    "STEPS",
    "Command",
    "Commands",
    "Number",
    "Option",
    "beside",
    "echo",
    "facts_text",
    "is_own_video",
    "option",
    "progress",
    "refuse_overwriting",
    "refuse_replacing",
    "refuse_strangers",
    "say",
    "show",
    "visible",
]

SHUFFLED = 0.3  # share of clips that `encode` cuts into slices at random places, see `Geometry.shuffled_slices`


MAX_SENTENCE = 4000  # characters of an error


def echo(text: object) -> None:
    """Print a result on stdout: a text of one or more lines, or a path, in one line whatever its name."""
    click.echo(visible(str(text), keep="\n" if isinstance(text, str) else ""))


def beside(folder: Path, what: str) -> Path:
    """Return the place of something made of a folder, beside it: data/mine-latents of data/mine."""
    whole = folder if folder.name not in ("", "..") else folder.resolve()
    return whole.with_name(f"{whole.name}-{what}")


def say(text: str) -> None:
    """Print a sentence on stderr, in one line; stdout holds results only."""
    click.echo(visible(text), err=True)


def show(facts: dict[str, Any], as_json: bool) -> None:
    """Print a result on stdout; raise FileProblem for facts of a file that are nested beyond all measure."""
    try:
        text = json.dumps(facts, indent=1) if as_json else facts_text(facts)
    except RecursionError as problem:
        raise FileProblem("the file holds lists and objects that are nested too deeply to be shown") from problem
    echo(text)


def facts_text(facts: dict[str, Any]) -> str:
    """Lay facts out for people: a line a fact, tables within are indented.

    Names and texts come from files, so control characters and line ends within them are shown as escapes.
    """
    if "summary" in facts:
        facts = _for_users(facts)
    elif isinstance(training := facts.get("training"), dict):
        facts = {**facts, "trained_on": None, "training": training["in_words"]}
    return _table(facts)


def _for_users(run: dict[str, Any]) -> dict[str, Any]:
    """Of a run that holds a finished model: what the model makes and knows, and its training where that goes on."""
    parts = {name: run[name] for name in PARTS if name in run}
    sizes = [f"{name} {part['parameters'] / 1e6:.1f} M" for name, part in parts.items() if "parameters" in part]
    shown = {"model": run["path"], **run["summary"], "parameters": ", ".join(sizes)}
    for name, part in parts.items():
        progress = {key: part[key] for key in ("checkpoint", "last_log", "samples") if key in part}
        if progress:
            shown[f"run of {name}"] = progress
    return shown


def _table(facts: dict[str, Any], indent: str = "", parent: str = "") -> str:
    width = max((len(name) for name, value in facts.items() if not isinstance(value, dict)), default=0) + 2
    lines = []
    for name, value in facts.items():
        label = visible(name.replace("_", " "))
        if isinstance(value, dict) and value:
            lines += [f"{indent}{label}", _table(value, indent + "  ", name)]
        elif isinstance(value, list | tuple) and value and isinstance(value[0], str):
            lines += [f"{indent}{label}", *(f"{indent}  {visible(str(item))}" for item in value)]
        elif value not in (None, [], {}):
            lines.append(f"{indent}{label:{width}}{_formatted(name, value, parent)}")
    return "\n".join(lines)


def _formatted(name: str, value: Any, parent: str) -> str:
    """A value with its unit, which its name or that of the table around it tells."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and "seed" not in name:
        if name == "bytes" or "memory" in (name, parent):
            return _scaled(value, "B")
        return _scaled(value, "FLOP") if name.startswith("flops") else f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else visible(str(value))


def _scaled(value: int, unit: str) -> str:
    """Three digits and a prefix: 1.23 GB."""
    prefixes = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
    power = min(max(0, (len(str(value)) - 1) // 3), len(prefixes) - 1)
    return f"{value / 1000**power:.3g} {prefixes[power]}{unit}"


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
        args = list(_spread(args, self.spread))
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)

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


def _refuse_repeated(command: click.Command, ctx: click.Context, args: Sequence[str]) -> None:
    """Refuse an option of one value that is given twice: the last one would replace the others without a word."""
    _, _, found = command.make_parser(ctx).parse_args(args=list(args))
    for param, times in Counter(found).items():
        if isinstance(param, Option) and not param.multiple and times > 1:
            raise click.UsageError(f"{param.opts[0]} is given {times} times; give it once", ctx)


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
        _refuse_repeated(self, ctx, args)
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
        width = max(map(len, self.commands)) + 6
        for title, names in (self.stages or {"commands": list(self.commands)}).items():
            formatter.write(f"\n  {title}\n")
            for name in names:
                sentence = self.commands[name].get_short_help_str(limit=MAX_SENTENCE).rstrip(".")
                lines = textwrap.wrap(sentence, formatter.width - width)
                formatter.write(f"    {name:{width - 4}}" + f"\n{'':{width}}".join(lines) + "\n")
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
        if not problem.said:
            say(f"chronotope: {_one_line(str(problem))}")
        return problem.exit_code
    except OSError as problem:
        if debug:
            raise
        known = problem.filename and problem.strerror
        what = _one_line(f"{problem.filename}: {problem.strerror}" if known else str(problem))
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
    """Write a message in one line; a very long one, as about a text of megabytes, is cut."""
    line = " ".join(text[:MAX_SENTENCE].split())
    return f"{line} ..." if len(text) > MAX_SENTENCE else line


# Values


class Size(click.ParamType):
    """WIDTHxHEIGHT in pixels; the value is (width, height)."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        from chronotope.geometry import MAX_SIDE

        found = re.fullmatch(r"(\d{1,9})x(\d{1,9})", str(value).lower())
        width, height = map(int, found.groups()) if found else (0, 0)
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            self.fail(
                f"'{value}' is not a size; write WIDTHxHEIGHT, each 1 to {MAX_SIDE} pixels, for example 128x72",
                param,
                ctx,
            )
        return width, height


SIZE = Size()


class Number(click.FloatRange):
    """A finite number in a range; the ranges of click accept NaN, and infinity where an end is open."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{number} is not a finite number", param, ctx)
        return number


SECONDS = Number(min=0, max=MOST)
SEEDS = click.IntRange(0, 2**63 - 1)  # as `config.Seed`
STEPS = click.IntRange(1, 1000)  # as `request.NUM_STEPS`

# Options of several commands

FILE = click.Path(path_type=Path)
PRESETS = "tiny, small or world; base and medium, for GPUs, were never trained; large and xlarge are shapes only"

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
    type=SEEDS,
    metavar="N",
    default=0,
    show_default=True,
    help="Seed of everything random.",
)
DEVICE = option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the networks compute; auto is the GPU if there is one, else the CPU.",
)
PRECISIONS = click.Choice(["auto", "fp32", "bf16"])  # as `models.precision.PRECISIONS`, without importing torch
PRECISION = option(
    "--precision",
    type=PRECISIONS,
    default="auto",
    show_default=True,
    help="Precision of matrix products: single precision, or bfloat16, which differs in the last bits of pixels. auto "
    "is bf16 where the processor or GPU multiplies it, which takes less time, else fp32.",
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
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        speed,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as line:
        task = line.add_task(visible(what), total=None, speed="")

        def report(done: int, total: int) -> None:
            speed = line.tasks[0].finished_speed or line.tasks[0].speed
            line.update(task, completed=done, total=total, speed=f"{speed:.3g} {unit}/s" if speed else "")

        yield report


# Checks


def refuse_overwriting(source: Path, output: Path) -> None:
    """Refuse to write over the file that is read."""
    if source.exists() and output.exists() and output.samefile(source):
        raise UsageError(f"{output} is the file to read; give another name with -o")


def refuse_strangers(path: Path, made_here: Callable[[Path], bool], instead: str) -> None:
    """Refuse to replace a link, or a file that this program did not make; `instead` says what to do about it."""
    if path.is_symlink():
        raise UsageError(f"{path} is a link; {instead}")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no regular file; {instead}")
    if path.exists() and path.stat().st_size and not made_here(path):
        raise UsageError(f"{path} exists and was not made by this program; {instead}")


def refuse_replacing(output: Path, overwrite: bool) -> None:
    """Refuse to replace a video or picture, a sidecar or a link that this program did not make, unless `overwrite`."""
    from chronotope.media.picture import sidecar

    instead = "give another name with -o, or --overwrite to replace it"
    for path, made_here in () if overwrite else ((output, is_own_video), (sidecar(output), _is_own_sidecar)):
        refuse_strangers(path, made_here, instead)


def is_own_video(path: Path) -> bool:
    """Return whether the tags of a video or picture say that this program made it; a sidecar may be of another one."""
    from chronotope.media import video

    return _names_us(video.read_tags(path))


def _is_own_sidecar(path: Path) -> bool:
    try:
        return _names_us(read_json(path))
    except FileProblem:
        return False


def _names_us(origin: Any) -> bool:
    return isinstance(origin, dict) and str(origin.get("program", "")).startswith("chronotope ")
