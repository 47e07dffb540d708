"""Rendered and curated datasets -> whether the clips in them, and captions of worlds, are still those that were made.

Somebody may replace a clip, correct a caption, or copy other clips into the folder. Latents of such a folder must not
claim that a world made them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chronotope.actions import SUFFIX, ActionSchema, has_actions
from chronotope.config import from_dict
from chronotope.data.clips import (
    SUFFIXES,
    curated_datasets,
    find_clips,
    held_out_beside,
    held_out_folders,
    maker_of,
    read_datasets,
    split_of_curation,
)
from chronotope.errors import ChronotopeError, FileProblem, UsageError
from chronotope.jsonl import read_jsonl
from chronotope.manifest import CURATE_AGAIN, Source, identify, manifest_hash, read_curation, read_manifest, source_of
from chronotope.sealed import unsealed
from chronotope.storage import file_sha256

__all__ = [
    "FOR_EVALUATION",
    "changes_since_curation",
    "changes_since_import",
    "changes_since_rendering",
    "find_actions",
    "find_environments",
    "find_splits",
    "find_worlds",
    "held_out_copies",
    "listed_files",
    "lost_descriptions",
    "meant_for_evaluation",
    "without_actions",
]

_IMPORTED = "imported.jsonl"
FOR_EVALUATION = "meant for evaluation, not for training"


def listed_files(manifest: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that a world wrote, by its path below the dataset.

    Raises FileProblem for a manifest that is damaged or not as this program writes it.
    """
    try:
        return {name: facts["sha256"] for row in read_manifest(manifest) for name, facts in row["files"].items()}
    except (KeyError, TypeError, AttributeError) as problem:
        raise FileProblem(f"{manifest} is not as this program writes it ({problem!r})") from problem


