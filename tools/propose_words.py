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
from dataclasses import dataclass
from pathlib import Path

from chronotope.worlds.stage.cast import CAST

# What a meaning must be a kind of, by the group of the noun.
GROUPS = {
    "animal": "animal", "bird": "animal", "sea": "animal", "vehicle": "artifact", "boat": "vehicle",
    "aircraft": "artifact", "toy": "artifact", "food": "food fruit plant_part substance", "plant": "organism plant",
    "building": "artifact", "thing": "artifact", "tool": "artifact", "lamp": "artifact",
}  # fmt: skip


@dataclass(frozen=True)
class Meaning:
    """A synset: its words, the meanings that it is a kind of, those that are a kind of it, and its explanation."""

    words: tuple[str, ...]
    above: tuple[str, ...]
    below: tuple[str, ...]
    gloss: str


class WordNet:
    """The nouns of WordNet: meanings by their place in the file, and those of each word, the most usual first."""

    def __init__(self, folder: Path) -> None:
        lines = (line for line in (folder / "data.noun").read_text().splitlines() if not line.startswith("  "))
        self.meanings = dict(map(_meaning, lines))
        self.senses: dict[str, list[str]] = {}
        for line in (folder / "index.noun").read_text().splitlines():
            if not line.startswith("  "):
                word, *fields = line.split()
                self.senses[word] = fields[5 + int(fields[2]) :]

    def closure(self, place: str, up: bool) -> set[str]:
        """Return a meaning and all above or below it."""
        found, waiting = {place}, [place]
        while waiting:
            meaning = self.meanings[waiting.pop()]
            new = set(meaning.above if up else meaning.below) - found
            found |= new
            waiting += new
        return found

    def meant(self, noun: str, group: str) -> str | None:
        """Return the first meaning of a noun that is of its group."""
        for place in self.senses.get(noun.replace(" ", "_"), []):
            names = {word for above in self.closure(place, up=True) for word in self.meanings[above].words}
            if names & set(GROUPS[group].split()):
                return place
        return None


def _meaning(line: str) -> tuple[str, Meaning]:
    """Read one line of data.noun, see wndb(5WN)."""
    fields, _, gloss = line.partition(" | ")
    place, _, _, count, *rest = fields.split()
    end = 2 * int(count, 16)
    pointers = [rest[at : at + 3] for at in range(end + 1, end + 1 + 4 * int(rest[end]), 4)]
    above = tuple(target for symbol, target, kind in pointers if symbol in ("@", "@i") and kind == "n")
    below = tuple(target for symbol, target, kind in pointers if symbol == "~" and kind == "n")
    return place, Meaning(tuple(rest[0:end:2]), above, below, gloss.split(";")[0])


def proposals(wordnet: WordNet, english: set[str]) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """Yield each noun with its explanation, the words that can mean it, and the compounds that do not."""
    for noun, about in CAST.items():
        place = wordnet.meant(noun, about.group)
        if place is None:
            yield noun, "not in WordNet", [], []
            continue
        kinds = wordnet.closure(place, up=False)
        words = {word for kind in kinds for word in wordnet.meanings[kind].words if _is_plain(word, english)}
        usual = sorted(word for word in words if wordnet.senses[word][0] in kinds)
        compounds = [
            word
            for word, senses in wordnet.senses.items()
            if word.endswith(f"_{noun}") and word.count("_") == 1 and senses[0] not in kinds
        ]
        yield noun, wordnet.meanings[place].gloss, usual, compounds


def _is_plain(word: str, english: set[str]) -> bool:
    return word.islower() and ("_" in word or "-" in word or word in english)


def main() -> None:
    """Print the proposals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wordnet", type=Path)
    parser.add_argument("english", type=Path)
    options = parser.parse_args()
    english = set(options.english.read_text(encoding="utf-8").split())
    for noun, gloss, words, compounds in proposals(WordNet(options.wordnet), english):
        print(f"{noun} ({gloss}): {', '.join(words).replace('_', ' ')}")
        if compounds:
            print(f"    not: {', '.join(compounds).replace('_', ' ')}")


if __name__ == "__main__":
    main()
