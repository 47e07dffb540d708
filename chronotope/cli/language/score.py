"""What `chronotope score-captions` does: how true and how complete captions are, of clips whose truth is known."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from chronotope.caption.captioners.agreement import DOUBT, Agreement, agreement
from chronotope.caption.captioners.builtin import BuiltIn
from chronotope.caption.expand import expand
from chronotope.caption.score import CaptionScore, score_caption, tally
from chronotope.caption.words.lexicon import tokens_of
from chronotope.cli.left_out import scan_and_say
from chronotope.cli.terminal import say
from chronotope.data.captions import read_captions
from chronotope.data.clips import Clip, first_names, read_datasets
from chronotope.data.recaptions import Recaptions
from chronotope.data.rendered import listed_files
from chronotope.errors import FileProblem, UsageError
from chronotope.manifest import identify
from chronotope.media import video
from chronotope.models.captioner import Memory
from chronotope.storage import read_json
from chronotope.train.language.texts import detail_of
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.facts import Fact
from chronotope.worlds.world import World

__all__ = ["Compared", "Doubts", "Scored", "claims_checked", "claims_of", "score_folder"]

Written = tuple[str, str, str]  # who wrote a caption, its level of detail, and its text
OTHERS = 4  # clips with which each is compared
MAX_SECONDS = 60.0  # of a clip that are looked at
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


@dataclass
class Compared:
    """The captions of one author at one level of detail that the captioner was asked about, and those it doubts."""

    author: str
    level: str
    captions: int = 0
    doubted: list[str] = field(default_factory=list)

    def facts(self, shown: int) -> dict[str, Any]:
        """Return what is printed."""
        return {
            "author": self.author,
            "level": self.level,
            "captions": self.captions,
            "doubted by the captioner": f"{len(self.doubted)} of {self.captions}",
            "doubted": self.doubted[:shown],
        }


def score_folder(data: Path, captioner: Callable[[], BuiltIn]) -> list[Scored | Compared]:
    """Score the captions beside the clips of a folder, and those that captioners wrote for them.

    Of rendered clips the truth is known; of all others the captioner, which is loaded only for them, says which words
    it doubts. Raises UsageError for a folder without captions.
    """
    found: dict[tuple[str, str], Scored] = {}
    worlds, recaptions = _worlds(data), Recaptions(data, lambda sentence: say(f"note: {sentence}"))
    others: list[tuple[Clip, list[Written]]] = []
    replaced: list[str] = []
    for clip in scan_and_say(data, captions=True).clips:
        written = _written(clip, recaptions)
        world = _world_of(worlds, clip.path)
        if world is None and _is_below(worlds, clip.path):
            replaced.append(clip.file)
            continue
        truth = _truth(world, clip.path) if world else None
        if world is None or truth is None:
            others += [(clip, written)] if written else []
            continue
        for author, level, text in written:
            score = score_caption(claims_of(world, text), truth[0], truth[1].get(READ_AS.get(level, level), truth[0]))
            scored = found.setdefault((author, level), Scored(author, level))
            scored.scores.append(score)
            scored.words += len(text.split())
            scored.untrue += [] if score.true else [(clip.file, text, score)]
    if replaced:
        say(
            f"note: {first_names(replaced)} {'is' if len(replaced) == 1 else 'are'} not as a world rendered it, so "
            "nobody knows what is true of it, and its captions are not judged"
        )
    if not found and not others:
        raise UsageError(f"{data} holds no captions to score; write some: chronotope caption {data}")
    return [*found.values(), *(compare_captions(others, captioner) if others else ())]


def claims_checked(data: Path) -> Callable[[Path, str], str]:
    """Return what says of a clip of a folder and a caption how many of its claims are true, and which are not.

    It says nothing of clips whose truth no world knows.
    """
    worlds = _worlds(data)

    def in_words(clip: Path, text: str) -> str:
        world = _world_of(worlds, clip)
        truth = _truth(world, clip) if world else None
        if world is None or truth is None:
            return ""
        # the words of a whole world take seconds to collect, so other words are read only where nothing else is
        score = score_caption(world.read_facts(text) or claims_of(world, text), truth[0])
        wrong = f"; not true: {', '.join(map(str, sorted(score.wrong)))}" if score.wrong else ""
        return f"{len(score.right)} of {len(score.right) + len(score.wrong)} claims are true{wrong}"

    return in_words


def _world_of(worlds: Mapping[Path, World], clip: Path) -> World | None:
    """Return the world that rendered a clip; None where none did, or where another file lies in its place now."""
    path = clip.resolve()
    for base, world in worlds.items():
        if path.is_relative_to(base):
            listed = _listed(base)
            content = listed.get(path.relative_to(base).as_posix()) if listed else ""
            return world if content == "" or (content and identify(path, path.name).sha256 == content) else None
    return None


def _is_below(worlds: Mapping[Path, World], clip: Path) -> bool:
    return any(clip.resolve().is_relative_to(base) for base in worlds)


@cache
def _listed(base: Path) -> dict[str, str]:
    """Return the hashes of the files that a world wrote; {} of a version without a manifest."""
    manifest = base / "manifest.jsonl"
    return listed_files(manifest) if manifest.is_file() else {}


class Doubts:
    """Says which word of a caption a captioner doubts most, by comparing the clip with a few others of a folder.

    The captioner is loaded, and clips are looked at, when they are needed.
    """

    def __init__(self, clips: Sequence[Path], captioner: Callable[[], BuiltIn]) -> None:
        self._clips, self._captioner = clips, cache(captioner)
        self._look = lru_cache(maxsize=4 * OTHERS)(self._look_at)  # the clips near to one another are looked at once

    def __call__(self, place: int, level: str, text: str) -> Agreement:
        """Return how much the clip at a place of the folder speaks for a caption of a level of detail."""
        if len(self._clips) == 1:
            raise UsageError("agreement compares clips with one another, and this folder has one; add others")
        steps = range(1, min(OTHERS, len(self._clips) - 1) + 1)
        near = [self._look((place + step) % len(self._clips)) for step in steps]
        captioner, detail = self._captioner(), detail_of(level) or "sentence"
        return agreement(captioner.network, captioner.tokenizer, self._look(place), near, detail, text)

    def _look_at(self, place: int) -> Memory:
        content = video.read(self._clips[place], seconds=MAX_SECONDS, square_pixels=True)
        return self._captioner().look(content.frames, content.fps)


def compare_captions(clips: Sequence[tuple[Clip, list[Written]]], captioner: Callable[[], BuiltIn]) -> list[Compared]:
    """Ask a captioner which words of captions it doubts, by comparing each clip with a few others of the folder."""
    doubts = Doubts([clip.path for clip, _ in clips], captioner)
    found: dict[tuple[str, str], Compared] = {}
    for place, (clip, written) in enumerate(clips):
        for author, level, text in written:
            how = doubts(place, level, text)
            compared = found.setdefault((author, level), Compared(author, level))
            compared.captions += 1
            if how.worst < DOUBT:
                compared.doubted.append(f"{clip.file}: '{how.word}', expected '{how.instead}': {text}")
    say(
        "note: no truth is read for these captions, so the captioner says which words it doubts; it knows only what it "
        "was trained on"
    )
    return list(found.values())


def _written(clip: Clip, recaptions: Recaptions) -> list[Written]:
    """Return the captions beside a clip and those that captioners wrote for its present content."""
    captions = read_captions(clip.path)
    found = [("beside the clip", level, text) for level, texts in captions.items() for text in texts]
    by_programs = recaptions.of(clip.file, identify(clip.path, clip.file).sha256)  # a renamed clip keeps its captions
    found += [(_author(json.loads(one.author)), one.detail, one.text) for one in by_programs]
    return [written for written in found if written[1] != "story"]


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


def _truth(world: World, clip: Path) -> tuple[frozenset[Fact], dict[str, frozenset[Fact]]] | None:
    """Return the facts of a clip and those that a full caption of each level has; None where the world does not say."""
    try:
        record = read_json(clip.with_suffix(".json"))
        spec = world.read_spec(record["spec"])
    except (FileProblem, KeyError, TypeError):
        return None
    facts = world.facts(spec)
    if not facts:
        return None
    wanted: dict[str, frozenset[Fact]] = defaultdict(frozenset)
    for level, texts in world.captions(spec, 8).items():
        if level != "story":
            wanted[level] = facts & frozenset().union(*map(world.read_facts, texts))
    return facts, wanted


def _author(author: Mapping[str, Any]) -> str:
    """Return a short name of a captioner."""
    if author.get("kind") == "builtin":
        return f"captioner {str(author.get('weights'))[:8]}"
    return str(author.get("model") or author.get("kind") or json.dumps(dict(author)))