def changes_since_rendering(data: Path, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say in a sentence for each rendered dataset below `data`, or around it, how its clips were changed since.

    `rows` are the clips that were encoded, with their sources. Datasets of versions without a manifest are not judged.
    """
    sentences = []
    encoded = {(data / row["source"]["file"]).resolve(): row["source"]["sha256"] for row in rows}
    for file, about in read_datasets(data):
        base, manifest = file.parent.resolve(), file.with_name("manifest.jsonl")
        if "world" not in about:
            continue
        if not manifest.is_file():
            if "manifest" in about:  # its hash; versions without a manifest have none
                sentences.append(f"{manifest} is missing, so nothing tells whether the clips are as they were rendered")
            continue
        if "manifest" in about and about["manifest"] != manifest_hash(read_manifest(manifest)):
            sentences.append(f"{manifest} is not the one that dataset.json describes; `chronotope check` says more")
        listed = {base / name: sha256 for name, sha256 in listed_files(manifest).items()}
        places = held_out_folders(base.glob("*.jsonl"))
        aside = {path for place in places for path in listed if path.is_relative_to(place) and path.is_file()}
        inside = {path: sha256 for path, sha256 in encoded.items() if path.is_relative_to(base)}
        counts = {
            "clips from elsewhere": sum(path not in listed for path in inside),
            "changed clips": sum(listed.get(path, sha256) != sha256 for path, sha256 in inside.items()),
            "changed captions": sum(_caption_changed(path, listed) for path in inside if path in listed),
            "changed or missing actions": sum(_actions_changed(path, listed) for path in inside if path in listed),
            "missing clips": sum(_is_clip(path, data) and path not in aside for path in listed.keys() - encoded.keys()),
        }
        if any(counts.values()):
            told = ", ".join(f"{what}: {count}" for what, count in counts.items() if count)
            made = "a world rendered" if maker_of(about) == "chronotope world" else f"`{maker_of(about)}` wrote"
            sentences.append(f"{file.parent} is not as {made} it ({told}); `chronotope check {file.parent}` names them")
    return sentences


def changes_since_curation(data: Path) -> list[str]:
    """Say where clips of the curated datasets in a folder are not those of their manifests.

    A clip may have been exchanged, edited through the link that it shares with its source, removed, or put there.
    """
    return [sentence for dataset in curated_datasets(data) for sentence in _changes_of(dataset)]


def _changes_of(data: Path) -> list[str]:
    try:
        _, rows = read_curation(data)
        written = {row["clip"]: source_of(row) for row in read_manifest(data / "clips.jsonl")}
    except FileProblem as problem:
        return [str(problem)]
    listed = {row["clip"] for row in rows if row.get("clip")}
    held = {path.relative_to(data).as_posix() for split in ("train", "heldout") for path in (data / split).rglob("*")}
    others = sorted(file for file in held - listed if Path(file).suffix.lower() in SUFFIXES)
    changed = sorted(file for file in listed & held if not _is_as_written(data / file, written.get(file)))
    found = {"changed": changed, "missing": sorted(listed - held), "from elsewhere": others}
    counts = [f"{len(files)} {name} (such as {files[0]})" for name, files in found.items() if files]
    return [f"{data}: clips are not those of its manifest: {', '.join(counts)}; {CURATE_AGAIN}"] if counts else []


def changes_since_import(data: Path) -> list[str]:
    """Say where clips of the imported datasets in a folder are not those that were imported.

    Of one that was curated before it was exported, the manifest tells.
    """
    return [
        sentence
        for listing in sorted(data.rglob(_IMPORTED))
        if not listing.with_name("curation.json").is_file()
        for sentence in _changes_of_import(listing)
    ]


def _changes_of_import(listing: Path) -> list[str]:
    base = listing.parent
    known = [(path, source) for path, source in _imported_sources(base).items() if path.suffix.lower() in SUFFIXES]
    missing = sorted(path for path, _ in known if not path.is_file())
    changed = sorted(path for path, source in known if path.is_file() and not _is_as_written(path, source))
    found = {"changed or exchanged": changed, "missing or renamed": missing}
    counts = [
        f"{len(paths)} {name} (such as {paths[0].relative_to(base).as_posix()})"
        for name, paths in found.items()
        if paths
    ]
    again = "where that is not meant, delete them and run the same `chronotope import` command again"
    return [f"{base}: clips are not those that were imported: {', '.join(counts)}; {again}"] if counts else []


def _is_as_written(path: Path, known: Source | None) -> bool:
    return known is not None and identify(path, known.file, known).sha256 == known.sha256


def find_splits(data: Path) -> list[str]:
    """Name the splits of the rendered datasets below `data`, or of the one around it, such as "heldout".

    That of a curated dataset around it counts too.
    """
    rendered = {str(about.get("split", "train")) for _, about in read_datasets(data) if "world" in about}
    return sorted(rendered | ({split_of_curation(data)} - {""}))


def meant_for_evaluation(where: Path, splits: Sequence[str]) -> list[str]:
    """Say in a sentence which of these splits, in a folder of clips or latents, are not meant for training."""
    if not (others := [split for split in splits if split != "train"]):
        return []
    return [f"{where} is of split {' and '.join(others)}, whose clips are {FOR_EVALUATION}"]


def held_out_copies(data: Path, contents: Mapping[str, str]) -> list[str]:
    """Say how many clips have the content of one that their dataset holds out.

    `contents` is the SHA-256 of each clip in `data`, by its file.
    """
    held: dict[str, Path] = {}
    for place in held_out_beside(data):
        known = {**_sources_in(place.parent / "clips.jsonl", "clip", "source"), **_imported_sources(place.parent)}
        if not (place.parent / "curation.json").is_file():  # what was imported as held out and lies elsewhere now
            imported = _imported_sources(place.parent)
            held |= {source.sha256: path for path, source in imported.items() if path.is_relative_to(place)}
        with contextlib.suppress(ChronotopeError):  # a folder without clips, or one that cannot be read
            for clip in find_clips(place):
                held.setdefault(identify(clip.path, clip.file, known.get(clip.path)).sha256, clip.path)
    both = [(file, held[sha256]) for file, sha256 in contents.items() if sha256 in held]
    if not both:
        return []
    clips = "1 clip has" if len(both) == 1 else f"{len(both)} clips have"
    return [
        f"{data}: {clips} the same content as clips that are held out, such as {both[0][0]} and {both[0][1]}, so a "
        "measurement on those is no test; remove one of each two"
    ]


def _imported_sources(dataset: Path) -> dict[Path, Source]:
    """Return the identities of the clips of an imported dataset, as its record has them, by their paths."""
    return _sources_in(dataset / _IMPORTED, "key", "media")


def _sources_in(record: Path, name: str, field: str) -> dict[Path, Source]:
    """Return the identities that the lines of a record name in a field, by the paths of the clips; {} without one."""
    found = {}
    with contextlib.suppress(FileProblem):
        for row in read_manifest(record, lambda _: None):
            if (source := source_of({"source": row.get(field)})) is not None:
                found[record.parent / str(row.get(name))] = source
    return found


def lost_descriptions(data: Path) -> list[str]:
    """Say for each manifest of a world below `data` that its `dataset.json` is missing, and with it the split."""
    sentences = []
    for manifest in sorted(data.rglob("manifest.jsonl")):
        about = manifest.with_name("dataset.json")
        with contextlib.suppress(FileProblem):  # a file of another program
            if not about.exists() and listed_files(manifest):
                sentences.append(
                    f"{about} is missing, so nothing tells which world and split the clips beside it are of"
                )
    return sentences


def _caption_changed(clip: Path, listed: Mapping[Path, str]) -> bool:
    caption = clip.with_suffix(".json")
    return caption in listed and not (caption.is_file() and file_sha256(caption) == listed[caption])


def _actions_changed(clip: Path, listed: Mapping[Path, str]) -> bool:
    actions = clip.with_name(clip.stem + SUFFIX)
    return (file_sha256(actions) if has_actions(clip) else None) != listed.get(actions)


def _is_clip(path: Path, data: Path) -> bool:
    return path.suffix in SUFFIXES and path.is_relative_to(data.resolve())


def find_actions(data: Path) -> ActionSchema | None:
    """Return what the actions of the clips below `data` mean; None where no dataset has actions.

    Raises UsageError where datasets differ in it.
    """
    found = {
        file: from_dict(ActionSchema, about["actions"]) for file, about in read_datasets(data) if about.get("actions")
    }
    if len(set(found.values())) > 1:
        raise UsageError(
            f"{' and '.join(str(file) for file in list(found)[:2])} describe different actions; encode the clips of "
            "each environment into a folder of their own"
        )
    return next(iter(found.values()), None)


def find_environments(data: Path) -> list[str]:
    """Return the environments, or worlds, whose actions the clips below `data` have."""
    named = (about.get("environment", about.get("world")) for _, about in read_datasets(data) if about.get("actions"))
    return sorted({str(name) for name in named if name})


def without_actions(data: Path, schema: ActionSchema | None, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which encoded clips have no actions, where others have some, and which have actions that nothing describes.

    `schema` is what the actions mean, and `rows` are those of the index.
    """
    files = {row["source"]["file"]: "actions" in row for row in rows}
    if schema is None:
        named = [file for file in files if has_actions(data / file)]
        told = "have actions beside them that are not used, since no dataset.json says what they mean"
    else:
        named = [file for file, has_some in files.items() if not has_some]
        told = "have no actions; a training shows them as clips whose actions are not known"
    return [f"{data}: {len(named)} of {len(files)} clips, such as {named[0]}, {told}"] if named else []


def _judged(data: Path) -> list[str]:
    """Return the files of a folder that the ledger of an evaluation names, which lies beside them or above."""
    named = set[str]()
    for place in (data, data.resolve().parent):
        with contextlib.suppress(FileProblem):  # there is none, or it is damaged
            named |= {str(row["file"]) for row in read_jsonl(place / "ledger.jsonl") if "file" in row}
    return sorted(name for name in named if (data / name).is_file())


def find_worlds(data: Path, note: Callable[[str], None] = lambda _: None) -> list[str]:
    """Name the simulators and scopes that rendered the clips below `data`, such as "stage small".

    `note` receives a sentence for each dataset that lost its description or its seal, and for one of a split that is
    meant for evaluation.
    """
    worlds = set[str]()
    for sentence in (*lost_descriptions(data), *changes_since_curation(data), *changes_since_import(data)):
        note(sentence)
    if judged := _judged(data):
        first = f"such as {judged[0]}"
        note(f"{data}: {len(judged)} clips are of an evaluation, by the ledger beside them, {first}: {FOR_EVALUATION}")
    if around := split_of_curation(data):
        for sentence in meant_for_evaluation(data, [around]):
            note(sentence)
    for file, about in read_datasets(data):
        world, scope, split = about.get("world"), about.get("scope", ""), about.get("split", "train")
        if "generated_by" in about:  # of a trained model, which is no simulator
            continue
        if isinstance(world, str) and isinstance(scope, str):
            worlds.add(f"{world} {scope}".strip())
            for sentence in unsealed(file):
                note(sentence)
            for sentence in meant_for_evaluation(file.parent, [str(split)]):
                note(sentence)
    return sorted(worlds)
