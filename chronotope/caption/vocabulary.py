"""The words that a model was taught, and how prompts are written in them: by the table of the worlds, or by its own.

The captions of the worlds have a reviewed table and a grammar (`expand`). Of the user's own captions nobody reviewed
anything: there a word that no caption had is exchanged where it stands, for another form of a word of the captions,
for a noun or colour that it is by the table of the worlds, for one that WordNet says it is or is a kind of, or for the
one that it is a typing error of. All else stays.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from chronotope.caption.expand import MAX_LETTERS, Expansion, expand, is_foreign
from chronotope.caption.words import grammar
from chronotope.caption.words.lexicon import is_english, lemmas, load_lexicon, tokens_of
from chronotope.caption.words.spelling import nearest
from chronotope.caption.words.wordnet import find_wordnet, similar_words

__all__ = ["Vocabulary", "compile_similar", "read_vocabulary"]

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
# What stands for a form that captions lack.
_INSTEAD = {"plural": ("",), "": ("plural", "s", "ing"), "s": ("", "ing"), "ing": ("s", ""), "past": ("s", "")}
_SHORT = 3  # letters; shorter words are articles and prepositions, which stand for nothing else
_LONG = 5  # letters; shorter ones that are no English are names and short forms as often as typing errors


@dataclass(frozen=True)
class Vocabulary:
    """The words of captions; `similar` has other words for them in base form, or is None for captions of the worlds."""

    known: frozenset[str]
    similar: Mapping[str, str] | None = None

    def expand(self, prompt: str) -> Expansion:
        """Write a prompt in these words, as far as they have them."""
        return expand(prompt, self.known) if self.similar is None else _exchanged(prompt, self.known, self.similar)


def read_vocabulary(
    words: Collection[str], worlds: Collection[str], abouts: Sequence[Mapping[str, Any]]
) -> Vocabulary | None:
    """Return the words that prompts of a model are written in, from the descriptions of its networks (model.json).

    `worlds` are those that rendered every clip; it is empty where others were shown. The table of the package writes
    prompts as captions of the stage, so it is for models of the stage alone. A model of other captions has the table
    that was compiled when it was trained, if any. One with a frozen text encoder, which reads words that no caption
    had, has none.
    """
    known = frozenset(words)
    if worlds and all(name.partition(" ")[0] == "stage" for name in worlds):
        return Vocabulary(known)
    if any("text_encoder" in about for about in abouts):
        return None
    similar = {word: other for about in abouts for word, other in about.get("similar_words", {}).items()}
    return Vocabulary(known, {word: other for word, other in similar.items() if word not in known})


def compile_similar(known: Collection[str]) -> dict[str, str] | None:
    """Return other words for those of captions, as WordNet has them; None where it is not installed."""
    folder = find_wordnet()
    bases = {base for word in known if len(word) >= _SHORT for base in _bases(word)}
    return similar_words(bases, folder) if folder is not None else None


def _exchanged(prompt: str, known: frozenset[str], similar: Mapping[str, str]) -> Expansion:
    """Exchange the words of a prompt that no caption had, and leave all others where they stand."""
    if is_foreign(tokens_of(prompt[:MAX_LETTERS])):
        return Expansion(prompt, prompt, foreign=True)
    read: dict[str, str] = {}

    def word_for(found: re.Match[str]) -> str:
        said = found.group()
        word = said.lower()
        stays = word in known or word in grammar.SMALL or len(word) < _SHORT
        better = None if stays else _better(word, known, similar)
        if better is None:
            return said
        read[word] = better
        return better

    text = _WORD.sub(word_for, prompt[:MAX_LETTERS]) + prompt[MAX_LETTERS:]
    return Expansion(prompt, text, read=tuple(read.items()))


def _better(word: str, known: frozenset[str], similar: Mapping[str, str]) -> str | None:
    """Return a word of the captions for one that they lack; None where there is none."""
    forms = _forms_of(known)
    for meaning in load_lexicon().find(word):
        if meaning.kind in ("noun", "colour") and meaning.word in forms and meaning.word != word:
            return _in_form(forms[meaning.word], "plural" if meaning.plural else "")
    for lemma, form in [(word, ""), *lemmas(word)]:
        for base in (lemma, similar.get(lemma, "")):
            if base in forms and (found := _in_form(forms[base], form)):
                return found
    return nearest(word, known, known) if len(word) >= _LONG and not is_english(word) else None


def _in_form(forms: Mapping[str, str], form: str) -> str | None:
    """Return a word in a form, or in the next best one that captions have; None where they have none such."""
    return next((forms[one] for one in (form, *_INSTEAD[form]) if one in forms), None)


def _bases(word: str) -> set[str]:
    """Return what a word of captions is a form of, itself where it is none; none for the small words of English."""
    if word in grammar.SMALL:
        return set()
    return {lemma for lemma, _ in lemmas(word) if is_english(lemma)} or {word}


@lru_cache(maxsize=8)
def _forms_of(known: frozenset[str]) -> dict[str, dict[str, str]]:
    """Return for each base form the words of captions that are forms of it, the base itself first."""
    found: dict[str, dict[str, str]] = {}
    for word in sorted(known):
        found[word] = {"": word, **found.get(word, {})}
        for lemma, form in lemmas(word) if len(word) >= _SHORT else ():  # the s of a genitive is no word
            if is_english(lemma):
                found.setdefault(lemma, {}).setdefault(form, word)
    return found
