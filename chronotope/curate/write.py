"""Shots -> clip files: whole files are linked or copied as they are, parts of them are written anew."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope.curate.look import Looked, Shot
from chronotope.errors import FileProblem
from chronotope.jsonl import append_jsonl
from chronotope.manifest import Source, described, identify, read_manifest, seal, source_of
from chronotope.media import video
from chronotope.media.frames import constant_rate
from chronotope.progress import Progress
from chronotope.storage import atomic_file, free_space_for, write_json

__all__ = ["Planned", "write_clips"]

QUALITY = 14  # crf of H.264: 42 dB and more; the clip is compressed once more when it is encoded
SPLITS = ("train", "heldout")
WRITTEN = "clips.jsonl"  # what was written: the file, of which source and span, and its content


@dataclass(frozen=True)
class Planned:
    """A clip to be written: its path below the dataset, the source file, the span, and captions for beside it."""

    clip: str
    path: Path
    looked: Looked
    shot: Shot
    captions: Mapping[str, Sequence[str]]
    source: Source

    @property
    def origin(self) -> list[Any]:
        """What the content of the clip depends on."""
        return [self.source.sha256, self.shot.start, self.shot.seconds, self.shot.whole]


def write_clips(out: Path, planned: Sequence[Planned], copy: bool, progress: Progress | None = None) -> int:
    """Write the clips that are not there yet, and remove those that are planned no longer; returns their number.

    Whole files are hard-linked where the file system allows it; with `copy` they are copied. Raises FileProblem where a
    file of another program stands in the way.
    """
    listing = out / WRITTEN
    rows = read_manifest(listing, lambda _: None) if listing.is_file() else []
    written = {row["clip"]: row for row in rows}  # of several lines, the last one
    gone = _remove_unplanned(out, written, {one.clip for one in planned})
    for number, one in enumerate(planned, start=1):
        known, target = written.get(one.clip), out / one.clip
        if known is None or known["origin"] != one.origin or not _is_there(target, known):
            if target.exists() and known is None:
                raise FileProblem(f"{target} is there and was not written by `chronotope curate`; move it away")
            target.parent.mkdir(parents=True, exist_ok=True)
            row = {"clip": one.clip, "origin": one.origin}
            append_jsonl(listing, seal({**row, "source": None}))  # before: an interrupted run knows what it began
            _write(one, target, copy)
            append_jsonl(listing, seal({**row, "source": described(identify(target, one.clip))}))
        _write_captions(one, target)
        if progress:
            progress(number, len(planned))
    _remove_empty(out)
    return gone


def _remove_unplanned(out: Path, written: Mapping[str, Mapping[str, Any]], wanted: set[str]) -> int:
    """Remove the clips that were written and are planned no longer, unless somebody changed them."""
    gone = 0
    for clip, row in written.items():
        if clip not in wanted and _is_there(out / clip, row):
            (out / clip).unlink()
            _sidecar(out / clip).unlink(missing_ok=True)
            gone += 1
    return gone


def _is_there(path: Path, row: Mapping[str, Any]) -> bool:
    """Return whether a clip has the content that was written."""
    known = source_of(row)
    return known is not None and path.is_file() and identify(path, known.file, known).sha256 == known.sha256


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")


def _write(one: Planned, target: Path, copy: bool) -> None:
    if one.shot.whole:
        with atomic_file(target, keep_suffix=True) as partial:
            _link(one.path, partial, copy)
        return
    free_space_for(target.parent, one.source.bytes)
    rate = constant_rate(one.looked.fps) if one.looked.variable_frame_rate else one.looked.fps
    with video.VideoWriter(target, rate, crf=QUALITY) as writer:
        for frame in _frames(one, rate):
            writer.add(frame)


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
            os.link(source, partial)
            return
    free_space_for(partial.parent, source.stat().st_size)
    shutil.copyfile(source, partial)


def _write_captions(one: Planned, clip: Path) -> None:
    """Write the captions beside a clip where there are none: those that a user has changed stay."""
    if one.captions and not _sidecar(clip).exists():
        write_json(_sidecar(clip), {"captions": {level: list(texts) for level, texts in one.captions.items()}})


def _remove_empty(out: Path) -> None:
    for split in SPLITS:
        for folder in sorted((out / split).rglob("*"), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
