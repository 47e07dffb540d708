"""Captions that a captioner wrote for the clips of a folder: `recaptions.jsonl`, a sealed line a clip and level.

What people wrote beside their clips is never touched. A line belongs to a clip of one content: after the clip was
replaced it is not used, and is written again. A line that is gone is noticed, see `ChainedLines`. Every line says who
wrote it. Characters that no reader sees are left out of the captions, as of those beside a clip, also of lines of older
versions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope.data.captions import Captions
from chronotope.data.doubtful import doubts
from chronotope.data.notes import Kinds
from chronotope.data.reviews import VERDICTS, Reviews, used_text
from chronotope.manifest import ChainedLines, seal
from chronotope.prompt import UNCLEAN, cleaned, is_clean

__all__ = [
    "RECAPTIONS",
    "WRITTEN",
    "Recaptions",
    "Written",
    "WrittenCaptions",
    "named_author",
    "with_written",
    "written_from_json",
]

RECAPTIONS = "recaptions.jsonl"
WRITTEN = "descriptive"  # the level of detail of these captions in a training
_REVIEW = ("reviewer", "verdict", "mended")


@dataclass(frozen=True)
class Written:
    """A caption that a program wrote: the asked detail, the text, who wrote it, and verdicts of people, in order.

    `author` is a JSON object, as a text; a verdict is (reviewer, verdict, mended text).
    """

    detail: str
    text: str
    author: str
    reviews: tuple[tuple[str, str, str], ...] = ()

    @property
    def used(self) -> str:
        """Return the text that the last verdict leaves; empty where it is rejected."""
        return used_text(self.text, *self.reviews[-1][1:]) if self.reviews else self.text

    @property
    def author_name(self) -> str:
        return named_author(json.loads(self.author))

    def as_json(self) -> dict[str, Any]:
        """Return what `written_from_json` reads."""
        plain = {"detail": self.detail, "text": self.text, "author": json.loads(self.author)}
        reviews = [dict(zip(_REVIEW, review, strict=True)) for review in self.reviews]
        return {**plain, "reviews": reviews} if reviews else plain


def written_from_json(data: Any) -> tuple[Written, ...] | None:
    """Return the captions that an export lists with their authors; None for anything else."""
    if not isinstance(data, list):
        return None
    found = []
    for row in data:
        if not isinstance(row, dict) or not isinstance(row.get("author"), dict):
            return None
        detail, text, reviews = row.get("detail"), row.get("text"), row.get("reviews", [])
        if not isinstance(detail, str) or not isinstance(text, str) or not text or not isinstance(reviews, list):
            return None
        if not all(isinstance(review, dict) and _is_review(review) for review in reviews):
            return None
        verdicts = tuple((review["reviewer"], review["verdict"], cleaned(review["mended"])) for review in reviews)
        found.append(Written(detail, cleaned(text), json.dumps(row["author"], sort_keys=True), verdicts))
    return tuple(found)


def _is_review(review: Mapping[str, Any]) -> bool:
    return all(isinstance(review.get(name), str) for name in _REVIEW) and review["verdict"] in VERDICTS


class Recaptions:
    """The written captions of a folder. A damaged line is left out, and named to `note`."""

    def __init__(self, folder: Path, note: Callable[[str], None] = lambda _: None) -> None:
        self.path = folder / RECAPTIONS
        self.damaged: list[str] = []  # a sentence for each damaged line of this file
        self.reviews = Reviews(folder, note)
        self._unclean: set[tuple[str, str]] = set()  # the rows of which characters are left out
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}  # by file and asked detail; a later line replaces
        self._keys: dict[str, dict[tuple[str, str], None]] = {}  # of rows, by the hash of the content; also of old ones
        self._lines = ChainedLines(self.path, self.damaged.append, note)
        for row in self._lines.rows:
            if _is_row(row):
                self._take(row)
            else:
                self.damaged.append(f"{self.path} holds a line that is none of this program's")
        for sentence in (*self.damaged, *_captions_around(folder)):
            note(sentence)

    def _take(self, row: Mapping[str, Any]) -> None:
        key = row["file"], row["detail"]
        (self._unclean.discard if is_clean(row["text"]) else self._unclean.add)(key)
        self.rows[key] = {**row, "text": cleaned(row["text"])}
        self._keys.setdefault(row["sha256"], {})[key] = None

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
        self._lines.rows = [row for row in self._lines.rows if _is_row(row)]
        return self._lines.mend()

    def of(self, file: str, sha256: str) -> tuple[Written, ...]:
        """Return the captions written for a clip of this content, those that a reviewer rejected too."""
        rows = (self.rows[key] for key in self._keys.get(sha256, ()))
        same = [row for row in rows if row["sha256"] == sha256 and row["text"]]
        own = [self._written(row) for row in same if row["file"] == file]
        return tuple(own or _of_renamed(map(self._written, same)))  # a renamed clip keeps its captions

    def _written(self, row: Mapping[str, Any]) -> Written:
        verdicts = self.reviews.of(row["file"], row["sha256"], row["detail"], row["text"])
        reviews = tuple((str(one["reviewer"]), str(one["verdict"]), str(one["mended"])) for one in verdicts)
        return Written(row["detail"], row["text"], json.dumps(row["author"], sort_keys=True), reviews)

    def texts(self, file: str, sha256: str) -> tuple[str, ...]:
        """Return the captions written for a clip of this content, as their reviewers left them."""
        return tuple(dict.fromkeys(one.used for one in self.of(file, sha256) if one.used))

    def merged(self, captions: Captions, file: str, sha256: str) -> Captions:
        """Return the captions beside a clip, and the written ones as a level of their own, after any of its user's."""
        return with_written(captions, self.of(file, sha256))

    def unused(self, contents: Collection[str]) -> str:
        """Say how many captions belong to none of these contents of clips; "" where all do."""
        count = sum(bool(row["text"]) and row["sha256"] not in contents for row in self.rows.values())
        if not count:
            return ""
        captions = "1 caption is of a clip that was" if count == 1 else f"{count} captions are of clips that were"
        return f"{self.path}: {captions} changed or removed, and not used; changed ones wait for `chronotope caption`"

    def has(self, file: str, sha256: str, detail: str, author: Mapping[str, Any]) -> bool:
        """Return whether this author has written this caption of this content already."""
        row = self.rows.get((file, detail))
        return row is not None and bool(row["text"]) and (row["sha256"], row["author"]) == (sha256, dict(author))

    def add(
        self,
        file: str,
        sha256: str,
        detail: str,
        author: Mapping[str, Any],
        text: str,
        failed: str = "",
        measured: Mapping[str, Any] | None = None,
    ) -> None:
        """Append a caption, or why there is none, with what was measured of the clip; it is on disk on return."""
        facts = {"file": file, "sha256": sha256, "detail": detail, "text": cleaned(text), "failed": failed}
        row = seal({**facts, "author": dict(author), **({"measured": dict(measured)} if measured else {})})
        self._lines.add(row)
        self._take(row)


