"""Find the videos and pictures below a folder: any folder of them is a dataset.

Every file is taken or named: what is no video or picture by its ending, what is hidden and what is still being written
is listed with the reason why it is left out.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from chronotope.data.captions import caption_names
from chronotope.errors import FileProblem, UsageError
from chronotope.manifest import LOST
from chronotope.sealed import check_seal
from chronotope.storage import PARTS, read_json

__all__ = [
    "BESIDE_SPLIT",
    "HELD_OUT",
    "NOT_TRAINING",
    "OUR_TABLES",
    "PICTURES",
    "REQUESTS",
    "SUFFIXES",
    "TRAINING",
    "UNFINISHED",
    "Clip",
    "Folder",
    "Split",
    "check_complete",
    "check_outside",
    "curated_datasets",
    "find_clips",
    "first_names",
    "held_out_beside",
    "held_out_folders",
    "is_utf8",
    "maker_of",
    "names_held_out",
    "read_datasets",
    "scan_folder",
    "split_of_curation",
    "split_of_folder",
    "taken_from_splits",
    "words_of_name",
]

PICTURES = frozenset(".png .apng .jpg .jpeg .webp .bmp .tif .tiff".split())
SUFFIXES = PICTURES | frozenset(
    ".mp4 .mkv .webm .mov .avi .mpg .mpeg .m4v .gif .ts .mts .m2ts .wmv .asf .flv .3gp .3g2 .ogv .vob .y4m .mxf".split()
)
# Files of these endings stand beside clips and are no clips: captions, truth, settings, tables, notes.
_BESIDE = frozenset(".json .jsonl .txt .npz .npy .csv .tsv .md .toml .yaml .yml .html .log .lock .parquet".split())
_SUBTITLES = (".srt", ".vtt", ".ass", ".sub")
_TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
OUR_TABLES = (
    *(
        f"{name}.jsonl"
        for name in (
            "clips croissant curation imported ledger log manifest plan quarantine recaptions removed reviews sources"
        ).split()
    ),
    "clips.parquet",
    "curation.parquet",
)
_OURS = tuple(
    f"{name}.json"
    for name in (
        "curation curation.before croissant dataset latents model recaptions.head removed.head report reviews.head "
        "shards"
    ).split()
)
REQUESTS = ("robots.txt", "ai.txt", "tdmrep.json")  # which `curate` reads
_CURATED, _HELD_OUT = "curation.json", "heldout"  # a curated dataset, and clips that are set aside for tests
HELD_OUT = "held out for tests"  # the reason why those are left out
_SPLIT = (_CURATED, "imported.jsonl")  # of datasets that have splits: curated and imported ones
# Files of folders that this program fills with something else.
_NO_CLIPS = {"latents.json": "latents", "model.json": "a model"} | {
    f"{part}/{name}": "a run" for part in PARTS for name in ("model.json", "log.jsonl")
}
_OF_A_FOLDER = ("recaptions.jsonl", "reviews.jsonl")  # of the clips of the folder in which they lie
UNFINISHED = re.compile(r"\.part$|\.(crdownload|download|tmp)$", re.IGNORECASE)


@dataclass(frozen=True)
class Clip:
    """One video or picture. `key` names it in its dataset, `file` is its POSIX path below the folder of the dataset.

    `heldout` says that its dataset sets it aside for tests.
    """

    key: str
    path: Path
    file: str
    heldout: bool = False


@dataclass(frozen=True)
class Folder:
    """The clips of a folder in the order of their paths, and the files that were left out, by reason.

    `shared` are the caption files that belong to several clips, as `a.txt` to `a.mp4` and `a.png`, with those clips.
    """

    path: Path
    clips: tuple[Clip, ...]
    left_out: dict[str, tuple[str, ...]]
    shared: dict[str, tuple[str, ...]]

    def notes(self) -> list[str]:
        """Return one sentence for each reason to leave files out."""
        return [
            f"{self.path}: {_files(names)} left out, {reason}: {first_names(names)}"
            for reason, names in self.left_out.items()
        ]

    def notes_on_captions(self) -> list[str]:
        """Return a sentence where captions of one clip are those of another one, too."""
        if not self.shared:
            return []
        (file, clips), count = next(iter(self.shared.items())), len(self.shared)
        named = "1 caption file has" if count == 1 else f"{count} caption files have"
        alone = [clip for clip in clips if file not in (f"{clip}.txt", f"{clip}.json")]
        mend = f"name it {clips[0]}.txt or {clips[0]}.json if it is of {clips[0]} alone"
        if len(alone) < len(clips):  # it has that name already
            mend = f"rename {alone[0]} if it is not of that clip"
        return [f"{self.path}: {named} the name of several clips each: {file} that of {' and '.join(clips)}; {mend}"]


def check_outside(out: Path, data: Path) -> None:
    """Raise UsageError where an output lies among the clips: its files would be taken for clips, or hide them."""
    if out.resolve().is_relative_to(data.resolve()):
        raise UsageError(f"{out} lies in {data}, the folder of the clips; give another --out")


def find_clips(folder: Path) -> tuple[Clip, ...]:
    """Find all clips below a folder, in the order of their paths; raise FileProblem for a folder without clips."""
    return scan_folder(folder).clips


def scan_folder(folder: Path, heldout: bool = False) -> Folder:
    """Find all clips below a folder, and what is left out; raise FileProblem for a folder without clips.

    Clips that are held out for tests are left out, unless `heldout` asks for them, too. Raises UsageError for a dataset
    that `chronotope world` has not finished, and for latents, models and runs, in which pictures of the training may
    lie.
    """
    if not folder.is_dir():
        raise FileProblem(f"{folder} is not a folder of clips")
    if what := next((what for name, what in _NO_CLIPS.items() if (folder / name).is_file()), None):
        raise UsageError(f"{folder} holds {what}, not clips; name a folder of videos and pictures")
    taken: list[str] = []
    left_out: dict[str, list[str]] = {}
    files = _files_below(folder)
    beside: dict[str, list[str]] = {}
    for file in files:
        for name in caption_names(file) if Path(file).suffix.lower() in SUFFIXES else ():
            beside.setdefault(name, []).append(file)
    aside = tuple(f"{place.as_posix()}/" for place in held_out_folders(map(Path, files)))
    for file in files:
        reason = _reason_to_leave_out(folder, file, beside, () if heldout else aside)
        if reason is None:
            taken.append(file)
        elif reason:
            left_out.setdefault(reason, []).append(file)
    sorted_out = {reason: tuple(names) for reason, names in left_out.items()}
    check_complete(folder)
    if not taken:
        also = "".join(f"; {note}" for note in Folder(folder, (), sorted_out, {}).notes())
        raise FileProblem(f"{folder} holds no videos or pictures ({' '.join(sorted(SUFFIXES))}){also}")
    name = folder.resolve().name
    clips = tuple(
        Clip(f"{name}/{key}", folder / file, file, file.startswith(aside))
        for key, file in zip(_keys(taken), taken, strict=True)
    )
    whole = set(taken)
    owners = {name: tuple(file for file in beside.get(name, ()) if file in whole) for name in files}
    return Folder(folder, clips, sorted_out, {name: some for name, some in owners.items() if len(some) > 1})


def maker_of(about: Mapping[str, Any]) -> str:
    """Return the command that made a dataset, as `chronotope record`, from its `dataset.json`."""
    of_lerobot = about.get("world") == "lerobot"
    return f"chronotope {'import' if of_lerobot else 'record' if 'environment' in about else 'world'}"


def check_complete(folder: Path) -> None:
    """Raise UsageError where the folder holds, or is part of, a dataset of a world that was interrupted."""
    for listing in sorted(folder.rglob("sources.jsonl")):
        if not listing.with_name(_CURATED).is_file():
            raise UsageError(
                f"{listing.parent} is a dataset whose curation was interrupted; run the same `chronotope curate` "
                "command again"
            )
    for about, found in read_datasets(folder):
        if found.get("complete") is False:
            command, count = maker_of(found), found.get("steps") or found.get("count")
            doing = {"chronotope import": "import", "chronotope record": "recording"}.get(command, "rendering")
            whole = f" to complete its {count} {'frames' if doing == 'recording' else 'clips'}" if count else ""
            raise UsageError(
                f"{about.parent} is a dataset whose {doing} was interrupted; run the same `{command}` command again"
                f"{whole}"
            )


def held_out_folders(files: Iterable[Path]) -> list[Path]:
    """Return the folders of clips that are held out, of the datasets with splits whose records are among the files."""
    return [file.parent / _HELD_OUT for file in files if file.name in _SPLIT]


def held_out_beside(folder: Path) -> list[Path]:
    """Return the folders of clips that are held out of a training on this folder: those in it, and one beside it.

    A folder that is held out itself has none.
    """
    split = split_of_curation(folder)
    if split == _HELD_OUT:
        return []
    places = held_out_folders(file for name in _SPLIT for file in sorted(folder.rglob(name)))
    if split:
        files = (parent / name for parent in folder.resolve().parents for name in _SPLIT)
        places += held_out_folders(file for file in files if file.is_file())
    return [place for place in places if place.is_dir()]


def curated_datasets(folder: Path) -> list[Path]:
    """Return the folders of all curated datasets in a folder, itself included."""
    return [file.parent for file in sorted(folder.rglob(_CURATED))]


def split_of_curation(folder: Path) -> str:
    """Return the split of the dataset around a folder, such as "heldout"; "" where that has no splits."""
    place = folder.resolve()
    for parent in place.parents:
        part = place.relative_to(parent).parts[0]
        if part in ("train", _HELD_OUT) and any((parent / name).is_file() for name in _SPLIT):
            return part
    return ""


def read_datasets(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Read every `dataset.json` below a folder, or that of the dataset which the folder is a part of.

    Files of that name which another program wrote, and which hold no JSON object, are ignored. Raises FileProblem
    where that of a world is damaged or was edited.
    """
    files = sorted(folder.rglob("dataset.json")) or [folder.resolve().parent / "dataset.json"]
    found = []
    for file in files:
        try:
            about = read_json(file)
        except FileProblem:
            if (file.parent / "manifest.jsonl").is_file():  # of a world, and damaged
                raise
            continue
        if isinstance(about, dict):
            found.append((file, check_seal(about, file, LOST) if "world" in about else about))
    return found


