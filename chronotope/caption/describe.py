"""A prompt written as a descriptive caption by a trained expander; kept only if every stated fact is in it.

Two readers have to agree on what was stated: the one of prompts (`caption.parse`) and that of captions, which knows the
words of one world (`World.read_facts`). So nothing is lost that one of them does not read.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Collection
from typing import Protocol

from chronotope.caption.expand import Expansion, expand
from chronotope.caption.rewrite import Rewritten, not_comparable, scene_of, strange_words
from chronotope.caption.scene import Scene
from chronotope.caption.stated import shown_though_absent
from chronotope.worlds.facts import Fact

__all__ = ["Describer", "ReadFacts", "describe"]

TRIES = 8  # captions that are written before the prompt stays as it is
_TRAVEL = frozenset(
    "walk run move slide glide roll fly float drift drive sail swim hop jump crawl creep dash slither".split()
)
_WITH_ITSELF = re.compile(r"\bthe ([\w -]+) is [\w ]+ than the \1\b")
ReadFacts = Callable[[str], frozenset[Fact]]


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
    reason = not_comparable(found, scene) or ("" if _agree(scene, stated) else "the prompt says more than is compared")
    for attempt in range(0 if reason else TRIES):
        first = attempt == 0 and seed is None
        text = describer.write(found.prompt, None if first else (seed or 0) * TRIES + attempt)
        reason = _not_true(found, stated, text, read_facts(text), known)
        if not reason:
            return Rewritten(Expansion(prompt, text, found.negative, found.read), True)
    return Rewritten(found, False, reason)


def _agree(scene: Scene, facts: Collection[Fact]) -> bool:
    """Return whether the facts hold all that a scene says, as far as both can be counted."""
    if scene.relations or any(thing.count or thing.plural for thing in scene.things):
        return False
    if any(deed.later and deed.actor != before.actor for before, deed in itertools.pairwise(scene.deeds)):
        return False  # no fact says that one thing acts after another one
    deeds = set[tuple[int, str]]()  # as facts tell them: to enter walking left is to enter, and to go left
    for deed in scene.deeds:
        if deed.direction:
            deeds.add((deed.actor, f"go {deed.direction}"))
        if deed.target is not None:
            deeds.add((deed.actor, f"with {deed.target}"))
        elif deed.verb not in _TRAVEL:
            deeds.add((deed.actor, deed.verb))
        elif not deed.direction:  # no fact says that somebody walks, and not where to
            return False
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
    found: Expansion, stated: frozenset[Fact], text: str, facts: frozenset[Fact], known: frozenset[str]
) -> str:
    """Say why a written caption is not taken; empty where it is."""
    if not text:
        return "no caption was written that ends"
    if strange := strange_words(text, known):
        return f"the written caption has words that no caption had: {', '.join(strange)}"
    if slip := _slip(found.prompt, text):
        return slip
    if missing := stated - facts:
        return f"the written caption loses: {', '.join(map(str, sorted(missing)))}"
    things, asked = (Counter(fact.name for fact in some if fact.kind == "object") for some in (facts, stated))
    if things != asked:
        return f"the written caption shows other things: {', '.join(sorted((things - asked).elements()))}"
    if added := _deeds_added(stated, facts):
        return f"the written caption adds: {', '.join(map(str, added))}"
    if shown := shown_though_absent(scene_of(found.typed, known).absent, scene_of(text, known)):
        return f"the written caption shows what shall not be there: {', '.join(shown)}"
    return ""


def _slip(prompt: str, text: str) -> str:
    """Say where a caption is nonsense, or of a picture where none was asked for; empty where it is neither."""
    if found := _WITH_ITSELF.search(text.lower()):
        return f"the written caption compares a thing with itself: {found[0]}"
    if "picture" in text.lower().split() and "picture" not in prompt.lower().split():
        return "the written caption is of a picture"
    return ""


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
