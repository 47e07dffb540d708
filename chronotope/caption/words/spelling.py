"""Typing errors and short forms: what is no word of English is read as the word that it is nearest to."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import cache, lru_cache

from chronotope.caption.words import grammar
from chronotope.caption.words.lexicon import gerunds_and_plurals, is_english, load_lexicon

__all__ = ["correct", "nearest"]

_SIMILAR = 0.85  # of the letters of a word with a typing error
_MOST = 60  # unknown words of a text; where more are, it is no English with typing errors
_LONGER = 3  # letters that a typing error adds or leaves out at most


def correct(tokens: Sequence[str], known: frozenset[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Correct typing errors in words that neither English nor the captions have; return them too.

    A short word is corrected by one letter that was added, left out, changed, or exchanged with the next. Words that
    sound like another one are read as that only where they cannot stand themselves: "in the see", "flies passed a car".
    """
    corrected: list[str] = []
    found: list[tuple[str, str]] = []
    unknown = {token for token in tokens if not _is_word(token, known)}
    if len(unknown) > _MOST:
        unknown = set()
    for at, token in enumerate(tokens):
        after = tokens[at + 1] if at + 1 < len(tokens) else ""
        words = _spelled_out(token, corrected[-1] if corrected else "", after)
        if words is None and token in unknown:
            words = nearest(token, known | _candidates(), known)
        if words and words != token:
            found.append((token, words))
        corrected += words.split() if words is not None else [token]
    return corrected, found


def nearest(token: str, candidates: frozenset[str], preferred: frozenset[str]) -> str | None:
    """Return the word that a typing error can be meant as; None where none is near. `preferred` ones come first."""
    if not (token.isalpha() and token.isascii() and len(token) > 2):
        return None
    words = _by_first_letter(candidates)
    near = [word for first in {token[0], token[1]} for word in words.get(first, ()) if _is_near(token, word)]
    return max(near, key=lambda word: (_swapped(token, word), word in preferred, _ratio(token, word)), default=None)


@lru_cache(maxsize=8)
def _by_first_letter(words: frozenset[str]) -> dict[str, list[str]]:
    """Return words by their first letter, in which typing errors are rare, but for two letters that are exchanged."""
    found: dict[str, list[str]] = {}
    for word in sorted(words):
        found.setdefault(word[0], []).append(word)
    return found


def _is_near(token: str, word: str) -> bool:
    if abs(len(token) - len(word)) > _LONGER:
        return False
    return _one_slip(token, word) or _squeezed(word) == _squeezed(token) or _is_similar(token, word)


def _spelled_out(token: str, before: str, after: str) -> str | None:
    """Return what a short form such as 'gimme' stands for, or a word that sounds like one that cannot stand here."""
    if token in grammar.SHORT_FORMS:
        return grammar.SHORT_FORMS[token]
    if token == "see" and before in grammar.DETERMINERS:
        return "sea"
    is_verb = any(meaning.kind == "verb" for meaning in load_lexicon().find(before))
    if token == "passed" and is_verb and after in grammar.DETERMINERS:
        return "past"
    return None


@lru_cache(maxsize=10_000)
def _squeezed(word: str) -> str:
    """Return a word without letters that repeat: 'balon' of 'balloon', 'zom' of 'zoom' and 'zooom'."""
    return re.sub(r"(.)\1+", r"\1", word)


def _is_similar(token: str, word: str) -> bool:
    if len(word) <= 6:
        return False
    matcher = difflib.SequenceMatcher(None, token, word)
    bounds = (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)  # the cheap ones first
    return all(bound() >= _SIMILAR for bound in bounds)


def _ratio(token: str, word: str) -> float:
    return difflib.SequenceMatcher(None, token, word).ratio()


def _one_slip(token: str, word: str) -> bool:
    """Return whether one slip of the keyboard makes a word another; one of three letters lacks one."""
    same = next((at for at, (a, b) in enumerate(zip(token, word, strict=False)) if a != b), min(len(token), len(word)))
    rest, other = token[same:], word[same:]
    changed = rest[1:] == other[1:] or rest[1:] == other or rest == other[1:]
    long = len(token) > 3 or (len(token) == 3 and rest == other[1:])
    return _swapped(token, word) or (changed and same > 0 and long)


def _swapped(token: str, word: str) -> bool:
    """Return whether two neighbouring letters are exchanged."""
    pairs = [at for at, (a, b) in enumerate(zip(token, word, strict=False)) if a != b]
    return len(token) == len(word) and len(pairs) == 2 and sorted(token) == sorted(word) and pairs[1] == pairs[0] + 1


def _is_word(token: str, known: frozenset[str]) -> bool:
    return token in known or bool(load_lexicon().find(token)) or token in _candidates() or is_english(token)


@cache
def _candidates() -> frozenset[str]:
    """Return the words that a typing error can be meant as."""
    phrases = [*load_lexicon().meanings, *gerunds_and_plurals()]
    tables = (grammar.COUNTS, grammar.SIZES, grammar.DIRECTIONS, grammar.RELATIONS, grammar.SIDES)
    phrases += [phrase for table in tables for phrase in table]
    words = {word for phrase in phrases for word in phrase.split()}
    return frozenset(words | grammar.IGNORED | grammar.CAMERA | grammar.BACKGROUNDS)
