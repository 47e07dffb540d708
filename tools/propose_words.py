"""Propose words for the table of prompts, caption/words/words.toml: read all of them, and take what is right.

It needs the database of WordNet 3.0 (Debian: wordnet-base) and a list of English words (Debian: wamerican). For each
noun of the stage it lists the words whose usual meaning is that noun or a kind of it; for each, the compounds whose
last word is the noun and that are something else (a movie star is no star). Names and rare meanings are many: most
matches of frequent words are wrong.

    python tools/propose_words.py /usr/share/wordnet /usr/share/dict/american-english
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from chronotope.caption.words.wordnet import WordNet
from chronotope.worlds.stage.cast import CAST

# What a meaning must be a kind of, by the group of the noun.
GROUPS = {
    "animal": "animal", "bird": "animal", "sea": "animal", "vehicle": "artifact", "boat": "vehicle",
    "aircraft": "artifact", "toy": "artifact", "food": "food fruit plant_part substance", "plant": "organism plant",
    "building": "artifact", "thing": "artifact", "tool": "artifact", "lamp": "artifact",
}  # fmt: skip


def closure(wordnet: WordNet, place: str, up: bool) -> set[str]:
    """Return a meaning and all above or below it."""
    found, waiting = {place}, [place]
    while waiting:
        meaning = wordnet.meaning(waiting.pop())
        new = set(meaning.above if up else meaning.below) - found
        found |= new
        waiting += new
    return found


def meant(wordnet: WordNet, noun: str, group: str) -> str | None:
    """Return the first meaning of a noun that is of its group."""
    for place in wordnet.senses(noun.replace(" ", "_")):
        names = {word for above in closure(wordnet, place, up=True) for word in wordnet.meaning(above).words}
        if names & set(GROUPS[group].split()):
            return place
    return None


def proposals(wordnet: WordNet, english: set[str]) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """Yield each noun with its explanation, the words that can mean it, and the compounds that do not."""
    senses = dict(wordnet.words())
    for noun, about in CAST.items():
        place = meant(wordnet, noun, about.group)
        if place is None:
            yield noun, "not in WordNet", [], []
            continue
        kinds = closure(wordnet, place, up=False)
        words = {word for kind in kinds for word in wordnet.meaning(kind).words if _is_plain(word, english)}
        usual = sorted(word for word in words if senses[word][0] in kinds)
        compounds = [
            word
            for word, places in senses.items()
            if word.endswith(f"_{noun}") and word.count("_") == 1 and places[0] not in kinds
        ]
        yield noun, wordnet.meaning(place).gloss, usual, compounds


def _is_plain(word: str, english: set[str]) -> bool:
    return word.islower() and ("_" in word or "-" in word or word in english)


def main() -> None:
    """Print the proposals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wordnet", type=Path)
    parser.add_argument("english", type=Path)
    options = parser.parse_args()
    english = set(options.english.read_text(encoding="utf-8").split())
    for noun, gloss, words, compounds in proposals(WordNet(options.wordnet, "noun"), english):
        print(f"{noun} ({gloss}): {', '.join(words).replace('_', ' ')}")
        if compounds:
            print(f"    not: {', '.join(compounds).replace('_', ' ')}")


if __name__ == "__main__":
    main()
