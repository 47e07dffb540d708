"""A dataset or latents -> everything that is wrong with them, and how to mend it, before any work is done with them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from chronotope.actions import ActionSchema
from chronotope.config import from_dict
from chronotope.data.captions import CaptionNote, Captions, read_captions
from chronotope.data.clips import HELD_OUT, Clip, maker_of, scan_folder, taken_from_splits
from chronotope.data.contradictions import contradictions
from chronotope.data.latents import clip_of, clips_of_latents, read_header, read_index, read_latents, shard_path
from chronotope.data.limits import captions_of_part, limits_in_header, rows_by_clip
from chronotope.data.notes import Kinds
from chronotope.data.reading import actions_of_row
from chronotope.data.recaptions import Recaptions
from chronotope.data.rendered import (
    changes_since_curation,
    changes_since_import,
    find_actions,
    find_splits,
    held_out_copies,
    listed_files,
    lost_descriptions,
    meant_for_evaluation,
)
from chronotope.errors import ChronotopeError, FileProblem
from chronotope.manifest import LOST, identify, manifest_hash, read_manifest, source_of
from chronotope.media import video
from chronotope.media.damage import DAMAGE_ADVICE
from chronotope.media.generated import generated_by, generated_in_words, generated_of_rows
from chronotope.progress import Progress
from chronotope.prompt import STRANGE, is_clean
from chronotope.sealed import read_sealed, unsealed
from chronotope.storage import file_sha256, read_json

__all__ = ["Finding", "audit_dataset", "audit_freshness", "audit_header", "audit_latents", "changes_since_encoding"]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong (`serious`) or worth knowing, in one sentence, and what to do about it."""

    what: str
    mend: str = ""
    serious: bool = True

    def __str__(self) -> str:
        return f"{self.what.rstrip('.')}; {self.mend}" if self.mend and self.mend not in self.what else self.what


def audit_dataset(folder: Path, progress: Progress | None = None) -> Iterator[Finding]:
    """Yield what is wrong with a folder of clips; every clip is decoded to its end."""
    try:
        found = scan_folder(folder)
    except ChronotopeError as problem:
        yield Finding(str(problem))
        return
    for note in found.notes():
        mend = "" if HELD_OUT in note else "rename or move them if they belong to the dataset"
        yield Finding(note, mend, serious=False)
    yield from (Finding(note, serious=False) for note in found.notes_on_captions())
    taken = taken_from_splits(folder, [clip.file for clip in found.clips])
    yield from (Finding(note, serious=False) for note in taken)
    yield from _audit_rendered(folder)
    yield from (Finding(sentence) for sentence in changes_since_curation(folder))
    yield from (Finding(sentence, serious=False) for sentence in changes_since_import(folder))
    uncaptioned: list[tuple[str, str]] = []  # file and content
    generated: dict[str, str] = {}
    by_content: dict[str, str] = {}
    common = Kinds(folder, "caption file")
    yield from _audit_recaptions(folder, found.clips)
    for number, clip in enumerate(found.clips, start=1):
        yield from _audit_clip(clip, uncaptioned, by_content, common)
        generated[clip.file] = generated_by(clip.path)
        if progress:
            progress(number, len(found.clips))
    yield from (Finding(line, serious=False) for line in common.lines())
    yield from (Finding(line, serious=False) for line in generated_in_words(folder, generated))
    copies = held_out_copies(folder, {file: content for content, file in by_content.items()})
    yield from (Finding(line, serious=False) for line in copies)
    written: Recaptions | None = None
    with contextlib.suppress(FileProblem):  # which is said above
        written = Recaptions(folder)
    bare = [file for file, content in uncaptioned if not written or not written.texts(file, content)]
    if bare:
        some = ", ".join(bare[:3]) + (", ..." if len(bare) > 3 else "")
        yield Finding(
            f"{len(bare)} of {len(found.clips)} clips have no caption ({some})",
            "write one into NAME.txt beside each clip",
            serious=False,
        )


