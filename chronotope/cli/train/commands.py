"""The commands that train networks."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from chronotope.cli.terminal import FILE, JSON, PRESETS, SEEDS, Command, Commands, Number, echo, option, say, show
from chronotope.cli.train.limits import check_limits, limit_options, limits_of
from chronotope.cli.train.weights import read_weights, without_weights
from chronotope.errors import LEFT_OUT

__all__ = ["train"]

RANK = 16  # of an adapter whose rank is not stated


@click.group(
    cls=Commands,
    closing="Train the autoencoder first, then the transformer or the captioner on its latents; the "
    "expander needs captions alone.",
)
def train() -> None:
    """Train `autoencoder`, `dit`, `captioner` or `expander`; the same command again resumes."""


def train_options(command: Any, of_dit: bool = False) -> Any:
    """Add the options that all trainings have; of a transformer, folders have weights and --from replaces --preset."""
    sizes, folders = f"Sizes and recipe: {PRESETS}.", "Folders to train on; all clips are shown equally often."
    if of_dit:
        sizes += "  [default: those of the model to start from]"
        folders = "Folders to train on. With a weight after =, folders are shown in these shares, others with weight 1."
        folders += "  [default: all clips equally often]"
    options = (
        option("--preset", required=not of_dit, metavar="NAME", help=sizes),
        option(
            "--data",
            type=FILE,
            multiple=True,
            metavar="FOLDER[=WEIGHT]..." if of_dit else "FOLDER...",
            help=folders,
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
    help="Continue training the decoder of this model; its encoder, and so all latents, stay the same. That of a "
    "model that was grown (runs/grow.py) is trained too.",
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
    from chronotope.cli.train.networks import autoencoder_config, autoencoder_start, check_videos, run_autoencoder

    data = without_weights("autoencoder", data)
    config = autoencoder_config(preset, seed, settings)
    source = autoencoder_start(config, start, settings) if start else None
    costs = autoencoder_costs(config)
    check_videos(data, out)
    if dry_run:
        show_training(preset, config, data, costs, as_json, out and out / "autoencoder")
        return 0
    check_memory(costs)
    return result(*run_autoencoder(config, data, train_folders(data, out), source), as_json)


@train.command(
    cls=Command,
    spread=("--data", "--set", "--heldout"),
    examples="""
    chronotope train dit --preset tiny --data data/stage-latents --out runs/mine
    chronotope train dit --preset tiny --data data/stage --out runs/mine --set train.steps=500
    chronotope train dit --preset small --data ~/holiday --autoencoder small --out runs/holiday
    chronotope train dit --preset small --data ~/films --autoencoder small --out runs/films --max-side 96 --fps 8
    chronotope train dit --preset small --data data/stage --from small --out runs/longer
    chronotope train dit --from small --data data/mine data/stage=0.3 --out runs/mine
    chronotope train dit --from small --data data/mine --heldout data/mine/heldout --out runs/mine
    chronotope train dit --from small --adapter --data ~/holiday --out runs/mine --set train.steps=300
    chronotope train dit --preset small --data ~/films --autoencoder small --text-encoder hf:models/t5 --out runs/films
    chronotope train dit --from small --adapter --rank 4 --data data/stage-latents --out runs/mine
    chronotope train dit --hours 8 --data data/stage-latents --out runs/mine
    chronotope train dit --preset base --dry-run
    """,
)
@functools.partial(train_options, of_dit=True)
@option(
    "--autoencoder", "source", metavar="DIR", help="Copy this model's autoencoder into OUT.  [default: OUT has its own]"
)
@option(
    "--from",
    "start",
    metavar="DIR",
    help="Start from the weights of this model, its autoencoder included.",
)
@option(
    "--adapter",
    is_flag=True,
    help="Train only a low-rank adapter (LoRA) of the --from model, for generate --adapter; the weights of that model "
    "stay as they are, and --preset is not needed.",
)
@option(
    "--rank",
    type=click.IntRange(min=1),
    metavar="R",
    help=f"Rank of the adapter; more learns more, in a larger file.  [default: {RANK}]",
)
@option(
    "--heldout",
    type=FILE,
    multiple=True,
    metavar="FOLDER...",
    help="Clips or latents that are not trained on: their loss is logged as samples are made. Where it rises, the "
    "model learns its clips by heart.",
)
@option(
    "--text-encoder",
    metavar="hf:NAME",
    help="Read captions with this frozen text encoder of transformers, hf:NAME or hf:FOLDER, in place of a vocabulary "
    "that is learned from them: for captions in anybody's words, of up to 256 tokens.",
)
@option(
    "--hours",
    type=Number(min=0.01, max=100_000),
    metavar="H",
    help="Choose width, depth and steps that this machine trains in H hours, from speeds that are measured first; the "
    "rest is that of the preset, small unless it is named.",
)
@limit_options
def dit(
    preset: str | None,
    data: tuple[Path, ...],
    out: Path | None,
    seed: int | None,
    settings: tuple[str, ...],
    source: str | None,
    start: str | None,
    adapter: bool,
    rank: int | None,
    heldout: tuple[Path, ...],
    text_encoder: str | None,
    hours: float | None,
    max_side: int | None,
    fps: float | None,
    max_seconds: float | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Train the transformer on latents, into OUT/dit; samples appear in OUT/dit/samples.

    Folders of latents come from `chronotope encode`. A folder of clips is encoded first, with OUT/autoencoder, into
    OUT/latents; the limits of its size, rate and length are those of `encode`.
    """
    from chronotope.cli.costs import check_memory, dit_costs
    from chronotope.cli.train.devices import device_facts
    from chronotope.cli.train.hours import chosen_for_run
    from chronotope.cli.train.latents import say_of_latents
    from chronotope.cli.train.memory import fitted_to_memory
    from chronotope.cli.train.networks import Shown, adapter_config, check_shown, check_sources, dit_config, run_dit
    from chronotope.cli.train.text import with_text_encoder

    data, weights = read_weights(data)
    limits = limits_of(max_side, fps, max_seconds)
    check_limits(limits, data)
    if text_encoder is not None:
        settings = (*settings, f"text_encoder={json.dumps(text_encoder)}")
    if hours is not None and (adapter or start):
        raise click.UsageError("--hours chooses the size of a new model; leave out --hours, or --from and --adapter")
    if hours is not None and preset is None:
        preset = "small"
    if adapter:
        config = adapter_config(preset, start, rank or RANK, seed, settings)
    elif rank is not None:
        raise click.UsageError("--rank is the rank of an adapter; give --adapter as well, or leave --rank out")
    else:
        config = dit_config(preset, seed, settings, start)
    config = with_text_encoder(config, settings, out, start)
    check_sources(config, (*data, *heldout), out, source, start)
    if hours is not None:
        config, said = chosen_for_run(config, hours, settings, out)
        say(said)
    config, said = fitted_to_memory(config, out, settings)
    if said:
        say(said)
    costs, shown = dit_costs(config), Shown(data, weights, limits, heldout)
    check_shown(shown, out)
    if dry_run:
        say_of_latents(data, heldout)
        costs = {**costs, "devices": device_facts(config, as_json)}
        show_training(preset, config, data, costs, as_json, out and out / "dit")
        return 0
    check_memory(costs)
    return result(*run_dit(config, shown, train_folders(data, out), source, start, settings), as_json)


