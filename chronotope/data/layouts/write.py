"""Rows of a layout -> a plain dataset: each clip, linked or copied, and its captions in NAME.json beside it.

The same command again adds what is new, replaces what was changed at its source, and removes what a new import would
not have, so that both give the same dataset. What somebody edited in the new dataset stays as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from chronotope.actions import left_behind
from chronotope.data.captions import caption_names
from chronotope.data.clips import SUFFIXES, Split, check_outside, first_names
from chronotope.data.layouts.authors import Line, lines_of, write_lines
from chronotope.data.layouts.detect import read_layout
from chronotope.data.layouts.exported import exported_shards, restore_manifest
from chronotope.data.layouts.reading import HELDOUT, Member, Reading, Row
from chronotope.data.layouts.record import IMPORTED, Entry, Names, Record
from chronotope.data.layouts.shards import WEBDATASET
from chronotope.errors import FileProblem, UsageError
from chronotope.manifest import LeftOut, Source, identify
from chronotope.progress import Progress
from chronotope.storage import atomic_file, free_space_for, json_text, locked, remove_partials, write_atomically

__all__ = ["Imported", "import_dataset"]

SAVE_CLIPS, SAVE_SECONDS = 64, 10.0  # a killed import loses the record of at most as many clips, and takes it up again
_OTHERS = ("latents.json", "dataset.json", "model.json", "ledger.jsonl")  # of folders that this program fills otherwise


@dataclass(frozen=True)
class Imported:
    """What an import found and did. `notes` and `left_out` are in the order in which they are to be said.

    Of all `clips`, `heldout` ones are held out.
    """

    layout: str
    clips: int
    heldout: int
    new: int
    changed: int
    moved: int
    recaptioned: int
    gone: int
    notes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]

    def in_words(self) -> str:
        """Return one line such as "12 clips: 3 new, 1 changed, 1 gone"."""
        counts = {"new": self.new, "changed": self.changed, "of another split": self.moved}
        counts |= {"with new captions": self.recaptioned, "gone": self.gone}
        parts = [f"{count} {name}" for name, count in counts.items() if count]
        if self.left_out:
            parts.append(f"{len(self.left_out)} left out")
        clips = f"{self.clips} {'clip' if self.clips == 1 else 'clips'}"
        heldout = f", {self.heldout} of them held out" if self.heldout else ""
        return f"{clips}{heldout}: {', '.join(parts) or 'nothing has changed'}"


def import_dataset(
    folder: Path,
    out: Path,
    layout: str | None = None,
    copy: bool = False,
    follow: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Read a folder in somebody's layout and bring the dataset `out` up to date with it.

    Clips are hard links where the file system allows, unless `copy`. Raises UsageError for a folder in no known layout,
    and for an `out` that holds something else.
    """
    check_outside(out, folder)
    if folder.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{folder} lies in {out}, the folder to fill; give another --out")
    if other := next((name for name in _OTHERS if (out / name).exists()), None):
        raise UsageError(f"{out} holds {other}, so it is filled with something else; give another --out")
    found, reading = read_layout(folder, layout, follow)
    with locked(out):
        record = Record(out, {"folder": str(folder.resolve()), "layout": found.name}, reading.note)
        exported = found.name == WEBDATASET.name and exported_shards(folder)
        record.begin()
        run = _Import(out, reading, record, copy)
        imported = run.run(found.name, progress)
        notes = restore_manifest(folder, out, run.entries) if exported else []
        return replace(imported, notes=(*imported.notes, *notes))


class _NotImported(Exception):
    """A clip cannot be imported, for the reason that this says."""


