"""English words -> the words of captions, by a reviewed table; and the forms of words.

`words.toml` holds the table; `english.xz` the words that English has (SCOWL), by which typing errors are told from
unusual words.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import lzma
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from chronotope.worlds.language import gerund

__all__ = [
    "Lexicon",
    "Meaning",
    "gerunds_and_plurals",
    "is_english",
    "lemmas",
    "load_lexicon",
    "third_person",
    "tokens_of",
]

Kind = Literal["noun", "colour", "verb", "place", "alike"]
MAX_PHRASE = 8  # words of the longest phrase
_TOKEN = re.compile(r"[^\W_][\w'-]*|[.,;:!?\n]")
_ACCENTED = re.compile("([a-z])[\u0300-\u036f]+")

_IRREGULAR_VERBS = {
    "ate": "eat", "eaten": "eat", "became": "become", "bent": "bend",
    "blew": "blow", "blown": "blow", "came": "come", "crept": "creep",
    "dove": "dive", "drawn": "draw", "drew": "draw", "driven": "drive", "drove": "drive", "fed": "feed", "fell": "fall",
    "fallen": "fall", "flew": "fly", "flown": "fly", "froze": "freeze", "frozen": "freeze", "gone": "go", "got": "get",
    "grew": "grow", "grown": "grow", "hid": "hide", "hidden": "hide", "knelt": "kneel", "leapt": "leap",
    "left": "leave", "made": "make", "met": "meet", "ran": "run", "rode": "ride", "ridden": "ride", "rose": "rise",
    "sank": "sink",
    "sat": "sit", "shrank": "shrink", "shrunk": "shrink", "slept": "sleep", "slid": "slide", "span": "spin",
    "sped": "speed", "sprang": "spring", "sprung": "spring", "spun": "spin", "stood": "stand", "strode": "stride",
    "struck": "strike", "swam": "swim", "swum": "swim", "swept": "sweep", "swollen": "swell", "swung": "swing",
    "took": "take", "taken": "take", "trod": "tread", "went": "go", "wound": "wind",
}  # fmt: skip
_IRREGULAR_NOUNS = {
    "calves": "calf", "children": "child", "dice": "die", "feet": "foot", "geese": "goose", "knives": "knife",
    "leaves": "leaf", "loaves": "loaf", "men": "man", "mice": "mouse", "oxen": "ox", "people": "person",
    "women": "woman", "wolves": "wolf",
}  # fmt: skip
_GAITS = ("walk", "run", "hop", "fly", "swim", "drive", "roll", "slide", "drift")  # which go on across an edge
_BECOME = ("get", "become", "grow", "turn", "go")
_SINGULAR_IN_S = {"bus", "cactus", "circus", "cross", "octopus", "grass", "bass", "goddess", "princess", "grapes"}


@dataclass(frozen=True)
class Meaning:
    """What a word or phrase of a prompt stands for: the word of captions, and for a noun whether it is a plural.

    Of kind "alike", `word` is a group of `Lexicon.near`: nothing of that name can be drawn.
    """

    kind: Kind
    word: str
    plural: bool = False
    form: str = ""  # of a verb: "base", "s", "ing", "past"
    base: str = ""  # of a verb: what was said, in its base form
    direction: str = ""  # of a verb that has one: "up" of "rise"
    manner: str = ""  # of a verb that says how besides: "fly" of "fly away", which is to leave


@dataclass(frozen=True)
class Lexicon:
    """The table: phrases by kind, what may stand for what, and what is alike."""

    meanings: Mapping[str, tuple[Meaning, ...]]
    kinds: Mapping[str, str]
    near: Mapping[str, tuple[str, ...]]

    def find(self, phrase: str) -> tuple[Meaning, ...]:
        """Return what a phrase in lower case can stand for, in any form of its words."""
        return _forms(self, phrase)

    def alike(self, word: str, known: Collection[str]) -> list[str]:
        """Return the known words of the groups that a word is in; of a colour, those that it lies between."""
        is_colour = Meaning("colour", word) in self.meanings.get(word, ())
        groups = [self.near[word]] if is_colour and word in self.near else [g for g in self.near.values() if word in g]
        found = [other for group in groups for other in group if other in known]
        return list(dict.fromkeys(other for other in found if other != word))

    def singular(self, phrase: str) -> str:
        """Return the singular of a plural in the table; the phrase itself where there is none."""
        return next((one for one in _singulars(phrase) if one in self.meanings), phrase)

    def nouns(self) -> list[str]:
        """Return the nouns of captions."""
        return [word for word, found in self.meanings.items() if Meaning("noun", word) in found]


def tokens_of(text: str) -> list[str]:
    """Return the words and marks of a text, in lower case and without accents."""
    plain = _ACCENTED.sub(r"\1", unicodedata.normalize("NFD", text.lower().replace("\u2019", "'")))
    return _TOKEN.findall(unicodedata.normalize("NFC", plain))


@functools.cache
def load_lexicon() -> Lexicon:
    """Read the table of this package."""
    text = resources.files("chronotope.caption.words").joinpath("words.toml").read_text(encoding="utf-8")
    table: dict[str, dict[str, str]] = tomllib.loads(text)
    meanings: dict[str, list[Meaning]] = {}
    kinds: dict[str, Kind] = {"nouns": "noun", "colours": "colour", "verbs": "verb", "places": "place"}
    for section, kind in kinds.items():
        for word, others in table[section].items():
            for phrase in [word, *filter(None, others.split(", "))]:
                meanings.setdefault(phrase, []).append(Meaning(kind, word))
    for phrase, verb in _verb_phrases(table):
        if not any(meaning.kind == "verb" for meaning in meanings.get(phrase, ())):
            meanings.setdefault(phrase, []).append(verb)
    near = {group: tuple(words.split(", ")) for group, words in {**table["near"], **table["near_places"]}.items()}
    for group, words in table["compounds"].items():
        near[group] = (*near.get(group, ()), *words.split(", "))
    for word in table["near_colours"]:
        if Meaning("colour", word) not in meanings.setdefault(word, []):
            meanings[word].append(Meaning("colour", word))
    near |= {word: (word, *others.split(", ")) for word, others in table["near_colours"].items()}
    for group, word in ((group, word) for group, members in near.items() for word in members):
        meanings[word] = meanings.get(word) or [Meaning("alike", group)]
    return Lexicon({phrase: tuple(found) for phrase, found in meanings.items()}, table["kinds"], near)


def _verb_phrases(table: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, Meaning]]:
    """Yield phrases of verbs with a direction or a manner, and of becoming larger or smaller."""
    for words, others in table["directed"].items():
        verb, direction = words.split()
        for phrase in others.split(", "):
            yield phrase, Meaning("verb", verb, direction=direction)
    for word, ends in table["edges"].items():
        for manner, end in itertools.product(_GAITS, ends.split(", ")):
            for one in (manner, *table["verbs"][manner].split(", ")):
                yield f"{one} {end}", Meaning("verb", word, manner=manner)
    for word, adjectives in table["becoming"].items():
        for verb, adjective in itertools.product(_BECOME, adjectives.split(", ")):
            yield f"{verb} {adjective}", Meaning("verb", word)
            yield f"{verb} {adjective} and {adjective}", Meaning("verb", word)


def _forms(lexicon: Lexicon, phrase: str) -> tuple[Meaning, ...]:
    found = list(lexicon.meanings.get(phrase, ()))
    found = [dataclasses.replace(m, form="base", base=phrase) if m.kind == "verb" else m for m in found]
    for singular in _singulars(phrase):
        plural = [m for m in lexicon.meanings.get(singular, ()) if m.kind in ("noun", "place", "alike")]
        found += [Meaning(m.kind, m.word, plural=True) for m in plural]
    first, _, rest = phrase.partition(" ")
    for base, form in _bases(first):
        whole = f"{base} {rest}".strip()
        verbs = [m for m in lexicon.meanings.get(whole, ()) if m.kind == "verb"]
        found += [dataclasses.replace(meaning, form=form, base=whole) for meaning in verbs]
    return tuple(dict.fromkeys(found))


def _singulars(phrase: str) -> Iterator[str]:
    """Yield what can be the singular of a phrase whose last word is a plural."""
    *start, last = phrase.split(" ")
    before = "".join(f"{word} " for word in start)
    if last in _IRREGULAR_NOUNS:
        yield before + _IRREGULAR_NOUNS[last]
    if not last.endswith("s") or last.endswith("ss") or last in _SINGULAR_IN_S:
        return
    if last.endswith("ies"):
        yield f"{before}{last[:-3]}y"
    if last.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        yield before + last[:-2]
    yield before + last[:-1]


def _bases(word: str) -> Iterator[tuple[str, str]]:
    """Yield what can be the base of a verb, and the form that the word is of it."""
    if word in _IRREGULAR_VERBS:
        yield _IRREGULAR_VERBS[word], "past"
    endings = [("ing", "ing"), ("in'", "ing"), ("ed", "past"), ("es", "s"), ("s", "s")]
    if word.endswith("in") and not is_english(word):
        endings.append(("in", "ing"))  # 'flappin'
    for ending, form in endings:
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < 2:
            continue
        yield stem, form
        if form in ("ing", "past"):
            yield f"{stem}e", form
        if stem.endswith("i"):
            yield f"{stem[:-1]}y", form
        if len(stem) > 2 and stem[-1] == stem[-2]:
            yield stem[:-1], form


def lemmas(word: str) -> list[tuple[str, str]]:
    """Return what can be the base of a word, with the form that the word is of it: "plural", "ing", "past" or "s"."""
    return [*((one, "plural") for one in _singulars(word)), *_bases(word)]


def third_person(verb: str) -> str:
    """Return 'walks' of 'walk', and 'does' of 'do'."""
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}es" if verb.endswith(("s", "sh", "ch", "x", "z", "o")) else f"{verb}s"


def gerunds_and_plurals() -> list[str]:
    """Return the forms of the single words of the table that end in -ing and -s."""
    forms = []
    for phrase, meanings in load_lexicon().meanings.items():
        if " " not in phrase:
            kinds = {meaning.kind for meaning in meanings}
            forms += [third_person(phrase)] if kinds & {"verb", "noun", "alike"} else []
            forms += [gerund(third_person(phrase))] if "verb" in kinds else []
    return forms


@functools.cache
def _english() -> frozenset[str]:
    data: Any = resources.files("chronotope.caption.words").joinpath("english.xz").read_bytes()
    return frozenset(lzma.decompress(data).decode().split("\n"))


def is_english(word: str) -> bool:
    """Return whether a dictionary of English has this word, in lower case, or one that it is a form of."""
    words = _english()
    return all(part in words or part.removesuffix("'s") in words for part in word.split("-") if part)
