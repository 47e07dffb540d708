"""The command line: `chronotope COMMAND`. Commands stand in the order of the pipeline; what they do is imported when they run."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import click

from chronotope import __version__
from chronotope.cli import judge
from chronotope.cli.terminal import FILE, JSON, MODEL, PRESETS, SEED, SHUFFLED, SIZE, Command, Commands, option, say

__all__ = ["chronotope", "main"]

STAGES = {
    "make a dataset": ["world", "encode"],
    "train": ["train"],
    "use": ["generate", "reconstruct"],
    "judge": ["evaluate", "compare", "layers", "memorisation", "export-suite", "validate-checks"],
    "look": ["info"],
}
CLOSING = """
First time:  bash runs/tiny.sh           the whole pipeline on two CPU cores, in minutes
Help:        chronotope COMMAND --help   every command's help ends with examples
"""


def main() -> None:
    """The console script."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)  # whoever stops the program, it tidies up as after Ctrl-C
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


def show(facts: dict[str, Any], as_json: bool) -> None:
    """A result, on stdout."""
    from chronotope.cli.info import in_words

    click.echo(json.dumps(facts, indent=1) if as_json else in_words(facts))


def _two_clips(ctx: click.Context, param: click.Parameter, value: tuple[Path, Path] | None) -> tuple[Path, Path] | None:
    """The clips of --connect; of one alone, the next option would be taken for the other."""
    if value is not None and str(value[1]).startswith("-"):
        raise click.UsageError(f"--connect takes two clips, as in --connect a.mp4 b.mp4, got {value[0]} alone", ctx)
    return value


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
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; run again to go on.")
@option(
    "--scope",
    default="small",
    show_default=True,
    metavar="NAME",
    help="shapes, small, acts (two deeds a clip), deeds (eat, hit, bounce, ...), returns (out of sight and back), wide or full.",
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
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="This share of the clips are pictures.  [default: the scope's]",
)
@option(
    "--dissolves",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="This share of the clips are two, the one dissolving into the other; they have captions, but no truth.",
)
@SEED
@option("--workers", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Processes.")
def stage(out: Path, count: int, workers: int, **request: Any) -> None:
    """Render clips of actors on a stage.

    Each clip is an .mp4 (or a .png: some are pictures) with captions at three levels of detail, the spec it was
    rendered from, the truth of every frame and masks beside it. The same seed gives the same clips.
    """
    from chronotope.cli.world import render_dataset
    from chronotope.worlds.write import DatasetRequest

    render_dataset(out, workers, DatasetRequest(world="stage", count=count, **request))
    say(f"{out} holds {count} {'clip' if count == 1 else 'clips'}")
    click.echo(out)


@world.command(
    cls=Command,
    examples="""
    chronotope world table --count 200 --out data/table
    chronotope world table --count 50 --size 256x144 --seed 7 --workers 2 --out data/large
    chronotope world table --count 200 --split heldout --out data/heldout
    """,
)
@option("--count", type=click.IntRange(min=1), required=True, metavar="N", help="How many clips.")
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; run again to go on.")
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
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="This share of the clips are pictures.  [default: 0.1]",
)
@SEED
@option("--workers", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Processes.")
def table(out: Path, count: int, workers: int, **request: Any) -> None:
    """Render clips of solids that roll, fall and collide on a table, in three dimensions.

    Each clip is as of `world stage`, with depth beside it, and contacts and the camera in its truth. The same seed gives the
    same clips on one machine. It needs MuJoCo: pip install 'chronotope[table]'.
    """
    from chronotope.cli.world import render_dataset
    from chronotope.worlds.write import DatasetRequest

    render_dataset(out, workers, DatasetRequest(world="table", scope="table", count=count, **request))
    say(f"{out} holds {count} {'clip' if count == 1 else 'clips'}")
    click.echo(out)


@chronotope.command(
    cls=Command,
    examples="""
    chronotope encode data/stage --out data/stage-latents
    chronotope encode ~/holiday --model runs/mine --out data/holiday-latents
    """,
)
@click.argument("data", type=FILE)
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; run again to go on.")
@MODEL
@option(
    "--shuffled",
    type=click.FloatRange(0, 1),
    default=SHUFFLED,
    show_default=True,
    metavar="SHARE",
    help="Cut this share of the clips into slices at random places, for models that know pictures at any time.",
)
def encode(data: Path, out: Path, model: str, shuffled: float) -> None:
    """Compress clips to latents, once, for fast training.

    DATA is any folder of videos and pictures, of any sizes. Captions are read from NAME.json or NAME.txt beside each.
    """
    from chronotope.cli.train import encode_clips
    from chronotope.cli.use import device, find_model
    from chronotope.generate.pipeline import load_autoencoder

    autoencoder = load_autoencoder(find_model(model)).to(device())
    count = encode_clips(data, out, autoencoder, shuffled)
    say(f"{out} holds the latents of {count} {'clip' if count == 1 else 'clips'}")
    click.echo(out)


# Train


@chronotope.group(
    cls=Commands,
    closing="Train the autoencoder first; the transformer learns on its latents. Run the same command again to resume.",
)
def train() -> None:
    """Train `autoencoder` or `dit`; run the same command to resume."""


def train_options(command: Any) -> Any:
    """The options that both trainings have."""
    options = (
        option("--preset", required=True, metavar="NAME", help=f"Where sizes and recipe come from: {PRESETS}."),
        option(
            "--data",
            type=FILE,
            multiple=True,
            metavar="FOLDER...",
            help="Folders to learn from; each has an equal say.",
        ),
        option(
            "--out", type=FILE, metavar="DIR", help="The run folder; the same command again goes on where it stopped."
        ),
        option(
            "--seed",
            type=click.IntRange(min=0),
            metavar="N",
            help="Decides everything that is random.  [default: the preset's]",
        ),
        option(
            "--set",
            "settings",
            multiple=True,
            metavar="PATH=VALUE...",
            help="Change settings of the preset; --dry-run lists them.",
        ),
        option("--dry-run", is_flag=True, help="Print the settings and what a step costs, then stop."),
        JSON,
    )
    for decorate in reversed(options):
        command = decorate(command)
    return command


def train_folders(data: tuple[Path, ...], out: Path | None) -> Path:
    """The run folder, once it is sure that there is something to learn from."""
    if not data:
        raise click.UsageError("name what to learn from, for example: --data data/stage")
    if out is None:
        raise click.UsageError("name the run folder, for example: --out runs/mine")
    return out


@train.command(
    cls=Command,
    spread=("--data", "--set"),
    examples="""
    chronotope train autoencoder --preset tiny --data data/stage --out runs/mine
    chronotope train autoencoder --preset small --data data/stage data/film --out runs/mine
    chronotope train autoencoder --preset tiny --data data/stage --out runs/mine --set train.steps=500 pool.megabytes=500
    chronotope train autoencoder --preset small --data data/stage --from small --out runs/sharper --set train.seams=1
    chronotope train autoencoder --preset base --dry-run
    """,
)
@train_options
@option(
    "--from",
    "start",
    metavar="DIR",
    help="Train this model's decoder on; its encoder stays, and latents made with it stay valid.",
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
) -> None:
    """Train the video compression network on folders of clips, into OUT/autoencoder."""
    from chronotope.cli.train import autoencoder_config, run_autoencoder

    config = autoencoder_config(preset, seed, settings)
    if dry_run:
        from chronotope.cli.costs import autoencoder_costs

        show_training(preset, config, autoencoder_costs(config), as_json)
        return
    result(run_autoencoder(config, data, train_folders(data, out), start), as_json)


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
    help="Start from this trained model, autoencoder and all, instead of from nothing.",
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
) -> None:
    """Train the transformer on latents, into OUT/dit; samples appear in OUT/dit/samples.

    Folders of latents come from `chronotope encode`. A folder of clips is encoded first, with OUT/autoencoder, into OUT/latents.
    """
    from chronotope.cli.train import dit_config, run_dit

    config = dit_config(preset, seed, settings)
    if dry_run:
        from chronotope.cli.costs import dit_costs

        show_training(preset, config, dit_costs(config), as_json)
        return
    result(run_dit(config, data, train_folders(data, out), source, start), as_json)


