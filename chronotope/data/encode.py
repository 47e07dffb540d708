"""Captioned clips -> latents on disk. The same command again encodes what is new or changed, and removes what is gone.

Every clip is an item by identity (see `manifest`): its file, the hash of its content, its captions. Progress is saved
every few clips: first a file of latents, then the lines of the index that name it. When all clips are done, small files
of latents are merged, the index is sorted, and its hash goes into `latents.json`, which marks the folder as complete.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chronotope.config import to_dict
from chronotope.data.captions import Captions, read_captions
from chronotope.data.clips import Clip, check_outside, scan_folder, taken_from_splits
from chronotope.data.contradictions import contradictions
from chronotope.data.latents import (
    fingerprint,
    keys_of_shard,
    next_shard,
    read_latents,
    shard_path,
    usable_rows,
    write_shard,
)
from chronotope.data.limits import (
    Limits,
    captions_of_part,
    clip_of_row,
    limits_in_header,
    rows_by_clip,
    what_was_limited,
)
from chronotope.data.notes import ClipNotes
from chronotope.data.reading import ClipJob, EncodedPart, PartEncoder, actions_of_row
from chronotope.data.recaptions import Recaptions
from chronotope.data.rendered import (
    changes_since_curation,
    changes_since_rendering,
    find_actions,
    find_environments,
    find_splits,
    find_worlds,
    held_out_copies,
    without_actions,
)
from chronotope.errors import ChronotopeError, DecoderUnavailableError, FileProblem, UsageError
from chronotope.geometry import Geometry
from chronotope.jsonl import append_jsonl, write_jsonl
from chronotope.manifest import LeftOut, Source, described, identify, manifest_hash, seal, source_of
from chronotope.media.generated import generated_in_words, generated_of_rows
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.precision import Precision, UsedPrecision, rounded, used_precision
from chronotope.processes import MAX_WORKERS, run_jobs
from chronotope.progress import Progress
from chronotope.sealed import check_seal, read_sealed, write_sealed
from chronotope.storage import locked, read_json, remove_partials

__all__ = ["NO_LIMITS", "Encoded", "encode_dataset"]

SHARD_CLIPS = 1000  # most clips in one safetensors file
SHARD_BYTES = 2**28  # most bytes of latents in one safetensors file, but for a single larger clip
WORKER_CLIPS, WORKER_BYTES = 100, 2**24  # new clips, or bytes of their files, for which another process is started
NO_LIMITS = Limits()
SAVE_CLIPS, SAVE_SECONDS = 16, 10.0  # progress is saved after so many clips or seconds, whichever comes first

Row = dict[str, Any]
Note = Callable[[str], None]


@dataclass(frozen=True)
class Encoded:
    """What a run found in the folder of clips, compared with the latents that were there, and what it left out."""

    clips: int
    new: int
    changed: int
    recaptioned: int
    gone: int
    captioned: int
    left_out: tuple[LeftOut, ...]
    items: int = 0  # with each part of a clip that was cut
    other_actions: int = 0

    def in_words(self) -> str:
        """Return one line such as "40 clips: 3 new, 1 changed, 1 gone"."""
        counts = {"new": self.new, "changed": self.changed, "with new captions": self.recaptioned}
        counts |= {"with other actions": self.other_actions, "gone": self.gone}
        parts = [f"{count} {name}" for name, count in counts.items() if count]
        if self.left_out:
            parts.append(f"{len(self.left_out)} left out")
        clips = f"{self.clips} {'clip' if self.clips == 1 else 'clips'}"
        if self.items > self.clips:
            clips += f" in {self.items} items"
        return f"{clips}: {', '.join(parts) or 'nothing has changed'}"


def encode_dataset(
    data: Path,
    out: Path,
    autoencoder: Autoencoder,
    geometry: Geometry,
    shuffled: float = 0.0,
    progress: Progress | None = None,
    note: Note | None = None,
    strict: bool = False,
    limits: Limits = NO_LIMITS,
    workers: int | None = None,
    precision: Precision = "auto",
) -> Encoded:
    """Bring the latents in `out` up to date with the clips below `data`.

    In a share `shuffled` of the clips, still slices are at random places, so that a model learns them at any place.
    Clips beyond the `limits` are scaled down, resampled and cut into parts. `workers` processes encode, with the same
    result as one; None stands for the cores, or fewer for little work. The precision "auto" is that of the latents in
    `out`, or the one that is fastest here. A clip that cannot be read or encoded is left out and named in the result;
    with `strict` it stops the run. `note` receives sentences for the user. Raises UsageError where `out` holds latents
    of another autoencoder, precision, share, of other limits or of another dataset, or lies among the clips,
    FileProblem where no clip can be encoded or nothing can be written.
    """
    if not 0 <= shuffled <= 1:
        raise UsageError(f"the share of clips that are cut at random places must lie between 0 and 1, got {shuffled}")
    limits.check_cell(geometry.cell)
    note = note or (lambda _: None)
    folder = scan_folder(data)
    check_outside(out, data)
    beside = taken_from_splits(data, [clip.file for clip in folder.clips])
    for sentence in [*folder.notes(), *folder.notes_on_captions(), *beside]:
        note(sentence)
    about = {
        "autoencoder": fingerprint(autoencoder),
        "stride": list(geometry.stride),
        "channels": autoencoder.config.channels,
        "shuffled": shuffled,
        **({"limits": limits.described()} if limits else {}),
        "data": str(data.resolve()),
        "data_from_here": os.path.relpath(data.resolve(), out.resolve()),
        "worlds": find_worlds(data, note),
        "splits": find_splits(data),
        **_curation(data, note),
    }
    schema = find_actions(data)
    if schema:
        about |= {"actions": to_dict(schema), "environments": find_environments(data)}
    with locked(out):
        remove_partials(out)
        writer = _Writer(out, about, note, limits, folder.clips)
        used = writer.set_precision(precision, autoencoder.latent_mean.device)
        writer.check_folder(folder.clips)
        encoder = PartEncoder(rounded(autoencoder, used), geometry, limits, shuffled, schema)
        return _Update(writer, folder.clips, progress, strict).run(encoder, workers)


def _curation(data: Path, note: Callable[[str], None]) -> dict[str, str]:
    """Return the Merkle root of the clips of a curated dataset, by which a model tells what it was trained on.

    A list that is not of these clips has none, which `note` is told.
    """
    header = data / "curation.json"
    if not header.is_file():
        return {}
    if changes_since_curation(data):  # which were said
        note(f"the latents name no Merkle root, since the list in {header} is not of these clips")
        return {}
    return {"curation": str(read_sealed(header, "run the same `chronotope curate` command again").get("merkle_root"))}


def _is_changed(before: Sequence[Row], rows: Sequence[Row]) -> bool:
    """Return whether the content of a clip that was encoded before is another one now."""
    return bool(before) and rows[0]["source"]["sha256"] not in {made.sha256 for made in map(source_of, before) if made}


def _plain(captions: Captions) -> dict[str, list[str]]:
    return {level: list(texts) for level, texts in captions.items()}


@dataclass
class _Work:
    """A clip that is brought up to date: what it is now, its rows before, and its rows so far."""

    clip: Clip
    before: Sequence[Row]
    source: Source
    captions: Captions
    rows: list[Row]
    encoded: bool = False


class _Update:
    """Brings the latents up to date with the clips, in their order as far as one process does it."""

    def __init__(self, writer: _Writer, clips: Sequence[Clip], progress: Progress | None, strict: bool) -> None:
        self.writer, self.clips, self.progress, self.strict = writer, clips, progress, strict
        self.old = rows_by_clip(writer.rows)
        self.kept: dict[int, list[Row]] = {}  # rows by the number of the clip
        self.left_out: dict[int, LeftOut] = {}
        self.counts = {"clips": 0, "captioned": 0, "new": 0, "changed": 0, "recaptioned": 0, "other_actions": 0}
        self.work: dict[int, _Work] = {}

    def run(self, encoder: PartEncoder, workers: int | None) -> Encoded:
        """Encode what is new or changed, in `workers` processes, and complete the folder."""
        writer, workers = self.writer, workers or self._workers(encoder)
        self.schema = encoder.schema
        with writer, contextlib.closing(run_jobs(encoder, self._jobs(), workers)) as messages:
            for message in messages:
                number, work = message.number, self.work.get(message.number)
                if work is None:
                    continue  # it was left out at an earlier part
                try:
                    if message.problem:
                        raise message.problem
                    if message.ended:
                        self._finish(number, self.work.pop(number))
                    else:
                        self._take(work, message.result)
                except ChronotopeError as problem:
                    self._leave_out(number, problem)
        rows = [row for number in sorted(self.kept) for row in self.kept[number]]
        left_out = tuple(self.left_out[number] for number in sorted(self.left_out))
        if not rows:
            raise FileProblem(
                f"none of the {len(self.clips)} clips can be encoded into {writer.out}; the first: {left_out[0].reason}"
            )
        data = Path(writer.about["data"])
        contents = {row["source"]["file"]: row["source"]["sha256"] for row in rows}
        for sentence in (*without_actions(data, self.schema, rows), *held_out_copies(data, contents)):
            writer.note(sentence)
        generated = generated_of_rows(rows)
        for sentence in generated_in_words(data, generated):
            writer.note(sentence)
            writer.about["generated_by"] = sorted(set(generated.values()) - {""})
        for sentence in changes_since_rendering(data, rows):
            writer.note(sentence)
            writer.about["worlds"] = []  # the model must not claim to know only what worlds rendered
        if limited := what_was_limited(rows, writer.limits):
            writer.note(f"{writer.about['data']}: {limited}")
        writer.complete(rows, left_out)
        gone = len(self.old.keys() - writer.keys)
        return Encoded(gone=gone, left_out=left_out, items=len(rows), **self.counts)

    def _workers(self, encoder: PartEncoder) -> int:
        """Return the number of cores, or less for little work, because a process takes seconds to start.

        A GPU is used by one process.
        """
        if encoder.autoencoder.latent_mean.device.type != "cpu":
            return 1
        new = [clip for clip in self.clips if clip.key not in self.old]
        num_bytes = sum(clip.path.stat().st_size for clip in new if clip.path.is_file())
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(cores, MAX_WORKERS, max(len(new) // WORKER_CLIPS, num_bytes // WORKER_BYTES)))

    def _jobs(self) -> Iterator[tuple[int, ClipJob]]:
        """Yield what is to be encoded; clips whose rows can be kept are finished on the way."""
        for number, clip in enumerate(self.clips):
            try:
                work = self._look(clip)
                kept = {row["key"]: row for row in work.before if _content(row) == work.source.sha256}
                if not kept or len(kept) != next(iter(kept.values())).get("parts", 1):
                    self.work[number] = work
                    yield number, ClipJob(clip, work.source, kept)
                    continue
                work.rows = sorted(kept.values(), key=lambda row: float(row.get("start", 0)))
                self._finish(number, work)
            except ChronotopeError as problem:
                self._leave_out(number, problem)

    def _look(self, clip: Clip) -> _Work:
        before = self.old.get(clip.key, [])
        known = max((found for found in map(source_of, before) if found), key=lambda one: one.changed, default=None)
        source = identify(clip.path, clip.file, known)
        beside = read_captions(clip.path, self.writer.clip_notes.captions)
        return _Work(clip, before, source, self.writer.recaptions.merged(beside, clip.file, source.sha256), [])

    def _take(self, work: _Work, part: EncodedPart) -> None:
        """Take a part of a clip: its remarks, and its latents unless an interrupted run wrote them."""
        for sentence in part.sentences:
            self.writer.clip_notes.clip(sentence)
        for remark in part.remarks:
            self.writer.clip_notes.remarks.add(work.clip.file, remark)
        if part.latents is None:
            work.rows += [part.row] if part.row else []
            return
        key = part.row["key"]
        if key != work.clip.key and key in self.writer.keys:
            raise FileProblem(f"a part of {work.clip.path} has the name of another clip, {key}; rename that one")
        row = {**part.row, "captions": _plain(captions_of_part(work.captions, part.row))}
        work.rows.append(self.writer.add(row, part.latents))
        work.encoded = True

    def _finish(self, number: int, work: _Work) -> None:
        clip, before, captions = work.clip, work.before, work.captions
        now = {"source": described(work.source)}
        rows = [
            seal({**actions_of_row(row, clip, self.schema), **now, "captions": _plain(captions_of_part(captions, row))})
            for row in work.rows
        ]
        whole = rows[0].get("original") or {**rows[0], "num_frames": sum(rows[0]["slices"])}
        size = f"{whole['width']}x{whole['height']}"
        for found in contradictions(clip.path, captions, whole["num_frames"], whole["fps"], size):
            self.writer.clip_notes.captions(found)
        if work.encoded:
            self.counts["changed" if _is_changed(before, rows) else "new"] += 1
        elif before:
            for name, field in (("recaptioned", "captions"), ("other_actions", "actions")):
                self.counts[name] += [row.get(field) for row in rows] != [row.get(field) for row in before]
        self.counts["clips"] += 1
        self.counts["captioned"] += bool(rows[0]["captions"])
        self.kept[number] = rows
        self._report()

    def _leave_out(self, number: int, problem: ChronotopeError) -> None:
        """Leave out a clip; raise the problem where it is not that of the clip, or where all clips must be there."""
        self.work.pop(number, None)
        if isinstance(problem, DecoderUnavailableError):
            raise DecoderUnavailableError(f"{self.writer.out} is not complete: {problem}") from problem
        if self.strict:
            raise problem
        self.left_out[number] = LeftOut(self.clips[number].key, str(problem))
        self._report()

    def _report(self) -> None:
        if self.progress:
            self.progress(len(self.kept) + len(self.left_out), len(self.clips))


def _content(row: Row) -> str:
    """Return the hash of the content of which a row is; nothing where it names none."""
    source = source_of(row)
    return source.sha256 if source else ""


class _Writer:
    """Writes a folder of latents: shards and index lines while clips are encoded, and the complete state at the end.

    As a context manager it saves what was added when the block ends, whether or not it fails.
    """

    def __init__(self, out: Path, about: dict[str, Any], note: Note, limits: Limits, clips: Sequence[Clip]) -> None:
        self.out, self.about, self.note, self.limits = out, about, note, limits
        self.keys = frozenset(clip.key for clip in clips)
        self.clip_notes = ClipNotes(note, Path(about["data"]))
        self.recaptions = Recaptions(Path(about["data"]), note)
        for line in self.recaptions.remarks():
            note(line)
        self.header, self.index = out / "latents.json", out / "index.jsonl"
        self.before: dict[str, Any] = self._read_header()
        self.damaged = False  # whether the index holds lines that cannot be used
        self.rows = usable_rows(out, self._note_damage) if self.index.is_file() else []
        self.tensors: dict[str, Tensor] = {}
        self.added: list[Row] = []
        self.saved_at = time.monotonic()

    def _read_header(self) -> dict[str, Any]:
        """Return the header of the folder, {} of a new one; raise FileProblem where it does not say who made it."""
        told = read_json(self.header) if self.header.is_file() else None
        if isinstance(told, dict) and isinstance(told.get("autoencoder"), str):
            return told
        if told is not None or self.index.is_file() or any(self.out.glob("latents-*.safetensors")):
            raise FileProblem(
                f"{self.header} is missing or damaged, so nothing says which autoencoder made the latents of "
                f"{self.out}; give another --out, or delete the folder if it holds nothing else"
            )
        return {}

    def _note_damage(self, sentence: str) -> None:
        self.damaged = True
        self.clip_notes.clip(sentence)

    def set_precision(self, asked: Precision, device: torch.device) -> UsedPrecision:
        """Return the precision to encode in, which the header states; a folder that was begun goes on in its own."""
        before: Precision = self.before.get("precision", "fp32") if self.before else "auto"  # earlier versions had one
        used = used_precision(before if asked == "auto" else asked, device)
        self.about["precision"] = used
        return used

    def check_folder(self, clips: Sequence[Clip]) -> None:
        """Raise UsageError unless the folder is new or holds latents of the same autoencoder, cut and dataset."""
        if not self.before:
            return
        other = None
        if self.before.get("autoencoder") != self.about["autoencoder"]:
            other = "latents of another autoencoder"
        elif any(self.before.get(name) != self.about[name] for name in ("stride", "channels", "shuffled")):
            other = "clips that were cut otherwise"
        elif self.before.get("actions") != self.about.get("actions"):
            other = "clips with other actions"
        elif self.before.get("precision", "fp32") != self.about["precision"]:
            other = f"latents of precision {self.before.get('precision', 'fp32')}, not {self.about['precision']}"
        elif self.before.get("limits") != self.about.get("limits"):
            then = limits_in_header(self.before)
            other = f"clips that were scaled, resampled or cut otherwise (limits then: {then}; now: {self.limits})"
        elif self.rows and self.before.get("data") != self.about["data"]:
            if not self._knows_any(clips):
                other = f"latents of other clips, those of {self.before.get('data')}"
        if other:
            check_seal(self.before, self.header, f"delete the folder {self.out} and run the command again")
            raise UsageError(f"{self.out} holds {other}; give another --out or delete the folder")

    def _knows_any(self, clips: Sequence[Clip]) -> bool:
        """Return whether the content of any of these clips was encoded before: their folder may have been moved."""
        known = {clip_of_row(row): source_of(row) for row in self.rows}
        for clip in clips:
            source = known.get(clip.key)
            if source and identify(clip.path, clip.file, source).sha256 == source.sha256:
                return True
        return False

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.clip_notes.close()  # also of an interrupted run: a clip that is encoded is not opened again
        self.save()

    def add(self, row: Row, latents: Tensor) -> Row:
        """Take the latents of one clip; save all that are waiting when there are enough. Return the sealed row."""
        if not self.added:
            self.shard = next_shard(self.out)
        row = seal({**row, "shard": self.shard})
        self.tensors[row["key"]] = latents
        self.added.append(row)
        waiting = sum(tensor.nbytes for tensor in self.tensors.values())
        late = time.monotonic() - self.saved_at > SAVE_SECONDS
        if late or len(self.added) >= SAVE_CLIPS or waiting > SHARD_BYTES:
            self.save()
        return row

    def save(self) -> None:
        """Write the latents that are waiting, then their lines of the index."""
        if self.added:
            if self.before.get("manifest"):  # from now on the folder is not complete
                self.before = {}
            if not self.before:
                self.before = self.about
                write_sealed(self.header, self.about)
            write_shard(self.out, self.shard, self.tensors)
            append_jsonl(self.index, *self.added)
        self.tensors, self.added, self.saved_at = {}, [], time.monotonic()

    def complete(self, rows: list[Row], left_out: Sequence[LeftOut]) -> None:
        """Merge small shards, write the index of all rows in order and the header of the complete folder."""
        if unused := self.recaptions.unused({row["source"]["sha256"] for row in rows}):
            self.note(unused)
        rows = self._merged(rows)
        header = {
            **self.about,
            "clips": len(rows),
            "manifest": manifest_hash(rows),
            "left_out": [{"key": item.key, "reason": item.reason} for item in left_out],
        }
        header = seal(header)
        if header != self.before or rows != self.rows or self.damaged:
            write_jsonl(self.index, rows)
            write_sealed(self.header, header)
        used = {shard_path(self.out, row["shard"]) for row in rows}
        for path in set(self.out.glob("latents-*.safetensors")) - used:
            path.unlink()

    def _merged(self, rows: list[Row]) -> list[Row]:
        """Rewrite the shards that hold latents of removed clips, or few clips where there are several such."""
        by_shard: dict[int, list[Row]] = {}
        for row in rows:
            by_shard.setdefault(row["shard"], []).append(row)
        sizes = {shard: shard_path(self.out, shard).stat().st_size for shard in by_shard}
        keys = {shard: {row["key"] for row in held} for shard, held in by_shard.items()}
        stale = {shard for shard in by_shard if keys_of_shard(self.out, shard) != keys[shard]}
        small = {shard for shard in by_shard if len(by_shard[shard]) < SHARD_CLIPS and sizes[shard] < SHARD_BYTES}
        rewritten = stale | (small if len(small) > 1 else set())
        moved: dict[str, int] = {}
        number = next_shard(self.out)
        tensors: dict[str, Tensor] = {}
        for row in rows:
            if row["shard"] not in rewritten:
                continue
            tensors[row["key"]] = read_latents(self.out, row["shard"], row["key"], row["sha256"])
            moved[row["key"]] = number
            if len(tensors) == SHARD_CLIPS or sum(tensor.nbytes for tensor in tensors.values()) > SHARD_BYTES:
                write_shard(self.out, number, tensors)
                number, tensors = number + 1, {}
        if tensors:
            write_shard(self.out, number, tensors)
        return [{**row, "shard": moved.get(row["key"], row["shard"])} for row in rows]
