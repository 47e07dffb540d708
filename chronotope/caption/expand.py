"""A prompt in anybody's words -> a caption as the loaded model was taught them, and what became of every word.

What captions already say passes through unchanged. Every fact that the user stated is kept or named: a word is written
as the word of captions that means the same (a kitten is a cat), what is only alike is suggested and never put in its
place (a hare is no rabbit), what shall not be there becomes the negative prompt, and the rest is left out, in words.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib import resources

from chronotope.caption import grammar
from chronotope.caption.compose import compose, plural
from chronotope.caption.lexicon import MAX_PHRASE, Lexicon, is_english, load_lexicon, third_person, tokens_of
from chronotope.caption.parse import Parser
from chronotope.errors import UsageError
from chronotope.worlds.language import gerund

__all__ = ["Expansion", "expand", "place_phrases"]

MAX_LETTERS = 20_000  # of a prompt; what is longer is no sentence
_WEIGHTED = re.compile(r"[([{]+\s*([^()\[\]{}]*?)\s*(?::\s*[0-9.]+)?\s*[)\]}]+")
_CONTRACTED = re.compile(r"\b(is|are|was|were|do|does|did|ca|wo|has|have)nt\b", re.IGNORECASE)  # typed in a hurry
_NUMBER = r"(?:[0-9]+(?:[.,][0-9]+)?|one|two|three|four|five|six|seven|eight|nine|ten|a couple of|several|many)"
_UNIT = (
    r"(?:seconds?|secs?|s|minutes?|mins?|hours?|meters?|metres?|m|km|cm|feet|foot|inch(?:es)?|times|steps?|laps?|"
    r"o'clock|degrees?|percent|frames?|fps|px|pixels?|days?|years?)"
)
# What is measured, and corners of the picture: no count of things, and no direction.
_ASIDE = re.compile(
    rf"\b(?:(?:for|in|after|at|within|over|every|about) )?{_NUMBER}[ -]?{_UNIT}(?![\w'])"
    r"|\b(?:(?:in|at|from|on|to|into|near) )?(?:the )?(?:upper|lower|top|bottom)[ -](?:left|right)"
    r"(?:[ -](?:corner|side))?\b"
    r"|\b(?:all right|alright)\b",
    re.IGNORECASE,
)
_PART = re.compile(
    r"\b(?:one|two|three|some|all|both|none|most|half) of\b|, (?:one|the other|another|both) (?=\w+s\b)", re.IGNORECASE
)  # 'one of three foxes', 'two foxes, one walks'
_NOT_THERE_NOW = re.compile(r"\bnot there(?! at first)\b")
# Words of other languages that are more frequent than any, and none of English; "la" and "die" are.
_FOREIGN = frozenset(
    "un une le la les des du der die das ein eine einen und el los las una il et y sur auf en con".split()
)
_SIMILAR = 0.85  # of the letters of a word with a typing error


@dataclass(frozen=True)
class Expansion:
    """The caption for a prompt, and what became of the prompt's words.

    `read` pairs what was said with what stands for it, typing errors included; `left_out` are words that are not in the
    caption; `suggestions` names for each word that cannot be drawn what is alike and can. `prompt` is empty where only
    was said what shall not be there.
    """

    typed: str
    prompt: str
    negative: str = ""
    read: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    suggestions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    foreign: bool = False  # most words are not English
    kept: tuple[str, ...] = ()  # words such as "not" and "or" that stay where they are, without an effect on the rest
    unread: tuple[str, ...] = ()  # words of a prompt that stays as it is, since nothing in it was understood

    @property
    def changed(self) -> bool:
        return self.prompt != self.typed or bool(self.negative)

    def check_shows_something(self) -> None:
        """Raise UsageError where the prompt names only what shall not be there."""
        if not self.prompt:
            raise UsageError(
                f"'{self.typed}' says only what shall not be there ({self.negative})"
                + (f", and what is not understood: {', '.join(self.left_out)}" if self.left_out else "")
                + "; say also what shall be there, in other words, or give this as the negative prompt"
            )

    def notes(self) -> list[str]:
        """Return what became of the words, a sentence for each kind."""
        found = []
        if self.read:
            found.append("read as: " + ", ".join(f"{said} -> {word}" for said, word in self.read))
        for word, alike in self.suggestions:
            instead = f"; what is alike and known: {', '.join(alike[:5])}" if alike else ""
            found.append(f"no caption had '{word}'{instead}")
        if self.negative:
            found.append(f"not to be there: {self.negative}")
        if self.left_out:
            found.append(f"left out: {', '.join(self.left_out)}")
        if self.unread:
            found.append(f"not understood, so the prompt stays as it is: {', '.join(self.unread)}")
        if self.kept:
            words = ", ".join(f"'{word}'" for word in self.kept)
            found.append(f"not understood: {words}; the sentence stays as it is, and what is denied may be shown")
        if self.foreign:
            found.append("only English is read; write the prompt in English")
        return found


def expand(prompt: str, known: Collection[str]) -> Expansion:
    """Write the caption for a prompt, in the words `known` of the captions that a model was taught."""
    lexicon, known = load_lexicon(), frozenset(known)
    plain = _plain(prompt[:MAX_LETTERS])
    tokens = tokens_of(plain)
    corrected: list[tuple[str, str]] = []
    foreign = _is_foreign(tokens)
    if not foreign:
        tokens, corrected = _corrected(tokens, lexicon, known)
    aside: list[str] = []
    if not foreign and not _is_caption(tokens, known):
        aside = [" ".join(found.group().split()) for found in _ASIDE.finditer(plain)]
        tokens = tokens_of(_ASIDE.sub(" ", plain)) if aside else tokens
        if aside:
            tokens, corrected = _corrected(tokens, lexicon, known)
    scene = Parser(lexicon, known).parse(tokens)
    scene = dataclasses.replace(scene, unread=(*scene.unread, *aside))
    read = [(said, word) for said, word in scene.read if not set(said.split()) <= known]
    scene = dataclasses.replace(scene, read=(*corrected, *read))
    absent = {thing.noun for thing in scene.absent}
    suggestions = tuple(
        (said, tuple(lexicon.alike(said, known) or lexicon.alike(word, known)))
        for said, word in scene.alike
        if said not in absent
    )
    strange = {part for word, _ in scene.alike if word not in absent for part in word.split()}
    if _is_caption(tokens, known | strange):
        text = _joined(tokens) if corrected or aside or plain != " ".join(prompt.split()) else prompt
        kept = _logic(tokens, known)
        return Expansion(prompt, text, "", tuple(corrected), tuple(aside), suggestions, kept=kept)
    strangers = sum(not group for _, group in scene.alike)  # nouns of no group: most are no nouns
    part = _PART.search(plain)
    if scene.hard or strangers > 1 or part:
        text, read = _in_place(tokens, lexicon, known)
        kept = (*_logic(tokens, known), *((part.group().strip(" ,"),) if part else ()))
        return Expansion(prompt, text, "", (*corrected, *read), tuple(aside), suggestions, foreign, kept)
    text = compose(scene, known, place_phrases())
    negative = ", ".join(" ".join(filter(None, (thing.colour, thing.noun))) for thing in scene.absent)
    if not text and not negative:  # nothing in it was understood, so it stays as it is
        return Expansion(prompt, prompt, suggestions=suggestions, foreign=foreign, unread=scene.unread)
    return Expansion(prompt, text, negative, scene.read, scene.unread, suggestions, foreign)


def _logic(tokens: list[str], known: Collection[str]) -> tuple[str, ...]:
    """Return the words that deny, choose or relate in time, beside those of phrases that captions have."""
    said = []
    for before, word, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        # 'the camera does not move', 'not there at first'
        in_captions = after == "there" or (before == "does" and after in ("move", "come", "return"))
        if (word in grammar.HARD and word not in known) or (word in grammar.NOT and not in_captions):
            said.append(word)
    return tuple(dict.fromkeys(said))


def _in_place(tokens: list[str], lexicon: Lexicon, known: Collection[str]) -> tuple[str, list[tuple[str, str]]]:
    """Write words as those of captions where they stand, and keep all others; return what was written for what."""
    words: list[str] = []
    read: list[tuple[str, str]] = []
    at = 0
    while at < len(tokens):
        for length in range(min(MAX_PHRASE, len(tokens) - at), 0, -1):
            said = " ".join(tokens[at : at + length])
            word = _word_for(said, lexicon, known)
            if word is not None or length == 1:
                break
        at += length
        words.append(word or said)
        read += [(said, word)] if word and word != said else []
    return _joined(words), read


def _joined(words: list[str]) -> str:
    return re.sub(r" ([.,;:!?])", r"\1", " ".join(words)).strip(" ,")


def _word_for(said: str, lexicon: Lexicon, known: Collection[str]) -> str | None:
    """Return the word of captions for a phrase, in the same form; None for one that has none, or is known itself."""
    if set(said.split()) <= set(known):
        return None
    for meaning in lexicon.find(said):
        word = meaning.word if meaning.word in known else lexicon.kinds.get(meaning.word, "")
        if meaning.kind in ("noun", "colour") and word in known:
            return plural(word) if meaning.plural else word
        third = third_person(meaning.word)
        if meaning.kind == "verb" and third in known and meaning.word != meaning.base:
            return {"base": meaning.word, "ing": gerund(third)}.get(meaning.form, third)
    return None


def _is_caption(tokens: list[str], known: Collection[str]) -> bool:
    """Return whether a prompt is in the words of captions and begins as they do."""
    words = [part for token in tokens if token[0].isalpha() for part in token.split("-")]
    begins = bool(tokens) and (tokens[0] in grammar.DETERMINERS or grammar.COUNTS.get(tokens[0], "one") != "one")
    if _NOT_THERE_NOW.search(" ".join(tokens)):
        return False  # but 'not there at first' is what captions say of a thing that enters
    return begins and all(word in known or word in grammar.COUNTS for word in words)


def _plain(text: str) -> str:
    """Return a text without control characters and weights such as '(red:1.4)'; emoji become their names."""
    text = _WEIGHTED.sub(r"\1", unicodedata.normalize("NFKC", text))
    text = re.sub(r"(?<=[0-9]),(?=[0-9]{3}\b)", "", text)  # 1,000
    text = _CONTRACTED.sub(r"\1n't", text)
    said = set(tokens_of(text))
    parts = []
    for char in text:
        if unicodedata.category(char) == "So":
            name = _emoji_name(char)
            parts.append(" " if name.split(" ")[-1] in said else f" {name} ")  # not 'a fox' and a fox once more
        elif char.isspace():
            parts.append(" ")
        elif unicodedata.category(char)[0] != "C":
            parts.append(char)
    return " ".join("".join(parts).split())


def _emoji_name(char: str) -> str:
    """Return 'fox' for U+1F98A FOX FACE, and 'red circle' for U+1F534 LARGE RED CIRCLE."""
    words = unicodedata.name(char, "").lower().split()
    if "arrow" in words:
        return next((f"to the {side}" for side in ("left", "right") if f"{side}wards" in words), "")
    return " ".join(word for word in words if word not in ("face", "large", "heavy", "black", "suit", "symbol", "sign"))


def _corrected(tokens: list[str], lexicon: Lexicon, known: Collection[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Correct typing errors in words that neither English nor the captions have; return them too.

    A short word is corrected by one letter that was added, left out, changed, or exchanged with the next.
    """
    corrected, found = [], []
    for token in tokens:
        better = token
        if token.isalpha() and token.isascii() and len(token) > 2 and not _is_word(token, lexicon, known):
            near = difflib.get_close_matches(token, (*known, *_candidates()), n=8, cutoff=0.6)
            near = [word for word in near if _one_slip(token, word) or _is_similar(token, word)]
            better = max(near, key=lambda word: (_swapped(token, word), word in known), default=token)
        if better != token:
            found.append((token, better))
        corrected.append(better)
    return corrected, found


