"""A dataset -> its figures: how many clips of which sizes, from where, under which licences, and what was left out."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope.data.exports.dataset import Dataset, Item

__all__ = [
    "MEANINGS",
    "Facts",
    "LeftOutCount",
    "RightsCount",
    "counted",
    "describe_clips",
    "duration",
    "facts_of",
    "limitations_of",
    "process_of",
]

MEANINGS = {  # of the reasons for which `chronotope curate` leaves out a shot or a file
    "short": "shorter than --min-seconds",
    "small": "a side of too few pixels",
    "text": "text on the screen, such as subtitles or credits",
    "still": "a video in which nothing moves",
    "dark": "black, or nearly",
    "bright": "white, or nearly",
    "flat": "one colour, or nearly",
    "blurred": "no detail",
    "repeated": "a video whose frames repeat each other",
    "duplicate": "nearly the same as a clip that is used",
    "removed": "clips that were taken out on request",
    "rights": "files that may not be used",
    "unreadable": "files that cannot be read",
}
_RIGHTS = ("licence", "holder", "source", "consent")


@dataclass(frozen=True)
class RightsCount:
    """How many clips have the same rights; "" is what nobody said."""

    licence: str
    holder: str
    source: str
    consent: str
    clips: int


@dataclass(frozen=True)
class LeftOutCount:
    """How many shots or files were left out for a reason, and what the reason means."""

    reason: str
    meaning: str
    count: int


@dataclass(frozen=True)
class Facts:
    """The figures of a dataset. Lists of counts begin with the most frequent; `lengths` are least, median and most.

    `seconds` are of videos; `files` is the number of source files, 0 where none are known.
    """

    clips: int
    pictures: int
    seconds: float
    bytes: int
    splits: Mapping[str, int]
    sizes: Sequence[tuple[str, int]]
    rates: Sequence[tuple[str, int]]
    lengths: Sequence[float]
    captioned: int
    levels: Sequence[tuple[str, int]]
    words: int
    rights: Sequence[RightsCount]
    files: int
    left_out: Sequence[LeftOutCount]

    @property
    def videos(self) -> int:
        return self.clips - self.pictures

    @property
    def unknown_licence(self) -> int:
        """Return how many clips have a licence that nobody named."""
        return sum(one.clips for one in self.rights if not one.licence)


def facts_of(dataset: Dataset) -> Facts:
    """Count what a dataset holds."""
    items = dataset.items
    moving = [item for item in items if not item.picture]
    lengths = sorted(item.seconds for item in moving)
    texts = [text for item in items for listed in item.captions.values() for text in listed]
    return Facts(
        clips=len(items),
        pictures=len(items) - len(moving),
        seconds=sum(lengths),
        bytes=sum(item.bytes for item in items),
        splits={split: len(dataset.in_split(split)) for split in dataset.splits},
        sizes=_counts(f"{item.width}x{item.height}" for item in items),
        rates=_counts(f"{item.fps:.4g}" for item in moving),
        lengths=(lengths[0], statistics.median(lengths), lengths[-1]) if lengths else (),
        captioned=sum(any(item.captions.values()) for item in items),
        levels=_counts(level for item in items for level, listed in item.captions.items() if listed),
        words=len({word for text in texts for word in text.lower().split()}),
        rights=_rights(items),
        files=len({row["file"] for row in dataset.rows if "file" in row and row.get("state", "kept") == "kept"}),
        left_out=_left_out(dataset.rows),
    )


def process_of(dataset: Dataset) -> list[str]:
    """Return how a dataset was made, from the settings that it records, a sentence a step."""
    about = dataset.about
    if dataset.kind == "rendered" and "environment" in about:
        names = {"environment": "environment", "policy": "policy", "seed": "seed", "program": "program"}
        settings = ", ".join(f"{words} {about[name]}" for name, words in names.items() if name in about)
        return [f"Every clip was recorded while actions were done in an environment ({settings})."]
    if dataset.kind == "rendered":
        names = {"world": "world", "scope": "scope", "split": "split", "seed": "seed", "program": "program"}
        settings = ", ".join(f"{words} {about[name]}" for name, words in names.items() if name in about)
        return [f"Every clip was rendered from a specification that was drawn at random ({settings})."]
    if dataset.kind == "imported":
        name = Path(str(about.get("folder"))).name  # not where it lay
        return [f"Every clip is an episode of the LeRobot dataset {name} ({about.get('scope')}), with its actions."]
    if dataset.kind == "plain":
        return []
    filters = about.get("filters", {})
    keep = filters.get("keep") or []
    steps = [
        f"Files were cut into shots at cuts and fades with {about.get('made_with')}; longer shots were divided into "
        f"parts of at most {filters.get('max_seconds'):g} seconds. Whole files are used as they are; parts of files "
        "were compressed again (H.264, crf 14). Nothing was cropped, scaled or changed in speed.",
        f"Shots were left out by measures of frames of at most 256 pixels: under {filters.get('min_seconds'):g} "
        f"seconds or {filters.get('min_side')} pixels, dark, bright, flat, blurred, still, or of repeated frames"
        + (f"; kept on request: {', '.join(keep)}." if keep else "."),
        "Near-copies were found by hashes of frames and of what moves in them, and one of each was kept."
        if "duplicate" not in keep
        else "Near-copies were kept on request.",
        f"A share of {filters.get('heldout'):g} of the source files was set aside for tests by a hash of their "
        "content; all shots of a file, and all near-copies of each other, are in one split.",
        "Files of unknown licence were allowed."
        if about.get("allow_unknown")
        else "Files without a named licence, or whose owner asks that no model is trained on them, were refused.",
    ]
    return steps


def describe_clips(facts: Facts) -> str:
    """Return one sentence on what the clips are, by their numbers."""
    what = [counted(facts.videos, "video clip")] if facts.videos or not facts.pictures else []
    what += [counted(facts.pictures, "picture")] if facts.pictures else []
    length = f", {duration(facts.seconds)} of video in all" if facts.videos else ""
    splits = ", ".join(f"{count} in {split}" for split, count in facts.splits.items())
    return f"{' and '.join(what)}{length} ({splits}); {facts.captioned} of {facts.clips} have captions."


def limitations_of(dataset: Dataset, facts: Facts) -> list[str]:
    """Return what is known to be wrong with a dataset, or missing, a sentence each."""
    found, about = [], dataset.about
    if facts.captioned < facts.clips:
        found.append(f"{facts.clips - facts.captioned} of {facts.clips} clips have no caption.")
    if facts.unknown_licence:
        found.append(f"The licence of {facts.unknown_licence} of {facts.clips} clips is unknown.")
    if models := sorted({item.generated_by for item in dataset.items} - {""}):
        made = sum(bool(item.generated_by) for item in dataset.items)
        found.append(
            f"{made} of {facts.clips} clips were generated by a model ({'; '.join(models)}), with all its faults."
        )
    if dataset.kind == "curated":
        found.append("Copies with larger crops, and clips in which one thing alone is copied, were not looked for.")
        if not about.get("filters", {}).get("text"):
            found.append("On-screen text was not looked for.")
    if dataset.kind == "rendered" and "generated_by" not in about:
        found.append("The clips show a simulated world and nothing else.")
    else:
        found.append("Sound was neither used nor examined.")
    return found


def counted(number: int, what: str) -> str:
    """Return a number with its noun, such as "1 clip" or "1,200 clips"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def duration(seconds: float) -> str:
    """Return a length in words, such as "12 minutes"."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _counts(values: Iterable[str]) -> list[tuple[str, int]]:
    """Return how often each value occurs, the most frequent first; of equal counts in the order of the values."""
    return sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))


def _rights(items: Sequence[Item]) -> list[RightsCount]:
    """Return how many clips have the same rights, the most frequent first."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for item in items:
        licence, holder, source, consent = (str(item.rights.get(name, "")) for name in _RIGHTS)
        counts[licence, holder, source, consent] += 1
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [RightsCount(*rights, clips) for rights, clips in ordered]


def _left_out(rows: Sequence[Mapping[str, Any]]) -> list[LeftOutCount]:
    counts = Counter(row["reason"] for row in rows if row.get("reason"))
    return [LeftOutCount(reason, MEANINGS.get(reason, ""), counts[reason]) for reason in MEANINGS if counts[reason]]
