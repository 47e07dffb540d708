"""Judge the expansion of prompts by words and facts that others wrote, see benchmarks/language/README.md.

A word is right where the table has the expected word of captions for it, wrong where it has another. A fact of a prompt
is kept where the words for it stand in the caption (or, of what shall not be there, in the negative prompt): this reads
the caption as a text, not with the reader that is judged. `python -m benchmarks.expansion_words` takes seconds and
writes expansion_words.json.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import HERE, say
from chronotope.caption.compose import plural
from chronotope.caption.expand import Expansion, expand
from chronotope.caption.words.lexicon import load_lexicon, third_person
from chronotope.data.record import read_record
from chronotope.generate.pipeline import find_model
from chronotope.metrics.statistics import Rate
from chronotope.storage import read_json, write_json
from chronotope.worlds.palette import COLOURS

FOLDER = HERE / "language"
# Verbs that say the same of a drawing: a balloon that rises flies, floats or moves up.
ALIKE = {
    "move": "move fly float drift glide slide", "drift": "drift float move fly", "fly": "fly move float",
    "hop": "hop jump", "grow": "grow get", "shrink": "shrink get", "spin": "spin rotate turn", "hit": "hit bump",
    "enter": "enter come", "pass": "past behind front", "slide": "slide glide move",
}  # fmt: skip
NUMBERS = {"1": "a", "2": "two", "3": "three", "4": "four", "5": "five"}


def main() -> None:
    """Print and write both tables."""
    record = read_record(read_json(find_model("small") / "dit" / "model.json"))
    assert record is not None
    found = {path.stem: words(path) for path in sorted(FOLDER.glob("words-*.tsv"))}
    known = frozenset(record.words)
    facts = {path.stem: facts_kept(path, known) for path in (FOLDER / "prompts.jsonl", FOLDER / "prompts-later.jsonl")}
    write_json(HERE / "expansion_words.json", {"words": found, "facts": facts})
    for name, row in [*found.items(), *(pair for rows in facts.values() for pair in rows.items())]:
        say(f"{name:10} {row}")


def words(path: Path) -> dict[str, Any]:
    """Count how many words of a list the table has right, wrong and not."""
    lexicon, counts = load_lexicon(), Counter[str]()
    for line in path.read_text(encoding="utf-8").splitlines():
        word, kind, expected = line.split("\t")
        found = [meaning for meaning in lexicon.find(word.lower()) if meaning.kind != "alike"]
        # a colour that no caption has is not read as another one: it stays, and what is alike is suggested
        meanings = [m for m in found if m.word not in lexicon.near or m.word in COLOURS]
        chosen = [meaning.word for meaning in meanings if meaning.kind == kind] or [m.word for m in meanings]
        read = chosen[0] if chosen else "none"
        counts["words"] += 1
        counts["with a word"] += expected != "none"
        counts["right"] += read == expected != "none"
        counts["wrong"] += read not in (expected, "none")
    return dict(counts)


def facts_kept(path: Path, known: frozenset[str]) -> dict[str, Any]:
    """Return by kind how many of the facts that others found in prompts their captions state."""
    kept: dict[str, list[bool]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for fact in row.get("facts", ()):
            kind, _, content = fact.partition(": ")
            expansion = expand(row["prompt"], known)
            kept.setdefault(kind, []).append(_CHECKS[kind](expansion, expansion.prompt.lower(), content.split()))
    rates = {kind: Rate(sum(found), len(found)) for kind, found in kept.items()}
    rates["all"] = Rate(sum(rate.successes for rate in rates.values()), sum(rate.trials for rate in rates.values()))
    return {kind: [rate.successes, rate.trials, *(round(x, 4) for x in rate.interval)] for kind, rate in rates.items()}


def _has(text: str, noun: str) -> bool:
    forms = {noun, plural(noun)}
    forms |= {"ball", "balls", "circle", "circles"} if noun in ("ball", "circle") else set()
    return any(re.search(rf"\b{re.escape(form)}\b", text) for form in forms)


def _verb_places(text: str, verb: str) -> list[int]:
    verbs = ALIKE.get(verb, verb).split()
    forms = {form for one in verbs for form in (one, third_person(one), f"{one}ing", f"{one.removesuffix('e')}ing")}
    forms |= {f"{one}{one[-1]}ing" for one in verbs}
    return [found.start() for form in forms for found in re.finditer(rf"\b{form}\b", text)]


def _thing(expansion: Expansion, text: str, fact: list[str]) -> bool:
    return _has(text, " ".join(fact)) or (_has(text, fact[-1]) and all(word in text for word in fact[:-1]))


def _count(expansion: Expansion, text: str, fact: list[str]) -> bool:
    number = NUMBERS.get(fact[0], fact[0])
    return number in text.split() and _has(text, " ".join(fact[1:]))


def _does(expansion: Expansion, text: str, fact: list[str]) -> bool:
    at = next((at for at in range(1, len(fact)) if _verb_places(text, fact[at])), None)
    rest = fact[at + 1 :] if at else []
    return at is not None and _has(text, " ".join(fact[:at])) and (not rest or rest[-1] in text)


def _not(expansion: Expansion, text: str, fact: list[str]) -> bool:
    noun = " ".join(fact)
    said = re.search(rf"\b(no|not|without|never|don't) (\w+ ){{0,3}}{noun}", text)
    return _has(expansion.negative, noun) or said is not None


def _relation(expansion: Expansion, text: str, fact: list[str]) -> bool:
    sides = ("left of", "right of", "next to", "behind", "beside", "near", "in front of")
    return any(side in text for side in sides) and _has(text, fact[0]) and _has(text, fact[-1])


def _order(expansion: Expansion, text: str, fact: list[str]) -> bool:
    middle = fact.index("before")
    first, second = _verb_places(text, fact[middle - 1]), _verb_places(text, fact[-1])
    return bool(first and second) and min(first) < max(second)


_CHECKS: dict[str, Callable[[Expansion, str, list[str]], bool]] = {
    "thing": _thing,
    "count": _count,
    "does": _does,
    "place": lambda expansion, text, fact: " ".join(fact) in text,
    "not": _not,
    "relation": _relation,
    "camera": lambda expansion, text, fact: "camera" in text and all(word in text for word in fact),
    "order": _order,
}


if __name__ == "__main__":
    main()
