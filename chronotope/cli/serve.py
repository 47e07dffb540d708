"""The declaration of `chronotope serve`, and what it checks before the service starts."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import click

from chronotope.cli.terminal import FILE, MODEL, Command, Number, echo, option, say
from chronotope.errors import FileProblem, UsageError

__all__ = ["serve"]

MAX_WORKERS = 16
MIN_TOKEN = 16  # characters


@click.command(
    cls=Command,
    sections={
        "service": ["model", "folder", "workers"],
        "who may use it": ["host", "port", "token_file", "allow_host"],
        "limits": ["keep_days", "quota", "policy"],
    },
    examples="""
    chronotope serve
    chronotope serve --model runs/mine --port 8080
    chronotope serve --folder ~/videos --keep-days 7 --quota 50
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
@option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="The address to listen at.")
@option("--port", type=click.IntRange(min=0, max=65535), default=8000, show_default=True, metavar="N", help="0 is any.")
@option(
    "--token-file",
    type=FILE,
    metavar="FILE",
    help="Tokens, one a line: requests need one, and see only what was made with it. Needed beyond this machine.",
)
@option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A host name, beside this machine's, by which the server is reached.",
)
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
@option("--policy", type=FILE, metavar="FILE.toml", help="Decide of prompts by this policy; see chronotope generate.")
@click.pass_context
def serve(
    ctx: click.Context,
    model: str,
    folder: Path,
    workers: int | None,
    host: str,
    port: int,
    token_file: Path | None,
    allow_host: tuple[str, ...],
    keep_days: float,
    quota: float,
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
    threads = ctx.parent.params.get("threads") if ctx.parent else None
    limits = Limits(keep_days=keep_days, stored_bytes=round(quota * 1e9))
    service = Service(folder, model, _devices(workers), limits, threads, policy)

    def started(address: str) -> None:
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
        tokens = path.read_text(encoding="utf-8").split()
        if path.stat().st_mode & 0o077:
            say(f"warning: other users of this machine may read {path}; close it with chmod 600 {path}")
    except (OSError, UnicodeDecodeError) as problem:
        raise FileProblem(
            f"{path} cannot be read: {getattr(problem, 'strerror', None) or 'it is no text'}"
        ) from problem
    if not tokens or min(map(len, tokens)) < MIN_TOKEN:
        raise UsageError(f"{path} must hold tokens of at least {MIN_TOKEN} characters, one a line")
    return tuple(tokens)


def _devices(workers: int | None) -> tuple[str, ...]:
    """Return the device of every worker."""
    from chronotope.serve.worker import count_gpus

    gpus = count_gpus()
    if not gpus:
        return ("cpu",) * (workers or 1)
    return tuple(f"cuda:{number % gpus}" for number in range(workers or gpus))