def _audit_recaptions(folder: Path, clips: Sequence[Clip]) -> Iterator[Finding]:
    """Yield what is wrong with captions that a captioner wrote, and those that belong to no clip as it is now."""
    damaged: list[str] = []
    try:
        written = Recaptions(folder, damaged.append)
    except FileProblem as problem:
        yield Finding(str(problem))
        return
    for sentence in damaged:
        again = "judge the caption again with `chronotope review`, which removes the line"
        yield Finding(sentence, "run the `chronotope caption` command again" if sentence in written.damaged else again)
    if not written.rows:
        return
    yield from (Finding(line, serious=False) for line in written.remarks())
    contents = set()
    for clip in clips:
        with contextlib.suppress(FileProblem):  # said with the clip
            contents.add(identify(clip.path, clip.file).sha256)
    if unused := written.unused(contents):
        yield Finding(unused, serious=False)
    if failed := sum(not row["text"] for row in written.rows.values()):
        yield Finding(f"{written.path}: {failed} clips got no caption", "run the command again", serious=False)


def _audit_clip(
    clip: Clip, uncaptioned: list[tuple[str, str]], by_content: dict[str, str], common: Kinds
) -> Iterator[Finding]:
    try:
        content = identify(clip.path, clip.file).sha256
        info = video.probe(clip.path)
        frames = video.stream(clip.path)
        total = sum(frame.nbytes for frame in frames)
    except ChronotopeError as problem:
        yield Finding(str(problem), "replace or remove the file")
        return
    if content in by_content:
        yield Finding(f"{clip.file} has the same content as {by_content[content]}", "remove one", serious=False)
    by_content.setdefault(content, clip.file)
    if total > video.most_read_bytes(clip.path.stat().st_size):
        yield Finding(
            f"{clip.file} is too long to encode: {total / 2**30:.3g} GiB of pixels",
            "cut it, or encode it with --max-seconds",
        )
    if frames.damage:
        yield Finding(f"{clip.file}: {frames.damage}", DAMAGE_ADVICE)
    for remark in info.remarks:
        yield Finding(f"{clip.file}: {remark}", serious=False)
    if info.variable_frame_rate:
        yield Finding(f"the frame rate of {clip.file} varies; `encode` resamples it to a constant one", serious=False)
    if info.skipped:
        yield Finding(f"{clip.file}: {info.skipped} by `encode`", serious=False)
    if info.square_size != (info.width, info.height):
        yield Finding(f"the pixels of {clip.file} are not square; `encode` resamples it", serious=False)
    if not (yield from _audit_captions(clip, info, common)):
        uncaptioned.append((clip.file, content))


def _audit_captions(clip: Clip, info: video.VideoInfo, common: Kinds) -> Generator[Finding, None, bool]:
    """Yield what is wrong with the captions beside a clip; return whether there are any, or cannot be read."""
    captions: Captions = {}
    try:
        notes: list[CaptionNote] = []
        captions = read_captions(clip.path, notes.append)
        size = f"{info.width}x{info.height}"
        notes += contradictions(clip.path, captions, info.num_frames, info.fps, size)
        for note in notes:
            if note.common:
                common.add(note.file.name, note.reason)
            else:
                yield Finding(str(note), serious=False)
    except FileProblem as problem:
        yield Finding(str(problem), "correct the caption file")
        return True
    return bool(captions)


def _audit_rendered(folder: Path) -> Iterator[Finding]:
    """Check the datasets of worlds in a folder and below it, or the part that the folder is of one above it."""
    yield from _audit_manifest(folder)
    for file in sorted(folder.rglob("dataset.json")):
        if file.parent != folder and "world" in _described(file.parent):
            yield from _audit_manifest(file.parent)
    if (folder / "manifest.jsonl").is_file():
        return
    lost = lost_descriptions(folder)
    yield from (Finding(sentence, LOST) for sentence in lost)
    above = folder.resolve().parent
    if not lost and (above / "manifest.jsonl").is_file() and "world" in _described(above):
        yield from _audit_manifest(above, folder.resolve())