def show_training(preset: str, config: Any, costs: dict[str, Any], as_json: bool) -> None:
    """What --dry-run prints of a training."""
    from chronotope.config import to_dict
    from chronotope.presets import find_preset

    show({"preset": preset, "about": find_preset(preset).about, "settings": to_dict(config), "costs": costs}, as_json)


def result(run: Path, as_json: bool) -> None:
    """The folder of a finished training, or all about it."""
    from chronotope.cli.info import describe

    click.echo(json.dumps(describe(run), indent=1) if as_json else run)


# Use


@chronotope.command(
    cls=Command,
    spread=("--story",),
    sections={
        "inputs (none: the prompt alone)": [
            "image",
            "at",
            "extend",
            "backward",
            "context",
            "connect",
            "loop",
            "edit",
            "strength",
            "retake",
            "start",
            "stop",
            "mask",
            "story",
        ],
        "shape": ["size", "seconds", "fps"],
        "sampling": ["draft", "steps", "guidance", "solver", "negative", "seed", "count"],
        "files": ["output", "model", "dry_run", "as_json"],
    },
    examples="""
    chronotope generate "a fox walks right past a tree" -o fox.mp4
    chronotope generate "a red ball" --seconds 0 -o ball.png
    chronotope generate "the boat sails to the left" --image photo.jpg -o boat.mp4
    chronotope generate "a cat walks right" --image first.png --at 0 --image last.png --at 2 -o cat.mp4
    chronotope generate "the fox walks on" --extend fox.mp4 -o longer.mp4
    chronotope generate "a fox walks in" --extend fox.mp4 --backward --count 4 -o past.mp4
    chronotope generate "a fox turns into a car" --connect fox.mp4 car.mp4 --seconds 2 -o bridge.mp4
    chronotope generate "a balloon in the sky" --loop -o loop.mp4
    chronotope generate "a fox walks right at night" --edit fox.mp4 --strength 0.6 -o night.mp4
    chronotope generate "a red star" --retake fox.mp4 --from 1 --to 2 -o again.mp4
    chronotope generate --story "0: a fox walks right" "1: a fox gets larger" -o story.mp4
    chronotope generate "a butterfly flies up" --size 128x72 --seconds 3 --seed 7 --count 4 -o butterfly.mp4
    chronotope generate "a fox walks right" --seconds 60 -o minute.mp4
    chronotope generate "a fox walks right" --size 192x128 --draft -o draft.mp4
    chronotope generate "a yellow star grows at night" --model runs/mine --steps 50 --guidance 3 -o star.mp4
    chronotope generate "a fox walks right past a tree" --size 512x288 --dry-run
    """,
)
@click.argument("prompt", required=False)
@option(
    "--image",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="Start from this picture; or, with --at, pictures at their times.",
)
@option(
    "--at",
    type=click.FloatRange(min=0),
    multiple=True,
    metavar="S",
    help="The second at which an --image stands, one each.",
)
@option("--extend", type=FILE, metavar="FILE", help="Continue this video; --seconds says by how much.")
@option("--backward", is_flag=True, help="Say what came before it instead.")
@option(
    "--context",
    type=click.FloatRange(min=0),
    metavar="S",
    help="How much of a clip is remembered.  [default: the model's]",
)
@option(
    "--connect",
    type=FILE,
    nargs=2,
    metavar="A B",
    callback=_two_clips,
    help="From one video into another, as in --connect fox.mp4 car.mp4.",
)
@option("--loop", is_flag=True, help="The end meets the beginning: of words, of an --image, or of a clip (--extend).")
@option("--edit", type=FILE, metavar="FILE", help="Make this video again as the prompt says.")
@option(
    "--strength", type=float, metavar="0..1", help="How much of it may change.  [default: 0.6; retake 1; connect 0.4]"
)
@option("--retake", type=FILE, metavar="FILE", help="Make part of this video again; a larger --size paints around it.")
@option(
    "--from",
    "start",
    type=click.FloatRange(min=0),
    metavar="S",
    help="From this second on; whole slices of four frames are made again.",
)
@option("--to", "stop", type=click.FloatRange(min=0), metavar="S", help="To this second.")
@option("--mask", type=FILE, metavar="FILE", help="Where this picture or video is white.")
@option("--story", multiple=True, metavar="'S: TEXT'...", help="Prompts and the seconds from which they speak.")
@option("--size", type=SIZE, metavar="WxH", help="AnyFrames, any numbers.  [default: the model's]")
@option(
    "--seconds",
    type=click.FloatRange(min=0),
    metavar="S",
    help="Length, or what is added to a clip; 0 is a picture.  [default: the model's; a story is told to its end]",
)
@option(
    "--fps",
    type=click.FloatRange(min=0, min_open=True, max=240),
    metavar="F",
    help="Frames a second.  [default: the model's]",
)
@option("--steps", type=click.IntRange(1, 1000), metavar="N", help="More steps, more care.  [default: the model's]")
@option(
    "--guidance",
    type=click.FloatRange(min=0),
    metavar="G",
    help="How strictly words are taken; 1 is plain.  [default: the model's]",
)
@option(
    "--solver",
    type=click.Choice(["euler", "heun"]),
    default="euler",
    show_default=True,
    help="heun: twice the work a step.",
)
@option(
    "--draft",
    is_flag=True,
    help="Small and quick, from the noise of which the full size's is made: compositions agree as far as the model knows both sizes.",
)
@option("--negative", default="", metavar="TEXT", help="What should not be seen.")
@SEED
@option(
    "--count",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="K",
    help="Seeds N to N+K-1, as FILE-N.mp4, FILE-N+1.mp4 ...",
)
@option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    help="A video (.mp4 .mov .mkv .webm .gif) or a picture (.png .jpg .webp).",
)
@MODEL
@option("--dry-run", is_flag=True, help="Print the settings, tokens, operations and memory, then stop.")
@JSON
def generate(model: str, dry_run: bool, as_json: bool, story: tuple[str, ...], **options: Any) -> int:
    """Make a video or a picture from words; from pictures, from clips.

    What a clip shows stays as it was wherever nothing is made, to the bit before the file is compressed. Every file carries the
    settings it was made with, in its tags and in FILE.json beside it. `chronotope info small` lists the words that the shipped
    model knows.
    """
    from chronotope.cli import use
    from chronotope.cli.inputs import Sources
    from chronotope.generate.pipeline import Generator
    from chronotope.prompt import read_story

    given = {
        field.name: options.pop(field.name if field.name != "images" else "image")
        for field in dataclasses.fields(Sources)
    }
    request = use.Request(sources=Sources(**given), story=read_story(story), **options)
    request.check(dry_run)
    folder = use.find_model(model)
    generator = Generator.load(folder).to(use.device())
    if dry_run:
        show(use.describe_plan(request, generator, use.plan(request, generator), folder), as_json)
        return 0
    made, whole = use.generate(request, generator, folder)
    click.echo(json.dumps({"files": made}, indent=1) if as_json else "\n".join(file["path"] for file in made))
    return 0 if whole else 130


@chronotope.command(
    cls=Command,
    examples="""
    chronotope reconstruct holiday.mp4 -o pair.mp4
    chronotope reconstruct film.mkv --seconds 4 --model runs/mine -o pair.mp4 --json
    chronotope reconstruct photo.jpg -o pair.png
    """,
)
@click.argument("file", type=FILE)
@option(
    "-o",
    "--output",
    type=FILE,
    required=True,
    metavar="FILE",
    help="The original and what came back of it, side by side.",
)
@option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Only the beginning.  [default: all of it]",
)
@MODEL
@JSON
def reconstruct(file: Path, output: Path, seconds: float | None, model: str, as_json: bool) -> None:
    """Send a video through the autoencoder and back, and measure.

    At native size, slice by slice, in constant memory. Prints PSNR and SSIM.
    """
    from chronotope.cli import use

    scores = use.reconstruct(file, output, seconds, use.find_model(model))
    click.echo(json.dumps(scores, indent=1) if as_json else f"{output}\n{use.scores_in_words(file, scores)}")


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
