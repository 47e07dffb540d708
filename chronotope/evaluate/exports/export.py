"""Fill the folders of a benchmark's layout: each video made once, put in its place whole and written down; and check such folders.

manifest.jsonl lies beside the folders that a benchmark lists, with a line a video: file, prompt, sample, seed, sha256, frames, size, fps,
weights. A video that is there and has its line is kept, so running again goes on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from chronotope.errors import ChronotopeError, FileProblem
from chronotope.evaluate.exports import worldscore
from chronotope.evaluate.exports.layouts import Clip, Length, Request, find_format, plan
from chronotope.generate.pipeline import Generation
from chronotope.media import video
from chronotope.progress import Progress
from chronotope.storage import append_jsonl, write_jsonl

__all__ = ["MANIFEST", "Maker", "Shot", "export", "kept", "num_frames", "validate"]

MANIFEST, MAKING = "manifest.jsonl", "making"


@dataclass(frozen=True)
class Shot:
    """What a model is asked for: texts and the seconds from which they speak, a seed, a number of frames, maybe a first picture."""

    told: tuple[tuple[float, str], ...]
    seed: int
    num_frames: int
    image: Path | None


@dataclass(frozen=True)
class Maker:
    """A model that makes videos: the names of its weights, the length and rate that it makes by itself, and how to ask it."""

    names: Mapping[str, str]
    num_frames: int
    fps: float
    make: Callable[[Shot], Generation]


def num_frames(request: Request, clip: Clip, maker: Maker) -> int:
    """Frames of a video: as many as the format's length asks for, for each scene, which begins on the last frame of the one before."""
    return len(clip.texts) * (find_format(request.format).length.frames(maker.num_frames, maker.fps) - 1) + 1


# Making


def export(request: Request, maker: Maker, report: Progress) -> int:
    """Make every video that is not there yet and return how many were; a folder of another export is refused."""
    clips = plan(request)
    lacking = [clip.image for clip in clips if clip.image and not clip.image.is_file()]
    if lacking:
        raise FileProblem(
            f"{len(lacking)} pictures from which videos start are missing, first {lacking[0]}; put the benchmark's pictures there"
        )
    for clip in clips:
        num_frames(request, clip, maker)  # refuses a length that cannot be
    done, made = kept(request, clips, maker), 0
    _write_manifest(request.out, list(done.values()))
    for number, clip in enumerate(clips, start=1):
        if clip.file not in done:
            append_jsonl(request.out / MANIFEST, _make(request, clip, maker))
            made += 1
        report(number, len(clips))
    return made


def kept(request: Request, clips: Sequence[Clip], maker: Maker) -> dict[str, dict[str, Any]]:
    """The lines of videos that are there and whole, by file; FileProblem if what is there is not of this export."""
    by_file, rows = {clip.file: clip for clip in clips}, _read_manifest(request.out)
    other = f"{request.out} holds videos of another export"
    if rows is None:
        strange = [clip.file for clip in clips if (request.out / clip.file).exists()]
        if strange:
            raise FileProblem(
                f"{request.out} holds {strange[0]} and no {MANIFEST} that tells where it is from; give another --out"
            )
        return {}
    for file, row in rows.items():
        clip = by_file.get(file)
        if clip is None:
            raise FileProblem(f"{other}: {file} belongs to no prompt of {request.prompts}; give another --out")
        told = {"prompt": clip.prompt, "sample": clip.sample, "seed": clip.seed, "model": dict(maker.names)}
        wrong = [f"{name} {row[name]!r}, now {told[name]!r}" for name in told if row[name] != told[name]]
        if wrong:
            raise FileProblem(f"{other}: {file} was made with {wrong[0]}; give another --out")
    return {file: row for file, row in rows.items() if _is_whole(request.out, by_file[file], row)}


def _is_whole(out: Path, clip: Clip, row: Mapping[str, Any]) -> bool:
    """Whether a video is the one that its line names, with all that belongs to it."""
    if _sha256(out / clip.file) != row["sha256"]:
        return False
    return not clip.folder or not any(worldscore.faults(dict(clip.entry), out / clip.folder, row["frames"]))