class WrittenCaptions:
    """The written captions of a dataset with splits: clips in its `heldout/` have a file of their own there."""

    def __init__(self, folder: Path, note: Callable[[str], None] = lambda _: None) -> None:
        self._parts = {start: Recaptions(folder / start, note) for start in ("", "heldout/")}
        rows = [(start, row) for start, part in self._parts.items() for row in part.rows.values()]
        self._names = frozenset(f"{start}{row['file']}" for start, row in rows if row["text"])

    def of(self, file: str, sha256: str) -> tuple[Written, ...]:
        """Return the captions written for a clip, of both files."""
        parts = [(part, file.removeprefix(start)) for start, part in self._parts.items() if file.startswith(start)]
        return tuple(dict.fromkeys(one for part, name in parts for one in part.of(name, sha256)))

    def names(self, file: str) -> bool:
        """Return whether a caption was written for a file of this name, whatever its content is now."""
        return file in self._names


def _of_renamed(written: Iterable[Written]) -> Iterator[Written]:
    """Yield the captions of a content under other names: of equal texts a rejected one, else one that was judged.

    What a reviewer rejected is not used again because a copy of the clip had the same text, which nobody judged.
    """
    texts: dict[tuple[str, str], list[Written]] = {}
    for one in written:
        texts.setdefault((one.detail, one.text), []).append(one)
    for same in texts.values():
        yield min(same, key=lambda one: (bool(one.used), not one.reviews))


def with_written(captions: Captions, written: Iterable[Written]) -> Captions:
    """Return the captions of people, and those that programs wrote, as a level of their own after any of its user's."""
    texts = dict.fromkeys((*captions.get(WRITTEN, ()), *(one.used for one in written if one.used)))
    return {**captions, WRITTEN: tuple(texts)} if texts else captions


def named_author(author: Mapping[str, Any]) -> str:
    """Name the captioner that wrote a caption: the model of others, and the weights of one that was trained here."""
    kind = str(author.get("kind", "unknown"))
    if "model" in author:
        return str(author["model"])
    return f"{kind} captioner, weights {author['weights']}" if "weights" in author else kind


def _captions_around(folder: Path) -> Iterator[str]:
    """Say where captions of the clips of a folder were written in a folder around it, and are not used here."""
    place = folder.resolve()
    for parent in place.parents:
        if (parent / RECAPTIONS).is_file():
            start = f"{place.relative_to(parent).as_posix()}/"
            rows = ChainedLines(parent / RECAPTIONS, lambda _: None).rows
            if any(_is_row(row) and row["text"] and row["file"].startswith(start) for row in rows):
                where = f"captions of clips in {start}, which are used where {parent} is encoded"
                yield f"{parent / RECAPTIONS} holds {where}"


def _is_row(row: Mapping[str, Any]) -> bool:
    texts = all(isinstance(row.get(name), str) for name in ("file", "sha256", "detail", "text", "failed"))
    return texts and isinstance(row.get("author"), dict)
