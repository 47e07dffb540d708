"""The command line, `chronotope COMMAND`, in the order of the pipeline; imports the work of a command when it runs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from chronotope import __version__
from chronotope.cli import generate, judge
from chronotope.cli.bench.commands import bench
from chronotope.cli.datasets import commands as datasets
from chronotope.cli.datasets import worlds
from chronotope.cli.language import commands as language
from chronotope.cli.safety import commands as safety
from chronotope.cli.serve import play, serve
from chronotope.cli.terminal import (
    FILE,
    JSON,
    MODEL,
    PRECISIONS,
    SHUFFLED,
    Command,
    Commands,
    Number,
    beside,
    echo,
    option,
    say,
    show,
)
from chronotope.cli.train import commands as training
from chronotope.cli.train.limits import limit_options, limits_of
from chronotope.errors import LEFT_OUT
from chronotope.processes import MAX_WORKERS

__all__ = ["chronotope", "main"]

STAGES = {
    "make a dataset": [
        "world",
        "record",
        "import",
        "curate",
        "inspect",
        "caption",
        "review",
        "score-captions",
        "export",
        "encode",
    ],
    "train": ["train", "teach"],
    "use": ["generate", "expand", "reconstruct", "merge", "serve", "play"],
    "judge": [
        "evaluate",
        "compare",
        "layers",
        "memorisation",
        "export-suite",
        "validate-checks",
        "red-team",
        "seal",
        "prefer",
    ],
    "look": ["info", "check", "bench", "audit", "verify", "disclose"],
}
CLOSING = """
First time:  bash runs/tiny.sh           the whole pipeline on two CPU cores, in minutes
Help:        chronotope COMMAND --help   every command's help ends with examples
"""


def main() -> None:
    """Run the console script."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    if (encoding := sys.getfilesystemencoding()).lower() != "utf-8":
        say(
            f"chronotope: this locale reads file names and the words of a command as {encoding}, so other letters "
            "than those of ASCII are misread; set PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8"
        )
        sys.exit(2)
    signal.signal(signal.SIGTERM, interrupt)  # clean up as after Ctrl-C
    try:
        chronotope.main()
    except SystemExit as end:
        if "chronotope.parallel" in sys.modules and os.environ.get("WORLD_SIZE", "1") != "1":
            from chronotope.parallel import end_process

            end_process(int(end.code or 0))
        raise


@click.group(
    cls=Commands,
    stages=STAGES,
    closing=CLOSING,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)
@option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="CPU threads of the networks. [default: as torch decides]",
)
@option("--debug", is_flag=True, help="Show where an error came from.")
@click.version_option(__version__, prog_name="chronotope", message="%(prog)s %(version)s")
def chronotope(threads: int | None, debug: bool) -> None:
    """Train and use a video generation model, from raw footage to pixels."""
    del debug  # `Commands.main` reads it
    if threads:
        import torch

        torch.set_num_threads(threads)


# Make a dataset


chronotope.add_command(worlds.world)
chronotope.add_command(worlds.record)
chronotope.add_command(datasets.import_)
chronotope.add_command(datasets.curate)
chronotope.add_command(datasets.inspect)
chronotope.add_command(language.caption)
chronotope.add_command(language.review)
chronotope.add_command(language.score_captions)
chronotope.add_command(datasets.export)