class _Import:
    """One run: the rows of a reading, the record of the runs before, and what is counted on the way."""

    def __init__(self, out: Path, reading: Reading, record: Record, copy: bool) -> None:
        self.out, self.reading, self.record, self.copy = out, reading, record, copy
        self.entries = dict(record.entries)
        self.counts = dict.fromkeys(("new", "changed", "moved", "recaptioned", "gone"), 0)
        self.lines: list[Line] = []  # on captions that programs wrote
        self.names = Names()
        for entry in self.entries.values():
            self.names.take(entry.key)

    def run(self, layout: str, progress: Progress | None) -> Imported:
        rows = self.reading.rows
        self._follow_names(rows)
        rows = self._set_copies_aside(rows)
        keys = {row.label: self._key(row) for row in rows}
        paths = (row.content for row in rows if isinstance(row.content, Path))
        for sentence in left_behind(paths, "to train on them, encode the folder as it is"):
            self.reading.note(layout, sentence)
        remove_partials(*{(self.out / key).parent for key in keys.values()}, self.out)
        new = [row for row in rows if not (self.out / keys[row.label]).exists()]
        free_space_for(self.out, sum(_bytes_to_copy(row, self.out, self.copy) for row in new))
        waiting: list[Entry] = []
        saved = time.monotonic()
        try:
            for number, row in enumerate(rows, start=1):
                if (entry := self._import_row(row, keys[row.label])) is not None:
                    waiting.append(entry)
                if len(waiting) >= SAVE_CLIPS or time.monotonic() - saved > SAVE_SECONDS:
                    self.record.append(*waiting)
                    waiting, saved = [], time.monotonic()
                if progress:
                    progress(number, len(rows))
        finally:
            self.record.append(*waiting)
        self._remove_gone({row.label for row in rows})
        write_lines(self.out, self.lines, {one for entry in self.record.entries.values() for one in entry.lines})
        self.record.write(self.entries)
        notes = [f"{first_names(places)}: {reason}" for reason, places in self.reading.notes.items()]
        notes += self._said_of_rights()
        if others := self._not_imported():
            what = "in the folder and not imported; a training takes them too: move them away unless they belong to it"
            notes.append(f"{first_names(others)}: {what}")
        heldout = sum(entry.key.startswith(f"{HELDOUT}/") for entry in self.entries.values())
        clips = len(self.entries)
        return Imported(layout, clips, heldout, **self.counts, notes=tuple(notes), left_out=self._left_out())

    def _said_of_rights(self) -> list[str]:
        """Say which licences are kept, and of how many clips none is known where others have one."""
        rights = Counter(str(entry.rights) for entry in self.entries.values() if entry.rights.known)
        if not rights:
            return []
        named = ", ".join(f"{one} ({count})" for one, count in rights.most_common(6))
        return [f"the licences of {rights.total()} of {len(self.entries)} clips are kept in {IMPORTED}: {named}"]

    def _not_imported(self) -> list[str]:
        """Return the clips in the folder that no row is the source of."""
        known = {entry.key for entry in self.entries.values()}
        clips = (path for path in self.out.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        return sorted({path.relative_to(self.out).as_posix() for path in clips} - known)

    def _left_out(self) -> tuple[LeftOut, ...]:
        return tuple(dict.fromkeys(self.reading.left_out))

    def _key(self, row: Row) -> str:
        """Return the name of a clip in the new dataset, which it keeps from run to run while it is of one split."""
        entry = self.entries.get(row.label)
        if entry is not None and entry.key.startswith(f"{HELDOUT}/") == row.heldout:
            return entry.key
        exact = row.exact and self.names.exact(row.place)
        key = row.place if exact else self.names.new(row.place)
        if key != row.place:
            self.reading.note(f"{row.label} -> {key}", "the name is another one in the new dataset")
        if entry is not None:
            self._move(entry.key, key)
            self.counts["moved"] += 1
            self.entries[row.label] = replace(entry, key=key)
        return key

    def _follow_names(self, rows: Sequence[Row]) -> None:
        """Give the entries of exported clips the labels that these have now: another export numbers them otherwise."""
        labels = {row.place: row.label for row in rows if row.exact}
        used = set(labels.values())
        followed = {}
        for label, entry in self.entries.items():
            now = labels.get(entry.key, entry.key if label in used else label)
            followed[now] = replace(entry, source=replace(entry.source, file=now))
        self.entries = followed

    def _set_copies_aside(self, rows: Sequence[Row]) -> list[Row]:
        """Hold out the clips that have the bytes of one that is held out, under whatever name; say which they are."""
        sizes = {_size(row) for row in rows if row.heldout}
        suspects = [row for row in rows if _size(row) in sizes]
        if all(row.heldout for row in suspects):  # no other clip has the size of one
            return list(rows)
        contents: dict[str, str] = {}  # by the label of the row
        for row in suspects:
            known = self.entries.get(row.label)
            with contextlib.suppress(_NotImported):  # said where the clip is imported
                contents[row.label] = _identify(row, known.source if known else None).sha256
        held = {contents[row.label]: row.label for row in suspects if row.heldout and row.label in contents}
        found = []
        for row in rows:
            twin = held.get(contents.get(row.label, ""))
            if twin and not row.heldout:
                why = f"has the same content as {twin}, which is held out, so it is held out as well"
                self.reading.note(row.label, f"{why}; no training takes it from {HELDOUT}/")
                row = replace(row, split=Split(True, why))
            found.append(row)
        return found

    def _move(self, old: str, new: str) -> None:
        """Give a clip whose split was changed its new name, with its captions as they are.

        Raises FileProblem where another file has that name: the clip must not stay where it was.
        """
        if os.path.lexists(self.out / old) and os.path.lexists(self.out / new):
            raise FileProblem(
                f"{self.out / new} is there and was not written by this command, and {old} is of another split now, so "
                "that it has to get this name; move that file away"
            )
        for before, after in zip((old, *caption_names(old)), (new, *caption_names(new)), strict=True):
            if os.path.lexists(self.out / before) and not os.path.lexists(self.out / after):
                (self.out / after).parent.mkdir(parents=True, exist_ok=True)
                os.replace(self.out / before, self.out / after)
        self._remove_empty(old)

    def _import_row(self, row: Row, key: str) -> Entry | None:
        """Bring one clip and its captions up to date; return its line for the record where that is a new one."""
        old = self.entries.get(row.label)
        try:
            source, media, what = self._media(row, key, old)
            captions, recaptioned = self._captions(row, key, old)
        except _NotImported as problem:
            self.reading.leave_out(row.label, str(problem), row.label)
            return None
        if what or recaptioned:
            self.counts[what or "recaptioned"] += 1
        written = row.written or self.reading.recaptions.of(row.label, source.sha256)
        lines = lines_of(key, media.sha256, written)
        self.lines += lines
        entry = Entry(key, source, media, captions, row.where, tuple(line.seal for line in lines), row.rights)
        if entry == old:
            return None
        self.entries[row.label] = entry
        return entry

    def _media(self, row: Row, key: str, old: Entry | None) -> tuple[Source, Source, str]:
        """Return the identities of the source and of the clip, and "new" or "changed" where the clip was written."""
        target = self.out / key
        if target.is_symlink() or (target.exists() and not target.is_file()):
            raise _NotImported(f"{target} is no regular file of this program; remove it, or give another --out")
        exists = target.is_file()
        if exists and _is_linked(row, target):
            media = identify(target, key, old.media if old else None)
            changed = old is not None and media.sha256 != old.media.sha256
            return replace(media, file=row.label), media, "changed" if changed else "" if old else "new"
        source = _identify(row, old.source if old else None)
        if row.sha256 not in ("", source.sha256):
            raise _NotImported("its content is not the one that was exported; take the shard from a copy")
        if exists:
            media = identify(target, key, old.media if old else None)
            if old is None and media.sha256 != source.sha256:
                raise _NotImported(f"{target} exists with another content, and this command did not write it")
            if old is None:
                return source, media, "new"
            if media.sha256 != old.media.sha256:
                self.reading.note(key, "edited since it was imported, so it stays as it is")
                return source, old.media, ""
            if source.sha256 == old.source.sha256:
                return source, media, ""
        self._write(row, target)
        media = identify(target, key)
        if not isinstance(row.content, Member):
            source = _identify(row, None if _is_linked(row, target) else source)  # a link changes the times of both
        return source, media, "changed" if exists else "new"

    def _write(self, row: Row, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as problem:
            raise _NotImported(f"{target.parent} is no folder; remove it, or give another --out") from problem
        content = row.content
        if isinstance(content, Path) and not self.copy and not target.exists() and _link(content, target):
            return  # a link is there at once and whole, and its content is on disk
        with atomic_file(target) as partial:
            if isinstance(content, Member):
                _extract(content, partial)
                return
            partial.unlink()
            if self.copy or not _link(content, partial):
                shutil.copyfile(content, partial)

    def _captions(self, row: Row, key: str, old: Entry | None) -> tuple[str, bool]:
        """Write the caption file unless somebody edited it; return its hash, and whether a known clip has a new one."""
        target = (self.out / key).with_suffix(".json")
        levels = {level: list(row.captions[level]) for level in sorted(row.captions)}
        text = json_text({"captions": levels})
        expected = hashlib.sha256(text.encode()).hexdigest()
        found = _sha256(target)
        if found == expected:
            return expected, False
        if os.path.lexists(target) and (old is None or found != old.captions):
            name = str(target.relative_to(self.out))
            self.reading.note(name, "not written by this command, or edited since, so it stays as it is")
            return old.captions if old else expected, False
        write_atomically(target, text)
        return expected, old is not None

    def _remove_gone(self, labels: set[str]) -> None:
        """Remove the clips that a new import would not have, unless somebody edited them or rows could not be read."""
        for label in sorted((self.entries.keys() & self.reading.pending) - labels):
            self.reading.note(self.entries[label].key, "stays as it was, because its row or file cannot be read now")
        for label in sorted(self.entries.keys() - labels - self.reading.pending):
            entry = self.entries[label]
            clip = self.out / entry.key
            captions = clip.with_suffix(".json")
            if self.reading.uncertain:
                self.reading.note(entry.key, "no longer in the source; it stays, because some rows could not be read")
                continue
            if not _is_unchanged(clip, entry) or _sha256(captions) not in (None, entry.captions):
                self.reading.note(entry.key, "no longer in the source; it stays, because it was edited")
                continue
            for file in (clip, captions):
                file.unlink(missing_ok=True)
            self._remove_empty(entry.key)
            self.reading.note(entry.key, "removed, because its row, its caption or its file is no longer there")
            self.counts["gone"] += 1
            del self.entries[label]

    def _remove_empty(self, key: str) -> None:
        """Remove the folders of a clip that was moved or removed; what still holds files stays."""
        for parent in PurePosixPath(key).parents[:-1]:
            with contextlib.suppress(OSError):
                (self.out / parent).rmdir()


def _bytes_to_copy(row: Row, out: Path, copy: bool) -> int:
    """Return how many bytes a new clip takes on the disk: none where it is a link."""
    if isinstance(row.content, Member):
        return row.content.size
    facts = row.content.stat()
    return facts.st_size if copy or facts.st_dev != out.stat().st_dev else 0


def _size(row: Row) -> int:
    """Return how many bytes a clip has; -1 where its file cannot be read, which is said where it is imported."""
    try:
        return row.content.size if isinstance(row.content, Member) else row.content.stat().st_size
    except OSError:
        return -1


def _is_linked(row: Row, target: Path) -> bool:
    """Return whether the clip is a hard link to its source."""
    return not isinstance(row.content, Member) and os.path.samefile(row.content, target)


def _is_unchanged(clip: Path, entry: Entry) -> bool:
    """Return whether a clip is as it was written, or was deleted."""
    if not os.path.lexists(clip):
        return True
    if clip.is_symlink() or not clip.is_file():
        return False
    return identify(clip, entry.key, entry.media).sha256 == entry.media.sha256


def _identify(row: Row, known: Source | None) -> Source:
    """Return the identity of the source of a row. That of a member has its hash, and the facts of its shard."""
    content = row.content
    path = content.shard if isinstance(content, Member) else content
    try:
        if known is not None and known.unchanged(path):
            return known
        if not isinstance(content, Member):
            return identify(content, row.label)
        facts = path.stat()
        digest = hashlib.sha256()
        for block in _blocks(content):
            digest.update(block)
    except (OSError, FileProblem) as problem:
        raise _NotImported(str(problem)) from problem
    times = facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino
    return Source(row.label, digest.hexdigest(), facts.st_size, *times)


def _blocks(member: Member, size: int = 2**20) -> Iterator[bytes]:
    """Yield the bytes of a member of a shard."""
    with member.shard.open("rb") as file:
        file.seek(member.offset)
        left = member.size
        while left:
            block = file.read(min(size, left))
            if not block:
                raise FileProblem(f"{member.shard} was cut off while it was read")
            left -= len(block)
            yield block


def _extract(member: Member, target: Path) -> None:
    with target.open("wb") as file:
        for block in _blocks(member):
            file.write(block)


def _link(source: Path, target: Path) -> bool:
    """Make `target`, which does not exist, a hard link to a file; return False where the file system has none."""
    try:
        os.link(source.resolve(strict=True), target)
    except OSError:
        return False
    return True


def _sha256(path: Path) -> str | None:
    """Return the hash of a small file; None where it is missing or no regular file."""
    if path.is_symlink() or not path.is_file():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()