def _files_below(folder: Path) -> list[str]:
    """Return the POSIX paths of all files and linked folders below a folder, sorted by their parts."""
    found = []
    for parent, folders, files in os.walk(folder, onerror=_refuse_unreadable):
        here = Path(parent)
        hidden = [name for name in folders if name.startswith(".")]
        linked = [name for name in folders if (here / name).is_symlink()]
        found += [(here / name).relative_to(folder) for name in {*hidden, *linked, *files}]
        folders[:] = [name for name in folders if name not in hidden]
    return [path.as_posix() for path in sorted(found)]


def is_utf8(name: str) -> bool:
    """Return whether the name of a file can be written in UTF-8, as manifests are."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_unreadable(problem: OSError) -> None:
    """Stop where a folder cannot be listed: its clips must not be taken for deleted ones."""
    raise FileProblem(f"{problem.filename} cannot be read: {problem.strerror or problem}") from problem


def _reason_to_leave_out(folder: Path, file: str, beside: Container[str], aside: tuple[str, ...] = ()) -> str | None:
    """Return why a file is left out: None if it is taken, "" if it is no clip and need not be named.

    `beside` are the names that caption files of the clips can have, `aside` are folders of clips that are held out.
    """
    path = Path(file)
    hidden, suffix = path.name.startswith("."), path.suffix.lower()
    if file.startswith(aside):
        return HELD_OUT if suffix in SUFFIXES else ""
    if (folder / file).is_dir():
        return "a hidden folder" if hidden else "a link to a folder"
    if hidden:
        return "hidden" if suffix in SUFFIXES else ""
    if suffix in SUFFIXES and not is_utf8(file):
        return "its name is not UTF-8; rename it"
    if suffix in SUFFIXES:
        return "still being written, by its name" if UNFINISHED.search(path.stem) else None
    if suffix in (".txt", ".json") and path.name not in _OURS + REQUESTS:
        return "a text beside no clip of its name" if file not in beside else ""
    if path.name in _OF_A_FOLDER and path != Path(path.name):
        return "captions or verdicts of a folder within, which are used where that folder is encoded by itself"
    if suffix in _TABLES and path.name not in OUR_TABLES:
        return "a table, which is not read (captions stand beside their clips, in NAME.txt or NAME.json)"
    if suffix in _SUBTITLES:
        return "subtitles, which are not read (captions stand in NAME.txt or NAME.json)"
    if suffix in _BESIDE:
        return ""
    if UNFINISHED.search(path.name):
        return "still being written, by its name"
    return "no video or picture by its ending"


def _keys(files: Sequence[str]) -> list[str]:
    """Return a different key for each file: its path without the ending, or with it where two files share one."""
    stems = [Path(file).with_suffix("").as_posix() for file in files]
    count, whole = Counter(stems), set(files)
    return [stem if count[stem] == 1 and stem not in whole else file for stem, file in zip(stems, files, strict=True)]


def _files(names: Sequence[str]) -> str:
    return f"{len(names)} {'file is' if len(names) == 1 else 'files are'}"


def first_names(names: Sequence[str], most: int = 3) -> str:
    """Return the first names of a list in words, and the number of the others."""
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# Folders that are called after a split

TRAINING = frozenset({"train", "training"})
NOT_TRAINING = frozenset(
    (
        "test tests testing testset validation validate valid val valset minival eval evaluation evalset dev devset "
        "devel development heldout holdout combination"
    ).split()
)
BESIDE_SPLIT = frozenset({"set", "split", "data"})  # words beside those, in names of folders
_APART = re.compile(r"(held|hold)[\W_]*out", re.IGNORECASE)
_MEDIA_FOLDERS = ("videos", "video", "clips", "images", "data")  # in which a folder for each split may lie


@dataclass(frozen=True)
class Split:
    """Whether clips are `heldout`, and why, as the end of "held out ...", such as "by their folder test/"."""

    heldout: bool
    why: str


def split_of_folder(label: str) -> Split | None:
    """Return the split after which the first folder of a path is called, or a folder in `videos/` and the like.

    None is returned for folders that do not hold their clips out.
    """
    folders = PurePosixPath(label).parts[:-1]
    for number, folder in enumerate(folders[:2]):
        if number and folders[0].lower() not in _MEDIA_FOLDERS:
            break
        words = words_of_name(folder)
        if names_held_out(words) and set(words) <= NOT_TRAINING | BESIDE_SPLIT:
            return Split(True, f"by the folder {folder}/")
    return None


def taken_from_splits(where: Path, files: Iterable[str]) -> list[str]:
    """Say which clips lie in folders that are called after a split not for training, and are taken all the same.

    `files` are their paths below the folder `where`.
    """
    if not (found := [file for file in files if split_of_folder(file)]):
        return []
    clips = "1 clip is" if len(found) == 1 else f"{len(found)} clips are"
    return [
        f"{where}: {clips} taken from folders that are called after a split not for training, such as {found[0]}; name "
        "the folder of the training clips alone, or `chronotope import` the whole, which holds the others out"
    ]


def names_held_out(words: Sequence[str]) -> bool | None:
    """Return whether some words name a split that is held out; None where they name no split."""
    if not NOT_TRAINING.isdisjoint(words):
        return True
    return None if TRAINING.isdisjoint(words) else False


def words_of_name(text: str) -> list[str]:
    return re.findall(r"[a-z]+", _APART.sub("heldout", text).lower())