@chronotope.command(
    cls=Command,
    examples="""
    chronotope encode data/stage
    chronotope encode ~/holiday --model runs/mine --out data/holiday-latents
    chronotope encode ~/films --out data/films-latents --max-side 256 --fps 8 --max-seconds 4
    """,
)
@click.argument("data", type=FILE)
@option(
    "--out",
    type=FILE,
    metavar="DIR",
    help="The folder to fill; the same command again resumes.  [default: DATA-latents]",
)
@MODEL
@option(
    "--shuffled",
    type=Number(0, 1),
    default=SHUFFLED,
    show_default=True,
    metavar="SHARE",
    help="Cut this share of the clips into slices at random places, to train models that take pictures at any time.",
)
@limit_options
@option(
    "--workers",
    type=click.IntRange(min=1, max=MAX_WORKERS),
    metavar="N",
    help="Number of processes.  [default: the cores, fewer for little work; 1 with a GPU]",
)
@option(
    "--precision",
    type=PRECISIONS,
    default="auto",
    show_default=True,
    help="Precision of matrix products; it changes latents by less than they are rounded when they are stored. auto is "
    "that of the latents in DIR, or else bf16 where the processor or GPU multiplies it, which takes less time.",
)
@option("--strict", is_flag=True, help="Stop at the first clip that cannot be read, instead of leaving it out.")
def encode(
    data: Path,
    out: Path | None,
    model: str,
    shuffled: float,
    max_side: int | None,
    fps: float | None,
    max_seconds: float | None,
    workers: int | None,
    precision: Any,
    strict: bool,
) -> int:
    """Compress clips to latents, once, for fast training.

    DATA is a folder of videos and pictures of any sizes. Captions are read from NAME.json or NAME.txt beside each. The
    same command again encodes what is new or changed and removes what is gone. Each part of a clip that is cut is an
    item of its own, named by its start (NAME@12.0s). The exit status is 3 where clips were left out.
    """
    from chronotope.cli.costs import say_slow_precision
    from chronotope.cli.train.latents import encode_clips
    from chronotope.cli.use import device, say_unsealed
    from chronotope.generate.pipeline import find_model, load_autoencoder

    folder, out = find_model(model), out or beside(data, "latents")
    autoencoder = load_autoencoder(folder).to(device())
    say_unsealed(folder)
    say_slow_precision(precision, device())
    limits = limits_of(max_side, fps, max_seconds)
    encoded = encode_clips(data, out, autoencoder, shuffled, strict, limits, workers, precision=precision)
    if encoded.captioned < encoded.clips:
        say(f"note: {encoded.clips - encoded.captioned} of {encoded.clips} clips have no caption")
    echo(out)
    return LEFT_OUT if encoded.left_out else 0


# Train


chronotope.add_command(training.train)
chronotope.add_command(datasets.teach)


# Use


chronotope.add_command(generate.generate)
chronotope.add_command(language.expand)
chronotope.add_command(generate.reconstruct)
chronotope.add_command(generate.merge)
chronotope.add_command(serve)
chronotope.add_command(play)


# Judge


judges = (judge.evaluate, judge.compare, judge.layers, judge.memorisation, judge.export_suite, judge.validate_checks)
for command in judges:
    chronotope.add_command(command)
chronotope.add_command(safety.red_team)
chronotope.add_command(safety.seal)
chronotope.add_command(safety.prefer)


# Look


@chronotope.command(
    cls=Command,
    examples="""
    chronotope info fox.mp4
    chronotope info data/stage
    chronotope info runs/mine
    chronotope info runs/mine/dit --json
    """,
)
@click.argument("path", type=FILE, metavar="FILE_OR_FOLDER")
@JSON
def info(path: Path, as_json: bool) -> None:
    """Describe a video, dataset, model, run, report or generated file."""
    from chronotope.cli.info import describe

    show(describe(path), as_json)


@chronotope.command(
    cls=Command,
    examples="""
    chronotope check data/holiday
    chronotope check data/holiday-latents
    chronotope check runs/mine
    """,
)
@click.argument("path", type=FILE, metavar="FOLDER")
@JSON
def check(path: Path, as_json: bool) -> int:
    """Find what is wrong with a dataset, latents, a run or a report, and how to mend it.

    Decodes every clip and verifies every hash. Exit status 1 if something is wrong; notes alone are no error.
    """
    from chronotope.cli.check import check as examine

    return examine(path, as_json)


chronotope.add_command(bench)
chronotope.add_command(datasets.audit)
chronotope.add_command(safety.verify)
chronotope.add_command(safety.disclose)
