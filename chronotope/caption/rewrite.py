"""A prompt written by a language model, which is told what can be shown; kept only if every stated fact is in it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from chronotope.caption.captioners.answers import caption_of
from chronotope.caption.captioners.captioner import NoCaptionError
from chronotope.caption.expand import Expansion, expand
from chronotope.caption.writers import Writer
from chronotope.worlds.facts import Fact

__all__ = ["Rewritten", "rewrite"]

MAX_WORDS = 1000  # words that a writer is told
_TASK = """You write prompts for a small video model. It knows only captions such as:
{examples}
It knows only these words:
{words}
Write one caption of one to four such sentences, of at most 60 words. Keep every fact that the user states: each \
subject, colour, number, action, direction, order and place. Do not name what the user does not want to see. You may \
add what the user left open: a place, a colour, how something moves. Answer with the caption alone, in English."""
_EXAMPLES = ("red ball bounces, night", "brown fox runs right past a tree, camera still", "two blue stars spin")

Facts = Callable[[str], frozenset[Fact]]


@dataclass(frozen=True)
class Rewritten:
    """The expansion that the model is told, whether the language model wrote it, and why not."""

    expansion: Expansion
    written: bool
    reason: str = ""


def rewrite(
    prompt: str, known: Collection[str], writer: Writer, read_facts: Facts, seed: int | None = None
) -> Rewritten:
    """Let a language model write the caption for a prompt, in the words `known` of the captions of a video model.

    Its caption is read as a prompt is. Where it has words that the video model does not know, loses a fact that the
    built-in expansion keeps, or names what shall not be there, the built-in expansion stands. A prompt of another
    language, which the built-in expansion does not read, has no facts to compare.
    """
    found = expand(prompt, known)
    examples = [expand(example, known).prompt for example in _EXAMPLES]
    words = sorted(word for word in known if word.isalpha())[:MAX_WORDS]
    task = _TASK.format(examples="\n".join(examples), words=", ".join(words))
    try:
        answer = caption_of(writer.write(task, prompt, seed), "paragraph")
    except NoCaptionError as problem:
        return Rewritten(found, False, f"no caption was written: {problem}")
    written = expand(answer, known)
    facts, stated = read_facts(written.prompt), frozenset() if found.foreign else read_facts(found.prompt)
    if not facts:
        return Rewritten(found, False, f"the written caption says nothing that can be shown: {answer[:80]}")
    if strange := sorted(set(re.findall(r"[^\W\d_]+", written.prompt.lower())) - frozenset(known)):
        return Rewritten(found, False, f"the written caption has words that no caption had: {', '.join(strange)}")
    if lost := sorted(stated - facts):
        return Rewritten(found, False, f"the written caption loses: {', '.join(map(str, lost))}")
    shown = [name for name in found.negative.split(", ") if name and _specific(read_facts(f"a {name}")) & facts]
    if shown:
        return Rewritten(found, False, f"the written caption shows what shall not be there: {', '.join(shown)}")
    negative = ", ".join(dict.fromkeys(filter(None, (found.negative, written.negative))))
    return Rewritten(dataclasses.replace(found, prompt=written.prompt, negative=negative, kept=()), True)


def _specific(facts: frozenset[Fact]) -> frozenset[Fact]:
    """Return the facts on how a thing is, where there are any: without a red ball there may be a ball."""
    return frozenset(fact for fact in facts if fact.kind != "object") or facts
