"""What `chronotope expand` does: anybody's prompt -> a caption of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from chronotope.caption.expand import Expansion, expand
from chronotope.data.record import TrainingRecord
from chronotope.errors import FileProblem, UsageError
from chronotope.generate.stored.knowledge import record_of_worlds, vocabulary_of_model
from chronotope.prompt import read_prompts

if TYPE_CHECKING:
    from chronotope.caption.rewrite import Rewritten

__all__ = ["expand_with"]

BUILTIN = "builtin"  # the writer that is a table and rules


def expand_with(
    prompt: str, folder: Path, writer: str = BUILTIN, seed: int | None = None
) -> tuple[Expansion | None, str, list[str]]:
    """Write a prompt for the model in `folder` by the table and rules, or by the writer of this name.

    That is a trained expander, by the folder of its model, or a language model. Returns the expansion, None for a model
    whose words are not known, who wrote it, and what there is to say of it.
    """
    read_prompts(prompt)  # refuses what `generate` refuses: an empty prompt, and one that is too long
    write = None if writer == BUILTIN else _writing(writer, seed)
    record, vocabulary = record_of_worlds(folder), vocabulary_of_model(folder)
    if vocabulary is None:
        told = f"{folder.name} reads any words, or has no record of those it was taught; prompts are told as typed"
        return None, "", [told if writer == BUILTIN else f"{told}; --with is not used"]
    if write is None or record is None:
        ignored = [] if write is None else [f"{folder.name} was taught by other captions too; --with is not used"]
        if write is None and seed is not None:
            ignored = ["--seed is not used: the table and the rules write the same for every seed"]
        expansion = vocabulary.expand(prompt)
        expansion.check_shows_something()
        return expansion, BUILTIN, ignored
    found = write(prompt, record)
    found.expansion.check_shows_something()
    notes = [] if found.written else [f"{found.reason}; the table and the rules wrote the caption instead"]
    return found.expansion, writer if found.written else BUILTIN, notes


def _writing(name: str, seed: int | None) -> Callable[[str, TrainingRecord], Rewritten]:
    """Return what writes prompts for a model of this record; it is loaded first, so that what fails, fails early."""
    if name.startswith(("http:", "https:", "hf:")):
        from chronotope.caption.rewrite import rewrite
        from chronotope.caption.writers import find_writer

        writer = find_writer(name)
        return lambda prompt, record: rewrite(prompt, frozenset(record.words), writer, seed)
    from chronotope.caption.describe import describe
    from chronotope.caption.rewrite import Rewritten
    from chronotope.cli.language.expanders import load_expander
    from chronotope.generate.pipeline import find_model
    from chronotope.worlds.catalogue import find_world

    try:
        folder = find_model(name)
    except FileProblem as problem:
        raise UsageError(
            f"{problem} (--with is builtin, a model with an expander, hf:NAME_OR_FOLDER or http://localhost:8000/v1#MODEL)"
        ) from problem
    expander = load_expander(folder)

    def write(prompt: str, record: TrainingRecord) -> Rewritten:
        worlds = [find_world(name) for name in dict.fromkeys(scope.split()[0] for scope in record.worlds)]
        if len(worlds) != 1:  # captions of several worlds are read by none of them alone
            found = expand(prompt, frozenset(record.words))
            return Rewritten(found, False, "captions of more than one world cannot be compared")
        return describe(prompt, frozenset(record.words), expander, worlds[0].read_facts, seed)

    return write
