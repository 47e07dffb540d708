"""The command line, `chronotope COMMAND`, in the order of the pipeline; imports the work of a command when it runs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from chronotope import PROGRAM, __version__
from chronotope.cli import generate, judge
from chronotope.cli.bench.commands import bench
from chronotope.cli.datasets import commands as datasets
from chronotope.cli.language import commands as language
from chronotope.cli.safety import commands as safety
from chronotope.cli.serve import play, serve
from chronotope.cli.terminal import (
    FILE,
    JSON,
    MODEL,
    PRECISIONS,
    SEED,
    SHUFFLED,
    SIZE,
    Command,
    Commands,
    Number,
    beside,
    echo,
    option,
    progress,
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
WORKERS = option(
    "--workers",
    type=click.IntRange(min=1, max=MAX_WORKERS),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of processes.",
)
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


@chronotope.group(cls=Commands, closing="Example:  chronotope world stage --count 200 --out data/stage")
def world() -> None:
    """Render simulated worlds: clips, captions, exact truth."""


@world.command(
    cls=Command,
    examples="""
    chronotope world stage --count 200 --out data/stage
    chronotope world stage --count 24000 --scope small --workers 2 --out data/small
    chronotope world stage --count 50 --scope full --size 256x144 --seed 7 --out data/large
    chronotope world stage --count 200 --scope small --split heldout --out data/heldout
    chronotope world stage --count 8000 --scope acts --dissolves 0.4 --out data/acts
    """,
)
@option("--count", type=click.IntRange(min=1), required=True, metavar="N", help="How many clips.")
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; the same command again resumes.")
@option(
    "--scope",
    default="small",
    show_default=True,
    metavar="NAME",
    help="shapes, small, acts (two actions a clip), deeds (eat, hit, bounce, ...), returns (out of sight and back), "
    "wide or full.",
)
@option(
    "--split",
    default="train",
    show_default=True,
    metavar="NAME",
    help="train, heldout or combination (pairs never trained on).",
)
@option("--size", type=SIZE, metavar="WxH", help="One size for all clips.  [default: the sizes of the scope]")
@option(
    "--pictures",
    type=Number(0, 1),
    metavar="SHARE",
    help="This share of the clips that do not dissolve are pictures.  [default: the scope's]",
)
@option(
    "--dissolves",
    type=Number(0, 1),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="This share of the clips dissolve from one scene into another; they have captions, but no ground truth.",
)
@SEED
@WORKERS
def stage(out: Path, count: int, workers: int, **request: Any) -> None:
    """Render clips of actors on a stage.

    Each clip is an .mp4 (some are pictures, .png) with captions at three levels of detail, the spec it was rendered
    from, the ground truth of every frame and masks. The same seed gives the same clips.
    """
    _render_dataset(out, workers, {"world": "stage", "count": count, **request})


@world.command(
    cls=Command,
    examples="""
    chronotope world table --count 200 --out data/table
    chronotope world table --count 50 --size 256x144 --seed 7 --workers 2 --out data/large
    chronotope world table --count 200 --split heldout --out data/heldout
    chronotope world table --policy pusher --count 300 --out data/pusher
    """,
)
@option("--count", type=click.IntRange(min=1), required=True, metavar="N", help="How many clips.")
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; the same command again resumes.")
@option(
    "--policy",
    metavar="NAME",
    help="Who moves a stick on the table: pusher (goes behind a solid and pushes it) or random.  [default: no stick]",
)
@option(
    "--split",
    default="train",
    show_default=True,
    metavar="NAME",
    help="train, heldout or combination (pairs never trained on).",
)
@option("--size", type=SIZE, metavar="WxH", help="One size for all clips.  [default: five sizes from 64x64 to "
        "128x128; with a stick 64x64]")  # fmt: skip
@option("--pictures", type=Number(0, 1), metavar="SHARE", help="This share of the clips are pictures.  [default: 0.1; "
        "with a stick 0]")  # fmt: skip
@SEED
@WORKERS
def table(out: Path, count: int, workers: int, policy: str | None, **request: Any) -> None:
    """Render clips of solids that roll, fall and collide on a table, in three dimensions.

    The files are those of `world stage`, with depth, contacts and the camera as well. With --policy a stick pushes the
    solids, and each clip has its velocity in every frame, the action. The same seed gives the same clips on one
    machine. It needs MuJoCo: pip install 'chronotope[table]'.
    """
    scope = {"world": "pusher", "scope": policy} if policy else {"world": "table", "scope": "table"}
    _render_dataset(out, workers, {**scope, "count": count, **request})


@world.command(
    cls=Command,
    examples="""
    chronotope world crafter --count 500 --out data/crafter
    chronotope world crafter --count 50 --policy random --size 64x64 --workers 2 --out data/random
    chronotope world crafter --count 200 --split heldout --out data/heldout
    """,
)
@option("--count", type=click.IntRange(min=1), required=True, metavar="N", help="How many clips.")
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; the same command again resumes.")
@option(
    "--policy",
    "scope",
    default="forager",
    show_default=True,
    metavar="NAME",
    help="Who plays: forager (gathers, builds, eats, sleeps) or random.",
)
@option(
    "--split",
    default="train",
    show_default=True,
    metavar="NAME",
    help="train, heldout (other maps) or combination (deeds at places never trained on).",
)
@option("--size", type=SIZE, metavar="WxH", help="One size for all clips.  [default: 64x64, 96x64 and 64x96]")
@option("--pictures", type=Number(0, 1), metavar="SHARE", help="This share of the clips are pictures.  [default: 0.05]")
@SEED
@WORKERS
def crafter(out: Path, count: int, workers: int, **request: Any) -> None:
    """Play Crafter, a world of grass, water and rocks from above, and record it.

    Beside the files of `world stage` each clip has the action that led to every frame, with rewards, and the cells and
    the inventory of every frame. The same seed gives the same clips. It needs Crafter: pip install
    'chronotope[crafter]'.
    """
    _render_dataset(out, workers, {"world": "crafter", "count": count, **request})


@world.command(
    cls=Command,
    examples="""
    chronotope world doom --count 500 --out data/doom
    chronotope world doom --count 200 --size 64x64 --pictures 0 --out data/doom64
    chronotope world doom --count 100 --split heldout --out data/heldout
    """,
)
@option("--count", type=click.IntRange(min=1), required=True, metavar="N", help="How many clips.")
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; the same command again resumes.")
@option("--split", default="train", show_default=True, metavar="NAME", help="train or heldout (other maps).")
@option("--size", type=SIZE, metavar="WxH", help="One size for all clips.  [default: 96x64, 64x64 and 128x96]")
@option("--pictures", type=Number(0, 1), metavar="SHARE", help="This share of the clips are pictures.  [default: 0.05]")
@SEED
@WORKERS
def doom(out: Path, count: int, workers: int, **request: Any) -> None:
    """Play Doom, rooms and corridors in first person, and record it.

    Beside the files of `world stage` each clip has the action that led to every frame, and pose, depth and labels of
    every frame. The same seed gives the same clips. It needs ViZDoom, which brings the free maps and pictures of
    Freedoom: pip install 'chronotope[doom]'.
    """
    _render_dataset(out, workers, {"world": "doom", "scope": "explorer", "count": count, **request})


def _render_dataset(out: Path, workers: int, request: dict[str, Any]) -> None:
    """Render a dataset, or the rest of it, and say how many clips the folder then holds."""
    from chronotope.worlds.write import DatasetRequest, write_dataset

    with progress("rendering", "clips") as report:
        held = write_dataset(out, DatasetRequest(**request), report, workers, PROGRAM)
    say(f"{out} holds {held} {'clip' if held == 1 else 'clips'}")
    echo(out)


@chronotope.command(
    cls=Command,
    examples="""
    chronotope record CartPole-v1 --steps 20000 --out data/cartpole
    chronotope record Pendulum-v1 --steps 5000 --size 64x64 --clip-frames 32 --out data/pendulum
    chronotope record my_package:MyGame-v0 --steps 20000 --caption "my game" --licence MIT --out data/mygame
    """,
)
@click.argument("environment", metavar="ENV_ID")
@option("--steps", type=click.IntRange(min=1), required=True, metavar="N", help="How many frames.")
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; the same command again resumes.")
@option("--policy", type=click.Choice(["random"]), default="random", show_default=True, help="Who plays.")
@option("--size", type=SIZE, metavar="WxH", help="Resize frames.  [default: as the environment draws them]")
@option(
    "--clip-frames",
    type=click.IntRange(min=2),
    default=64,
    show_default=True,
    metavar="N",
    help="Cut episodes into clips of at most N frames.",
)
@option("--fps", type=Number(0, 1000), metavar="N", help="Frame rate of the clips.  [default: the environment's]")
@option("--caption", default="", metavar="TEXT", help="The caption of every clip.")
@option("--licence", default="", metavar="SPDX", help="The licence of what the environment shows.")
@SEED
def record(out: Path, environment: str, size: tuple[int, int] | None, **request: Any) -> None:
    """Record a Gymnasium environment: its frames, and the actions that led to them.

    ENV_ID is a registered environment with pictures; module:ENV_ID imports the module that registers it. Clips are
    written as `world crafter` writes them. It needs Gymnasium: pip install 'chronotope[record]'.
    """
    from chronotope.record.environment import opened
    from chronotope.record.session import Recording, record

    wanted = Recording(environment, size=size, **request)
    with opened(environment, size) as env, progress("recording", "frames") as report:
        held = record(out, wanted, env, progress=report, program=PROGRAM)
    say(f"{out} holds {held} frames")
    echo(out)


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
