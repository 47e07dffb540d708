"""Folders of raw videos -> a dataset: clips in `train/` and `heldout/`, and a manifest that accounts for every file.

    sources.jsonl     what every source file looks like; a line is added when a file has been looked at
    curation.jsonl    the manifest: a sealed line for every shot, kept or not, and every file that cannot be used
    curation.json     how the dataset was made, and the Merkle root of the clips that are kept

The same command again looks at what is new or changed only. The result does not depend on interruptions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chronotope.actions import left_behind
from chronotope.config import from_dict, to_dict
from chronotope.curate.decide import Decision, Filters, Item, decide, keys_of
from chronotope.curate.listing import Row, earlier_header, set_aside, write_manifest
from chronotope.curate.look import Looked, look
from chronotope.curate.removal import is_removed, removals, taken_out
from chronotope.curate.rights import OWN, Policy, opt_out_signals
from chronotope.curate.text import check_installed
from chronotope.curate.write import Planned, write_clips
from chronotope.errors import ChronotopeError, DecoderUnavailableError, FileProblem, UsageError
from chronotope.jsonl import append_jsonl
from chronotope.manifest import CURATE_AGAIN, Source, described, identify, read_manifest, seal, source_of
from chronotope.media import video
from chronotope.media.damage import DAMAGE_ADVICE
from chronotope.media.generated import generated_by, generated_in_words
from chronotope.media.rights import RecordedRights, Rights, described_rights, rights_from
from chronotope.progress import Progress
from chronotope.prompt import story_between
from chronotope.sealed import read_sealed
from chronotope.storage import locked, remove_partials

__all__ = ["Curated", "RawFile", "curate"]

TAGS = ("copyright", "license", "licence", "usageterms", "rights")  # of media files, about rights
CHANGED = "it was changed while it was read; run the same command again"

Note = Callable[[str], None]
CaptionsOf = Callable[[Path], Mapping[str, Sequence[str]]]


@dataclass(frozen=True)
class RawFile:
    """A source file: `name` is its POSIX path with the name of its folder, `folder` is where rights files may lie."""

    name: str
    path: Path
    folder: Path


@dataclass(frozen=True)
class Curated:
    """What a curation found: how many files and clips, and how many were left out for which reason."""

    files: int
    looked_at: int
    kept: int
    heldout: int
    reasons: Mapping[str, int]
    unusable: tuple[tuple[str, str], ...]  # files that cannot be read or may not be used, and why
    gone: int

    def in_words(self) -> str:
        """Return one line such as "20 files (3 new): 41 clips, 4 of them held out; left out: 2 still, 1 duplicate"."""
        files = f"{self.files} {'file' if self.files == 1 else 'files'} ({self.looked_at} new or changed)"
        clips = f"{self.kept} {'clip' if self.kept == 1 else 'clips'}, {self.heldout} of them held out"
        left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(self.reasons.items()))
        gone = f"; {self.gone} gone" if self.gone else ""
        return f"{files}: {clips}{f'; left out: {left_out}' if left_out else ''}{gone}"


def curate(
    files: Sequence[RawFile],
    out: Path,
    filters: Filters,
    policy: Policy,
    captions_of: CaptionsOf,
    version: str,
    copy: bool = False,
    progress: Progress | None = None,
    note: Note = lambda _: None,
) -> Curated:
    """Bring the dataset in `out` up to date with the source files; returns what was found.

    Raises UsageError where no file may be used or `out` holds something else, FileProblem where no clip is left.
    """
    if not files:
        raise FileProblem("there are no videos or pictures to curate")
    recorded = RecordedRights()
    _check_rights(policy, {file.name: policy.rights(inner_name(file), (), recorded.of(file.path)) for file in files})
    if filters.text:
        check_installed()
    with locked(out):
        remove_partials(out, out / "train", out / "heldout")
        _check_folder(out)
        seen = _look_at_all(files, out, filters, progress, note)
        before = {file.name: recorded.of(file.path, seen[file.name].source.sha256) for file in files}
        rights = {
            file.name: policy.rights(inner_name(file), _signals(file, seen.get(file.name)), before[file.name])
            for file in files
        }
        captions = {file.name: _captions(file, captions_of, note) for file in files}
        splits, recorded_here = _known_splits(out, filters), _known_rights(out)
        rows, planned = _decided(files, seen, rights, policy, filters, captions, splits)
        rows, planned = _without_removed(out, rows, planned)
        divided = {item["file"] for item in rows if item["state"] == "kept" and item["captions"] and not item["whole"]}
        for sentence in (*_said_of_rights(policy, rights, before, seen), *_noticed(seen, planned)):
            note(sentence)
        for sentence in _other_rights(recorded_here, rights, seen):
            note(sentence)
        for sentence in (
            *_worth_knowing(rows, planned),
            *generated_in_words(out, {one.clip: one.generated_by for one in planned}),
        ):
            note(sentence)
        if divided:
            cut = "1 file that was" if len(divided) == 1 else f"{len(divided)} files that were"
            note(f"the captions of {cut} cut are given to each of their shots")
        for sentence in left_behind((one.path for one in files), "to train on them, encode their folder as it is"):
            note(sentence)
        for pattern in policy.unmatched([inner_name(file) for file in files]):
            note(f"{policy.path}: no file is called {pattern}")
        if not planned:  # before anything is removed
            reasons = ", ".join(f"{row['file']}: {row['why']}" for row in rows[:3])
            raise FileProblem(f"no clip would be left of {len(files)} files ({reasons}); {out} stays as it was")
        set_aside(out)
        gone, changed = write_clips(out, planned, copy, progress, note)
        while changed:  # decided again without them, since other clips may be copies of theirs
            seen |= {name: _Seen(seen[name].source, None, CHANGED, new=True) for name in changed}
            rows, planned = _decided(files, seen, rights, policy, filters, captions, splits)
            rows, planned = _without_removed(out, rows, planned)
            if not planned:
                raise FileProblem(f"no clip of {len(files)} files is left: {min(changed)}: {CHANGED}")
            more, changed = write_clips(out, planned, copy, progress, note)
            gone += more
        rows = _as_written(out, rows, {one.clip for one in planned if _is_resampled(one)})
        _finish(out, rows, filters, policy, version)
    kept = [row for row in rows if row["state"] == "kept"]
    return Curated(
        files=len(files),
        looked_at=sum(one.new for one in seen.values()),
        kept=len(kept),
        heldout=sum(row["split"] == "heldout" for row in kept),
        reasons=Counter(row["reason"] for row in rows if row["state"] != "kept"),
        unusable=tuple((row["file"], row["why"]) for row in rows if row["state"] in ("refused", "unreadable")),
        gone=gone,
    )


def _said_of_rights(
    policy: Policy, rights: Mapping[str, Rights], before: Mapping[str, Rights], seen: Mapping[str, _Seen]
) -> Iterator[str]:
    """Say which licences are those that the datasets of the files record, and where other ones are declared."""
    known = {name: found for name, found in before.items() if found.licensed}
    kept = [name for name, found in known.items() if rights[name].licence == found.licence != ""]
    if kept:
        named = ", ".join(f"{found} ({count})" for found, count in Counter(str(known[name]) for name in kept).items())
        but = f", and --holder {policy.own} is for the others" if policy.own else ""
        yield f"the licences of {_files(kept)} are those that their dataset records: {named}{but}"
    other = [name for name, found in known.items() if rights[name].licence not in ("", found.licence)]
    if other:
        yield (
            f"a dataset records other rights of {_files(other)} than are declared, which count, such as "
            f"{rights[other[0]]} instead of {known[other[0]]} of {other[0]}"
        )
    tags = {name: _tag_of_rights(found) for name, found in seen.items() if rights[name].licence == OWN}
    if tagged := [name for name, tag in tags.items() if tag and name not in known]:
        yield (
            f"{_files(tagged)} taken for footage of {rights[tagged[0]].holder}, as declared, with a tag about rights: "
            f"{tagged[0]} ({tags[tagged[0]]})"
        )


def _files(names: Sequence[str]) -> str:
    return f"{len(names)} {'file' if len(names) == 1 else 'files'}"


def _tag_of_rights(seen: _Seen) -> str:
    """Return the first tag of a file that is about licence or copyright; "" where there is none."""
    tags = seen.looked.metadata if seen.looked else {}
    return next((f"{key}: {text[:80]}" for key, text in tags.items() if key.lower() in TAGS and text.strip()), "")


def _worth_knowing(rows: Sequence[Row], planned: Sequence[Planned]) -> Iterator[str]:
    """Say where clips are not what their sources are, and where copies had other captions."""
    resampled = {one.source.file for one in planned if _is_resampled(one)}
    if resampled:
        yield f"the frame rate of {min(resampled)} varies, and the clips cut from it have a constant one" + (
            f"; so it is with {len(resampled) - 1} more files" if len(resampled) > 1 else ""
        )
    words = {row["key"]: row["captions"] for row in rows if row["state"] == "kept"}
    copies = [row for row in rows if row.get("duplicate_of") in words]
    other = [row for row in copies if row["captions"] not in ({}, words[row["duplicate_of"]])]
    if other:
        yield (
            f"{len(other)} near-copies that are left out have other captions than the clips that are kept, such as "
            f"{other[0]['key']} (that of {other[0]['duplicate_of']} is used)"
        )


def _is_resampled(one: Planned) -> bool:
    return one.looked.variable_frame_rate and not one.shot.whole


def _as_written(out: Path, rows: Sequence[Row], resampled: Collection[str]) -> list[Row]:
    """Return the lines with the frames, the rate and the length of the clips of a constant rate that were written.

    `seconds` stays the length of the span in the source.
    """
    found = []
    for row in rows:
        if row.get("clip") in resampled:
            info = video.probe(out / row["clip"])
            numbers = {"frames": info.num_frames, "fps": info.fps, "clip_seconds": info.seconds}
            row = seal({**{name: value for name, value in row.items() if name != "seal"}, **numbers})
        found.append(row)
    return found


def _noticed(seen: Mapping[str, _Seen], planned: Sequence[Planned]) -> Iterator[str]:
    """Say what was noticed while files were read of which clips are made: a cut clip shows no damage of its film."""
    files: dict[str, list[str]] = {}  # by what is said of them
    for name in sorted({one.source.file for one in planned}):
        if looked := seen[name].looked:
            damage = [f"{looked.damage}; {DAMAGE_ADVICE}"] if looked.damage else []
            for reason in (*damage, *looked.remarks):
                files.setdefault(reason, []).append(name)
    for reason, names in sorted(files.items(), key=lambda kind: -len(kind[1])):
        yield f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {reason}"


def _without_removed(out: Path, rows: list[Row], planned: list[Planned]) -> tuple[list[Row], list[Planned]]:
    """Leave out what was taken out of the dataset on request, by its content."""
    removed = removals(out)
    gone = {row["key"] for row in rows if row["state"] == "kept" and is_removed(row, removed)}
    clips = {row["clip"] for row in rows if row["key"] in gone}
    rows = [taken_out(row) if row["key"] in gone else row for row in rows]
    return rows, [one for one in planned if one.clip not in clips]


def inner_name(file: RawFile) -> str:
    """Return the POSIX path of a source file below its folder, which rules of rights name."""
    return file.path.relative_to(file.folder).as_posix()


def _check_rights(policy: Policy, rights: Mapping[str, Rights]) -> None:
    """Refuse, before anything is decoded, a run of which no file may be used."""
    refused = {name: policy.refusal(found) for name, found in rights.items()}
    if all(refused.values()):
        name, why = next(iter(refused.items()))
        raise UsageError(
            f"none of the {len(refused)} files may be used: {name}: {why}. Say --holder NAME for your own footage, "
            "--rights FILE for licences by file name, or --allow-unknown, which is recorded"
        )


def _check_folder(out: Path) -> None:
    header = out / "curation.json"
    if header.is_file():
        read_sealed(header, CURATE_AGAIN)
    elif not (out / "sources.jsonl").is_file() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise UsageError(f"{out} holds other files; give a new folder with --out")


# Look


@dataclass(frozen=True)
class _Seen:
    """What is known of a source file: its identity, what it looks like or what is `wrong` with it."""

    source: Source
    looked: Looked | None
    wrong: str = ""
    new: bool = False


def _look_at_all(
    files: Sequence[RawFile], out: Path, filters: Filters, progress: Progress | None, note: Note
) -> dict[str, _Seen]:
    listing = out / "sources.jsonl"
    known = {row["name"]: row for row in read_manifest(listing, note)} if listing.is_file() else {}
    seen: dict[str, _Seen] = {}
    for number, file in enumerate(files, start=1):
        before = _known(known.get(file.name), filters)
        try:
            source = identify(file.path, file.name, before.source if before else None)
        except FileProblem as problem:  # a broken link, a pipe
            seen[file.name] = _Seen(Source(file.name, "", 0, 0, 0), None, _in_words(problem, file))
            continue
        if before is not None and before.source.sha256 == source.sha256:
            seen[file.name] = replace(before, source=source)
        else:
            seen[file.name] = found = _look_at(file, source, filters)
            row = {
                "name": file.name,
                "path": str(file.path.resolve()),
                "max_seconds": filters.max_seconds,
                "text": filters.text,
                "source": described(source),
            }
            row |= {"wrong": found.wrong, "looked": to_dict(found.looked) if found.looked else None}
            if found.wrong != CHANGED:  # the next run looks again
                append_jsonl(listing, seal(row))
        if progress:
            progress(number, len(files))
    return seen


def _known(row: Row | None, filters: Filters) -> _Seen | None:
    """Return what an earlier run saw of a file; None where it looked by other rules, or the line has another form."""
    source = source_of(row) if row else None
    if row is None or source is None or row.get("max_seconds") != filters.max_seconds:
        return None
    if row.get("text", False) != filters.text or row.get("wrong") == CHANGED:
        return None
    try:
        looked = from_dict(Looked, row["looked"]) if row.get("looked") else None
    except UsageError:
        return None
    if "text" not in row and looked and any(shot.scores.borders for shot in looked.shots):
        return None  # an earlier version, which hashed borders too
    return _Seen(source, looked, str(row.get("wrong", "")))


def _look_at(file: RawFile, source: Source, filters: Filters) -> _Seen:
    try:
        looked = look(file.path, filters.max_seconds, text=filters.text)
    except DecoderUnavailableError:
        raise
    except ChronotopeError as problem:
        return _Seen(source, None, _in_words(problem, file), new=True)
    if not source.unchanged(file.path):
        return _Seen(source, None, CHANGED, new=True)
    return _Seen(source, looked, new=True)


def _in_words(problem: Exception, file: RawFile) -> str:
    """Return what is wrong with a file by its name alone: manifests are handed on."""
    return str(problem).replace(str(file.path), file.name)


def _signals(file: RawFile, seen: _Seen | None) -> list[str]:
    metadata = seen.looked.metadata if seen and seen.looked else {}
    return opt_out_signals(file.folder, inner_name(file), metadata)


# Decide


def _decided(
    files: Sequence[RawFile],
    seen: Mapping[str, _Seen],
    rights: Mapping[str, Rights],
    policy: Policy,
    filters: Filters,
    captions: Mapping[str, Mapping[str, Sequence[str]]],
    splits: Mapping[str, str],
) -> tuple[list[Row], list[Planned]]:
    """Return the lines of the manifest, and the clips that are to be written."""
    rows: list[Row] = []
    usable: dict[str, RawFile] = {}
    for file in files:
        found = seen[file.name]
        refusal = policy.refusal(rights[file.name])
        if found.looked is None or refusal:
            state, reason = ("refused", "rights") if refusal else ("unreadable", "unreadable")
            rows.append(_row(file.name, found, rights[file.name], state, reason, refusal or found.wrong))
        else:
            usable[file.name] = file
    items = [replace(item, captioned=bool(captions[item.file])) for item in _items(usable, seen)]
    decisions = decide(items, filters, splits)
    planned = []
    made_by = {name: generated_by(usable[name].path) for name in {item.file for item in items}}
    for item in items:
        file, decision = usable[item.file], decisions[item.key]
        words = captions_of_shot(captions[item.file], item.shot.start, item.shot.seconds, item.shot.whole)
        row = _clip_row(item, decision, seen[item.file], rights[item.file], words)
        if made_by[item.file]:
            row["generated_by"] = made_by[item.file]
        if not decision.reason:
            source = seen[item.file].source
            planned.append(Planned(row["clip"], file.path, item.looked, item.shot, words, source, made_by[item.file]))
        rows.append(row)
    rows.sort(key=lambda row: (row["file"], row["key"]))
    return [seal(row) for row in rows], planned


def _captions(file: RawFile, captions_of: CaptionsOf, note: Note) -> Mapping[str, Sequence[str]]:
    """Return the captions of a source file; one that cannot be read is said, and counts as none."""
    try:
        return captions_of(file.path)
    except ChronotopeError as problem:
        note(str(problem))
        return {}


def captions_of_shot(
    captions: Mapping[str, Sequence[str]], start: float, seconds: float, whole: bool
) -> dict[str, list[str]]:
    """Return the captions of a shot, or of the `whole` file: those of its file, of stories the beats in its span."""
    words = {level: list(texts) for level, texts in captions.items()}
    if not whole and "story" in words:
        words["story"] = [story_between(text, start, start + seconds) for text in words["story"]]
    return words


def _known_splits(out: Path, filters: Filters) -> dict[str, str]:
    """Return the splits of an earlier curation by the content of the source, so that what was shown is not held out.

    Another share is another division.
    """
    header = earlier_header(out)
    if header.get("filters", {}).get("heldout") != filters.heldout or not (out / "curation.jsonl").is_file():
        return {}
    rows = read_manifest(out / "curation.jsonl", lambda _: None)
    return {row["source"]["sha256"]: row["split"] for row in rows if row["state"] == "kept"}


def _known_rights(out: Path) -> dict[tuple[str, str], Rights]:
    """Return the rights that an earlier curation recorded, by the name and the content of the source."""
    if not (out / "curation.jsonl").is_file():
        return {}
    rows = read_manifest(out / "curation.jsonl", lambda _: None)
    return {(row["file"], row["source"]["sha256"]): rights_from(row["rights"]) for row in rows}


def _other_rights(
    earlier: Mapping[tuple[str, str], Rights], rights: Mapping[str, Rights], seen: Mapping[str, _Seen]
) -> Iterator[str]:
    """Say where this dataset recorded other rights of the same files until now."""
    pairs = {name: (earlier.get((name, seen[name].source.sha256)), now) for name, now in rights.items()}
    other = [name for name, (old, now) in pairs.items() if old and old != replace(now, signals=())]
    if other:
        old, now = pairs[other[0]]
        was, is_now = (", ".join(map(str, described_rights(one or Rights()).values())) for one in (old, now))
        yield (
            f"other rights of {_files(other)} than this dataset recorded until now: {is_now or 'unknown'} instead of "
            f"{was or 'unknown'} of {other[0]}"
        )


def _items(usable: Mapping[str, RawFile], seen: Mapping[str, _Seen]) -> list[Item]:
    looked = {name: found.looked for name in usable if (found := seen[name]).looked is not None}
    keys = keys_of(list(looked), {name: len(one.shots) for name, one in looked.items() if one})
    return [
        Item(key, name, seen[name].source.sha256, number, one, shot)
        for name, one in looked.items()
        if one is not None
        for number, (key, shot) in enumerate(zip(keys[name], one.shots, strict=True))
    ]


def _row(name: str, found: _Seen, rights: Rights, state: str, reason: str, why: str) -> Row:
    source = {"sha256": found.source.sha256, "bytes": found.source.bytes}
    row: Row = {"key": name, "file": name, "state": state, "reason": reason, "why": why, "source": source}
    return {**row, "rights": described_rights(rights)}


def _clip_row(item: Item, decision: Decision, found: _Seen, rights: Rights, captions: Mapping[str, Any]) -> Row:
    state = "left out" if decision.reason else "kept"
    row = _row(item.file, found, rights, state, decision.reason, decision.why)
    looked, shot = item.looked, item.shot
    row |= {
        "key": item.key,
        "split": decision.split,
        "start": shot.start,
        "seconds": shot.seconds,
        "frames": shot.frames,
        "width": looked.width,
        "height": looked.height,
        "fps": looked.fps,
        "picture": looked.picture,
        "whole": shot.whole,
        "scores": to_dict(shot.scores),
        "captions": dict(captions),
    }
    if decision.duplicate_of:
        row["duplicate_of"] = decision.duplicate_of
    if state == "kept":
        suffix = Path(item.file).suffix.lower() if shot.whole else ".mp4"
        row["clip"] = f"{decision.split}/{item.key}{suffix}"
    return row


def _finish(out: Path, rows: Sequence[Row], filters: Filters, policy: Policy, version: str) -> None:
    made = {"made_with": version, "filters": to_dict(filters), "allow_unknown": policy.allow_unknown}
    write_manifest(out, rows, made)
