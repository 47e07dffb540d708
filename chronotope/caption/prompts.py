"""The prompts of one video, as their user typed them -> captions of a model, what is not to be there, and notes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chronotope.caption.vocabulary import Vocabulary
from chronotope.prompt import Prompt

__all__ = ["Expanded", "expand_prompts"]


@dataclass(frozen=True)
class Expanded:
    """What a model is told, what its user typed where that is another text (else empty), and notes on the words."""

    prompts: tuple[Prompt, ...]
    negative: str
    typed: str
    notes: tuple[str, ...]


def expand_prompts(prompts: Sequence[Prompt], negative: str, guided: bool, vocabulary: Vocabulary) -> Expanded:
    """Write every prompt of a video in the words of a model; without guidance nothing can be told not to be there."""
    found = [vocabulary.expand(prompt.text) for prompt in prompts]
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
