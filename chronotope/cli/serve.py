"""The declarations of `chronotope serve` and `chronotope play`, and what they check before a server starts."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chronotope.cli.left_out import refuse_beside
from chronotope.cli.terminal import FILE, MODEL, Command, Number, echo, option, progress, refuse_replacing, say
from chronotope.errors import FileProblem, UsageError
from chronotope.sealed import unsealed
from chronotope.storage import locked_output

if TYPE_CHECKING:
    from chronotope.geometry import Picture
    from chronotope.simulate.model import WorldModel

__all__ = ["play", "serve"]

MAX_WORKERS = 16
MAX_BATCH = 64
GPU_BATCH = 4
MIN_TOKEN = 16  # characters
ALLOW_HOST = option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A host name, beside this machine's, by which the server is reached.",
)


@click.command(
    cls=Command,
    sections={
        "service": ["model", "folder", "workers", "batch", "show"],
        "who may use it": ["host", "port", "token_file", "allow_host"],
        "limits": ["keep_days", "quota", "step_minutes", "policy"],
    },
    examples="""
    chronotope serve
    chronotope serve --model runs/mine --port 8080
    chronotope serve --folder ~/videos --keep-days 7 --quota 50
    chronotope serve --show runs --show data
    chronotope serve --host 0.0.0.0 --token-file tokens.txt --allow-host lab.example
    """,
)
@MODEL
@option(
    "--folder", type=FILE, default="service", show_default=True, metavar="DIR", help="Where jobs and videos are kept."
)
@option(
    "--workers",
    type=click.IntRange(min=1, max=MAX_WORKERS),
    metavar="N",
    help="Processes that hold the model.  [default: one a GPU; 1 without]",
)
@option(
    "--batch",
    type=click.IntRange(min=1, max=MAX_BATCH),
    metavar="N",
    help="Waiting jobs of one size and one set of settings that are sampled at once, with the same videos.  "
    "[default: 4 on a GPU; 1 without]",
)
@option(
    "--show",
    type=FILE,
    multiple=True,
    metavar="DIR",
    help="A folder of datasets, training runs and reports that the page shows; nothing is written into it.",
)
@option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="The address to listen at.")
@option("--port", type=click.IntRange(min=0, max=65535), default=8000, show_default=True, metavar="N", help="0 is any.")
@option(
    "--token-file",
    type=FILE,
    metavar="FILE",
    help="Tokens, one a line: requests need one, and see only what was made with it. Needed beyond this machine.",
)
@ALLOW_HOST
@option(
    "--keep-days",
    type=Number(min=0, min_open=True, max=36_500),
    default=30.0,
    show_default=True,
    metavar="D",
    help="Videos and files are deleted after this time.",
)
@option(
    "--quota",
    type=Number(min=0, min_open=True, max=1e6),
    default=10.0,
    show_default=True,
    metavar="GB",
    help="No job is accepted while more is stored.",
)
@option(
    "--step-minutes",
    type=Number(min=0, min_open=True, max=100_000),
    default=60.0,
    show_default=True,
    metavar="M",
    help="A process of which no step ends in this time hangs: it is replaced, and its job tried once more.",
)
@option(
    "--policy", type=FILE, metavar="FILE.toml", help="Judge texts, given files and frames by this policy; see generate."
)
@click.pass_context
def serve(
    ctx: click.Context,
    model: str,
    folder: Path,
    workers: int | None,
    batch: int | None,
    show: tuple[Path, ...],
    host: str,
    port: int,
    token_file: Path | None,
    allow_host: tuple[str, ...],
    keep_days: float,
    quota: float,
    step_minutes: float,
    policy: Path | None,
) -> None:
    """Make videos over HTTP: a page, a queue that outlives the browser and the server, and an API.

    The page is at the address that is printed. Clients of the OpenAI video API work with base_url=ADDRESS/v1. Jobs are
    on disk before they are acknowledged; after Ctrl-C or a crash the same command goes on with them. While a file named
    stopped lies in the folder, no job is accepted, and those that wait fail.
    """
    try:
        from chronotope.serve.app import run
    except ModuleNotFoundError as problem:
        raise UsageError(f"the service needs {problem.name}: pip install 'chronotope[serve]'") from problem
    from chronotope.serve.guard import Security
    from chronotope.serve.limits import Limits
    from chronotope.serve.service import Service

    tokens = _read_tokens(token_file) if token_file else ()
    if not _is_loopback(host) and not (tokens and allow_host):
        raise UsageError(
            f"--host {host} is reached by other machines, so it needs --token-file FILE, and --allow-host NAME for "
            "every name by which it is reached"
        )
    for missing in (path for path in show if not path.is_dir()):
        raise UsageError(f"--show {missing}: there is no such folder")
    threads = ctx.parent.params.get("threads") if ctx.parent else None
    limits = Limits(keep_days=keep_days, stored_bytes=round(quota * 1e9), step_seconds=60 * step_minutes)
    devices = _devices(workers)
    batch = batch or (1 if "cpu" in devices else GPU_BATCH)
    service = Service(folder, model, devices, limits, threads, show, policy, batch)

    def started(address: str) -> None:
        folders = (service.facts.folder / part / "model.json" for part in ("dit", "autoencoder"))
        for sentence in unsealed(*folders):
            say(f"note: {sentence}")
        if service.kept:
            say(
                f"note: {len(service.kept)} finished files in {folder / 'outputs'} are of no job, such as "
                f"{service.kept[0]}; jobs.sqlite3 may be an older copy, so they stay: bring the newest one back, or "
                "move or delete them"
            )
        if service.recovered:
            say(f"note: {service.recovered} jobs that were in progress are queued again")
        say(f"the page is at {address}; jobs and videos are in {folder}; Ctrl-C stops")
        echo(address)

    run(service, Security.of(tokens, (host, *allow_host)), host, port, started)
    say(f"stopped; the same command goes on with what waits in {folder}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_tokens(path: Path) -> tuple[str, ...]:
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        if path.stat().st_mode & 0o077:
            say(f"warning: other users of this machine may read {path}; close it with chmod 600 {path}")
    except (OSError, UnicodeDecodeError) as problem:
        raise FileProblem(
            f"{path} cannot be read: {getattr(problem, 'strerror', None) or 'it is no text'}"
        ) from problem
    tokens = [token for words in lines for token in words]
    if not tokens or min(map(len, tokens)) < MIN_TOKEN or max(map(len, lines)) > 1:
        raise UsageError(f"{path} must hold tokens of at least {MIN_TOKEN} characters, one a line, and nothing else")
    if strange := [number for number, words in enumerate(lines, start=1) if words and not words[0].isascii()]:
        raise UsageError(f"line {strange[0]} of {path} holds other characters than ASCII, which no client can send")
    if len(set(tokens)) < len(tokens):
        raise UsageError(f"{path} holds a token twice, and each has its own videos; make another one")
    return tuple(tokens)


def _devices(workers: int | None) -> tuple[str, ...]:
    """Return the device of every worker."""
    from chronotope.serve.jobs.worker import count_gpus

    gpus = count_gpus()
    if not gpus:
        return ("cpu",) * (workers or 1)
    return tuple(f"cuda:{number % gpus}" for number in range(workers or gpus))


@click.command(
    cls=Command,
    sections={
        "session": ["prompt", "image", "consent", "record", "steps", "guidance", "history"],
        "replay": ["replay", "out"],
        "server": ["host", "port", "allow_host"],
    },
    examples="""
    chronotope play
    chronotope play runs/world --image start.png --record session.jsonl
    chronotope play runs/world --replay session.jsonl --out session.mp4
    """,
)
@click.argument("model", metavar="MODEL", default="small-crafter")
@option("--prompt", default="", metavar="TEXT", help="Words from which a session begins where no picture is given.")
@option("--image", type=FILE, metavar="FILE", help="The picture from which a session begins.")
@option(
    "--consent",
    default="",
    metavar="TEXT",
    help="What you state of the people in the picture; a policy may need it. It stands in the record.",
)
@option(
    "--record",
    type=FILE,
    metavar="FILE",
    help="Record sessions here; of k.jsonl, the second session is in k-2.jsonl, the third in k-3.jsonl.",
)
@option("--steps", type=click.IntRange(1, 1000), metavar="N", help="Steps of the sampler.  [default: the model's]")
@option(
    "--guidance", type=Number(min=0, max=1000), metavar="G", help="Stronger actions; 1: off.  [default: the model's]"
)
@option(
    "--history",
    type=Number(min=0, max=0.9),
    default=0.0,
    show_default=True,
    metavar="L",
    help="Noise level at which the past is seen.",
)
@option("--replay", type=FILE, metavar="FILE", help="Play a record again without a page, and compare its frames.")
@option("--out", type=FILE, metavar="FILE", help="The video of the replay.")
@option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="The address to listen at.")
@option("--port", type=click.IntRange(min=0, max=65535), default=8001, show_default=True, metavar="N", help="0 is any.")
@ALLOW_HOST
def play(
    model: str,
    prompt: str,
    image: Path | None,
    consent: str,
    record: Path | None,
    steps: int | None,
    guidance: float | None,
    history: float,
    replay: Path | None,
    out: Path | None,
    host: str,
    port: int,
    allow_host: tuple[str, ...],
) -> int:
    """Play a world that was learned with actions: keys in, frames out.

    MODEL is the folder of a run that was trained on clips with actions, or the name of a world inside the package
    (default: small-crafter). The page is at the address that is printed.
    Several players can use it at once, each with a session of their own. The server knows no tokens, so it listens on
    this machine alone; --allow-host admits the name of a proxy that asks who comes. The exit status of --replay is 1
    where frames differ from the recorded ones.
    """
    if not _is_loopback(host):
        raise UsageError(
            f"--host {host} is reached by other machines, and play knows no tokens: leave it out, and reach the server "
            f"through a tunnel, as ssh -L {port}:127.0.0.1:{port} MACHINE"
        )
    if (replay is None) != (out is None):
        raise UsageError("--replay FILE and --out FILE go together: a record, and the video that is made from it")
    try:
        from chronotope.simulate.server import PlayOptions, run
    except ModuleNotFoundError as problem:
        raise UsageError(f"playing needs {problem.name}: pip install 'chronotope[play]'") from problem
    from chronotope.cli.use import say_unsealed
    from chronotope.generate.stored.folders import find_model
    from chronotope.simulate.listening import allowed_hosts
    from chronotope.simulate.model import StepSettings, WorldModel

    if replay is not None:
        why = "--replay FILE begins and samples as its record says, and serves no page; give no option of these with it"
        refuse_beside(why, "model", "replay", "out")
    if consent and image is None:
        raise UsageError("--consent is stated of the picture of --image; a player states it of an own picture")
    picture = None
    if image is not None:
        from chronotope.cli.inputs import read_image

        picture = read_image(image)
    world = WorldModel.load(model, StepSettings(steps, guidance, history))
    say_unsealed(find_model(model))
    if picture is not None and picture.shape[0] * world.size[1] != picture.shape[1] * world.size[0]:
        height, width = world.size
        say(
            f"note: {image} has another shape than the {width}x{height} of the model, and is stretched to it; cut it "
            "first to keep its shape"
        )
    if replay is not None and out is not None:
        return 0 if _replay(world, replay, out) else 1

    def started(address: str) -> None:
        say(f"the page is at {address}; Ctrl-C stops")
        echo(address)

    options = PlayOptions(prompt, picture, consent, record, allowed_hosts(host, *allow_host))
    with _claimed(record):
        run(world, options, host, port, started)
    say("stopped" + (f"; the record is {record}" if record and record.exists() else ""))
    return 0


@contextlib.contextmanager
def _claimed(record: Path | None) -> Iterator[None]:
    """Keep the file of a record for this server alone; raise where it exists, or another server was given it."""
    if record is None:
        yield
        return
    if not record.parent.is_dir():
        raise FileProblem(f"the folder {record.parent} of --record does not exist; create it, or name another file")
    with locked_output(record):
        if record.exists():
            raise FileProblem(f"{record} exists; name a new file with --record")
        yield


def _replay(world: WorldModel, file: Path, out: Path) -> bool:
    """Deliver the video of a record; say how many of its frames are as recorded, and return whether none differs."""
    from chronotope.safety.deliver import deliver
    from chronotope.simulate.record import Start, played_origin, read_record
    from chronotope.simulate.session import recorded_model, replay

    refuse_replacing(out, overwrite=False)
    record = read_record(file, lambda sentence: say(f"note: {file}: {sentence}"))
    frames: list[Picture] = []
    compared, missing, other = 0, 0, list[int]()
    with progress("playing again", "frames") as report:
        for number, picture, equal in replay(world, record):
            del frames[number:]
            frames.append(picture)
            compared += equal is not None
            missing += equal is None and number > 0  # the first frame is that of the start
            other += [number] if equal is False else []
            report(number, len(record) - 1)
    start = Start.of(record[0])
    origin = played_origin(start.line(recorded_model(world, record[0])), "play")  # with the settings of the record
    deliver(out, frames, world.fps, origin, composite=start.picture is not None, policy=world.generator.policy)
    verdict = ": all are equal" if compared and not other else ""
    say(f"{compared} frames were compared with the recorded ones{verdict}")
    if missing:
        say(f"note: {missing} frames have no hash in the record, so they were not compared")
    if other:
        say(
            f"{len(other)} frames differ from the recorded ones, the first is {other[0]}: the record was edited, or "
            "made on another kind of processor"
        )
    echo(str(out))
    return not other
