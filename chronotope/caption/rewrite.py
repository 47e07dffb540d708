"""A prompt written by a language model, which is told what can be shown; kept only if every stated fact is in it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from chronotope.caption.captioners.answers import caption_of
from chronotope.caption.captioners.captioner import NoCaptionError
from chronotope.caption.expand import Expansion, expand
from chronotope.caption.parse import Parser
from chronotope.caption.scene import Scene
from chronotope.caption.stated import lost, shown_though_absent
from chronotope.caption.words.lexicon import load_lexicon, tokens_of
from chronotope.caption.writers import Writer

__all__ = ["Rewritten", "not_comparable", "rewrite", "scene_of", "strange_words"]

MAX_TOLD = 1000  # words that a writer is told
MAX_WORDS = 60  # of a written caption
_TASK = """You write prompts for a small video model. It knows only captions such as:
{examples}
It knows only these words:
{words}
Write one caption of one to four such sentences, of at most {most} words. Keep every fact that the user states: each \
subject, colour, size, number, action, direction, order and place. Do not name what the user does not want to see. \
You may add what the user left open: a place, a colour, how something moves. Answer in English, with the caption \
alone."""
_EXAMPLES = ("red ball bounces, night", "orange fox walks right in front of a tree", "blue star spins")


@dataclass(frozen=True)
class Rewritten:
    """The expansion that the model is told, whether the language model wrote it, and why not."""

    expansion: Expansion
    written: bool
    reason: str = ""


def rewrite(prompt: str, known: Collection[str], writer: Writer, seed: int | None = None) -> Rewritten:
    """Let a language model write the caption for a prompt, in the words `known` of the captions of a video model.

    Its caption is read as a prompt is, and compared with the built-in expansion, which stands where the caption is not
    true to it or where the prompt holds what cannot be compared: a denied deed, a word that no caption had. A prompt
    of another language, which the built-in expansion does not read, is taken as it was written.
    """
    known = frozenset(known)
    found = expand(prompt, known)
    stated = scene_of(found.prompt, known)
    if not found.foreign and (reason := not_comparable(found, stated)):
        return Rewritten(found, False, reason)
    try:
        answer = caption_of(writer.write(_task(known), prompt, seed), "paragraph")
    except NoCaptionError as problem:
        return Rewritten(found, False, f"no caption was written: {problem}")
    written = expand(answer, known)
    scene = scene_of(written.prompt, known)
    reason = _not_true(found, stated, written, scene, known)
    if reason:
        return Rewritten(found, False, reason)
    negative = ", ".join(dict.fromkeys(filter(None, (found.negative, written.negative))))
    return Rewritten(replace(found, prompt=written.prompt, negative=negative, foreign=False), True)


def _task(known: frozenset[str]) -> str:
    examples = [expand(example, known).prompt for example in _EXAMPLES]
    examples = [example for example in examples if not strange_words(example, known)]
    words = sorted(word for word in known if word.isalpha())[:MAX_TOLD]
    return _TASK.format(examples="\n".join(examples), words=", ".join(words), most=MAX_WORDS)


def scene_of(text: str, known: frozenset[str]) -> Scene:
    return Parser(load_lexicon(), known).parse(tokens_of(text))


def not_comparable(found: Expansion, stated: Scene) -> str:
    """Say why nothing can tell whether a caption is true to a prompt; empty where something can."""
    if found.kept or stated.hard:
        return "the prompt denies, chooses or relates in a way that is not understood, so no caption can be compared"
    if found.suggestions:
        words = ", ".join(word for word, _ in found.suggestions)
        return f"the prompt has words that no caption had, which nothing may replace: {words}"
    return "" if stated.things else "the prompt names nothing that can be shown, so no caption can be compared"


def _not_true(found: Expansion, stated: Scene, written: Expansion, scene: Scene, known: frozenset[str]) -> str:
    """Say why a written caption is not taken; empty where it is."""
    if strange := strange_words(written.prompt, known):
        return f"the written caption has words that no caption had: {', '.join(strange)}"
    if (count := len(written.prompt.split())) > MAX_WORDS:
        return f"the written caption has {count} words, more than {MAX_WORDS}"
    if not scene.things or written.kept or scene.hard:
        return f"the written caption cannot be read as one: {written.prompt[:80]}"
    if not found.foreign and (missing := lost(stated, scene)):
        return f"the written caption loses: {', '.join(missing)}"
    if shown := shown_though_absent(scene_of(found.typed, known).absent, scene):
        return f"the written caption shows what shall not be there: {', '.join(shown)}"
    return ""


def strange_words(text: str, known: frozenset[str]) -> list[str]:
    """Return the words of a text that the model does not know, in the order of the alphabet."""
    return sorted(set(re.findall(r"[^\W\d_]+", text.lower())) - known)
