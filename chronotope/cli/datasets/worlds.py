"""The commands that make clips: of simulated worlds, and of any environment, played by a policy or by you."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chronotope import PROGRAM
from chronotope.cli.left_out import refuse_beside
from chronotope.cli.terminal import FILE, SEED, SIZE, Command, Commands, Number, echo, option, progress, say
from chronotope.errors import UsageError
from chronotope.processes import MAX_WORKERS

if TYPE_CHECKING:
    from chronotope.progress import Progress
    from chronotope.record.environment import Environment
    from chronotope.record.recorder import Recording

__all__ = ["record", "world"]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
WORKERS = option(
    "--workers",
    type=click.IntRange(min=1, max=MAX_WORKERS),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of processes.",
)

COUNT = option("--count", type=click.IntRange(min=1), required=True, metavar="N", help="How many clips.")
OUT = option(
    "--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; the same command again resumes."
)


def _split(told: str) -> Decorator:
    return option("--split", default="train", show_default=True, metavar="NAME", help=told)


def _size(default: str) -> Decorator:
    return option("--size", type=SIZE, metavar="WxH", help=f"One size for all clips.  [default: {default}]")


def _pictures(default: str, of: str = "clips") -> Decorator:
    told = f"This share of the {of} are pictures.  [default: {default}]"
    return option("--pictures", type=Number(0, 1), metavar="SHARE", help=told)


@click.group(cls=Commands, closing="Example:  chronotope world stage --count 200 --out data/stage")
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
@COUNT
@OUT
@option(
    "--scope",
    default="small",
    show_default=True,
    metavar="NAME",
    help="shapes, small, solo and close (pictures of one thing), acts (two actions a clip), deeds (eat, hit, "
    "bounce, ...), returns (out of sight and back), wide or full.",
)
@_split("train, heldout or combination (pairs never trained on).")
@_size("the sizes of the scope")
@_pictures("the scope's", "clips that do not dissolve")
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
@COUNT
@OUT
@option(
    "--policy",
    metavar="NAME",
    help="Who moves a stick on the table: pusher (goes behind a solid and pushes it) or random.  [default: no stick]",
)
@_split("train, heldout or combination (pairs never trained on).")
@_size("five sizes from 64x64 to 128x128; with a stick 64x64")
@_pictures("0.1; with a stick 0")
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
@COUNT
@OUT
@option(
    "--policy",
    "scope",
    default="forager",
    show_default=True,
    metavar="NAME",
    help="Who plays: forager (gathers, builds, eats, sleeps) or random.",
)
@_split("train, heldout (other maps) or combination (deeds at places never trained on).")
@_size("64x64, 96x64 and 64x96")
@_pictures("0.05")
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
@COUNT
@OUT
@_split("train or heldout (other maps).")
@_size("96x64, 64x64 and 128x96")
@_pictures("0.05")
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


@click.command(
    cls=Command,
    examples="""
    chronotope record CartPole-v1 --steps 20000 --out data/cartpole
    chronotope record Pendulum-v1 --steps 5000 --size 64x64 --clip-frames 32 --out data/pendulum
    chronotope record my_package:MyGame-v0 --steps 20000 --caption "my game" --licence MIT --out data/mygame
    chronotope record CartPole-v1 --policy play --fps 15 --steps 2000 --out data/played
    chronotope record small-crafter --steps 2000 --out data/dreamt
    """,
)
@click.argument("environment", metavar="ENV_ID")
@option("--steps", type=click.IntRange(min=1), required=True, metavar="N", help="How many frames.")
@OUT
@option(
    "--policy",
    type=click.Choice(["random", "play"]),
    default="random",
    show_default=True,
    help="Who plays: random actions, or you, on a page in the browser.",
)
@option("--size", type=SIZE, metavar="WxH", help="Resize frames.  [default: as the environment draws them]")
@option(
    "--clip-frames",
    type=click.IntRange(min=2),
    default=64,
    show_default=True,
    metavar="N",
    help="Cut episodes into clips of at most N frames.",
)
@option("--episode-steps", type=click.IntRange(min=1), metavar="N", help="Begin a new episode after N steps.  "
        "[default: where the environment ends it; of a model 200]")  # fmt: skip
@option("--fps", type=Number(0, 1000), metavar="N", help="Frame rate of the clips.  [default: the environment's]")
@option("--prompt", default="", metavar="TEXT", help="What a model is told, and the caption of its clips.  [default: "
        "its stored pictures, without words]")  # fmt: skip
@option("--caption", default="", metavar="TEXT", help="The caption of every clip.")
@option("--licence", default="", metavar="SPDX", help="The licence of what the environment shows.")
@option("--port", type=click.IntRange(min=0, max=65535), default=8001, show_default=True, metavar="N",
        help="Of the page, with --policy play; 0 is any.")  # fmt: skip
@SEED
def record(out: Path, environment: str, size: tuple[int, int] | None, port: int, **request: Any) -> None:
    """Record a Gymnasium environment, or a model: its frames, and the actions that led to them.

    ENV_ID is a registered environment with pictures; module:ENV_ID imports the module that registers it. Clips are
    written as `world crafter` writes them. With --policy play a page is at the address that is printed: you act with
    keys, at the frame rate, until there are N frames, you end it, or Ctrl-C. It needs Gymnasium: pip install
    'chronotope[record]', and for the page 'chronotope[record,play]'.

    The name or the run of a model that was trained with actions stands for an environment, too. Its clips are marked
    and signed as all generated files are, and trainings on them say that they were generated.
    """
    from chronotope.record.recorder import Recording
    from chronotope.record.session import record

    if request["policy"] != "play":
        refuse_beside("the page is that of --policy play", "out", "environment", "size", *request)
    wanted = Recording(environment, size=size, **request)
    with _recorded(wanted) as (wanted, env), progress("recording", "frames") as report:
        if wanted.policy == "play":
            held = _play_and_record(out, wanted, env, port, report)
        else:
            held = record(out, wanted, env, progress=report, program=PROGRAM)
    if held >= wanted.steps:
        say(f"the recording is complete: {out} holds {held} frames")
    else:
        say(f"the recording was ended: {out} holds {held} of {wanted.steps} frames; the same command again goes on")
    echo(out)


@contextlib.contextmanager
def _recorded(wanted: Recording) -> Iterator[tuple[Recording, Environment]]:
    """Open what is recorded, an environment or a model; yield it, and what is recorded of it."""
    from chronotope.generate.pipeline import WEIGHTS
    from chronotope.record.environment import opened

    name = wanted.environment
    if not ((Path(name) / "dit").is_dir() or (WEIGHTS / name / "dit").is_dir()):
        if wanted.prompt:
            raise UsageError(f"{name} is no model, so it takes no --prompt; --caption gives its clips a caption")
        with opened(name, wanted.size, wanted.episode_steps) as env:
            yield wanted, env
        return
    try:
        from chronotope.simulate.recorded import generated_by, recorded_environment
    except ModuleNotFoundError as problem:
        raise UsageError(f"a model is recorded with {problem.name}: pip install 'chronotope[play]'") from problem
    from chronotope.simulate.model import WorldModel

    if wanted.prompt and wanted.caption not in ("", wanted.prompt):
        raise UsageError("the caption of what a model makes is its prompt; leave --caption out")
    model = WorldModel.load(name)
    caption = wanted.caption or wanted.prompt
    wanted = replace(wanted, world="model", caption=caption, generated_by=generated_by(model))
    yield wanted, recorded_environment(name, model, wanted.size, wanted.episode_steps, wanted.prompt)


def _play_and_record(out: Path, wanted: Recording, env: Environment, port: int, report: Progress) -> int:
    """Open the page on an environment until the folder holds enough frames; return how many it holds."""
    try:
        from chronotope.simulate.real import RealWorld
        from chronotope.simulate.server import PlayOptions, run
    except ModuleNotFoundError as problem:
        raise UsageError(f"playing needs {problem.name}: pip install 'chronotope[play]'") from problem
    from chronotope.record.recorder import recording

    def started(address: str) -> None:
        say(f"the page is at {address}; recording begins with the first key, and ends there or with Ctrl-C")
        echo(address)

    with recording(out, wanted, env.schema, env.fps, PROGRAM, env.put) as recorder:
        if not recorder.complete:
            played = RealWorld(env, recorder, report)
            run(played, PlayOptions(), "127.0.0.1", port, started, lambda: played.finished)
    return recorder.held
