"""The declarations of the commands of safety: what they are called with, and how they answer."""

from __future__ import annotations

import json
from pathlib import Path

import click

from chronotope.cli.left_out import refuse_beside
from chronotope.cli.terminal import FILE, JSON, MODEL, SEED, Command, echo, facts_text, option, visible

__all__ = ["disclose", "prefer", "red_team", "seal", "verify"]


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
    chronotope seal prompts.jsonl --out kit
    chronotope seal specs.jsonl --out kit --key safe/kit.key
    """,
)
@click.argument("prompts", type=FILE)
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder of the kit; it must not exist.")
@option(
    "--key",
    type=FILE,
    metavar="FILE",
    help="Where the key is written, outside the kit; it must not exist.  [default: DIR.key]",
)
@JSON
def seal(prompts: Path, out: Path, key: Path | None, as_json: bool) -> None:
    """Seal prompts in a kit that can be published at once.

    PROMPTS is a file of JSON lines, each with a "prompt", and if wanted "width", "height", "num_frames", "fps" and
    "seed"; outputs for the lines of a plan, by `chronotope evaluate --plan`, are judged as well. The kit has the
    encrypted prompts, README.md, which explains the protocol to whoever runs the model, and check.py, which checks a
    run without this program. Publish the hash that is
    printed, and ask a model with `chronotope evaluate --sealed DIR --adapter FOLDER_OR_URL`.
    """
    from chronotope.cli.safety.sealed import seal_prompts

    found = seal_prompts(prompts, out, key)
    echo(json.dumps(found, indent=1) if as_json else facts_text(found))


@click.command(
    cls=Command,
    spread=("--read",),
    examples="""
    chronotope prefer out/before/videos out/after/videos --out study
    chronotope prefer a b --prompts specs.jsonl --first 40 --seed 7 --out study
    chronotope prefer --read answers-*.json --out study
    """,
)
@click.argument("a", type=FILE, required=False)
@click.argument("b", type=FILE, required=False)
@option("--out", type=FILE, required=True, metavar="DIR", help="The folder of the study.")
@option("--prompts", type=FILE, metavar="FILE", help='Show prompts: JSON lines with "file" and "prompt", as of a plan.')
@option("--first", type=click.IntRange(min=1), metavar="N", help="Show N pairs, drawn at random.  [default: all]")
@option(
    "--checks",
    type=click.IntRange(min=2, max=100),
    default=4,
    show_default=True,
    metavar="N",
    help="Attention checks of each kind: N times the same video twice, N times one that is obviously broken.",
)
@SEED
@option("--read", type=FILE, multiple=True, metavar="ANSWERS...", help="Read the answers of raters instead.")
@JSON
def prefer(
    a: Path | None,
    b: Path | None,
    out: Path,
    prompts: Path | None,
    first: int | None,
    checks: int,
    seed: int,
    read: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Ask people, blind, which of two videos they prefer.

    A and B are folders of videos or pictures with the same names. study/page.html is one file to send to raters: pairs
    in a random order on random sides, ties, and attention checks; at the end it saves a file of answers. study/key.json
    says what was where: keep it. With --read, the rates have 95 % intervals, raters their agreement (Cohen's kappa),
    and a rater who may have answered at random is named and left out.
    """
    from chronotope.cli.safety import preference as work

    if read:
        if a is not None or b is not None:
            raise click.UsageError("--read takes the answers of a study, which knows its videos; leave out A and B")
        refuse_beside("--read takes the answers of a study that is made", "read", "out", "as_json")
        found = work.read_study(out, read)
        echo(json.dumps(found, indent=1) if as_json else work.study_text(found))
        return
    if a is None or b is None:
        raise click.UsageError("give two folders, A and B, to make a study; or --read with files of answers")
    made = work.make_study(a, b, out, prompts, first, checks, seed)
    echo(json.dumps(made, indent=1) if as_json else facts_text(made))


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
