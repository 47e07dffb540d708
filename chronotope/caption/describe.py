"""A prompt written as a descriptive caption by a trained expander; kept only if every stated fact is in it.

Two readers have to agree on what was stated: the one of prompts (`caption.parse`) and that of captions, which knows the
words of one world (`World.read_facts`). So nothing is lost that one of them does not read.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Protocol

from chronotope.caption.expand import Expansion, expand, place_phrases
from chronotope.caption.rewrite import Rewritten, not_comparable, scene_of, strange_words
from chronotope.caption.scene import Scene
from chronotope.caption.stated import shown_though_absent
from chronotope.caption.words import grammar
from chronotope.caption.words.lexicon import load_lexicon, third_person, tokens_of
from chronotope.worlds.facts import Fact
from chronotope.worlds.language import gerund

__all__ = ["Describer", "ReadFacts", "describe"]

TRIES = 8  # captions that are written before the prompt stays as it is
ReadFacts = Callable[[str], frozenset[Fact]]

_TRAVEL = frozenset(
    "walk run move slide glide roll fly float drift drive sail swim hop jump crawl creep dash slither".split()
)
# Words of a prompt, beside nouns, colours, verbs and places, that both readers understand in the same way.
_UNDERSTOOD = frozenset(
    "a an the and then first to toward towards from of in on at by under against into out past frame side left right "
    "up down upward upwards downward downwards front background backdrop video picture get gets getting bigger larger "
    "smaller come comes coming enters entering leaves leaving".split()
)
_ALIKE = (
    {"slide", "glide", "move"},
    {"fly", "float", "drift"},
    {"hop", "jump"},
    {"ball", "circle"},
)  # of which captions name either
_WITH_ITSELF = re.compile(r"\bthe ([\w -]+) is [\w ]+ than the \1\b")
_ALLOWED_NOT = re.compile(r"\b(does not (?:move|come)|not there at first)\b")
_ONE_VALUE = ("place", "camera", "size", "position", "colour")  # of which a thing, or a clip, has one


class Describer(Protocol):
    """Writes a descriptive caption about a short one; the same seed gives the same, None the likeliest."""

    def write(self, caption: str, seed: int | None) -> str:
        """Return the descriptive caption; empty where none ends."""
        ...


def describe(
    prompt: str, known: Collection[str], describer: Describer, read_facts: ReadFacts, seed: int | None = None
) -> Rewritten:
    """Write a prompt as a descriptive caption in the words `known`, of a world whose captions `read_facts` reads.

    The caption states what the prompt states, names no other thing, and adds what was left open. Where none of several
    tries does, the built-in expansion stands.
    """
    known = frozenset(known)
    found = expand(prompt, known)
    scene = scene_of(found.prompt, known)
    stated = read_facts(found.prompt)
    reason = not_comparable(found, scene)
    if not reason and not (_is_plain(found.prompt, known) and _agree(scene, stated)):
        reason = "the prompt says more than is compared"
    for attempt in range(0 if reason else TRIES):
        first = attempt == 0 and seed is None
        text = describer.write(found.prompt, None if first else ((seed or 0) * TRIES + attempt) % 2**63)
        reason = _not_true(found, scene, stated, text, read_facts(text), known)
        if not reason:
            return Rewritten(replace(found, prompt=text), True)
    return Rewritten(found, False, reason)


def _is_plain(prompt: str, known: frozenset[str]) -> bool:
    """Return whether every word is a noun, a colour, a verb or of a place, or understood by both readers alike."""
    lexicon = load_lexicon()
    places = {word for phrases in place_phrases().values() for phrase in phrases for word in phrase.split()}
    words = [token for token in tokens_of(prompt) if token[0].isalnum()]
    return all(word in _UNDERSTOOD or word in places or (word in known and lexicon.find(word)) for word in words)


def _agree(scene: Scene, facts: Collection[Fact]) -> bool:
    """Return whether the facts hold all that a scene says, as far as both can be counted."""
    sides = any(deed.relation in ("behind", "in front of") for deed in scene.deeds)  # both are to pass
    if sides or scene.relations or any(thing.count or thing.plural for thing in scene.things):
        return False
    if any(deed.later and deed.actor != before.actor for before, deed in itertools.pairwise(scene.deeds)):
        return False  # no fact says that one thing acts after another one
    deeds = set[tuple[int, str]]()  # as facts tell them: to enter walking left is to enter, and to go left
    for deed in scene.deeds:
        if deed.direction:
            deeds.add((deed.actor, f"go {deed.direction}"))
        if deed.target is not None:
            deeds.add((deed.actor, f"with {deed.target}"))
        elif deed.verb not in _TRAVEL:  # no fact says that somebody walks and not where to: `_verbs_lost` asks for it
            deeds.add((deed.actor, deed.verb))
    kinds = Counter(fact.kind for fact in facts)
    told = {
        "object": len(scene.things),
        "colour": sum(bool(thing.colour) for thing in scene.things),
        "size": sum(bool(thing.size) for thing in scene.things),
        "position": sum(bool(thing.side) for thing in scene.things),
        "place": bool(scene.place),
        "camera": scene.camera is not None,
    }
    return kinds["motion"] + kinds["interaction"] == len(deeds) and all(kinds[kind] == n for kind, n in told.items())


def _not_true(
    found: Expansion,
    scene: Scene,
    stated: frozenset[Fact],
    text: str,
    facts: frozenset[Fact],
    known: frozenset[str],
) -> str:
    """Say why a written caption is not taken; empty where it is."""
    if not text:
        return "no caption was written that ends"
    if strange := strange_words(text, known):
        return f"the written caption has words that no caption had: {', '.join(strange)}"
    gone = any(fact.what in ("eat", "leave") for fact in stated)
    if slip := _slip(found.prompt, text, gone) or _contradiction(facts):
        return slip
    if missing := stated - facts:
        return f"the written caption loses: {', '.join(map(str, sorted(missing)))}"
    if verbs := _verbs_lost(scene, text):
        return f"the written caption loses: {', '.join(verbs)}"
    if others := _other_things(stated, text, facts):
        return f"the written caption shows other things: {', '.join(others)}"
    if added := _deeds_added(stated, facts):
        return f"the written caption adds: {', '.join(map(str, added))}"
    if shown := shown_though_absent(scene_of(found.typed, known).absent, scene_of(text, known)):
        return f"the written caption shows what shall not be there: {', '.join(shown)}"
    return ""


def _slip(prompt: str, text: str, gone: bool) -> str:
    """Say where a caption is nonsense, denies, or is of a picture where none was asked for; empty where it does not."""
    if found := _WITH_ITSELF.search(text.lower()):
        return f"the written caption compares a thing with itself: {found[0]}"
    words = tokens_of(_ALLOWED_NOT.sub("", text.lower()))
    if denied := [word for word in words if word in grammar.NOT or (word == "gone" and not gone)]:
        return f"the written caption denies: {', '.join(denied)}"
    if "picture" in words and "picture" not in tokens_of(prompt):
        return "the written caption is of a picture"
    return ""


def _contradiction(facts: frozenset[Fact]) -> str:
    """Say where something has two places, sizes or colours; empty where nothing has."""
    counts = Counter((fact.kind, fact.name) for fact in facts if fact.kind in _ONE_VALUE)
    twice = [f"{kind} {name}".strip() for (kind, name), count in counts.items() if count > 1]
    return f"the written caption contradicts itself: {', '.join(twice)}" if twice else ""


def _verbs_lost(scene: Scene, text: str) -> list[str]:
    """Return how things travel in a prompt, where no sentence that begins with them says so: to walk is not to fly."""
    sentences = [tokens_of(sentence) for sentence in re.split(r"[.!?] ?", text)]
    lost = []
    for deed in scene.deeds:
        noun, verbs = scene.things[deed.actor].noun, _alike(deed.verb)
        forms = {form for verb in verbs for form in (verb, third_person(verb), gerund(third_person(verb)))}
        about = [words for words in sentences if _first_thing(words, scene) in _alike(noun)]
        if deed.verb in _TRAVEL and not any(forms & set(words) for words in about):
            lost.append(f"{noun} {deed.verb}")
    return lost


def _first_thing(words: Sequence[str], scene: Scene) -> str:
    nouns = set[str]().union(*(_alike(thing.noun) for thing in scene.things))
    return next((word for word in words if word in nouns), "")


def _alike(word: str) -> set[str]:
    return next((words for words in _ALIKE if word in words), {word})


def _other_things(stated: frozenset[Fact], text: str, facts: frozenset[Fact]) -> list[str]:
    """Return the things of a caption that were not stated, and those that it introduces more than once."""
    asked, there = ({fact.name for fact in some if fact.kind == "object"} for some in (stated, facts))
    others = sorted(there ^ asked)
    for noun, count in Counter(name.split()[-1] for name in there).items():
        same = "|".join(map(re.escape, sorted(_alike(noun))))
        if len(re.findall(rf"\b(?:a|an) (?:[\w-]+ ){{0,2}}?(?:{same})\b", text.lower())) > count:
            others.append(f"another {noun}")
    return others


def _deeds_added(stated: frozenset[Fact], facts: frozenset[Fact]) -> list[Fact]:
    """Return what things do in a caption that was not left open: how they move or meet is, if nothing was said of it.

    A thing that meets itself is a slip of the writer.
    """
    moving = {fact.name for fact in stated if fact.kind in ("motion", "interaction")}
    meeting = any(fact.kind == "interaction" for fact in stated)
    added = facts - stated
    moves = [fact for fact in added if fact.kind == "motion" and fact.name in moving]
    meets = [fact for fact in added if fact.kind == "interaction" and (meeting or fact.name == fact.other)]
    return sorted([*moves, *meets])