def _make(request: Request, clip: Clip, maker: Maker) -> dict[str, Any]:
    """Make one video aside, put it in its place with all that belongs to it, and return its line of the manifest."""
    total, scenes = num_frames(request, clip, maker), len(clip.texts)
    frames = (total - 1) // scenes + 1
    told = tuple((scene * (frames - 1) / maker.fps, text) for scene, text in enumerate(clip.texts))
    made = maker.make(Shot(told, clip.seed, total, clip.image))
    assert (len(made.frames), made.fps) == (total, maker.fps), "the maker was asked for another length"
    making, target = request.out / MAKING, request.out / clip.unit
    shutil.rmtree(making, ignore_errors=True)
    try:
        whole = making / "whole"
        whole.mkdir(parents=True)
        ready = (
            making / "made.mp4"
        )  # a short name: that of a prompt leaves no room for what a file is called while it grows
        video.write(ready, made.frames, made.fps, metadata=made.origin)
        digest = _sha256(ready)
        if clip.folder:
            inside = whole / PurePosixPath(clip.file).relative_to(clip.folder)
            inside.parent.mkdir(parents=True)
            ready.replace(inside)
            assert clip.image is not None
            worldscore.furnish(dict(clip.entry), clip.image, made, frames, whole)
            shutil.rmtree(target, ignore_errors=True)
            ready = whole
        target.parent.mkdir(parents=True, exist_ok=True)
        ready.replace(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    row = {"file": clip.file, "prompt": clip.prompt, "sample": clip.sample, "seed": clip.seed, "sha256": digest}
    row |= {
        "frames": total,
        "size": f"{made.frames.shape[2]}x{made.frames.shape[1]}",
        "fps": made.fps,
        "model": dict(maker.names),
    }
    row |= {"image": clip.image.name} if clip.image else {}
    if (said := made.origin.get("prompt", clip.prompt)) not in (clip.prompt, [list(beat) for beat in told]):
        row["told"] = said  # shorter than the prompt, because the model reads no more
    return row


# The manifest


def _read_manifest(folder: Path) -> dict[str, dict[str, Any]] | None:
    """The lines by file, the last one dropped if it was cut off; None without a manifest, FileProblem for one that is none."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    text, rows = path.read_text(), {}
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), start=1):
        try:
            row = json.loads(line)
            rows[row["file"]] = {
                **row,
                **{
                    name: row[name] for name in ("prompt", "sample", "seed", "sha256", "frames", "size", "fps", "model")
                },
            }
        except (ValueError, KeyError, TypeError) as problem:
            raise FileProblem(
                f"{path}, line {number}, is no line of a manifest ({problem!r}); take it out and run again"
            ) from problem
    return rows


def _write_manifest(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / MANIFEST, rows)


def _sha256(path: Path) -> str:
    """Of a file; empty where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


# Checking


def validate(request: Request) -> list[str]:
    """Every defect of what lies in the folder, in words: names, numbers, lengths, rates, tables, and what the manifest says of them."""
    rules, clips = find_format(request.format), plan(request)
    if not request.out.is_dir():
        return [f"{request.out} is no folder"]
    found = {path.relative_to(request.out).as_posix() for path in request.out.rglob("*") if path.is_file()} - {MANIFEST}
    units = {clip.unit for clip in clips}
    present = [clip for clip in clips if clip.file in found]
    defects = [f"{clip.file} is missing" for clip in clips if clip.file not in found]
    defects += [
        f"{file} is not part of the format"
        for file in sorted(found)
        if not units & {file, *map(str, PurePosixPath(file).parents)}
    ]
    if rules.count not in (None, len(clips)):
        defects.append(f"{request.prompts.name} asks for {len(clips)} videos, {rules.name} takes exactly {rules.count}")
    infos: dict[str, video.VideoInfo] = {}
    for clip in present:
        try:
            infos[clip.file] = video.probe(request.out / clip.file)
            defects += [f"{clip.file} {fault}" for fault in _misfits(infos[clip.file], rules.length)]
        except ChronotopeError as problem:
            defects.append(str(problem))
    for clip in clips:
        if clip.folder and (request.out / clip.folder).is_dir():
            count = infos[clip.file].num_frames if clip.file in infos else None
            defects += [
                f"{clip.folder}/{fault}"
                for fault in worldscore.faults(dict(clip.entry), request.out / clip.folder, count)
            ]
    if rules.alike:
        defects += _unlike("frames a second", {file: f"{info.fps:.6g}" for file, info in infos.items()})
        defects += _unlike("pixels", {file: f"{info.width}x{info.height}" for file, info in infos.items()})
    return defects + list(_against_manifest(request, clips, infos))


def _misfits(info: video.VideoInfo, length: Length) -> Iterator[str]:
    if "mp4" not in info.container:
        yield f"is a file of kind {info.container}, expected mp4"
    if info.num_frames < 2:
        yield "is a single frame, expected a video"
    elif fault := length.fault(info.seconds):
        yield fault
    if info.variable_frame_rate:
        yield "has frames of unequal length, expected one rate"


def _unlike(what: str, values: Mapping[str, str]) -> list[str]:
    """Those files whose value is not the most common one."""
    usual = max(Counter(values.values()).items(), key=lambda item: item[1])[0] if values else ""
    return [
        f"{file} has {value} {what}, most have {usual}; one is expected"
        for file, value in values.items()
        if value != usual
    ]


def _against_manifest(request: Request, clips: Sequence[Clip], infos: Mapping[str, video.VideoInfo]) -> Iterator[str]:
    """Where the manifest, if there is one, tells another story than the files and the plan do."""
    rows = _read_manifest(request.out)
    if rows is None:
        return
    wanted = {clip.file for clip in clips}
    yield from (f"{MANIFEST} names {file}, for which there is no prompt" for file in rows if file not in wanted)
    for clip in clips:
        info, row = infos.get(clip.file), rows.get(clip.file)
        if row is None:
            if info is not None:
                yield f"{clip.file} has no line in {MANIFEST}"
            continue
        planned = {"prompt": clip.prompt, "sample": clip.sample, "seed": clip.seed}
        yield from (
            f"{clip.file} has {name} {row[name]!r} in {MANIFEST}, expected {value!r}"
            for name, value in planned.items()
            if row[name] != value
        )
        if info is None:
            continue
        measured = {"frames": info.num_frames, "size": f"{info.width}x{info.height}", "fps": round(info.fps, 3)}
        told = {**row, "fps": round(float(row["fps"]), 3)}
        yield from (
            f"{clip.file} has {name} {value}, {MANIFEST} says {told[name]}"
            for name, value in measured.items()
            if told[name] != value
        )
        if _sha256(request.out / clip.file) != row["sha256"]:
            yield f"{clip.file} is not the file that {MANIFEST} names"
