"""The declarations of the commands of safety: what they are called with, and how they answer."""

from __future__ import annotations

import json
from pathlib import Path

import click

from chronotope.cli.terminal import FILE, JSON, MODEL, Command, echo, option, visible

__all__ = ["disclose", "red_team", "verify"]


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


@click.command(
    "red-team",
    cls=Command,
    examples="""
    chronotope red-team --out report
    chronotope red-team --policy policy.toml --out report
    """,
)
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; it must not exist.")
@option("--policy", type=FILE, metavar="FILE.toml", help="Measure this policy.  [default: that of the package]")
@JSON
def red_team(out: Path, policy: Path | None, as_json: bool) -> None:
    """Measure how many prompts the policy refuses that it should, and that it should not.

    The red-team set of the package has 14 categories, each with harmful prompts and look-alikes, and 12 disguises of
    every prompt. The report has recall and over-refusal with 95 % intervals, and the mistakes.
    """
    from chronotope.cli.safety.red_team import measure_policy

    found = measure_policy(out, policy)
    echo(json.dumps(found, indent=1) if as_json else out)


@click.command(
    cls=Command,
    examples="""
    chronotope disclose --out site
    chronotope disclose --model runs/mine --out site
    """,
)
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder to fill; it must not exist.")
@MODEL
def disclose(out: Path, model: str) -> None:
    """Write what an auditor asks for: cards, licences, and a bill of materials.

    A system card with every layer, a model card for each part of the model, a data card, the licences of all installed
    packages (SPDX) and a bill of materials (CycloneDX). They are made from the installed files, so they are never
    older than those.
    """
    from chronotope.cli.safety.disclose import disclose as write

    for name in write(out, model):
        echo(out / name)
