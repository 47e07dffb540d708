"""Items by identity: the record of a file that something is made from, and lines that notice when they were changed.

A manifest is a file of JSON lines, one item a line. Each line carries a seal, a hash of its other fields, so that a
damaged line is detected. The hash of a whole manifest is the hash of its seals in order. In a file that is appended to,
each line follows from the one before, and a file beside it holds their number, so that a lost line is noticed too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from chronotope.config import from_dict
from chronotope.errors import FileProblem, UsageError
from chronotope.jsonl import append_jsonl, write_jsonl
from chronotope.parsing import parse_json
from chronotope.sealed import digest, read_sealed, write_sealed
from chronotope.storage import check_regular, file_sha256, write_atomically

__all__ = [
    "CURATE_AGAIN",
    "LOST",
    "ChainedLines",
    "LeftOut",
    "Source",
    "described",
    "identify",
    "manifest_hash",
    "merkle_root",
    "read_curation",
    "read_manifest",
    "seal",
    "source_of",
    "stream_manifest",
]

CURATE_AGAIN = "run the same `chronotope curate` command again"
LOST = "take it from a copy, or make the dataset again in another folder"  # the mend of a `dataset.json`
FILES = ("source", "media")  # the fields of rows that hold a Source
TIMES = ("modified", "changed", "inode")  # the fields of a Source that are facts of one disk


@dataclass(frozen=True)
class Source:
    """A file that an item was made from: its content, and the facts by which an unchanged file is recognised.

    `file` is a POSIX path relative to the folder of the dataset. `modified` and `changed` are times in nanoseconds. Two
    files that were written within a tick of the clock have equal times, so the number of the file is compared too.
    """

    file: str
    sha256: str
    bytes: int
    modified: int
    changed: int
    inode: int = 0  # of the file; older versions wrote none, so that its content is read once more

    def unchanged(self, path: Path) -> bool:
        """Return whether the file system reports the same size and times, so that the content need not be read."""
        facts = path.stat()  # the time of the change cannot be set back, unlike that of the modification
        found = facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino
        return found == (self.bytes, self.modified, self.changed, self.inode)


@dataclass(frozen=True)
class LeftOut:
    """An item that could not be used, and the reason in one sentence."""

    key: str
    reason: str


def identify(path: Path, file: str, known: Source | None = None) -> Source:
    """Return the identity of a file; its content is hashed unless size and times equal those of `known`.

    Raises FileProblem where the file cannot be read.
    """
    try:
        if known is not None and known.unchanged(path):
            return replace(known, file=file)
        facts = path.stat()
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror or problem}") from problem
    return Source(file, file_sha256(path), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)


def source_of(row: Mapping[str, Any]) -> Source | None:
    """Return the source that a row of a manifest names; None where it names none."""
    try:
        return from_dict(Source, row["source"])
    except (KeyError, TypeError, AttributeError, UsageError):
        return None


def seal(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its seal, a hash of its other fields.

    What depends on the disk alone is left out, so that the same items have the same manifest wherever they lie: the
    `shard` of the data, the times and numbers of files, and the `chain` of the lines before.
    """
    return {**row, "seal": _seal_of(_without_disk(row))}


def read_manifest(path: Path, on_damage: Callable[[str], None] | None = None) -> list[dict[str, Any]]:
    """Read the sealed rows of a manifest, see `stream_manifest`."""
    return [row for _, row in stream_manifest(path, on_damage)]


def stream_manifest(
    path: Path, on_damage: Callable[[str], None] | None = None
) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """Yield each sealed row of a manifest with the place of its line, as (first byte, number of bytes).

    Raises FileProblem where the file is missing or cannot be read. A damaged line raises FileProblem too, or, with
    `on_damage`, is left out and named in a sentence for it.
    """
    check_regular(path)
    start = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                row = _sealed_row(line)
                if isinstance(row, str):
                    if on_damage is None:
                        raise FileProblem(f"{path}, line {number}, {row}")
                    on_damage(f"{path}, line {number}, {row}")
                else:
                    yield (start, len(line)), row
                start += len(line)
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing") from problem
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror or problem}") from problem


def _sealed_row(line: bytes) -> dict[str, Any] | str:
    """Return the row of a line, or what is wrong with it."""
    try:
        row = parse_json(line)
    except ValueError:
        row = None
    if isinstance(row, dict) and (row.get("seal") == _seal_of(_without_disk(row)) or row.get("seal") == _seal_of(row)):
        return row
    if isinstance(row, dict) and "seal" not in row:
        return "has no seal, which was deleted or which an older version did not write"
    return "was changed or damaged: its content does not agree with its seal"


