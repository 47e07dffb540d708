"""Captions that a captioner wrote for the clips of a folder: `recaptions.jsonl`, a sealed line a clip and level.

What people wrote beside their clips is never touched. A line belongs to a clip of one content: after the clip was
replaced it is not used, and is written again. Every line says who wrote it. Characters that no reader sees are left
out of the captions, as of those beside a clip, also of lines of older versions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from chronotope.data.captions import Captions
from chronotope.data.doubtful import doubts
from chronotope.data.notes import Kinds
from chronotope.data.reviews import Reviews
from chronotope.jsonl import append_jsonl, write_jsonl
from chronotope.manifest import read_manifest, seal
from chronotope.prompt import UNCLEAN, cleaned, is_clean
from chronotope.storage import write_atomically

__all__ = ["RECAPTIONS", "WRITTEN", "Recaptions", "named_author"]

RECAPTIONS = "recaptions.jsonl"
WRITTEN = "descriptive"  # the level of detail of these captions in a training


class Recaptions:
    """The written captions of a folder. A damaged line is left out, and named to `note`."""

    def __init__(self, folder: Path, note: Callable[[str], None] = lambda _: None) -> None:
        self.path = folder / RECAPTIONS
        self.damaged: list[str] = []  # a sentence for each damaged line of this file
        self.reviews = Reviews(folder, note)
        self._unclean: set[tuple[str, str]] = set()  # the rows of which characters are left out
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}  # by file and asked detail; a later line replaces
        for row in read_manifest(self.path, self.damaged.append) if self.path.is_file() else []:
            if _is_row(row):
                self._take(row)
            else:
                self.damaged.append(f"{self.path} holds a line that is none of this program's")
        for sentence in self.damaged:
            note(sentence)

    def _take(self, row: Mapping[str, Any]) -> None:
        key = row["file"], row["detail"]
        (self._unclean.discard if is_clean(row["text"]) else self._unclean.add)(key)
        self.rows[key] = {**row, "text": cleaned(row["text"])}

    def remarks(self) -> Iterator[str]:
        """Yield what is worth knowing of captions that are used: characters that are left out, and doubts."""
        kinds = Kinds(self.path, "caption")
        for key, row in self.rows.items():
            text = self.reviews.text_for(row["file"], row["sha256"], row["detail"], row["text"])
            if key in self._unclean and text:
                kinds.add(row["file"], UNCLEAN)
            for doubt in doubts(text) if text else ():
                kinds.add(row["file"], f"a text {doubt}; it is used as it is, so judge it with `chronotope review`")
        yield from kinds.lines()

    def mend(self) -> Path:
        """Write the file again without its damaged lines; return the copy of it as it was.

        All other lines stay, those that were replaced too.
        """
        copy = self.path.with_name(f"{self.path.name}.damaged")
        write_atomically(copy, self.path.read_bytes())
        write_jsonl(self.path, [row for row in read_manifest(self.path, lambda _: None) if _is_row(row)])
        return copy

    def texts(self, file: str, sha256: str) -> tuple[str, ...]:
        """Return the captions written for a clip of this content, as their reviewers left them."""
        same = [row for row in self.rows.values() if row["sha256"] == sha256]
        rows = [row for row in same if row["file"] == file] or same  # a renamed clip keeps its captions
        texts = (self.reviews.text_for(row["file"], sha256, row["detail"], row["text"]) for row in rows if row["text"])
        return tuple(dict.fromkeys(text for text in texts if text))

    def merged(self, captions: Captions, file: str, sha256: str) -> Captions:
        """Return the captions beside a clip, and the written ones as a level of their own, after any of its user's."""
        texts = dict.fromkeys((*captions.get(WRITTEN, ()), *self.texts(file, sha256)))
        return {**captions, WRITTEN: tuple(texts)} if texts else captions

    def unused(self, contents: Collection[str]) -> str:
        """Say how many captions belong to none of these contents of clips; "" where all do."""
        count = sum(bool(row["text"]) and row["sha256"] not in contents for row in self.rows.values())
        if not count:
            return ""
        captions = "1 caption is of a clip that was" if count == 1 else f"{count} captions are of clips that were"
        return f"{self.path}: {captions} changed or removed, and not used; run `chronotope caption` again"

    def has(self, file: str, sha256: str, detail: str, author: Mapping[str, Any]) -> bool:
        """Return whether this author has written this caption of this content already."""
        row = self.rows.get((file, detail))
        return row is not None and bool(row["text"]) and (row["sha256"], row["author"]) == (sha256, dict(author))

    def add(self, file: str, sha256: str, detail: str, author: Mapping[str, Any], text: str, failed: str = "") -> None:
        """Append a caption, or why there is none; it is on disk when this returns."""
        facts = {"file": file, "sha256": sha256, "detail": detail, "text": cleaned(text), "failed": failed}
        row = seal({**facts, "author": dict(author)})
        append_jsonl(self.path, row)
        self._take(row)


def named_author(author: Mapping[str, Any]) -> str:
    """Name the captioner that wrote a caption: the model of others, and the weights of one that was trained here."""
    kind = str(author.get("kind", "unknown"))
    if "model" in author:
        return str(author["model"])
    return f"{kind} captioner, weights {author['weights']}" if "weights" in author else kind


def _is_row(row: Mapping[str, Any]) -> bool:
    texts = all(isinstance(row.get(name), str) for name in ("file", "sha256", "detail", "text", "failed"))
    return texts and isinstance(row.get("author"), dict)