def _audit_manifest(folder: Path, within: Path | None = None) -> Iterator[Finding]:
    """Compare the files of a dataset of a world with the hashes in its manifest; only those `within` a part of it."""
    manifest = folder / "manifest.jsonl"
    if not manifest.is_file() and "manifest" not in _described(folder):  # of a version without one, or no dataset
        return
    command = maker_of(_described(folder))
    again = f"run the `{command}` command that made it again"
    try:
        about = read_sealed(folder / "dataset.json", LOST)
    except FileProblem as problem:
        yield Finding(str(problem)) if (folder / "dataset.json").exists() else Finding(str(problem), LOST)
        return
    yield from (Finding(note, serious=False) for note in unsealed(folder / "dataset.json"))
    try:
        rows = read_manifest(manifest)
        listed = listed_files(manifest)
        if about["manifest"] != manifest_hash(rows):
            yield Finding(f"{manifest} is not the one that dataset.json describes", again)
        for name, sha256 in listed.items():
            if within is None or (folder / name).is_relative_to(within):
                yield from _audit_file(folder / name, sha256, command)
    except FileProblem as problem:
        yield Finding(str(problem), again)
    except (KeyError, TypeError, AttributeError) as problem:
        yield Finding(f"{manifest} or dataset.json is not as this program writes it ({problem!r})", again)
    else:
        yield from _audit_strangers(folder, listed.keys(), within)


def _described(folder: Path) -> Mapping[str, Any]:
    """Return what `dataset.json` says; {} where it is missing, damaged or of another program."""
    with contextlib.suppress(FileProblem):
        about = read_json(folder / "dataset.json") if (folder / "dataset.json").is_file() else {}
        return about if isinstance(about, dict) else {}
    return {}


def _audit_file(path: Path, sha256: str, command: str) -> Iterator[Finding]:
    if not path.is_file():
        yield Finding(f"{path} is missing", f"run the `{command}` command again")
    elif file_sha256(path) != sha256:
        made = "rendered" if command == "chronotope world" else "written"
        yield Finding(f"{path} is not as it was {made}", f"delete it and run the `{command}` command again")


def _audit_strangers(folder: Path, listed: Collection[str], within: Path | None) -> Iterator[Finding]:
    for clip in scan_folder(folder).clips:
        if clip.file not in listed and (within is None or clip.path.is_relative_to(within)):
            yield Finding(f"{clip.path} is in the folder of a rendered dataset and not listed in its manifest")


def audit_latents(folder: Path, progress: Progress | None = None) -> Iterator[Finding]:
    """Yield what is wrong with latents; every tensor is read, and the clips are compared where they are still there."""
    try:
        header, rows = read_header(folder), read_index(folder)
        clips = [clip_of(row, folder) for row in rows]
    except FileProblem as problem:
        yield Finding(str(problem))
        return
    yield from audit_header(folder, header)
    if manifest_hash(rows) != header["manifest"]:
        yield Finding(
            f"{folder / 'index.jsonl'} is not the index that latents.json describes",
            "run the `chronotope encode` command again",
        )
    for number, clip in enumerate(clips, start=1):
        try:
            read_latents(folder, clip.shard, clip.key, clip.sha256)
        except FileProblem as problem:
            yield Finding(str(problem))
        if progress:
            progress(number, len(clips))
    for path in sorted(set(folder.glob("latents-*.safetensors")) - {shard_path(folder, clip.shard) for clip in clips}):
        yield Finding(f"{path} belongs to no clip", "the next `chronotope encode` removes it", serious=False)
    for item in _left_out(header):
        yield Finding(f"{item['key']} was left out: {item['reason']}", serious=False)
    unclean = sum(not all(is_clean(text) for texts in clip.captions.values() for text in texts) for clip in clips)
    if unclean:
        yield Finding(
            f"{folder / 'index.jsonl'}: captions of {unclean} of {len(clips)} clips hold {STRANGE}, as older versions "
            "left them in",
            "run the `chronotope encode` command again",
        )
    yield from (Finding(line, serious=False) for line in generated_in_words(folder, generated_of_rows(rows)))
    captioned = sum(any(clip.captions.values()) for clip in clips)
    if captioned < len(clips):
        yield Finding(f"{len(clips) - captioned} of {len(clips)} clips have no caption", serious=False)
    yield from audit_freshness(folder, header, rows)


