"""A dataset -> `card.md`, its data card: what it is, where it is from, what was left out, and what is wrong with it."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from chronotope.data.exports.about import Statement
from chronotope.data.exports.dataset import Dataset, main_caption
from chronotope.data.exports.facts import counted, describe_clips, duration, facts_of, limitations_of, process_of
from chronotope.errors import visible
from chronotope.storage import write_atomically

__all__ = ["CARD", "card_of", "write_card"]

CARD = "card.md"
MOST_ROWS, MOST_EXAMPLES = 12, 8  # of a table of sizes or rates, and of captions
MAX_TEXT = 300  # characters of a caption that are shown


def write_card(dataset: Dataset, statement: Statement, path: Path, program: str) -> None:
    """Write the card of a dataset; `program` is named as its writer."""
    write_atomically(path, card_of(dataset, statement, program))


def card_of(dataset: Dataset, statement: Statement, program: str) -> str:
    """Return the card of a dataset in Markdown, in which texts of others are text and no markup."""
    facts = facts_of(dataset)
    texts = filter(None, (main_caption(item.captions) for item in dataset.items))
    duplicates = sum(one.count for one in facts.left_out if one.reason == "duplicate")
    return (
        _templates()
        .get_template("card.md.jinja")
        .render(
            name=statement.name or dataset.name,
            kind=dataset.kind,
            made_with=dataset.about.get("made_with") or dataset.about.get("program", ""),
            facts=facts,
            statement=statement,
            said=statement != Statement(),
            summary=describe_clips(facts),
            counted=counted,
            duration=duration,
            sizes=facts.sizes[:MOST_ROWS],
            more_sizes=len(facts.sizes) - MOST_ROWS,
            rates=facts.rates[:MOST_ROWS],
            captioners=dataset.captioners,
            captions=list(dict.fromkeys(text[:MAX_TEXT] for text in texts))[:MOST_EXAMPLES],
            duplicates=duplicates,
            process=process_of(dataset),
            limitations=[*statement.limitations, *limitations_of(dataset, facts)],
            identity=dataset.identity,
            program=program,
        )
    )


@functools.cache
def _templates() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("chronotope.data.exports", "."),
        undefined=StrictUndefined,
        finalize=_as_text,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _as_text(value: Any) -> Any:
    """Return a value of the template so that Markdown and HTML in it are shown, and not followed."""
    if not isinstance(value, str):
        return value
    line = visible(" ".join(value.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|!~])", r"\\\1", line)
