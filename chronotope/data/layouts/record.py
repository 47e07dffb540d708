"""`imported.jsonl`: what was imported from where, a sealed line a clip, and the names of clips in the new dataset.

By this record the same command again recognises what is unchanged, and removes nothing that it did not write.
"""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from chronotope.config import from_dict
from chronotope.data.captions import caption_names
from chronotope.errors import UsageError
from chronotope.jsonl import append_jsonl, write_jsonl
from chronotope.manifest import Source, described, read_manifest, seal
from chronotope.media.rights import NO_RIGHTS, Rights, described_rights, rights_from

__all__ = ["IMPORTED", "Entry", "Names", "Record"]

IMPORTED = "imported.jsonl"
MAX_STEM = 200  # bytes of a name without its ending, so that the names of files beside it are short enough, too
_RESERVED = ("dataset", "latents", "model", "report")  # whose NAME.json means something else


@dataclass(frozen=True)
class Entry:
    """A line of the record: the clip `key` below the new dataset, and what it was made from.

    `source` is the file or member of a shard, `media` the clip as it was written, `captions` the hash of its caption
    file, and `origin` the places that its captions are from. `lines` are the seals of what `recaptions.jsonl` and
    `reviews.jsonl` received on captions that programs wrote; `rights` are those that the source records.
    """

    key: str
    source: Source
    media: Source
    captions: str
    origin: tuple[str, ...]
    lines: tuple[str, ...] = ()
    rights: Rights = NO_RIGHTS

    def row(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sealed line; `about` is what all lines have in common."""
        captions = {"sha256": self.captions, "from": list(self.origin)}
        return seal(
            {
                "key": self.key,
                "source": described(self.source),
                "media": described(self.media),
                "captions": captions | ({"lines": list(self.lines)} if self.lines else {}),
                **({"rights": described_rights(self.rights)} if self.rights.known else {}),
                **about,
            }
        )


class Record:
    """The record of a folder that clips are imported into. `about` says from which folder, in which layout.

    A damaged line is named to `note` and left out: its clip is recognised by its content and recorded again.
    """

    def __init__(self, out: Path, about: Mapping[str, Any], note: Callable[[str, str], None]) -> None:
        self.path, self.about = out / IMPORTED, dict(about)
        self.entries: dict[str, Entry] = {}  # by the label of the source
        self._rows: list[dict[str, Any]] = []
        damaged: list[str] = []
        for row in read_manifest(self.path, damaged.append) if self.path.is_file() else []:
            try:
                entry = _entry(row)
            except (KeyError, TypeError, AttributeError, UsageError):
                damaged.append(f"{self.path} holds a line that is none of this program's")
                continue
            self.entries[entry.source.file] = entry
            self._rows.append(row)
            for name, value in self.about.items():
                if row.get(name) != value:
                    raise UsageError(
                        f"{out} was imported from {row.get('folder')} as {row.get('layout')}; give another --out, or, "
                        f"if that folder was moved, delete {self.path}: what is still the same is kept"
                    )

        for sentence in damaged:
            note(IMPORTED, f"{sentence}; its clip is recognised by its content")

    def begin(self) -> None:
        """Write an empty record where there is none, by which `heldout/` is known from the first clip on."""
        if not self.path.is_file():
            write_jsonl(self.path, ())

    def append(self, *entries: Entry) -> None:
        """Add lines; they are on disk when this returns."""
        if entries:
            append_jsonl(self.path, *(entry.row(self.about) for entry in entries))

    def write(self, entries: Mapping[str, Entry]) -> None:
        """Write all lines again in the order of their sources, unless that is what the file holds."""
        rows = [entries[label].row(self.about) for label in sorted(entries)]
        if rows != self._rows or not self.path.is_file():
            write_jsonl(self.path, rows)


def _entry(row: Mapping[str, Any]) -> Entry:
    captions = row["captions"]
    media, source = (from_dict(Source, row[name]) for name in ("media", "source"))
    key = PurePosixPath(row["key"])
    if key.is_absolute() or ".." in key.parts:  # a record comes with a dataset, which can be anybody's
        raise UsageError(f"{key} leads out of the dataset")
    origin, lines = (tuple(map(str, captions.get(name, ()))) for name in ("from", "lines"))
    return Entry(str(key), source, media, str(captions["sha256"]), origin, lines, rights_from(row.get("rights")))


class Names:
    """Names in the new dataset, such that no two clips share a caption file, and no clip is overlooked."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, key: str) -> None:
        """Keep a name, and those of its caption files, from being used again."""
        self._taken |= {_folded(name) for name in (key, *caption_names(key))}

    def exact(self, name: str) -> bool:
        """Take a name as it is and return True; return False where it, or one of its caption files, is taken."""
        free = self._is_free(name)
        if free:
            self.take(name)
        return free

    def new(self, name: str) -> str:
        """Return a name for a clip, close to that of its source, and take it."""
        source = PurePosixPath(name)
        folder = PurePosixPath(*map(_visible, source.parent.parts))
        stem, kind = _visible(source.stem), source.suffix.removeprefix(".").lower()
        for number in itertools.count():
            end = "" if number == 0 else f"-{kind}" if number == 1 else f"-{kind}-{number}"
            key = str(folder / f"{stem}{end}{source.suffix}")
            if self._is_free(key) and f"{stem}{end}".lower() not in _RESERVED:
                break
        self.take(key)
        return key

    def _is_free(self, key: str) -> bool:
        return self._taken.isdisjoint(map(_folded, (key, *caption_names(key))))


def _folded(name: str) -> str:
    """Return a name as file systems compare it that know no capitals, or one code a letter."""
    return unicodedata.normalize("NFC", name).casefold()


def _visible(part: str) -> str:
    """Return a part of a path that is not hidden, does not climb, and is UTF-8."""
    text = part.encode("utf-8", "replace").decode("utf-8").replace("\0", "?").replace("/", "")
    return _short(text.lstrip(".")) or "clip"


def _short(text: str) -> str:
    """Return a name of at most MAX_STEM bytes; a hash replaces the end of a longer one."""
    if len(text.encode()) <= MAX_STEM:
        return text
    end = f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return text.encode()[: MAX_STEM - len(end)].decode("utf-8", "ignore") + end