class ChainedLines:
    """The sealed lines of a file that is appended to; a line that is no longer there, or was moved, is noticed.

    Each line holds a hash over all lines so far in `chain`, which is no part of its seal, and `NAME.head.json` beside
    the file holds the last one and the number of lines. Files of older versions have neither, until a line is added.
    Raises FileProblem where lines are missing. A damaged line raises it too, or, with `on_damage`, is left out and
    named in a sentence for it. `note` is told where `NAME.head.json` itself is missing.
    """

    def __init__(
        self,
        path: Path,
        on_damage: Callable[[str], None] | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.path, self.head = path, path.with_name(f"{path.stem}.head.json")
        self.rows: list[dict[str, Any]] = []
        self._last = ""  # the hash over the lines so far
        self._hashes: list[str | None] = [""]  # after each line; None after a damaged one, which nobody can tell
        if path.is_file():
            self._read(on_damage)
        self._check_head(note)

    def _read(self, on_damage: Callable[[str], None] | None) -> None:
        def left_out(sentence: str) -> None:
            if on_damage is None:
                raise FileProblem(sentence)
            on_damage(sentence)
            self._hashes.append(None)

        for _, row in stream_manifest(self.path, left_out):
            told, before = row.pop("chain", None), self._hashes[-1]
            if told is not None and before is not None and told != _chained(before, row):
                raise FileProblem(
                    f"{self.path}, line {len(self._hashes)}, does not follow from the line before it: lines were "
                    f"removed, added or moved; {self._mend()}"
                )
            self._last = told or _chained(before or "", row)
            self._hashes.append(self._last)
            self.rows.append(row)
            self._is_chained = self._is_chained or told is not None

    _is_chained = False  # whether a line says which ones are before it

    def _mend(self) -> str:
        all_wanted = f"if the lines that are there are all that you want, delete {self.head.name} and their `chain`"
        begin = f"delete {self.head.name} to begin anew"
        return f"restore it from a copy, or, {all_wanted if self.path.is_file() else begin}"

    def _check_head(self, note: Callable[[str], None]) -> None:
        if not self.head.is_file():
            if self._is_chained:
                note(f"{self.head} is missing, so nothing tells whether the last lines of {self.path.name} are missing")
            return
        head = read_sealed(self.head, "restore it from a copy")
        lines, there = head.get("lines"), len(self._hashes) - 1
        if not isinstance(lines, int) or lines > there:
            found = f"has {there} lines" if self.path.is_file() else "is missing"
            raise FileProblem(
                f"{self.path} {found}, and by {self.head.name} beside it {lines} lines were written; {self._mend()}"
            )
        if self._hashes[lines] not in (None, head.get("chain")):
            raise FileProblem(f"{self.path} is another file than {self.head.name} describes; {self._mend()}")

    def add(self, *rows: Mapping[str, Any]) -> None:
        """Append sealed rows; they are on disk when this returns. The folder must be locked."""
        if self._hashes[-1] is None and not self.path.read_bytes().endswith(b"\n"):
            self._hashes.pop()  # a line that was cut off, which is deleted before another is written
        chained = []
        for row in rows:
            self._last = _chained(self._last, row)
            self._hashes.append(self._last)
            chained.append({**row, "chain": self._last})
        append_jsonl(self.path, *chained)
        self.rows += map(dict, rows)
        write_sealed(self.head, {"lines": len(self._hashes) - 1, "chain": self._last})

    def mend(self) -> Path:
        """Write the file again with the lines that were taken, without damaged ones; return the copy of it as it was.

        The folder must be locked.
        """
        copy = self.path.with_name(f"{self.path.name}.damaged")
        write_atomically(copy, self.path.read_bytes())
        self.replace(self.rows)
        return copy

    def replace(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the file anew with these sealed rows, or remove it where there are none. The folder must be locked."""
        self.head.unlink(missing_ok=True)  # first, so that a kill leaves no head of other lines
        self.rows, self._last, self._hashes = [], "", [""]
        if rows:
            write_jsonl(self.path, [])
            self.add(*rows)
        else:
            self.path.unlink(missing_ok=True)


def _chained(before: str, row: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{before}{row['seal']}".encode()).hexdigest()[:16]


def read_curation(out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read how a dataset was curated, and the lines of its manifest; raise FileProblem where it was not, or not to the
    end, or where somebody has changed it.
    """
    if not (out / "curation.json").is_file():
        raise FileProblem(f"{out} is no curated dataset, or was not finished; make it with `chronotope curate`")
    header, rows = read_sealed(out / "curation.json", CURATE_AGAIN), read_manifest(out / "curation.jsonl")
    if header.get("manifest") != manifest_hash(rows):
        raise FileProblem(f"{out / 'curation.jsonl'} is not the one that curation.json describes; {CURATE_AGAIN}")
    return header, rows


def manifest_hash(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the SHA-256 of the seals of all rows in order, in hex."""
    return hashlib.sha256("".join(row["seal"] for row in rows).encode()).hexdigest()


def merkle_root(seals: Sequence[str]) -> str:
    """Return the root of the Merkle tree over seals in order, as RFC 9162 defines it, in hex.

    Whoever knows the root can be shown that an item is in the list by a number of hashes that grows with its logarithm.
    """
    if not seals:
        return hashlib.sha256(b"").hexdigest()
    return _tree([hashlib.sha256(b"\x00" + seal.encode()).digest() for seal in seals]).hex()


def _tree(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1  # the largest power of two below their number
    return hashlib.sha256(b"\x01" + _tree(leaves[:half]) + _tree(leaves[half:])).digest()


def _seal_of(row: Mapping[str, Any]) -> str:
    """Return the seal of a row as it is: earlier versions sealed the times of files too."""
    return digest({name: value for name, value in row.items() if name not in ("shard", "chain")})[:16]


def _without_disk(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose files have no times and numbers."""
    return {name: _without_times(value) if name in FILES else value for name, value in row.items()}


def _without_times(file: Any) -> Any:
    return {name: value for name, value in file.items() if name not in TIMES} if isinstance(file, Mapping) else file


def described(source: Source) -> dict[str, Any]:
    """Return a source as plain values, as a row of a manifest holds it."""
    return asdict(source)
