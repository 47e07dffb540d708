"""A folder of clips -> what is known of each clip: from the manifest that made the folder, else from the files.

Nothing is exported of a dataset whose making was interrupted, or whose clips are not those of its manifest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from chronotope.data.captions import LEVELS, Captions, read_captions
from chronotope.data.clips import Clip, check_complete, read_datasets, scan_folder, split_of_curation, split_of_folder
from chronotope.data.recaptions import Written, WrittenCaptions, with_written
from chronotope.data.rendered import changes_since_curation, changes_since_import, changes_since_rendering
from chronotope.errors import FileProblem, UsageError
from chronotope.manifest import LOST, Source, manifest_hash, read_curation, read_manifest, source_of
from chronotope.media import video
from chronotope.media.generated import generated_by
from chronotope.media.rights import RecordedRights, Rights, described_rights, rights_from
from chronotope.progress import Progress
from chronotope.prompt import cleaned
from chronotope.sealed import digest, read_sealed
from chronotope.storage import file_sha256

__all__ = ["Dataset", "Item", "main_caption", "read_dataset"]

Kind = Literal["curated", "rendered", "imported", "plain"]  # imported: episodes of others, from LeRobot
Note = Callable[[str], None]


@dataclass(frozen=True)
class Item:
    """A clip: `file` is its POSIX path below the dataset, `sha256` and `bytes` are those of its file.

    `rights` holds what is known of licence, holder, source and consent; `origin` the source file that the clip was cut
    from, its SHA-256 and where the clip begins in it, in seconds. `written` are captions that programs wrote: those of
    them that no reviewer rejected are among the `captions`, too. `generated_by` names the weights of the model that
    made it, "" where none is known to have.
    """

    file: str
    path: Path
    split: str
    sha256: str
    bytes: int
    width: int
    height: int
    fps: float
    frames: int
    seconds: float
    picture: bool
    captions: Captions
    rights: Mapping[str, Any]
    origin: Mapping[str, Any]
    scores: Mapping[str, float]
    generated_by: str = ""
    written: tuple[Written, ...] = ()

    @property
    def author_of(self) -> Mapping[str, str]:
        """Return the programs that wrote captions, by the texts that are used."""
        return {one.used: one.author_name for one in self.written if one.used}


@dataclass(frozen=True)
class Dataset:
    """The clips of a folder in the order of their files, the document that describes it, and the lines of its manifest.

    `about` is `curation.json` or `dataset.json`, {} for a plain folder; `rows` list what is left out, too.
    """

    folder: Path
    kind: Kind
    items: tuple[Item, ...]
    about: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def splits(self) -> list[str]:
        """Return the names of the splits, in the order of the alphabet but for "train", which is the first."""
        return sorted({item.split for item in self.items}, key=lambda split: (split != "train", split))

    @property
    def captioners(self) -> dict[str, int]:
        """Return how many captions that are used each program wrote."""
        used = (one.author_name for item in self.items for one in item.written if one.used)
        return dict(sorted(Counter(used).items()))

    def in_split(self, split: str) -> list[Item]:
        return [item for item in self.items if item.split == split]

    @property
    def identity(self) -> dict[str, str]:
        """Return the hashes by which the state of the dataset is recognised.

        "content" covers clips, and captions with their authors; of clips without a manifest the rights, too.
        """
        authors = {item.file: [[one.as_json() for one in item.written]] for item in self.items if item.written}
        contents = {item.file: [item.split, item.sha256, item.captions] for item in self.items}
        rights = {item.file: [dict(item.rights)] for item in self.items if self.kind == "plain" and item.rights}
        whole = {file: [*content, *authors.get(file, []), *rights.get(file, [])] for file, content in contents.items()}
        found = {"content": digest(whole)}
        if "merkle_root" in self.about:
            found["merkle_root"] = str(self.about["merkle_root"])
        elif self.rows:
            found["manifest"] = manifest_hash(self.rows)
        return found


def read_dataset(folder: Path, progress: Progress | None = None, note: Note = lambda _: None) -> Dataset:
    """Read what is known of the clips of a folder; clips of a world and of plain folders are hashed and probed.

    `note` receives a sentence on files that are left out. Raises FileProblem where clips are missing, changed or cannot
    be read, UsageError for a dataset that is not complete and for a part of one.
    """
    if not folder.is_dir():
        raise FileProblem(f"{folder} is no folder of clips")
    check_complete(folder)
    if (folder / "curation.json").is_file():
        return _curated(folder, note)
    if split := split_of_curation(folder):
        raise UsageError(
            f"{folder} is a part of a dataset with splits, of its split {split}; export all of that, in which splits "
            "are kept apart"
        )
    rendered = [file.parent for file, about in read_datasets(folder) if "world" in about]
    if any(place.resolve() != folder.resolve() for place in rendered):
        raise UsageError(f"{folder} is a part of a rendered dataset, or holds one: {rendered[0]}; export that one")
    found = scan_folder(folder, heldout=True)
    for sentence in found.notes():
        note(sentence)
    for sentence in changes_since_import(folder):
        note(sentence)
    if rendered:
        return _rendered(folder, found.clips, progress, note)
    return _dataset(folder, "plain", _probed(found.clips, "train", None, progress), {}, (), note)


def _dataset(
    folder: Path,
    kind: Kind,
    items: Iterable[Item],
    about: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    note: Note,
) -> Dataset:
    """Return the dataset with its clips in order, and with the captions that a captioner wrote for them."""
    written = WrittenCaptions(folder, note)
    complete = []
    for item in items:
        texts = written.of(item.file, item.sha256)
        complete.append(replace(item, captions=with_written(item.captions, texts), written=texts))
    return Dataset(folder, kind, tuple(sorted(complete, key=lambda item: item.file)), about, tuple(rows))


def _curated(folder: Path, note: Note) -> Dataset:
    if changes := changes_since_curation(folder):
        raise FileProblem(changes[0])
    about, rows = read_curation(folder)
    listing = read_manifest(folder / "clips.jsonl")
    written = {row["clip"]: source for row in listing if (source := source_of(row)) is not None}
    kept = [row for row in rows if row["state"] == "kept"]
    items = [_curated_item(folder / row["clip"], row, written[row["clip"]]) for row in kept]
    return _dataset(folder, "curated", items, about, rows, note)


def _curated_item(path: Path, row: Mapping[str, Any], clip: Source) -> Item:
    return Item(
        file=row["clip"],
        path=path,
        split=row["split"],
        sha256=clip.sha256,
        bytes=clip.bytes,
        width=row["width"],
        height=row["height"],
        fps=row["fps"],
        frames=row["frames"],
        seconds=row.get("clip_seconds", row["seconds"]),
        picture=row["picture"],
        captions=read_captions(path),
        rights=row["rights"],
        origin={"file": row["file"], "sha256": row["source"]["sha256"], "start": row["start"]},
        scores=row["scores"],
        generated_by=row.get("generated_by") or generated_by(path),  # lines of older versions do not say it
    )


def _rendered(folder: Path, clips: Sequence[Clip], progress: Progress | None, note: Note) -> Dataset:
    about = read_sealed(folder / "dataset.json", LOST)
    items = _probed(clips, str(about.get("split", "train")), rights_from(about), progress)
    encoded = [{"source": {"file": item.file, "sha256": item.sha256}} for item in items]
    if changes := changes_since_rendering(folder, encoded):
        raise FileProblem(f"{changes[0]}; nothing is exported of it")
    manifest = folder / "manifest.jsonl"
    rows = read_manifest(manifest) if manifest.is_file() else []
    return _dataset(folder, "imported" if about["world"] == "lerobot" else "rendered", items, about, rows, note)


def _probed(clips: Sequence[Clip], split: str, rights: Rights | None, progress: Progress | None) -> list[Item]:
    """Return clips as their files are, of one split but for those that are held out, also by the name of their folder.

    Their rights are equal, or, where `rights` is None, those that are recorded of each.
    """
    items, recorded = [], RecordedRights()
    for number, clip in enumerate(clips, start=1):
        info = video.probe(clip.path)
        width, height = info.square_size
        items.append(
            Item(
                file=clip.file,
                path=clip.path,
                split="heldout" if clip.heldout or (split == "train" and split_of_folder(clip.file)) else split,
                sha256=file_sha256(clip.path),
                bytes=clip.path.stat().st_size,
                width=width,
                height=height,
                fps=info.fps,
                frames=info.num_frames,
                seconds=info.seconds,
                picture=info.num_frames == 1,
                captions=read_captions(clip.path),
                rights=described_rights(recorded.of(clip.path) if rights is None else rights),
                origin={},
                scores={},
                generated_by=generated_by(clip.path),
            )
        )
        if progress:
            progress(number, len(clips))
    return items


def main_caption(captions: Mapping[str, Sequence[str]]) -> str:
    """Return the caption for programs that take one: the first sentence, else the first text; "" where there is none.

    A story is returned in one line.
    """
    levels = ("sentence", "paragraph", "descriptive", *sorted(captions.keys() - LEVELS), "tags", "story")
    return next((cleaned(text) for level in levels for text in captions.get(level, ())), "")
