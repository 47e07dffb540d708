"""The declarations of `chronotope generate`, `chronotope reconstruct` and `chronotope merge`; `use` does the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from chronotope.cli.terminal import (
    DEVICE,
    FILE,
    JSON,
    MODEL,
    OVERWRITE,
    PRECISION,
    SECONDS,
    SEED,
    SIZE,
    STEPS,
    Command,
    Number,
    echo,
    option,
    show,
    visible,
)
from chronotope.config import MOST

__all__ = ["generate", "merge", "reconstruct"]

MAX_COUNT = 100_000  # videos of one command


def _two_clips(ctx: click.Context, param: click.Parameter, value: tuple[Path, Path] | None) -> tuple[Path, Path] | None:
    """Refuse --connect with one clip, which would take the next option for the other."""
    if value is not None and str(value[1]).startswith("-"):
        raise click.UsageError(f"--connect takes two clips, as in --connect a.mp4 b.mp4, got {value[0]} alone", ctx)
    return value


@click.command(
    cls=Command,
    spread=("--story", "--compare"),
    sections={
        "inputs (none: the prompt alone)": (
            "images at extend backward context connect loop edit strength retake start stop mask story".split()
        ),
        "shape": ["size", "seconds", "fps"],
        "sampling": "draft steps guidance solver negative no_expand seed count precision".split(),
        "policy and provenance": ["policy", "no_policy", "consent", "no_watermark", "no_credentials", "visible_mark"],
        "files": ["output", "overwrite", "model", "adapters", "compare", "no_compare", "dry_run", "as_json"],
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
    chronotope generate "a fox walks right at night" --edit fox.mp4 --strength 0.9 -o night.mp4
    chronotope generate "a red star" --retake fox.mp4 --from 1 --to 2 -o again.mp4
    chronotope generate --story "0: a fox walks right" "1: a fox gets larger" -o story.mp4
    chronotope generate "a butterfly flies up" --size 128x72 --seconds 3 --seed 7 --count 4 -o butterfly.mp4
    chronotope generate "a fox walks right" --seconds 60 -o minute.mp4
    chronotope generate "a fox walks right" --size 192x128 --draft -o draft.mp4
    chronotope generate "a yellow star grows at night" --model runs/mine --steps 50 --guidance 3 -o star.mp4
    chronotope generate "a red ball" --adapter runs/mine --adapter runs/other=0.5 -o mixed.mp4
    chronotope generate "a fox walks" --model runs/mine --compare data/latents -o fox.mp4
    chronotope generate "a fox walks right past a tree" --precision fp32 -o fox.mp4
    chronotope generate "a fox walks right past a tree" --visible-mark -o fox.mp4
    chronotope generate "a fox walks right past a tree" --policy policy.toml -o fox.mp4
    chronotope generate "she turns" --image me.jpg --policy policy.toml --consent "It shows me." -o me.mp4
    chronotope generate "a fox walks right past a tree" --size 512x288 --dry-run
    """,
)
@click.argument("prompt", required=False)
@option(
    "--image",
    "images",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="Start from this picture; or pictures at their times (--at).",
)
@option(
    "--at",
    type=SECONDS,
    multiple=True,
    metavar="S",
    help="Time in seconds of a picture, one for each.",
)
@option("--extend", type=FILE, metavar="FILE", help="Continue this video (--seconds: by how much).")
@option("--backward", is_flag=True, help="Generate what precedes it instead.")
@option(
    "--context",
    type=SECONDS,
    metavar="S",
    help="Seconds of the clip that the model sees.  [default: the model's]",
)
@option(
    "--connect",
    type=FILE,
    nargs=2,
    metavar="A B",
    callback=_two_clips,
    help="Generate the transition between two videos (--connect fox.mp4 car.mp4).",
)
@option(
    "--loop",
    is_flag=True,
    help="Make the end meet the beginning: of the prompt alone, a picture (--image) or a clip (--extend).",
)
@option("--edit", type=FILE, metavar="FILE", help="Change this video to what the prompt says.")
@option(
    "--strength",
    type=Number(),
    metavar="0..1",
    help="How much of the clip may change. Of 100 clips edited to another colour, 39 changed at 0.6, 75 at 0.8 and "
    "all at 1; the higher, the less of the scene is kept.  [default: edit 0.9; retake 1; connect 0.4]",
)
@option("--retake", type=FILE, metavar="FILE", help="Remake a part of this video; a larger --size paints around it.")
@option(
    "--from",
    "start",
    type=SECONDS,
    metavar="S",
    help="Remake from this second. Whole slices of four frames are remade: of 17 frames at 8 fps, 1 to 2 s becomes "
    "0.625 to 2.125 s.  [default: the beginning]",
)
@option("--to", "stop", type=SECONDS, metavar="S", help="Remake to this second.  [default: the end]")
@option("--mask", type=FILE, metavar="FILE", help="Remake where this picture or video is white.")
@option("--story", multiple=True, metavar="'S: TEXT'...", help="Several prompts, each with the second it begins at.")
@option(
    "--size", type=SIZE, metavar="WxH", help="Any width and height in pixels.  [default: the model's, or the clip's]"
)
@option(
    "--seconds",
    type=SECONDS,
    metavar="S",
    help="Length, or what is added to a clip; 0 is a picture.  [default: the model's, also for a story's last prompt]",
)
@option(
    "--fps",
    type=Number(min=0, min_open=True, max=240),
    metavar="F",
    help="Frames a second.  [default: the model's]",
)
@option(
    "--draft",
    is_flag=True,
    help="A quick preview in a small file: whatever the size, it is reduced to about the model's own (96x64), with a "
    "third of the steps. It shows the composition of the full size only if the model was trained on both sizes.",
)
@option(
    "--steps",
    type=STEPS,
    metavar="N",
    help="Sampling steps; more are slower and more exact.  [default: the model's]",
)
@option(
    "--guidance",
    type=Number(min=0),
    metavar="G",
    help="How closely the prompt is followed; 1 is no guidance.  [default: the model's]",
)
@option(
    "--solver",
    type=click.Choice(["euler", "heun"]),
    default="euler",
    show_default=True,
    help="heun takes twice the time a step.",
)
@option("--negative", default="", metavar="TEXT", help="What should not be seen.")
@option("--no-expand", is_flag=True, help="Tell the model the prompt as it is typed; see chronotope expand.")
@SEED
@option(
    "--count",
    type=click.IntRange(min=1, max=MAX_COUNT),
    default=1,
    show_default=True,
    metavar="K",
    help="Seeds N to N+K-1, as FILE-N.mp4, FILE-N+1.mp4 ...",
)
@DEVICE
@PRECISION
@option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    help="A video (.mp4 .mov .mkv .webm .gif) or a picture (.png .jpg .webp).",
)
@OVERWRITE
@MODEL
@option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="DIR[=WEIGHT]",
    help="Add what this adapter learned (train dit --adapter), times a weight (1); several are added up.",
)
@option(
    "--compare",
    type=FILE,
    multiple=True,
    metavar="DATA...",
    help="Say where a video is nearly a copy of a clip of these folders of latents, or of clips; FILE.json names the "
    "nearest one. The latents in the folder of the model are compared in any case, where they are those that trained "
    "it and are few or have been compared before.",
)
@option("--no-compare", is_flag=True, help="Compare with no clips.")
@option(
    "--policy",
    type=FILE,
    metavar="FILE.toml",
    help="Judge texts, given files and their consent, frames and near copies of training clips by this policy.",
)
@option("--no-policy", is_flag=True, help="Judge and refuse nothing; the file says so.")
@option(
    "--consent",
    default="",
    metavar="TEXT",
    help="What you state of the people in given pictures and clips; a policy may need it. It stands in the file.",
)
@option("--no-watermark", is_flag=True, help="Leave the invisible mark out of the pixels; the file says so.")
@option("--no-credentials", is_flag=True, help="Do not sign the file (C2PA); the file says so.")
@option("--visible-mark", is_flag=True, help="Write that it was generated into a corner of every frame.")
@option(
    "--dry-run",
    is_flag=True,
    help="Print the settings, then the tokens and operations of the largest window (a long video is generated in "
    "several) and the totals and memory of the whole video, and stop.",
)
@JSON
def generate(
    prompt: str | None,
    story: tuple[str, ...],
    no_expand: bool,
    model: str,
    adapters: tuple[str, ...],
    device: str,
    precision: Any,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Make a video or a picture from a prompt, pictures or clips.

    A prompt is first written as a caption of the model's training (see chronotope expand), and what became of its words
    is said. What is not remade of a clip stays unchanged, to the bit before the file is marked and compressed. Every
    file carries an invisible mark, a signed C2PA manifest and its settings, also in FILE.json beside it (see chronotope
    verify). `chronotope info small` lists the words that the shipped model knows.
    """
    from chronotope.cli import use
    from chronotope.cli.costs import say_slow_precision
    from chronotope.cli.inputs import Options, weights_of_adapters
    from chronotope.generate.pipeline import Generator
    from chronotope.prompt import read_prompts, read_story

    if prompt is None and not story:
        raise click.UsageError("Missing argument 'PROMPT': say what should be seen, for example \"a red ball\"")
    if prompt is not None and story:
        raise click.UsageError("a prompt and a --story exclude each other; give one of them")
    prompts = read_prompts(read_story(story) if prompt is None else prompt)
    chosen = Options(**options)
    chosen.check(dry_run)
    on = use.device(device)
    say_slow_precision(precision, on)
    policy = chosen.chosen_policy()
    generator = Generator.load(model, weights_of_adapters(adapters), precision).to(on)
    generator.policy = policy
    prompts, chosen = use.told(prompts, chosen, generator, expand=not no_expand)
    if dry_run:
        plan = use.plan_video(prompts, chosen, generator, encode=False)
        show(use.describe_plan(chosen, generator, plan), as_json)
        return 0
    written, complete = use.generate(prompts, chosen, generator)
    echo(json.dumps({"files": written}, indent=1) if as_json else "\n".join(visible(file["path"]) for file in written))
    return 0 if complete else 130


@click.command(
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
    help="The original and its reconstruction, side by side.",
)
@option(
    "--seconds",
    type=Number(min=0, min_open=True, max=MOST),
    metavar="S",
    help="Only the first seconds.  [default: all]",
)
@PRECISION
@OVERWRITE
@MODEL
@JSON
def reconstruct(
    file: Path, output: Path, seconds: float | None, precision: Any, overwrite: bool, model: str, as_json: bool
) -> None:
    """Encode and decode a video with the autoencoder, and measure.

    At native size, slice by slice, in constant memory. Prints PSNR and SSIM.
    """
    from chronotope.cli import use
    from chronotope.generate.pipeline import find_model

    scores = use.reconstruct(file, output, seconds, find_model(model), overwrite, precision)
    echo(json.dumps(scores, indent=1) if as_json else f"{visible(str(output))}\n{use.scores_in_words(file, scores)}")


@click.command(
    cls=Command,
    examples="""
    chronotope merge small --adapter runs/mine --out runs/merged
    chronotope merge runs/base --adapter runs/mine=0.7 --adapter runs/other=0.5 --out runs/merged
    """,
)
@click.argument("model")
@option(
    "--adapter",
    "adapters",
    multiple=True,
    required=True,
    metavar="DIR[=WEIGHT]",
    help="An adapter of the model (train dit --adapter), and its weight (1); several are added up.",
)
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder of the new model; it must not exist.")
@JSON
def merge(model: str, adapters: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Write a model whose weights include adapters.

    The new model needs no --adapter, and makes the same videos up to the rounding of its half-precision weights.
    """
    from chronotope.cli import use
    from chronotope.cli.inputs import weights_of_adapters

    written = use.merge(model, weights_of_adapters(adapters), out)
    echo(json.dumps(written, indent=1) if as_json else out)
