"""The command line, `chronotope COMMAND`, in the order of the pipeline; imports the work of a command when it runs."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import click

from chronotope import __version__
from chronotope.cli import generate, judge
from chronotope.cli.language import commands as language
from chronotope.cli.terminal import (
    FILE,
    JSON,
    MODEL,
    PRESETS,
    SEED,
    SEEDS,
    SHUFFLED,
    SIZE,
    Command,
    Commands,
    Number,
    echo,
    option,
    progress,
    say,
    show,
)
from chronotope.errors import LEFT_OUT
from chronotope.processes import MAX_WORKERS

__all__ = ["chronotope", "main"]

STAGES = {
    "make a dataset": ["world", "caption", "encode"],
    "train": ["train"],
    "use": ["generate", "expand", "reconstruct"],
    "judge": ["evaluate", "compare", "layers", "memorisation", "export-suite", "validate-checks"],
    "look": ["info", "check"],
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

    signal.signal(signal.SIGTERM, interrupt)  # clean up as after Ctrl-C
    chronotope.main()


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
    help="This share of the clips are pictures.  [default: the scope's]",
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
    """,
)
@option("--count", type=click.IntRange(min=1), required=True, metavar="N", help="How many clips.")
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; the same command again resumes.")
@option(
    "--split",
    default="train",
    show_default=True,
    metavar="NAME",
    help="train, heldout or combination (pairs never trained on).",
)
@option("--size", type=SIZE, metavar="WxH", help="One size for all clips.  [default: five sizes from 64x64 to 128x128]")
@option(
    "--pictures",
    type=Number(0, 1),
    metavar="SHARE",
    help="This share of the clips are pictures.  [default: 0.1]",
)
@SEED
@WORKERS
def table(out: Path, count: int, workers: int, **request: Any) -> None:
    """Render clips of solids that roll, fall and collide on a table, in three dimensions.

    The files are those of `world stage`, with depth, contacts and the camera as well. The same seed gives the same
    clips on one machine. It needs MuJoCo: pip install 'chronotope[table]'.
    """
    _render_dataset(out, workers, {"world": "table", "scope": "table", "count": count, **request})


def _render_dataset(out: Path, workers: int, request: dict[str, Any]) -> None:
    """Render a dataset, or the rest of it, and say how many clips the folder then holds."""
    from chronotope.worlds.write import DatasetRequest, write_dataset

    with progress("rendering", "clips") as report:
        held = write_dataset(out, DatasetRequest(**request), report, workers, f"chronotope {__version__}")
    say(f"{out} holds {held} {'clip' if held == 1 else 'clips'}")
    echo(out)


chronotope.add_command(language.caption)


@chronotope.command(
    cls=Command,
    examples="""
    chronotope encode data/stage --out data/stage-latents
    chronotope encode ~/holiday --model runs/mine --out data/holiday-latents
    """,
)
@click.argument("data", type=FILE)
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; the same command again resumes.")
@MODEL
@option(
    "--shuffled",
    type=Number(0, 1),
    default=SHUFFLED,
    show_default=True,
    metavar="SHARE",
    help="Cut this share of the clips into slices at random places, to train models that take pictures at any time.",
)
@option("--strict", is_flag=True, help="Stop at the first clip that cannot be read, instead of leaving it out.")
def encode(data: Path, out: Path, model: str, shuffled: float, strict: bool) -> int:
    """Compress clips to latents, once, for fast training.

    DATA is a folder of videos and pictures of any sizes. Captions are read from NAME.json or NAME.txt beside each. The
    same command again encodes what is new or changed and removes what is gone. The exit status is 3 where clips were
    left out.
    """
    from chronotope.cli.train import encode_clips
    from chronotope.cli.use import device, say_unsealed
    from chronotope.generate.pipeline import find_model, load_autoencoder

    folder = find_model(model)
    autoencoder = load_autoencoder(folder).to(device())
    say_unsealed(folder)
    encoded = encode_clips(data, out, autoencoder, shuffled, strict)
    if encoded.captioned < encoded.clips:
        say(f"note: {encoded.clips - encoded.captioned} of {encoded.clips} clips have no caption")
    echo(out)
    return LEFT_OUT if encoded.left_out else 0


# Train


@chronotope.group(
    cls=Commands,
    closing="Train the autoencoder first, then the transformer on its latents. The same command again resumes.",
)
def train() -> None:
    """Train `autoencoder` or `dit`; the same command again resumes."""


def train_options(command: Any) -> Any:
    """Add the options that both trainings have."""
    options = (
        option("--preset", required=True, metavar="NAME", help=f"Sizes and recipe: {PRESETS}."),
        option(
            "--data",
            type=FILE,
            multiple=True,
            metavar="FOLDER...",
            help="Folders to train on, sampled equally often.",
        ),
        option("--out", type=FILE, metavar="DIR", help="The run folder; the same command again resumes."),
        option(
            "--seed",
            type=SEEDS,
            metavar="N",
            help="Seed of everything random.  [default: the preset's]",
        ),
        option(
            "--set",
            "settings",
            multiple=True,
            metavar="PATH=VALUE...",
            help="Change settings of the preset; --dry-run lists them all.",
        ),
        option("--dry-run", is_flag=True, help="Print the settings and what a step costs, then stop."),
        JSON,
    )
    for decorate in reversed(options):
        command = decorate(command)
    return command


