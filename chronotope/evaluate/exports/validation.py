"""Check a folder of videos against a benchmark's layout: names, numbers, lengths, rates, tables and the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from chronotope.errors import ChronotopeError
from chronotope.evaluate.exports import worldscore
from chronotope.evaluate.exports.layouts import find_format, plan
from chronotope.evaluate.exports.manifest import MANIFEST, file_hash, read_manifest
from chronotope.evaluate.exports.requests import ExportRequest, LengthRule, PlannedVideo
from chronotope.evaluate.told import read_origins
from chronotope.media import video

__all__ = ["validate"]

Infos = dict[str, video.VideoInfo]  # by file


def validate(request: ExportRequest) -> list[str]:
    """List every defect of the folder, in words; whoever made it."""
    rules, videos = find_format(request.format), plan(request)
    if not request.out.is_dir():
        return [f"{request.out} is no folder"]
    infos: Infos = {}
    defects = list(_wrong_files(request, videos))
    if rules.count not in (None, len(videos)):
        defects.append(
            f"{request.prompts.name} asks for {len(videos)} videos, {rules.name} takes exactly {rules.count}"
        )
    for planned in videos:
        path = request.out / planned.file
        if not path.is_file():
            continue
        try:
            infos[planned.file] = video.probe(path)
        except ChronotopeError as problem:
            defects.append(str(problem))
        else:
            defects += [f"{planned.file} {problem}" for problem in _video_problems(infos[planned.file], rules.length)]
    for planned in videos:
        folder = request.out / planned.folder
        if planned.folder and folder.is_dir():
            count = infos[planned.file].num_frames if planned.file in infos else None
            problems = worldscore.problems(planned.entry, folder, count)
            defects += [f"{planned.folder}/{problem}" for problem in problems]
    if rules.same_size_and_rate:
        defects += _deviating("frames a second", {file: f"{info.fps:.6g}" for file, info in infos.items()})
        defects += _deviating("pixels", {file: f"{info.width}x{info.height}" for file, info in infos.items()})
    return [*defects, *_manifest_problems(request, videos, infos)]


def _wrong_files(request: ExportRequest, videos: Sequence[PlannedVideo]) -> Iterator[str]:
    """Files that are missing, then files that are not part of the format."""
    found = {path.relative_to(request.out).as_posix() for path in request.out.rglob("*") if path.is_file()}
    units = {planned.unit for planned in videos}
    for planned in videos:
        if planned.file not in found:
            yield f"{planned.file} is missing"
    for file in sorted(found - {MANIFEST}):
        if units.isdisjoint({file, *map(str, PurePosixPath(file).parents)}):
            yield f"{file} is not part of the format"


def _video_problems(info: video.VideoInfo, length: LengthRule) -> Iterator[str]:
    if "mp4" not in info.container:
        yield f"is a file of kind {info.container}, expected mp4"
    if info.num_frames < 2:
        yield "is a single frame, expected a video"
    elif problem := length.problem(info.seconds):
        yield problem
    if info.variable_frame_rate:
        yield "has frames of unequal length, expected one rate"


def _deviating(what: str, values: Mapping[str, str]) -> Iterator[str]:
    """Name the files whose value is not the most common one."""
    if not values:
        return
    usual = Counter(values.values()).most_common(1)[0][0]
    for file, value in values.items():
        if value != usual:
            yield f"{file} has {value} {what}, most have {usual}; one is expected"


def _manifest_problems(request: ExportRequest, videos: Sequence[PlannedVideo], infos: Infos) -> Iterator[str]:
    """Say where the manifest, or without one the tags of the videos, disagrees with the plan and the files."""
    rows = read_manifest(request.out)
    if rows is None:
        yield from _exchanged(request, videos, infos)
        return
    planned_files = {planned.file for planned in videos}
    for file in rows:
        if file not in planned_files:
            yield f"{MANIFEST} names {file}, for which there is no prompt"
    for planned in videos:
        info = infos.get(planned.file)
        if planned.file in rows:
            yield from _row_problems(request, planned, rows[planned.file], info)
        elif info is not None:
            yield f"{planned.file} has no line in {MANIFEST}"


def _exchanged(request: ExportRequest, videos: Sequence[PlannedVideo], infos: Infos) -> Iterator[str]:
    """Name the videos that say that they were made for the prompt of another one."""
    prompts = {planned.prompt for planned in videos}
    origins = read_origins(request.out, infos)
    for planned in videos:
        made_for = origins.get(planned.file, {}).get("prompt")
        if isinstance(made_for, str) and made_for != planned.prompt and made_for in prompts:
            yield f"{planned.file} was made for another prompt, as its tags say: {made_for}"


def _row_problems(
    request: ExportRequest, planned: PlannedVideo, row: Mapping[str, Any], info: video.VideoInfo | None
) -> Iterator[str]:
    """Say where a line of the manifest disagrees with the plan and with its file, if that is readable."""
    file = planned.file
    for name, value in {"prompt": planned.prompt, "sample": planned.sample, "seed": planned.seed}.items():
        if row[name] != value:
            yield f"{file} has {name} {row[name]!r} in {MANIFEST}, expected {value!r}"
    if info is None:
        return
    stated = {**row, "fps": round(float(row["fps"]), 3)}
    measured = {"frames": info.num_frames, "size": f"{info.width}x{info.height}", "fps": round(info.fps, 3)}
    for name, value in measured.items():
        if stated[name] != value:
            yield f"{file} has {name} {value}, {MANIFEST} says {stated[name]}"
    if file_hash(request.out / file) != row["sha256"]:
        yield f"{file} is not the file that {MANIFEST} names"