@train.command(
    cls=Command,
    spread=("--data", "--set"),
    examples="""
    chronotope train captioner --preset small --data data/stage --autoencoder small --out runs/captioner
    chronotope train captioner --preset tiny --data data/stage-latents --autoencoder small --out runs/captioner
    chronotope train captioner --preset small --data data/mine --from small --out runs/captioner
    chronotope train captioner --preset small --dry-run
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
    help="Start from the captioner of this model, its autoencoder included.",
)
def captioner(
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
    """Train the network that describes clips, on latents and the captions beside them, into OUT/captioner.

    `chronotope caption DATA --captioner OUT` uses it. It learns short captions first, then all levels of detail.
    """
    from chronotope.cli.costs import captioner_costs, check_memory
    from chronotope.cli.train.latents import check_folders, say_of_latents
    from chronotope.cli.train.networks import captioner_config, captioner_start, run_captioner

    data = without_weights("captioner", data)
    config = captioner_config(preset, seed, settings)
    origin = captioner_start(config, start, settings) if start else None
    costs = captioner_costs(config)
    check_folders(data, out)
    if dry_run:
        say_of_latents(data)
        show_training(preset, config, data, costs, as_json, out and out / "captioner")
        return 0
    check_memory(costs)
    return result(*run_captioner(config, data, train_folders(data, out), source, origin), as_json)


@train.command(
    cls=Command,
    spread=("--data", "--set"),
    examples="""
    chronotope train expander --preset small --data data/stage --out runs/expander
    chronotope train expander --preset small --data data/stage-latents data/mine --out runs/expander
    chronotope train expander --preset small --dry-run
    """,
)
@train_options
def expander(
    preset: str,
    data: tuple[Path, ...],
    out: Path | None,
    seed: int | None,
    settings: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> int:
    """Train the network that writes short prompts as descriptive captions, into OUT/expander.

    It learns from the captions alone, of folders of clips or latents whose clips have short captions and descriptive
    ones. `chronotope expand PROMPT --with OUT` uses it.
    """
    from chronotope.cli.costs import check_memory, expander_costs
    from chronotope.cli.train.latents import check_folders, say_of_latents
    from chronotope.cli.train.networks import expander_config, run_expander

    data = without_weights("expander", data)
    config = expander_config(preset, seed, settings)
    costs = expander_costs(config)
    check_folders(data, out)
    if dry_run:
        say_of_latents(data)
        show_training(preset, config, data, costs, as_json, out and out / "expander")
        return 0
    check_memory(costs)
    return result(*run_expander(config, data, train_folders(data, out)), as_json)


@train.command(
    cls=Command,
    examples="""
    chronotope train track runs/mine/dit
    chronotope train track runs/mine/dit --follow
    chronotope train track runs/mine/autoencoder --to trackio
    """,
)
@click.argument("run", type=FILE)
@option(
    "--to",
    type=click.Choice(["tensorboard", "trackio"]),
    default="tensorboard",
    show_default=True,
    help="Where the numbers go: event files in RUN/tensorboard, or a project of trackio.",
)
@option("--follow", is_flag=True, help="Wait for new lines until Ctrl-C, while the training goes on.")
def track(run: Path, to: str, follow: bool) -> int:
    """Show the log of a training, RUN/log.jsonl, in TensorBoard or trackio.

    The training knows nothing of it, so it can be started and stopped at any time, on any machine that sees the folder.
    """
    from chronotope.cli.train.track import track as send

    count = send(run, to, follow)
    say(f"{count} lines of {run} sent to {to}")
    return 0


def show_training(
    preset: str | None, config: Any, data: Sequence[Path], costs: dict[str, Any], as_json: bool, run: Path | None
) -> None:
    """Print what --dry-run says of a training on the folders `data`, or refuse what the training in `run` would."""
    from chronotope.cli.costs import memory_problem
    from chronotope.cli.train.latents import check_latents, say_evaluation
    from chronotope.config import to_dict
    from chronotope.presets import find_preset
    from chronotope.train.same_run import check_same_run

    if run:
        check_same_run(run, config)
    check_latents(data)
    if problem := memory_problem(costs):
        say(f"note: this training would be refused here: {problem}")
    say_evaluation(data)
    about = {"preset": preset, "about": find_preset(preset).about} if preset else {}
    show({**about, "settings": to_dict(config), "costs": costs}, as_json)


def result(run: Path, left_out: int, as_json: bool) -> int:
    """Print the folder of a finished training, or its description as JSON; return the exit status."""
    from chronotope.cli.info import describe

    echo(json.dumps(describe(run), indent=1) if as_json else run)
    if left_out:
        say(f"note: {left_out} {'clip was' if left_out == 1 else 'clips were'} left out, as listed above")
    return LEFT_OUT if left_out else 0
