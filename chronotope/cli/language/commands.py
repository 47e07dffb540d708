"""The commands that read and write prompts and captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from chronotope.cli.left_out import refuse_beside
from chronotope.cli.terminal import FILE, JSON, MODEL, SEEDS, Command, Number, echo, option, say, visible
from chronotope.cli.terminal import show as show_facts
from chronotope.errors import LEFT_OUT

__all__ = ["caption", "expand", "review", "score_captions"]

DOUBTS = option(
    "--captioner",
    default="builtin",
    show_default=True,
    metavar="NAME",
    help="builtin, or a folder of `train captioner`; it says which words it doubts, of clips whose truth is not known.",
)


@click.command(
    cls=Command,
    examples="""
    chronotope expand "kitten strolls by the shore"
    chronotope expand "two bunnies hop across a feild, no fox" --why
    chronotope expand "a crimson sphere bounces" --model runs/mine --json
    chronotope expand "a fox walks left" --with small --seed 3
    chronotope expand "a lonely penguin" --with http://localhost:8000/v1#my-model --seed 3
    """,
)
@click.argument("prompt")
@MODEL
@option(
    "--with",
    "writer",
    default="builtin",
    show_default=True,
    metavar="NAME",
    help="Who writes. builtin: a table and rules, which add nothing. small, or the DIR of a model: its expander (see "
    "`chronotope train expander`). http://localhost:8000/v1#MODEL: an "
    "OpenAI-compatible endpoint; its key is read from CHRONOTOPE_API_KEY. hf:NAME or hf:FOLDER: a language model of "
    "transformers.",
)
@option(
    "--seed",
    type=SEEDS,
    metavar="N",
    help="Let the expander or the language model vary its words; the same N gives the same.",
)
@option("--why", is_flag=True, help="Say what became of every word.")
@JSON
def expand(prompt: str, model: str, writer: str, seed: int | None, why: bool, as_json: bool) -> None:
    """Write a prompt in anybody's words as the caption that the model is told.

    `generate` does the same, by the table and the rules. A word is written as the word of captions that means the same;
    what is only alike is suggested and never put in its place; what shall not be there becomes the negative prompt. A
    caption passes through unchanged. An expander or a language model (--with) may add what the prompt leaves open; what
    it writes is taken only where every fact of the prompt is in it, and where the prompt can be compared at all.
    """
    from chronotope.cli.language.expand import expand_with
    from chronotope.generate.pipeline import find_model

    found, author, notes = expand_with(prompt, find_model(model), writer, seed)
    for note in notes:
        say(f"note: {note}")
    said = [each for each in (found.notes() if found else ()) if why or not each.startswith("read as")]
    for sentence in said:
        say(f"note: {sentence}")
    text = found.prompt if found else prompt
    if as_json:
        facts: dict[str, Any] = {"typed": prompt, "prompt": text, "negative": found.negative if found else ""}
        facts["written_by"] = author or "its user"
        facts |= {"read": found.read, "left_out": found.left_out, "alike": found.suggestions} if found else {}
        echo(json.dumps({**facts, "notes": said}, indent=1))
        return
    echo(text)


@click.command(
    cls=Command,
    examples="""
    chronotope caption data/stage
    chronotope caption data/stage --captioner runs/captioner --detail paragraph
    chronotope caption data/holiday --captioner http://localhost:8000/v1#my-model
    chronotope caption data/holiday --captioner hf:models/my-captioner
    chronotope caption data/holiday --captioner http://localhost:8000/v1#my-model --detail paragraph --workers 8
    """,
)
@click.argument("data", type=FILE, metavar="DATA")
@option(
    "--captioner",
    default="builtin",
    show_default=True,
    metavar="NAME",
    help="builtin: the one in the package, which knows the stage. A folder of `train captioner`. "
    "http://localhost:8000/v1#MODEL: any OpenAI-compatible endpoint that takes pictures; its key is read from "
    "CHRONOTOPE_API_KEY. hf:NAME or hf:FOLDER: a vision-language model of transformers.",
)
@option(
    "--detail",
    type=click.Choice(["tags", "sentence", "paragraph"]),
    default="sentence",
    show_default=True,
    help="What is asked for.",
)
@option(
    "--workers",
    type=click.IntRange(min=1, max=64),
    default=4,
    show_default=True,
    metavar="N",
    help="Clips that are with the captioner at once.",
)
@option("--per-minute", type=Number(min=0), default=0.0, metavar="N", help="Most requests a minute; 0 is no limit.")
def caption(data: Path, captioner: str, detail: str, workers: int, per_minute: float) -> int:
    """Let a captioner describe every clip of a folder.

    What is beside the clips is never changed. The captions go into recaptions.jsonl, each with its author; run the same
    command again to go on. `encode` then has them as the level `descriptive`, which trainings mix with the captions
    beside the clips. An answer that is empty, refuses or repeats itself is no caption, and counted (exit status 3).
    """
    from chronotope.cli.language.caption import caption_folder
    from chronotope.cli.language.captioners import find_captioner

    if captioner == "builtin":
        refuse_beside("the captioner of the package is asked without limits", "data", "captioner", "detail", "workers")
    found = caption_folder(data, find_captioner(captioner, detail, per_minute), detail, workers)
    for file, reason in list(found.failed.items())[:20]:
        say(f"no caption: {file}: {reason}")
    if len(found.failed) > 20:
        say(f"and {len(found.failed) - 20} more")
    say(f"{visible(str(data))}: {found.in_words()}")
    if found.stopped:
        say("note: stopped; run the same command again to go on")
        return 130
    return LEFT_OUT if found.failed else 0


@click.command(
    "score-captions",
    cls=Command,
    examples="""
    chronotope score-captions data/stage
    chronotope score-captions data/stage --show 20 --json
    """,
)
@click.argument("data", type=FILE, metavar="DATA")
@option(
    "--show",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="How many captions that are not true are printed, of each author and level.",
)
@DOUBTS
@JSON
def score_captions(data: Path, show: int, captioner: str, as_json: bool) -> None:
    """Say how true and how complete the captions of clips are.

    Of rendered clips, what a caption claims is compared with what the world rendered, by class of fact: `true` is the
    share of claims that are true, `found` the share of facts that are claimed, each with an interval. Of other clips,
    the captioner says which words it doubts. Captions beside the clips and those of `chronotope caption` are scored,
    each author alone.
    """
    from chronotope.cli.language.captioners import load_doubting
    from chronotope.cli.language.score import score_folder

    found = [scored.facts(show) for scored in score_folder(data, lambda: load_doubting(captioner))]
    if as_json:
        echo(json.dumps(found, indent=1))
        return
    for facts in found:
        show_facts(facts, False)


@click.command(
    cls=Command,
    examples="""
    chronotope review data/holiday --as ada
    chronotope review data/holiday --as ben --sample 200
    chronotope review data/holiday --summary
    """,
)
@click.argument("data", type=FILE, metavar="DATA")
@option("--as", "reviewer", default="", metavar="NAME", help="Who judges; every verdict bears the name.")
@option("--sample", type=click.IntRange(min=1), metavar="N", help="Judge N captions, drawn at random.  [default: all]")
@option("--seed", type=SEEDS, default=0, show_default=True, metavar="N", help="Seed of the order and the sample.")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Port of the page.  [default: one that is free]",
)
@DOUBTS
@option("--summary", is_flag=True, help="Print the verdicts so far, and how far reviewers agree, and stop.")
@JSON
def review(
    data: Path,
    reviewer: str,
    sample: int | None,
    seed: int,
    port: int,
    captioner: str,
    summary: bool,
    as_json: bool,
) -> None:
    """Judge the captions that a captioner wrote, on a page of this machine alone.

    Each clip is shown with its caption: keep it, mend it or reject it. Beside a caption stand its claims that are not
    true, where a world knows the truth, or the word that the captioner doubts. Nothing is overwritten: verdicts go into
    reviews.jsonl with the name of their author, and the last one on a caption decides what `encode` takes. Two
    reviewers with the same --seed and --sample judge the same captions and do not see each other's verdicts; --summary
    says how far they agree. Ctrl-C ends.
    """
    from chronotope.cli.language.captioners import load_doubting
    from chronotope.cli.language.review import open_page, reviewed
    from chronotope.storage import locked

    if summary:
        refuse_beside("--summary counts the verdicts of all reviewers", "data", "summary", "as_json")
        show_facts(reviewed(data).facts(), as_json)
        return
    if not reviewer.strip():
        raise click.UsageError("say who judges, for example: --as ada")
    with locked(data), open_page(data, reviewer, lambda: load_doubting(captioner), sample, seed, port) as page:
        say(f"{len(page.items)} captions; open this page, and press Ctrl-C when you are done:")
        echo(page.address)
        try:
            page.serve_forever()
        except KeyboardInterrupt:
            say("")
    show_facts(reviewed(data).facts(), as_json)
