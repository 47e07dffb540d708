"""The commands that read and write prompts and captions."""

from __future__ import annotations

import json
from typing import Any

import click

from chronotope.cli.terminal import JSON, MODEL, Command, echo, option, say

__all__ = ["expand"]


@click.command(
    cls=Command,
    examples="""
    chronotope expand "kitten strolls by the shore"
    chronotope expand "two bunnies hop across a feild, no fox" --why
    chronotope expand "a crimson sphere bounces" --model runs/mine --json
    """,
)
@click.argument("prompt")
@MODEL
@option("--why", is_flag=True, help="Say what became of every word.")
@JSON
def expand(prompt: str, model: str, why: bool, as_json: bool) -> None:
    """Write a prompt in anybody's words as the caption that the model is told.

    `generate` does the same. A word is written as the word of captions that means the same; what is only alike is
    suggested and never put in its place; what shall not be there becomes the negative prompt. A caption passes through
    unchanged.
    """
    from chronotope.caption.expand import expand as write
    from chronotope.cli.language.expand import words_of_model
    from chronotope.generate.pipeline import find_model

    known = words_of_model(find_model(model))
    if not known:
        say(
            f"note: {model} was not taught by captions of the worlds alone, so prompts are told to it as they are typed"
        )
    found = write(prompt, known) if known else None
    text = found.prompt if found else prompt
    if as_json:
        facts: dict[str, Any] = {"typed": prompt, "prompt": text, "negative": found.negative if found else ""}
        facts |= {"read": found.read, "left_out": found.left_out, "alike": found.suggestions} if found else {}
        echo(json.dumps(facts, indent=1))
        return
    for sentence in found.notes() if found else ():
        if why or not sentence.startswith("read as"):
            say(f"note: {sentence}")
    echo(text)
