"""Looked-at files -> which shots are kept, which are not and why, and in which split; a pure function of its inputs."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated

from chronotope.config import NotNegative, Positive, Range, Share
from chronotope.curate.fingerprints import NEAR_BITS, Fingerprinted, near_duplicates
from chronotope.curate.look import Looked, Shot
from chronotope.errors import UsageError, suggest

__all__ = ["REASONS", "Decision", "Filters", "Item", "decide"]

NEAR_BITS_OF_PICTURES = 31  # they have one frame alone to be told by
REASONS = ("short", "small", "text", "still", "dark", "bright", "flat", "blurred", "repeated", "duplicate")


@dataclass(frozen=True)
class Filters:
    """What is left out; `keep` names reasons that do not count. Units are those of `scores`.

    `heldout` is the share of sources that are set aside for tests. Pictures are not judged by their length and motion.
    With `text`, on-screen text is looked for.
    """

    min_seconds: NotNegative = 0.5
    max_seconds: Positive = 60.0
    min_side: Annotated[int, Range(0, 2**16)] = 48
    min_motion: NotNegative = 0.001
    min_brightness: Share = 0.03
    max_brightness: Share = 0.97
    min_contrast: Share = 0.02
    min_sharpness: NotNegative = 0.03
    max_repeated: Share = 0.95
    text: bool = False
    max_text: Share = 0.01
    heldout: Annotated[float, Range(0, 0.9)] = 0.1
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for reason in self.keep:
            if reason not in REASONS:
                raise UsageError(f"'{reason}' is no reason to leave a shot out. {suggest(reason, REASONS)}")


@dataclass(frozen=True)
class Item:
    """A shot of a file, `number` from 0, that may become a clip; `key` names it."""

    key: str
    file: str
    sha256: str
    number: int
    looked: Looked
    shot: Shot
    captioned: bool = False


@dataclass(frozen=True)
class Decision:
    """What becomes of an item: kept where `reason` is "", in a split; `duplicate_of` is the key of a better one."""

    reason: str = ""
    why: str = ""
    split: str = "train"
    duplicate_of: str = ""


def decide(items: Sequence[Item], filters: Filters, known: Mapping[str, str] | None = None) -> dict[str, Decision]:
    """Return the decision on every item by its key.

    All shots of a file, and all files that show nearly the same, are in one split; `known` are the splits of contents,
    by their hashes, in an earlier curation, which stay.
    """
    found = {item.key: _filtered(item, filters) for item in items}
    kept = [item for item in items if not found[item.key].reason]
    copies: dict[str, str] = {}
    for pictures in (False, True):  # a picture is no duplicate of the clip that it was taken from
        alike = [item for item in kept if item.looked.picture == pictures]
        near = NEAR_BITS_OF_PICTURES if pictures else NEAR_BITS
        copies |= near_duplicates([_fingerprinted(item) for item in alike], near)
    if "duplicate" not in filters.keep:
        for key, original in copies.items():
            found[key] = Decision("duplicate", f"nearly the same as {original}", duplicate_of=original)
    used = {item.file for item in items if not found[item.key].reason}
    heldout = _heldout(items, copies, used, filters.heldout, known or {})
    return {
        item.key: Decision(
            found[item.key].reason,
            found[item.key].why,
            "heldout" if item.file in heldout else "train",
            found[item.key].duplicate_of,
        )
        for item in items
    }


def _filtered(item: Item, filters: Filters) -> Decision:
    scores, shot, looked = item.shot.scores, item.shot, item.looked
    moving = not looked.picture
    side = min(looked.width, looked.height)
    checks = (
        ("short", moving and shot.seconds < filters.min_seconds, f"{shot.seconds:.3g} seconds"),
        ("small", side < filters.min_side, f"{looked.width}x{looked.height}"),
        ("text", scores.text is not None and scores.text > filters.max_text, f"text covers {scores.text or 0:.1%}"),
        ("dark", scores.brightness < filters.min_brightness, f"mean light {scores.brightness:.3f}"),
        ("bright", scores.brightness > filters.max_brightness, f"mean light {scores.brightness:.3f}"),
        ("flat", scores.contrast < filters.min_contrast, f"contrast {scores.contrast:.3f}"),
        ("blurred", scores.sharpness < filters.min_sharpness, f"sharpness {scores.sharpness:.3f}"),
        ("repeated", moving and scores.repeated > filters.max_repeated, f"{scores.repeated:.0%} of frames repeat"),
        ("still", moving and scores.motion < filters.min_motion, f"motion {scores.motion:.4f} widths a second"),
    )
    for reason, applies, why in checks:
        if applies and reason not in filters.keep:
            return Decision(reason, why)
    return Decision()


def _fingerprinted(item: Item) -> Fingerprinted:
    """Return an item as it is compared; one with a caption, then more pixels, then more seconds are worth keeping."""
    pixels = item.looked.width * item.looked.height
    shot = item.shot
    rank = (float(not item.captioned), -float(pixels), -shot.seconds)
    return Fingerprinted(item.key, shot.hashes, rank, item.file, shot.colour)


def _heldout(
    items: Sequence[Item], copies: Mapping[str, str], used: set[str], share: float, known: Mapping[str, str]
) -> set[str]:
    """Return the files of the held-out split: by a hash of their content, at least one of several that are `used`.

    Files that are linked by near-duplicates are one source. Training is left at least one.
    """
    files = {item.file: item.sha256 for item in items}
    source = {file: file for file in files}

    def root(file: str) -> str:
        while source[file] != file:
            file = source[file]
        return file

    of_key = {item.key: item.file for item in items}
    for key, original in copies.items():
        first, second = sorted((root(of_key[key]), root(of_key[original])))
        source[second] = first
    groups: dict[str, list[str]] = {}
    for file in files:
        groups.setdefault(root(file), []).append(file)
    in_use = {name: group for name, group in groups.items() if used & set(group)}
    if share == 0 or len(in_use) < 2:
        return set()
    places = {name: _place(files[name]) for name in groups}
    before = {
        name: splits
        for name, group in groups.items()
        if (splits := {known[files[file]] for file in group if files[file] in known})
    }
    chosen = {name for name in groups if (before[name] == {"heldout"} if name in before else places[name] < share)}
    if not chosen & in_use.keys():
        free = [name for name in in_use if name not in before] or ([] if before else list(in_use))
        chosen |= set(sorted(free, key=places.__getitem__)[:1])
    if in_use.keys() <= chosen:
        chosen.discard(max(in_use, key=places.__getitem__))
    return {file for name in chosen for file in groups[name]}


def _place(sha256: str) -> float:
    """Return a number from 0 to 1 for a content, which does not depend on the other files."""
    return int(hashlib.sha256(f"heldout {sha256}".encode()).hexdigest()[:12], 16) / 16**12


def keys_of(files: Sequence[str], shots: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the keys of the shots of each file: its name without the ending, and a number where there are several.

    Two files that would share a name keep their endings. Where the shots of a file would still have a name of another
    one, as of `a.mp4` and `a_0001.mp4`, its name is lengthened.
    """
    stems = {file: PurePosixPath(file).with_suffix("").as_posix() for file in files}
    count = Counter(stems.values())
    keys: dict[str, list[str]] = {}
    taken: set[str] = set()
    for file, stem in sorted(stems.items(), key=lambda one: shots[one[0]]):  # whole files have their own names first
        name = stem if count[stem] == 1 else re.sub(r"\.([^./]+)$", r"_\1", file)
        while taken & set(named := _numbered(name, shots[file])):
            name += "_"
        keys[file] = named
        taken |= set(named)
    return keys


def _numbered(name: str, shots: int) -> list[str]:
    return [f"{name}_{number + 1:04d}" for number in range(shots)] if shots > 1 else [name]