def _is_similar(token: str, word: str) -> bool:
    return len(word) > 6 and difflib.SequenceMatcher(None, token, word).ratio() >= _SIMILAR


def _one_slip(token: str, word: str) -> bool:
    """Return whether one slip of the keyboard makes a word another."""
    same = next((at for at, (a, b) in enumerate(zip(token, word, strict=False)) if a != b), min(len(token), len(word)))
    rest, other = token[same:], word[same:]
    changed = rest[1:] == other[1:] or rest[1:] == other or rest == other[1:]
    return _swapped(token, word) or (changed and same > 0 and len(token) > 3)


def _swapped(token: str, word: str) -> bool:
    """Return whether two neighbouring letters are exchanged."""
    pairs = [at for at, (a, b) in enumerate(zip(token, word, strict=False)) if a != b]
    return len(token) == len(word) and len(pairs) == 2 and sorted(token) == sorted(word) and pairs[1] == pairs[0] + 1


def _is_foreign(tokens: list[str]) -> bool:
    """Return whether a text is of another language, by its letters or its most frequent words."""
    words = [token for token in tokens if token[0].isalpha()]
    return sum(word in _FOREIGN for word in words) > 1 or 2 * sum(not word.isascii() for word in words) > len(words)


def _is_word(token: str, lexicon: Lexicon, known: Collection[str]) -> bool:
    return token in known or bool(lexicon.find(token)) or token in _candidates() or is_english(token)


@cache
def _candidates() -> tuple[str, ...]:
    """Return the words that a typing error can be meant as."""
    words = [word for phrase in load_lexicon().meanings for word in phrase.split()]
    tables = (grammar.COUNTS, grammar.SIZES, grammar.DIRECTIONS, grammar.RELATIONS, grammar.SIDES)
    words += [word for table in tables for phrase in table for word in phrase.split()]
    return tuple(dict.fromkeys([*words, *grammar.IGNORED, *grammar.CAMERA, *grammar.BACKGROUNDS]))


@cache
def place_phrases() -> dict[str, tuple[str, ...]]:
    """Return how captions name each place."""
    text = resources.files("chronotope.caption").joinpath("words.toml").read_text(encoding="utf-8")
    return {place: tuple(words.split(", ")) for place, words in tomllib.loads(text)["place_phrases"].items()}
