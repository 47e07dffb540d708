"""The declarations of the commands of safety: what they are called with, and how they answer."""

from __future__ import annotations

import json
from pathlib import Path

import click

from chronotope.cli.terminal import FILE, JSON, Command, echo, option, visible

__all__ = ["verify"]


@click.command(
    cls=Command,
    spread=("--trust",),
    examples="""
    chronotope verify fox.mp4
    chronotope verify downloads/*.mp4 --json
    chronotope verify fox.mp4 --trust their-root.pem
    """,
)
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@option(
    "--trust", type=FILE, multiple=True, metavar="CERT...", help="Believe signatures of these certificates (PEM) too."
)
@option("--no-search", is_flag=True, help="Look for the mark only where frames were not cropped; takes less time.")
@JSON
def verify(files: tuple[Path, ...], trust: tuple[Path, ...], no_search: bool, as_json: bool) -> int:
    """Say where files came from: by their C2PA manifest, watermark, sidecar and tags.

    Nothing is authentic by default: that needs signatures of a trusted certificate over every byte. The mark is found
    in files that were re-encoded, scaled, mirrored, cut or cropped; below 128 pixels a side it may not be. The exit
    status is 1 where a file was altered after it was signed.
    """
    from chronotope.safety.verify import verify as judge

    found = [judge(path, trust, not no_search) for path in files]
    if as_json:
        echo(json.dumps({"files": [one.described() for one in found]}, indent=1))
    for one in found if not as_json else ():
        echo(f"{visible(one.path)}: {one.verdict}\n    sure of it: {visible(one.sure)}")
        echo("\n".join(f"    {visible(reason)}" for reason in one.reasons))
    return int(any(one.verdict == "altered" for one in found))