def _left_out(header: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the items that a header names as left out; what was edited into another form is ignored."""
    items = header.get("left_out")
    if not isinstance(items, list):
        return []
    return [item for item in items if isinstance(item, dict) and {"key", "reason"} <= item.keys()]


def audit_header(folder: Path, header: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is worth knowing of latents: an unsealed header, clips that lie elsewhere now, or are of a split that
    is not for training.
    """
    for note in unsealed(folder / "latents.json"):
        yield Finding(note, serious=False)
    yield from (Finding(note, serious=False) for note in meant_for_evaluation(folder, _splits(folder, header)))
    if clips_of_latents(folder, header) is None:
        named = header.get("data") or "any folder that its latents.json names"
        yield Finding(
            f"the clips of {folder} are not in {named} on this machine, so nothing tells whether they were changed "
            "since they were encoded",
            serious=False,
        )


def _splits(folder: Path, header: Mapping[str, Any]) -> list[str]:
    """Return the splits of latents; of older ones, whose header names none, those of their clips where they still are.

    What was edited into another form is ignored.
    """
    splits, data = header.get("splits"), clips_of_latents(folder, header)
    if isinstance(splits, list):
        return [str(split) for split in splits]
    with contextlib.suppress(ChronotopeError):  # said where the clips are compared
        return find_splits(data) if data else []
    return []


def audit_freshness(folder: Path, header: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Compare latents with the folder of clips that they were made from, if it is still there."""
    if (data := clips_of_latents(folder, header)) is None:
        return
    options = f" {limits}" if (limits := limits_in_header(header)) else ""
    again = f"run `chronotope encode {data} --out {folder}{options}` again"
    try:
        found = {clip.key: clip for clip in scan_folder(data).clips}
        written = Recaptions(data)
    except ChronotopeError as problem:
        yield Finding(str(problem))
        return
    known = rows_by_clip(rows)
    left_out = {item["key"] for item in _left_out(header)}
    new = len(found.keys() - known.keys() - left_out)
    gone = len(known.keys() - found.keys())
    changed = other_actions = 0
    schema = from_dict(ActionSchema, header["actions"]) if header.get("actions") else None
    with contextlib.suppress(ChronotopeError):  # said where the clips are encoded
        if find_actions(data) != schema:
            yield Finding(f"the actions that a dataset.json in {data} describes have changed since the encoding", again)
            return
    for key in found.keys() & known.keys():
        try:
            source, captions = source_of(known[key][0]), read_captions(found[key].path)
            captions = written.merged(captions, found[key].file, source.sha256 if source else "")
            same = source is not None and identify(found[key].path, source.file, source).sha256 == source.sha256
            differs = not same or any(_captions_differ(row, captions) for row in known[key])
            changed += differs
            other_actions += not differs and any(_actions_differ(row, found[key], schema) for row in known[key])
        except FileProblem as problem:
            yield Finding(str(problem))
    counts = {"new": new, "changed": changed, "with other actions": other_actions, "gone": gone}
    if any(counts.values()):
        words = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        yield Finding(f"the clips in {data} are not those that were encoded: {words}", again)


def changes_since_encoding(folder: Path, header: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Say in a sentence each where latents cannot be verified, and in one where they are not of the clips of now."""
    for found in (*audit_header(folder, header), *islice(audit_freshness(folder, header, rows), 1)):
        yield str(found) if str(folder) in found.what else f"{folder}: {found}"


def _captions_differ(row: Mapping[str, Any], captions: Captions) -> bool:
    now = {name: list(texts) for name, texts in captions_of_part(captions, row).items()}
    return bool(now != row["captions"])


def _actions_differ(row: Mapping[str, Any], clip: Clip, schema: ActionSchema | None) -> bool:
    return bool(actions_of_row(row, clip, schema).get("actions") != row.get("actions"))
