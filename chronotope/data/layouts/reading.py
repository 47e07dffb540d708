"""What a layout names: rows of a clip and its captions, and everything that is left out with its reason.

A path in somebody's table may name any file of this machine. It is followed only where it stays in the folder, links
included, unless the user allows more.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from chronotope.data.captions import Captions, decode_text, read_caption_file
from chronotope.data.clips import REQUESTS, SUFFIXES, UNFINISHED, Split, first_names, split_of_folder
from chronotope.data.contradictions import split_beside
from chronotope.data.doubtful import doubts
from chronotope.data.layouts.splits import KNOWN, LISTING, held_out_places, listed_splits
from chronotope.data.recaptions import RECAPTIONS, Written, WrittenCaptions
from chronotope.errors import FileProblem
from chronotope.manifest import LeftOut
from chronotope.media.rights import NO_RIGHTS, RecordedRights, Rights, described_rights, rights_of_card

__all__ = ["HELDOUT", "TRAIN", "Layout", "Member", "Reading", "Row", "is_media", "joined"]

CARD = "README.md"  # of a dataset on Hugging Face
TRAIN, HELDOUT = "train", "heldout"  # folders of a dataset
MAX_TABLE = 2**30  # bytes of one table of captions
_NOT_IMPORTED = (
    "may ask that no model is trained on clips here, and is not imported; `chronotope curate` of this folder reads it"
)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_POINTER = b"version https://git-lfs"  # the first bytes of a file that Git LFS has not fetched


@dataclass(frozen=True)
class Member:
    """A file inside of a tar shard that is not compressed: its bytes are a part of those of the shard."""

    shard: Path
    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Row:
    """A clip that a layout names. `label` is its path below the folder, or its absolute path outside of it.

    `where` are the places that name it, as "metadata.csv, line 3"; `name` is its POSIX path in the new dataset, which
    may have to be changed unless it is `exact`. `sha256` is that which its content must have, "" where none is known.
    `split` is None where nothing names one, `written` are captions that programs wrote, beside the `captions`, and
    `rights` what is recorded of the rights in it.
    """

    label: str
    name: str
    where: tuple[str, ...]
    content: Path | Member
    captions: Captions
    exact: bool = False
    sha256: str = ""
    split: Split | None = None
    written: tuple[Written, ...] = ()
    rights: Rights = NO_RIGHTS

    @property
    def heldout(self) -> bool:
        return self.split is not None and self.split.heldout

    @property
    def place(self) -> str:
        """Return its path in the new dataset, in whose `heldout/` are the clips that are held out, and no others."""
        if self.heldout:
            return self.name if self.name.startswith(f"{HELDOUT}/") else f"{HELDOUT}/{self.name}"
        first = self.name.partition("/")[0].lstrip(".").casefold()
        return f"{TRAIN}/{self.name}" if first == HELDOUT else self.name


@dataclass(frozen=True)
class Layout:
    """A way to keep a dataset. `find` returns the files by which it is recognised, and `read` reads it from them."""

    name: str
    find: Callable[[Reading, Path], list[Path]]
    read: Callable[[Reading, Path, Sequence[Path]], None]
    needs: str  # what it is recognised by, in words


@dataclass
class Reading:
    """A folder that is read: its files, the rows that were found, what was left out, and what is worth knowing.

    `pending` are the labels of clips that a row names and that cannot be read now, so that they are not taken for gone;
    `uncertain` says that some rows could not be read, so that nobody knows which clips they name.
    """

    folder: Path
    follow: bool = False
    left_out: list[LeftOut] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    uncertain: bool = False

    def __post_init__(self) -> None:
        self.real = self.folder.resolve()
        self.files, self.linked = _listing(self.folder)
        self.recaptions = WrittenCaptions(self.folder, lambda said: self.note(RECAPTIONS, f"{said}; it is not used"))
        self._recorded, self._card = RecordedRights(), self._rights_of_all()
        self._rows: dict[str, Row] = {}  # by the real path of the clip
        self._named: set[str] = set()  # real paths of files that were named
        self._aside = {folder.resolve(): split for folder, split in held_out_places(self.folder, self.files).items()}
        self._split: Split | None = None  # of all that is read just now
        self._unknown: dict[tuple[str, str], dict[str, None]] = {}  # the values of columns that name no known split
        self._ignored: dict[str, dict[str, None]] = {}  # the columns that nothing is read from, by table
        self._read: dict[str, set[str]] = {}  # the others, of which other rows may hold nothing
        self._listed: dict[str, Split] = {}  # by the real path of the clip
        for file in self.files:
            if file.name == LISTING and self.allowed(file):
                listed = listed_splits(self.text(file))
                self._listed |= {os.path.realpath(file.parent / name): split for name, split in listed.items()}

    @property
    def rows(self) -> list[Row]:
        """Return one row a clip, in the order of their labels."""
        return sorted(self._rows.values(), key=lambda row: row.label)

    def below(self, folder: Path) -> list[Path]:
        """Return the files of the dataset below one of its folders; those of another folder are listed."""
        if folder == self.folder:
            return self.files
        if folder.is_relative_to(self.folder):
            return [file for file in self.files if file.is_relative_to(folder)]
        return _listing(folder)[0]

    def note(self, where: str, reason: str) -> None:
        """Keep what is worth knowing; it is said once for all places of one reason."""
        places = self.notes.setdefault(reason, [])
        if where not in places:
            places.append(where)

    def say(self, where: str) -> Callable[[str], None]:
        """Return a function that keeps notes about one place."""
        return lambda reason: self.note(where, reason)

    def leave_out(self, where: str, reason: str, label: str = "") -> None:
        """List a row or a file with the reason why it is left out; `label` is the clip that a row names, if any."""
        self.left_out.append(LeftOut(where, reason))
        if label:
            self.pending.add(label)

    def leave_out_unread(self, where: str, reason: str) -> None:
        """List what could not be read, so that it is not known which clips it names."""
        self.leave_out(where, reason)
        self.uncertain = True

    def label(self, path: Path) -> str:
        """Return the path of a file below the folder, or its absolute path where it is outside."""
        whole = Path(os.path.normpath(path.absolute()))
        here = Path(os.path.normpath(self.folder.absolute()))
        for folder in (here, self.real):
            if whole.is_relative_to(folder):
                return whole.relative_to(folder).as_posix()
        return whole.as_posix()

    def allowed(self, path: Path) -> bool:
        """Return whether a path may be followed: it stays in the folder, links included, or the user allows all."""
        return self.follow or Path(os.path.realpath(path)).is_relative_to(self.real)

    def path(self, name: object, base: Path) -> Path:
        """Return the path that a row names; raise FileProblem, a reason, where it names none that may be followed."""
        if not isinstance(name, str) or not name.strip():
            raise FileProblem("no file is named")
        if _ADDRESS.match(name.strip()):
            raise FileProblem(f"{name.strip()} is an address, and nothing is downloaded")
        if "\0" in name:
            raise FileProblem("the name of the file holds a zero byte")
        for form in _forms(name):
            path = base / form
            if not self.allowed(path):
                raise FileProblem(f"{form} leads out of the folder, and is followed with --follow-paths alone")
            if os.path.lexists(path):
                return path
        return base / name

    def add(
        self,
        where: str,
        path: Path,
        captions: Captions,
        split: Split | None = None,
        written: Sequence[Written] = (),
        rights: Rights = NO_RIGHTS,
    ) -> None:
        """Add a clip with its captions, or list it with the reason why it is left out; a row may name split and rights.

        A clip that is named again keeps the captions of all rows. What a row does not say of its rights is as its
        dataset records it.
        """
        label, real = self.label(path), os.path.realpath(path)
        self._named.add(real)
        try:
            _check_media(path)
        except FileProblem as problem:
            gone = isinstance(problem, _Missing) and _holds_files(path.parent)
            self.leave_out(where, f"{label} {problem}", "" if gone else label)
            return
        outside = Path(label).is_absolute()
        name = "/".join(path.parts[-2:]) if outside else label
        found = self._split_of(real, "" if outside else label, split)
        if (of_spec := split_beside(path)) != "train" and not (found and found.heldout):
            found = Split(True, f"because the spec beside it is of split {of_spec}")
        known = {**described_rights(self._recorded.of(path)), **described_rights(rights)}
        row = Row(label, name, (where,), path, captions, split=found, written=tuple(written), rights=Rights(**known))
        self._keep(real, row)

    def add_unread(self, where: str, path: Path, reason: str) -> None:
        """List a clip whose captions cannot be read."""
        self._named.add(os.path.realpath(path))
        self.leave_out(where, reason, self.label(path))

    def add_member(
        self, where: str, member: Member, captions: Captions, split: Split | None = None, rights: Rights = NO_RIGHTS
    ) -> None:
        """Add a clip inside of a shard, in a folder with the name of the shard."""
        shard = self.label(member.shard)
        if UNFINISHED.search(Path(member.name).stem):
            self.leave_out(where, "still being written, by its name", f"{shard}/{member.name}")
            return
        outside = Path(shard).is_absolute()
        name = f"{member.shard.stem if outside else Path(shard).with_suffix('')}/{member.name}"
        found = self._split_of(os.path.realpath(member.shard), "" if outside else shard, split)
        row = Row(f"{shard}/{member.name}", name, (where,), member, captions, rights=rights)
        self._keep(f"{shard}\0{member.name}", replace(row, split=found or split_of_folder(member.name)))

    def add_exported(self, row: Row) -> None:
        """Add a clip of a shard that `chronotope export` wrote, under the name that it had; it may have no caption."""
        self._rows[row.label] = row

    def _keep(self, identity: str, row: Row) -> None:
        if not any(row.captions.values()) and not row.written and not self.recaptions.names(row.label):
            if identity not in self._rows:
                self.leave_out(
                    row.where[0], "no caption" if row.where[0] == row.label else f"{row.label} has no caption"
                )
            else:
                self.note(row.where[0], "a row without a caption names a clip that has one")
            return
        texts = [text for level in row.captions.values() for text in level]
        for reason in dict.fromkeys(doubt for text in texts for doubt in doubts(text)):
            self.note(row.where[0], f"a text {reason}; it is used as it is, so correct it, or remove it")
        row = replace(row, rights=row.rights.completed(self._card))
        if (old := self._rows.get(identity)) is not None:
            captions = joined(old.captions, row.captions)
            differs = captions != old.captions
            self.note(row.label, f"named by several rows{', whose captions are all kept' if differs else ''}")
            if old.heldout != row.heldout:
                self.note(row.label, "named by rows of several splits, so it is held out")
            if old.rights.licensed and row.rights.known and old.rights != row.rights:
                self.note(row.label, f"named by rows of different rights, of which the first count: {old.rights}")
            rights = old.rights.completed(row.rights)
            split = old.split if old.heldout else row.split or old.split
            written = tuple(dict.fromkeys((*old.written, *row.written)))
            where = (*old.where, *row.where)
            row = replace(old, captions=captions, where=where, split=split, written=written, rights=rights)
        self._rows[identity] = row

    @contextlib.contextmanager
    def within(self, split: Split | None) -> Iterator[None]:
        """Take the clips that are read meanwhile for those of a split, where their rows name none."""
        outer, self._split = self._split, split or self._split
        try:
            yield
        finally:
            self._split = outer

    def note_splits(self, where: str, unknown: Sequence[tuple[str, str]]) -> None:
        """Keep the columns and values of a row that name no known split; they are said once for each column."""
        for column, value in unknown:
            self._unknown.setdefault((where, column), {})[value] = None

    def note_ignored(self, where: str, row: Iterable[str], ignored: Sequence[str]) -> None:
        """Keep the columns of a row that nothing is read from; they are said once for each table.

        A column that is read in another row is none of them.
        """
        self._ignored.setdefault(where, {}).update(dict.fromkeys(ignored))
        self._read.setdefault(where, set()).update(set(row) - set(ignored))

    def _split_of(self, real: str, folders: str, said: Split | None) -> Split | None:
        """Return the split of a clip: its dataset holds it out, else its row says it, or its table, or its folder."""
        inside = (split for folder, split in self._aside.items() if Path(real).is_relative_to(folder))
        return next(inside, None) or said or self._listed.get(real) or self._split or split_of_folder(folders)

    def _rights_of_all(self) -> Rights:
        """Return the licence that the card of the dataset names, README.md, which is that of clips without another."""
        card = self.folder / CARD
        try:
            return rights_of_card(self.text(card)) if card.is_file() else NO_RIGHTS
        except FileProblem:  # no text
            return NO_RIGHTS

    def text(self, path: Path) -> str:
        """Return the text of a table; raise FileProblem where it is none, or leads out of the folder."""
        if not self.allowed(path):
            raise FileProblem(f"{self.label(path)} is a link out of the folder; --follow-paths follows it")
        return decode_text(path, self.say(self.label(path)), MAX_TABLE)

    def captions_in(self, file: Path) -> Captions:
        """Return the captions of a caption file; raise FileProblem where it holds none, or leads out of the folder."""
        if not self.allowed(file):
            raise FileProblem(f"{self.label(file)} is a link out of the folder; --follow-paths follows it")
        return read_caption_file(file, self.say(self.label(file)))

    def finish(self) -> None:
        """List what no row names, and say which clips are held out, and which requests are not imported."""
        self._list_unnamed()
        for file in self.files:
            if file.name.lower() in REQUESTS:
                self.note(self.label(file), _NOT_IMPORTED)
        for row in self.rows:
            if row.split is not None and row.heldout:
                reason = f"held out {row.split.why}; no training takes them from {HELDOUT}/"
                self.notes.setdefault(reason, []).append(row.label)
        for (where, column), values in self._unknown.items():
            known = f"none of the known splits ({KNOWN}), so its clips are for training, too"
            self.note(where, f"the column {column!r} holds {first_names(list(map(repr, values)))}, {known}")
        for where, ignored in self._ignored.items():
            if columns := [name for name in ignored if name not in self._read[where]]:
                self.note(where, f"nothing is read from {first_names(list(map(repr, columns)), 12)}")

    def _list_unnamed(self) -> None:
        """List the videos and pictures of the folder that no row names, and linked folders that no row leads into."""
        labels = {item.key for item in self.left_out}
        for file in self.files:
            if is_media(file) and os.path.realpath(file) not in self._named and self.label(file) not in labels:
                self.leave_out(self.label(file), "no caption names it")
        used = {str(parent) for row in self._rows.values() for parent in Path(row.label).parents}
        for folder in self.linked:
            if self.label(folder) not in used:
                self.leave_out(self.label(folder), "a link to a folder, which is not searched")


def is_media(path: Path) -> bool:
    """Return whether a file is a video or a picture by its ending."""
    return path.suffix.lower() in SUFFIXES


def joined(first: Captions, second: Captions) -> Captions:
    """Return the captions of both, each text once, by level of detail."""
    levels: Mapping[str, None] = dict.fromkeys((*first, *second))
    return {level: tuple(dict.fromkeys((*first.get(level, ()), *second.get(level, ())))) for level in levels}


def _forms(name: str) -> list[str]:
    """Return the ways in which a name can be meant: letters with marks have two codes, and some paths have \\."""
    plain = name.strip()
    slashes = plain.replace("\\", "/")
    forms = [name, plain, *(unicodedata.normalize(form, text) for text in (plain, slashes) for form in ("NFC", "NFD"))]
    return list(dict.fromkeys(forms))


def _holds_files(folder: Path) -> bool:
    """Return whether a folder is there and not empty, as that of a disk which is not mounted is."""
    try:
        return any(folder.iterdir())
    except OSError:
        return False


class _Missing(FileProblem):
    """A file is not there, so that it cannot be read later either."""


def _check_media(path: Path) -> None:
    """Raise FileProblem, the end of a sentence about it, for a file that cannot be a clip. Nothing is decoded."""
    try:
        mode = path.stat().st_mode
    except OSError as problem:
        if problem.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise _Missing("is missing") from problem
        raise FileProblem(f"cannot be read: {problem.strerror}") from problem
    if not stat.S_ISREG(mode):
        raise FileProblem("is no regular file")
    if not is_media(path):
        raise FileProblem("is no video or picture by its ending")
    if UNFINISHED.search(path.stem):
        raise FileProblem("is still being written, by its name")
    try:
        with path.open("rb") as file:
            head = file.read(len(_POINTER))
    except OSError as problem:
        raise FileProblem(f"cannot be read: {problem.strerror or problem}") from problem
    if not head:
        raise FileProblem("is empty")
    if head == _POINTER:
        raise FileProblem("is a pointer of Git LFS and not the file itself; fetch it with `git lfs pull`")


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files below a folder that are not hidden, and its linked folders, which are not entered."""
    files, linked = [], []
    for parent, folders, names in os.walk(folder, onerror=_refuse_unreadable):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked += [here / name for name in folders if (here / name).is_symlink()]
        files += [here / name for name in names if not name.startswith(".")]
    return sorted(files), linked


def _refuse_unreadable(problem: OSError) -> None:
    """Stop where a folder cannot be listed: its clips must not be taken for gone ones."""
    raise FileProblem(f"{problem.filename} cannot be read: {problem.strerror or problem}") from problem
