"""Shots -> clip files: whole files are linked or copied as they are, parts of them are written anew."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from chronotope.curate.look import Looked, Shot
from chronotope.errors import ChronotopeError, FileProblem
from chronotope.jsonl import append_jsonl
from chronotope.manifest import Source, described, identify, read_manifest, seal, source_of
from chronotope.media import video
from chronotope.media.frames import constant_rate
from chronotope.media.generated import provenance
from chronotope.progress import Progress
from chronotope.storage import atomic_file, file_sha256, free_space_for, read_json, write_json

__all__ = ["Planned", "Written", "write_clips", "written_contents"]

QUALITY = 14  # crf of H.264: 42 dB and more; the clip is compressed once more when it is encoded
SPLITS = ("train", "heldout")
WRITTEN = "clips.jsonl"  # what was written: the file, of which source and span, and its content


@dataclass(frozen=True)
class Planned:
    """A clip to be written: its path below the dataset, the source file, the span, and captions for beside it.

    A part of a generated clip says in its tags that it is one.
    """

    clip: str
    path: Path
    looked: Looked
    shot: Shot
    captions: Mapping[str, Sequence[str]]
    source: Source
    generated_by: str = ""  # the weights of the model that made the source, if one did

    @property
    def origin(self) -> list[Any]:
        """What the content of the clip depends on."""
        made = [self.generated_by] if self.generated_by and not self.shot.whole else []
        return [self.source.sha256, self.shot.start, self.shot.seconds, self.shot.whole, *made]


class Written(NamedTuple):
    """How many clips were removed, and the source files that had changed since they were looked at."""

    gone: int
    changed: frozenset[str]


def written_contents(out: Path) -> dict[str, str]:
    """Return the hashes of the clips as they were written, by their paths below the dataset."""
    listing = out / WRITTEN
    rows = read_manifest(listing, lambda _: None) if listing.is_file() else []
    return {row["clip"]: source.sha256 for row in rows if (source := source_of(row))}


def write_clips(
    out: Path,
    planned: Sequence[Planned],
    copy: bool,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Written:
    """Write the clips that are not there yet, and remove those that are planned no longer.

    Whole files are hard-linked where the file system allows it; with `copy` they are copied. A clip whose source has
    another content than was planned is not written, and its source is named. Raises FileProblem where a file of another
    program stands in the way.
    """
    listing = out / WRITTEN
    rows = read_manifest(listing, lambda _: None) if listing.is_file() else []
    written = {row["clip"]: row for row in rows}  # of several lines, the last one
    others: list[Path] = []
    changed: set[str] = set()
    gone = _remove_unplanned(out, written, {one.clip for one in planned}, note)
    for number, one in enumerate(planned, start=1):
        known, target = written.get(one.clip), out / one.clip
        if known is None or known["origin"] != one.origin or not _is_there(target, known):
            if target.exists() and known is None:
                raise FileProblem(f"{target} is there and was not written by `chronotope curate`; move it away")
            target.parent.mkdir(parents=True, exist_ok=True)
            if known is not None and known["origin"] != one.origin:
                others += _set_aside(_sidecar(target), _told(known))
            row = {"clip": one.clip, "origin": one.origin, "captions": _told(known)}
            append_jsonl(listing, seal({**row, "source": None}))  # before: an interrupted run knows what it began
            if (source := _write(one, target, copy)) is None:
                changed.add(one.source.file)
                continue
            known = {**row, "source": described(source)}
            append_jsonl(listing, seal(known))
        text = _write_captions(one, target, _told(known))
        if text != _told(known):
            append_jsonl(listing, seal({**_unsealed(known), "captions": text}))
        if progress:
            progress(number, len(planned))
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        note(
            f"captions written by hand are of shots that are other ones now, so they are kept as "
            f"{others[0].name}{more}; write them again where they still hold"
        )
    _remove_empty(out)
    return Written(gone, frozenset(changed))


def _set_aside(beside: Path, told: str) -> list[Path]:
    """Rename captions that a user wrote or changed, and return where they are now."""
    if not beside.exists() or (told and _digest(beside) == told):
        return []
    names = (beside.with_name(f"{beside.name}.old{number or ''}") for number in itertools.count())
    target = next(name for name in names if not name.exists())
    beside.rename(target)
    return [target]


def _remove_unplanned(
    out: Path, written: Mapping[str, Mapping[str, Any]], wanted: set[str], note: Callable[[str], None]
) -> int:
    """Remove the clips that were written and are planned no longer, unless somebody changed them."""
    gone, kept = 0, []
    for clip, row in written.items():
        if clip not in wanted and _is_there(out / clip, row):
            (out / clip).unlink()
            gone += 1
            beside = _sidecar(out / clip)
            if beside.is_file() and _digest(beside) == _told(row):
                beside.unlink()
            elif beside.exists():
                kept.append(beside.name)
    if kept:
        note(f"{len(kept)} caption files that were written by hand stay, though their clips are gone: {kept[0]}")
    return gone


def _told(row: Mapping[str, Any] | None) -> str:
    """Return the hash of the captions that were written beside a clip; "" where there were none."""
    return str(row.get("captions", "")) if row else ""


def _unsealed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "seal"}


def _digest(path: Path) -> str:
    return file_sha256(path)[:16]


def _is_there(path: Path, row: Mapping[str, Any]) -> bool:
    """Return whether a clip has the content that was written."""
    known = source_of(row)
    return known is not None and path.is_file() and identify(path, known.file, known).sha256 == known.sha256


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")


def _write(one: Planned, target: Path, copy: bool) -> Source | None:
    """Write a clip and return its identity; None, and no file, where the content of its source is another one."""
    try:
        if one.shot.whole:
            with atomic_file(target, keep_suffix=True) as partial:
                _link(one.path, partial, copy)
            written = identify(target, one.clip)
            same = written.sha256 == one.source.sha256
        else:
            _write_span(one, target)
            written, same = identify(target, one.clip), _is_planned(one)
    except (ChronotopeError, FileNotFoundError):
        if _is_planned(one):
            raise
        same = False
    if same:
        return written
    target.unlink(missing_ok=True)
    return None


def _is_planned(one: Planned) -> bool:
    """Return whether the source file still has the content that was looked at."""
    try:
        return identify(one.path, one.source.file, one.source).sha256 == one.source.sha256
    except FileProblem:
        return False


def _write_span(one: Planned, target: Path) -> None:
    free_space_for(target.parent, one.source.bytes)
    rate = constant_rate(one.looked.fps) if one.looked.variable_frame_rate else one.looked.fps
    tags = provenance(one.path) or None
    with video.VideoWriter(target, rate, metadata=tags, crf=QUALITY, complete=_without_sidecar) as writer:
        for frame in _frames(one, rate):
            writer.add(frame)


def _without_sidecar(partial: Path, metadata: dict[str, Any] | None) -> None:
    """Leave the settings to the tags: the file beside a clip holds its captions."""


def _frames(one: Planned, rate: float) -> Iterator[Any]:
    """Yield the frames of a span, those of a varying rate at a constant one, with square pixels."""
    resampled = rate if one.looked.variable_frame_rate else None
    frames = video.stream(one.path, fps=resampled, start=one.shot.start, seconds=one.shot.seconds)
    limit = one.shot.frames if resampled is None else None
    for number, frame in enumerate(frames):
        if limit is not None and number >= limit:
            break
        yield video.resize(frame, one.looked.height, one.looked.width)
    frames.close()


def _link(source: Path, partial: Path, copy: bool) -> None:
    """Link or copy a file into the place of an empty one."""
    if not copy:
        with contextlib.suppress(OSError):
            partial.unlink()
            os.link(source.resolve(), partial)  # not a link itself, which may be relative
            return
    free_space_for(partial.parent, source.stat().st_size)
    shutil.copyfile(source, partial)


def _write_captions(one: Planned, clip: Path, told: str) -> str:
    """Write the captions beside a clip; those that a user wrote or changed stay. Return the hash of what was written.

    `told` is that of an earlier run.
    """
    beside = _sidecar(clip)
    if beside.exists() and (not told or _digest(beside) != told):
        return told
    if not one.captions:
        beside.unlink(missing_ok=True)
        return ""
    text = {"captions": {level: list(texts) for level, texts in one.captions.items()}}
    if not beside.exists() or read_json(beside) != text:
        write_json(beside, text)
    return _digest(beside)


def _remove_empty(out: Path) -> None:
    for split in SPLITS:
        for folder in sorted((out / split).rglob("*"), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
