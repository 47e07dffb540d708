"""A prompt in anybody's words -> a caption as the loaded model was taught them, and what became of every word.

What captions already say passes through unchanged. Every fact that the user stated is kept or named: a word is written
as the word of captions that means the same (a kitten is a cat), what is only alike is suggested and never put in its
place (a hare is no rabbit), what shall not be there becomes the negative prompt, and the rest is left out, in words.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from chronotope.caption.compose import compose, plural
from chronotope.caption.parse import Parser
from chronotope.caption.words import grammar
from chronotope.caption.words.clauses import in_order_of_time, without_similes
from chronotope.caption.words.lexicon import MAX_PHRASE, Lexicon, load_lexicon, third_person, tokens_of
from chronotope.caption.words.spelling import correct
from chronotope.caption.words.symbols import plain_text
from chronotope.errors import UsageError
from chronotope.worlds.language import gerund

__all__ = ["MAX_LETTERS", "Expansion", "expand", "is_foreign", "place_phrases"]

MAX_LISTED, MAX_SHOWN = 40, 80  # words in a note, and letters of each
MAX_LETTERS = 20_000  # of a prompt; what is longer is no sentence
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
            found.append(f"left out: {_listed(self.left_out)}")
        if self.unread:
            found.append(f"not understood, so the prompt stays as it is: {_listed(self.unread)}")
        if self.kept:
            words = ", ".join(f"'{word}'" for word in self.kept)
            found.append(f"not understood: {words}; the sentence stays as it is, and what is denied may be shown")
        if self.foreign:
            found.append("only English is read; write the prompt in English")
        return found


def _listed(words: Sequence[str]) -> str:
    """Return words for a note: the first of many, and the beginning of long ones."""
    shown = [f"{word[:MAX_SHOWN]}..." if len(word) > MAX_SHOWN else word for word in words[:MAX_LISTED]]
    return ", ".join(shown) + (f" and {len(words) - MAX_LISTED} more" if len(words) > MAX_LISTED else "")


@dataclass(frozen=True)
class _Typed:
    """The tokens of a prompt: `tokens` as they stand, and `arranged` in the order of time.

    `similes` are the comparisons that `arranged` lacks, `aside` is what neither has, such as measures.
    """

    plain: str
    tokens: list[str]
    arranged: list[str]
    corrected: tuple[tuple[str, str], ...]
    aside: tuple[str, ...]
    similes: tuple[str, ...]
    foreign: bool


def _tokens(prompt: str, lexicon: Lexicon, known: frozenset[str]) -> _Typed:
    plain, moods = plain_text(prompt[:MAX_LETTERS])
    tokens = tokens_of(plain)
    if is_foreign(tokens):
        return _Typed(plain, tokens, tokens, (), moods, (), foreign=True)
    tokens, corrected = correct(tokens, known)
    if _is_caption(tokens, known):
        return _Typed(plain, tokens, tokens, tuple(corrected), moods, (), foreign=False)
    measures = tuple(" ".join(found.group().split()) for found in _ASIDE.finditer(plain))
    if measures:
        tokens, corrected = correct(tokens_of(_ASIDE.sub(" ", plain)), known)
    arranged, similes = without_similes(in_order_of_time(tokens, lexicon), lexicon)
    return _Typed(plain, tokens, arranged, tuple(corrected), (*moods, *measures), tuple(similes), foreign=False)


def expand(prompt: str, known: Collection[str]) -> Expansion:
    """Write the caption for a prompt, in the words `known` of the captions that a model was taught."""
    lexicon, known = load_lexicon(), frozenset(known)
    typed = _tokens(prompt, lexicon, known)
    tokens, corrected, aside = typed.tokens, typed.corrected, typed.aside
    scene = Parser(lexicon, known).parse(typed.arranged)
    absent = {thing.noun for thing in scene.absent}
    suggestions = tuple(
        (said, tuple(lexicon.alike(said, known) or lexicon.alike(word, known)))
        for said, word in scene.alike
        if said not in absent
    )
    strange = {part for word, _ in scene.alike if word not in absent for part in word.split()}
    if _is_caption(tokens, known | strange):
        text = _joined(tokens) if corrected or aside or typed.plain != " ".join(prompt.split()) else prompt
        return Expansion(prompt, text, "", corrected, aside, suggestions, kept=_logic(tokens, known))
    strangers = sum(not group for _, group in scene.alike)  # nouns of no group: most are no nouns
    part = _PART.search(typed.plain)
    if scene.hard or strangers > 1 or part:
        text, read = _in_place(tokens, lexicon, known)
        kept = (*_logic(tokens, known), *((part.group().strip(" ,"),) if part else ()))
        suggestions = tuple(dict.fromkeys((*suggestions, *_kinds_in(tokens, lexicon, known))))
        return Expansion(prompt, text, "", (*corrected, *read), aside, suggestions, typed.foreign, kept)
    text = compose(scene, known, place_phrases())
    negative = ", ".join(" ".join(filter(None, (thing.colour, thing.noun))) for thing in scene.absent)
    left_out = (*scene.unread, *aside, *typed.similes)
    if not text and not negative:  # nothing in it was understood, so it stays as it is
        unread = left_out or (prompt,)
        return Expansion(prompt, prompt, suggestions=suggestions, foreign=typed.foreign, unread=unread)
    read = [(said, word) for said, word in scene.read if not set(said.split()) <= known]
    return Expansion(prompt, text, negative, (*corrected, *read), left_out, suggestions, typed.foreign)


def _kinds_in(tokens: list[str], lexicon: Lexicon, known: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the words that no caption had and that are a kind of a known one: a taxi is a car."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for at in range(len(tokens)):
        for phrase in (tokens[at], " ".join(tokens[at : at + 2])):
            kind = lexicon.kinds.get(phrase, "")
            if kind in known and not set(phrase.split()) <= set(known):
                found.append((phrase, (kind,)))
    return found


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
        if meaning.kind in ("noun", "colour") and meaning.word in known:
            return plural(meaning.word) if meaning.plural else meaning.word
        third = third_person(meaning.word)
        alone = not meaning.manner and meaning.direction != "past"  # says all that was said
        if meaning.kind == "verb" and alone and third in known and meaning.word != meaning.base:
            verb = {"base": meaning.word, "ing": gerund(third)}.get(meaning.form, third)
            return f"{verb} {meaning.direction}".strip()
    return None


def _is_caption(tokens: list[str], known: Collection[str]) -> bool:
    """Return whether a prompt is in the words of captions and begins as they do."""
    words = [part for token in tokens if token[0].isalpha() for part in token.split("-")]
    begins = bool(tokens) and (tokens[0] in grammar.DETERMINERS or grammar.COUNTS.get(tokens[0], "one") != "one")
    if _NOT_THERE_NOW.search(" ".join(tokens)):
        return False  # but 'not there at first' is what captions say of a thing that enters
    return begins and all(word in known or word in grammar.COUNTS for word in words)


def is_foreign(tokens: list[str]) -> bool:
    """Return whether a text is of another language, by its letters or its most frequent words."""
    words = [token for token in tokens if token[0].isalpha()]
    return sum(word in _FOREIGN for word in words) > 1 or 2 * sum(not word.isascii() for word in words) > len(words)


@cache
def place_phrases() -> dict[str, tuple[str, ...]]:
    """Return how captions name each place."""
    text = resources.files("chronotope.caption.words").joinpath("words.toml").read_text(encoding="utf-8")
    return {place: tuple(words.split(", ")) for place, words in tomllib.loads(text)["place_phrases"].items()}