def train_folders(data: tuple[Path, ...], out: Path | None) -> Path:
    """Return the run folder, or refuse a training without data or run folder."""
    if not data:
        raise click.UsageError("name the training data, for example: --data data/stage")
    if out is None:
        raise click.UsageError("name the run folder, for example: --out runs/mine")
    return out


@train.command(
    cls=Command,
    spread=("--data", "--set"),
    examples="""
    chronotope train autoencoder --preset tiny --data data/stage --out runs/mine
    chronotope train autoencoder --preset small --data data/stage data/film --out runs/mine
    chronotope train autoencoder --preset tiny --data data/stage --out runs/mine --set train.steps=500 train.seams=1
    chronotope train autoencoder --preset small --data data/stage --from small --out runs/sharper --set train.seams=1
    chronotope train autoencoder --preset base --dry-run
    """,
)
@train_options
@option(
    "--from",
    "start",
    metavar="DIR",
    help="Continue training the decoder of this model; its encoder, and so all latents, stay the same.",
)
def autoencoder(
    preset: str,
    data: tuple[Path, ...],
    out: Path | None,
    seed: int | None,
    settings: tuple[str, ...],
    start: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Train the video compression network on folders of clips, into OUT/autoencoder."""
    from chronotope.cli.costs import autoencoder_costs, check_memory
    from chronotope.cli.train import autoencoder_config, autoencoder_start, run_autoencoder

    config = autoencoder_config(preset, seed, settings)
    source = autoencoder_start(config, start) if start else None
    costs = autoencoder_costs(config)
    if dry_run:
        show_training(preset, config, costs, as_json)
        return 0
    check_memory(costs)
    return result(*run_autoencoder(config, data, train_folders(data, out), source), as_json)


@train.command(
    cls=Command,
    spread=("--data", "--set"),
    examples="""
    chronotope train dit --preset tiny --data data/stage-latents --out runs/mine
    chronotope train dit --preset tiny --data data/stage --out runs/mine --set train.steps=500
    chronotope train dit --preset small --data ~/holiday --autoencoder small --out runs/holiday
    chronotope train dit --preset small --data data/stage --from small --out runs/longer
    chronotope train dit --preset base --dry-run
    """,
)
@train_options
@option(
    "--autoencoder", "source", metavar="DIR", help="Copy this model's autoencoder into OUT.  [default: OUT has its own]"
)
@option(
    "--from",
    "start",
    metavar="DIR",
    help="Start from the weights of this model, its autoencoder included.",
)
def dit(
    preset: str,
    data: tuple[Path, ...],
    out: Path | None,
    seed: int | None,
    settings: tuple[str, ...],
    source: str | None,
    start: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Train the transformer on latents, into OUT/dit; samples appear in OUT/dit/samples.

    Folders of latents come from `chronotope encode`. A folder of clips is encoded first, with OUT/autoencoder, into
    OUT/latents.
    """
    from chronotope.cli.costs import check_memory, dit_costs
    from chronotope.cli.train import check_sources, dit_config, run_dit

    config = dit_config(preset, seed, settings)
    check_sources(config, data, out, source, start)
    costs = dit_costs(config)
    if dry_run:
        show_training(preset, config, costs, as_json)
        return 0
    check_memory(costs)
    return result(*run_dit(config, data, train_folders(data, out), source, start), as_json)


def show_training(preset: str, config: Any, costs: dict[str, Any], as_json: bool) -> None:
    """Print what --dry-run says of a training."""
    from chronotope.cli.costs import memory_problem
    from chronotope.config import to_dict
    from chronotope.presets import find_preset

    if problem := memory_problem(costs):
        say(f"note: this training would be refused here: {problem}")
    show({"preset": preset, "about": find_preset(preset).about, "settings": to_dict(config), "costs": costs}, as_json)


def result(run: Path, left_out: int, as_json: bool) -> int:
    """Print the folder of a finished training, or its description as JSON; return the exit status."""
    from chronotope.cli.info import describe

    echo(json.dumps(describe(run), indent=1) if as_json else run)
    if left_out:
        say(f"note: {left_out} {'clip was' if left_out == 1 else 'clips were'} left out, as listed above")
    return LEFT_OUT if left_out else 0


# Use


chronotope.add_command(generate.generate)
chronotope.add_command(language.expand)
chronotope.add_command(generate.reconstruct)


# Judge


judges = (judge.evaluate, judge.compare, judge.layers, judge.memorisation, judge.export_suite, judge.validate_checks)
for command in judges:
    chronotope.add_command(command)


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
