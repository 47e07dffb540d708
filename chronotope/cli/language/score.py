"""What `chronotope score-captions` does: how true and how complete captions are, of clips whose truth is known."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from chronotope.caption.expand import expand
from chronotope.caption.parse import tokens_of
from chronotope.caption.score import CaptionScore, score_caption, tally
from chronotope.cli.terminal import say
from chronotope.data.captions import captions_of
from chronotope.data.clips import Clip, read_datasets, scan_folder
from chronotope.data.recaptions import Recaptions
from chronotope.errors import FileProblem, UsageError
from chronotope.manifest import identify
from chronotope.storage import read_json
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.facts import Fact
from chronotope.worlds.world import World

__all__ = ["Scored", "claims_of", "score_folder"]

READ_AS = {"descriptive": "paragraph"}  # by what a full caption of a level is measured


@dataclass
class Scored:
    """The scores of all captions of one author at one level of detail, with the captions that are not true."""

    author: str
    level: str
    scores: list[CaptionScore] = field(default_factory=list)
    words: int = 0
    untrue: list[tuple[str, str, CaptionScore]] = field(default_factory=list)  # file, caption, score

    def facts(self, shown: int) -> dict[str, Any]:
        """Return what is printed: precision and recall by class, and the first `shown` captions that are not true."""
        true = sum(score.true for score in self.scores)
        classes = {
            name: {"true": str(found.precision), "found": str(found.recall)}
            for name, found in tally(self.scores).items()
        }
        return {
            "author": self.author,
            "level": self.level,
            "captions": len(self.scores),
            "without a false claim": f"{true} of {len(self.scores)}",
            "words a caption": round(self.words / max(1, len(self.scores)), 1),
            "facts a caption": round(sum(len(score.right) for score in self.scores) / max(1, len(self.scores)), 1),
            "classes": classes,
            "not true": [
                f"{file}: {', '.join(map(str, sorted(score.wrong)))}: {text}"
                for file, text, score in self.untrue[:shown]
            ],
        }


def score_folder(data: Path) -> list[Scored]:
    """Score the captions beside the clips of a rendered folder, and those that captioners wrote for them.

    Raises UsageError for a folder of which no world knows the truth.
    """
    found: dict[tuple[str, str], Scored] = {}
    worlds = _worlds(data)
    recaptions = Recaptions(data, lambda sentence: say(f"note: {sentence}"))
    unknown = 0
    for clip in scan_folder(data).clips:
        world = next((world for base, world in worlds.items() if clip.path.resolve().is_relative_to(base)), None)
        truth = _truth(world, clip) if world else None
        if world is None or truth is None:
            unknown += 1
            continue
        facts, wanted, captions = truth
        written = [("beside the clip", level, text) for level, texts in captions.items() for text in texts]
        sha256 = identify(clip.path, clip.file).sha256
        for (file, detail), row in recaptions.rows.items():
            if file == clip.file and row["sha256"] == sha256 and row["text"]:
                written.append((_author(row["author"]), detail, row["text"]))
        for author, level, text in written:
            if level == "story":
                continue
            score = score_caption(claims_of(world, text), facts, wanted.get(READ_AS.get(level, level), facts))
            scored = found.setdefault((author, level), Scored(author, level))
            scored.scores.append(score)
            scored.words += len(text.split())
            scored.untrue += [] if score.true else [(clip.file, text, score)]
    if not found:
        raise UsageError(
            f"{data} holds no clips of which a world knows the truth; render some: chronotope world stage --out FOLDER"
        )
    if unknown:
        say(f"note: {unknown} clips are left out, because no world knows what they show")
    return list(found.values())


def claims_of(world: World, text: str) -> frozenset[Fact]:
    """Return what a caption in anybody's words claims: each of its sentences is written in the world's words first."""
    claims = world.read_facts(text)
    if set(tokens_of(text)) <= _words(world):
        return claims
    told = ". ".join(expand(sentence, _words(world)).prompt for sentence in text.split(". "))
    return world.read_facts(told)


@cache
def _words(world: World) -> frozenset[str]:
    """Return the words of many captions of a world."""
    found: set[str] = set()
    for name in world.scopes:
        scope = world.scope(name)
        for seed in range(300):
            for texts in world.captions(world.sample(seed, scope, "train")).values():
                found.update(word for text in texts for word in tokens_of(text))
    return frozenset(found)


def _worlds(data: Path) -> dict[Path, World]:
    """Return the worlds that rendered the folders below `data`."""
    found = {}
    for file, about in read_datasets(data):
        if "world" in about:
            found[file.parent.resolve()] = find_world(str(about["world"]))
    return found


def _truth(world: World, clip: Clip) -> tuple[frozenset[Fact], dict[str, frozenset[Fact]], Mapping[str, Any]] | None:
    """Return the facts of a clip, those that a full caption of each level has, and the captions beside the clip."""
    try:
        record = read_json(clip.path.with_suffix(".json"))
        spec = world.read_spec(record["spec"])
        captions = captions_of(record, str(clip.path))
    except (FileProblem, KeyError, TypeError):
        return None
    facts = world.facts(spec)
    if not facts:
        return None
    wanted: dict[str, frozenset[Fact]] = defaultdict(frozenset)
    for level, texts in world.captions(spec, 8).items():
        if level != "story":
            wanted[level] = facts & frozenset().union(*map(world.read_facts, texts))
    return facts, wanted, captions


def _author(author: Mapping[str, Any]) -> str:
    """Return a short name of a captioner."""
    if author.get("kind") == "builtin":
        return f"captioner {str(author.get('weights'))[:8]}"
    return str(author.get("model") or author.get("kind") or json.dumps(dict(author)))
