"""What `chronotope expand` does, and `generate` with the words of its user: anybody's prompt -> captions of a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from chronotope.caption.expand import Expansion, expand
from chronotope.cli.knowledge import record_of_model
from chronotope.data.record import TrainingRecord
from chronotope.errors import FileProblem, UsageError
from chronotope.prompt import Prompt, read_prompts

if TYPE_CHECKING:
    from chronotope.caption.rewrite import Rewritten
    from chronotope.generate.adapters import Adapter

__all__ = ["Expanded", "expand_prompts", "expand_with", "words_of_model"]

BUILTIN = "builtin"  # the writer that is a table and rules


@dataclass(frozen=True)
class Expanded:
    """What a model is told, what its user typed where that is another text (else empty), and notes on the words."""

    prompts: tuple[Prompt, ...]
    negative: str
    typed: str
    notes: tuple[str, ...]


def words_of_model(folder: Path | None, adapters: Sequence[Adapter] = ()) -> frozenset[str]:
    """Return the words of the captions that a model was taught; none where they are not those of a world alone.

    A model of the user's own captions is told what its user types: the table knows the words of the worlds.
    """
    record = _record_of_worlds(folder, adapters) if folder else None
    return frozenset(record.words) if record else frozenset()


def _record_of_worlds(folder: Path, adapters: Sequence[Adapter] = ()) -> TrainingRecord | None:
    """Return what a model was shown, where that was clips of the worlds alone."""
    record = record_of_model(folder, adapters)
    return record if record is not None and record.only_worlds else None


def expand_with(
    prompt: str, folder: Path, writer: str = BUILTIN, seed: int | None = None
) -> tuple[Expansion | None, str, list[str]]:
    """Write a prompt for the model in `folder` by the table and rules, or by the writer of this name.

    That is a trained expander, by the folder of its model, or a language model. Returns the expansion, None for a model
    whose words are not known, who wrote it, and what there is to say of it.
    """
    read_prompts(prompt)  # refuses what `generate` refuses: an empty prompt, and one that is too long
    write = None if writer == BUILTIN else _writing(writer, seed)
    record = _record_of_worlds(folder)
    if record is None:
        told = f"{folder.name} was not taught by captions of the worlds alone, so prompts are told as they are typed"
        return None, "", [told if writer == BUILTIN else f"{told}; --with is not used"]
    if write is None:
        ignored = ["--seed is not used: the table and the rules write the same for every seed"]
        expansion = expand(prompt, frozenset(record.words))
        expansion.check_shows_something()
        return expansion, BUILTIN, ignored if seed is not None else []
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


def expand_prompts(prompts: Sequence[Prompt], negative: str, guided: bool, known: Collection[str]) -> Expanded:
    """Write every prompt of a video as a caption; without guidance nothing can be told not to be there."""
    found = [expand(prompt.text, known) for prompt in prompts]
    for expansion in found:
        expansion.check_shows_something()
    told = tuple(Prompt(one.prompt, prompt.seconds) for one, prompt in zip(found, prompts, strict=True))
    changed = any(expansion.changed for expansion in found)
    notes = [f'the model is told: "{one.prompt}"' for one in found if one.prompt != one.typed]
    absent: list[str] = []
    for place, expansion in enumerate(found):
        others = [one.prompt for at, one in enumerate(found) if at != place]
        named = [text for text in expansion.negative.split(", ") if text]
        there = [text for text in named if any(_shows(other, text) for other in others)]
        gone = [text for text in named if text not in there]
        absent += [text for text in gone if text not in absent]
        said = replace(expansion, negative=", ".join(gone if guided else ())).notes()
        notes += [note for note in said if note not in notes]
        if there:
            notes.append(f"not told: no {', no '.join(there)}; another part of the story shows it")
    if absent and not guided:
        notes.append("without guidance nothing can be told not to be there; leave out --guidance 1")
        absent = []
    typed = "\n".join(f"{prompt.seconds:g}: {prompt.text}" if len(prompts) > 1 else prompt.text for prompt in prompts)
    return Expanded(told, ", ".join(filter(None, (negative, *absent))), typed if changed else "", tuple(notes))


def _shows(caption: str, thing: str) -> bool:
    """Return whether a caption names a thing, such as "red ball", with its colour where it has one."""
    return re.search(rf"\b{re.escape(thing)}s?\b", caption) is not None
