"""Fill the folders of a benchmark's layout: make each video once, move it into place whole, and write its line.

A video that is present and whole and has its line in manifest.jsonl is kept, so running again continues.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from chronotope.errors import FileProblem
from chronotope.evaluate.exports import worldscore
from chronotope.evaluate.exports.layouts import find_format, plan
from chronotope.evaluate.exports.manifest import MANIFEST, file_hash, read_manifest
from chronotope.evaluate.exports.requests import ExportRequest, PlannedVideo, VideoMaker, VideoRequest
from chronotope.jsonl import append_jsonl, write_jsonl
from chronotope.media import video
from chronotope.progress import Progress
from chronotope.safety.deliver import Layers, deliver
from chronotope.safety.policy.decide import default_policy
from chronotope.storage import partial_folder, remove_folder, remove_partials, sync_folder

__all__ = ["check_before", "export", "num_frames"]

# Others measure the pixels, and the same export is the same bytes.
MEASURED = Layers(watermark=False, credentials=False)


def num_frames(request: ExportRequest, planned: PlannedVideo, maker: VideoMaker) -> int:
    """Frames of a video: the format's length for each scene. A scene begins on the last frame of the one before."""
    scene = find_format(request.format).length.num_frames(maker.num_frames, maker.fps)
    return len(planned.texts) * (scene - 1) + 1


def export(request: ExportRequest, maker: VideoMaker, report: Progress) -> int:
    """Make every video that is not there yet and return how many were made.

    Raises as `check_before` does, before anything is written.
    """
    videos = plan(request)
    kept = check_before(request, videos, maker)
    request.out.mkdir(parents=True, exist_ok=True)
    remove_partials(*{(request.out / planned.unit).parent for planned in videos})  # of an export that was killed
    write_jsonl(request.out / MANIFEST, kept.values())
    before = {planned.unit for planned in videos if planned.file not in kept and (request.out / planned.unit).exists()}
    made = 0
    for number, planned in enumerate(videos, start=1):
        if planned.file not in kept:
            append_jsonl(request.out / MANIFEST, _make(request, planned, maker, planned.unit in before))
            made += 1
        report(number, len(videos))
    return made


def check_before(
    request: ExportRequest, videos: Sequence[PlannedVideo], maker: VideoMaker
) -> dict[str, dict[str, Any]]:
    """Refuse what could not be made, for a dry run as for an export; return what `finished` does.

    Raises FileProblem if first pictures are missing or damaged, or the folder cannot be written or holds another
    export; UsageError if the model cannot make videos of the format's length.
    """
    pictures = dict.fromkeys(planned.image for planned in videos if planned.image)
    missing = [path for path in pictures if not path.is_file()]
    if missing:
        raise FileProblem(
            f"{len(missing)} pictures from which videos start are missing, first {missing[0]}; "
            "put the benchmark's pictures there"
        )
    for path in pictures:
        video.probe(path)
    for planned in videos:
        num_frames(request, planned, maker)
    place = next(path for path in (request.out, *request.out.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise FileProblem(f"{place} is {'not writable' if place.is_dir() else 'no folder'}; give another --out")
    return finished(request, videos, maker)


def finished(request: ExportRequest, videos: Sequence[PlannedVideo], maker: VideoMaker) -> dict[str, dict[str, Any]]:
    """The lines of the videos that are there and whole, by file; FileProblem if the folder holds another export."""
    rows = read_manifest(request.out)
    if rows is None:
        unknown = [planned.file for planned in videos if (request.out / planned.unit).exists()]
        if unknown:
            raise FileProblem(
                f"{request.out} holds {unknown[0]} but no {MANIFEST} that says where it is from; give another --out"
            )
        return {}
    by_file = {planned.file: planned for planned in videos}
    other = f"{request.out} holds videos of another export"
    for file, row in rows.items():
        if file not in by_file:
            raise FileProblem(f"{other}: {file} belongs to no prompt of {request.prompts}; give another --out")
        planned = by_file[file]
        expected = {
            "prompt": planned.prompt,
            "sample": planned.sample,
            "seed": planned.seed,
            "model": dict(maker.weights),
        }
        if planned.image:
            expected |= {"image": planned.image.name, "image_sha256": file_hash(planned.image)}
        for name, value in expected.items():
            if row.get(name, value) != value:  # earlier versions stored no hash of the picture
                raise FileProblem(
                    f"{other}: {file} was made with {name} {row[name]!r}, now {value!r}; give another --out"
                )
    return {file: row for file, row in rows.items() if _is_whole(request.out, by_file[file], row)}


def _is_whole(out: Path, planned: PlannedVideo, row: Mapping[str, Any]) -> bool:
    """Whether a video is the one that its line names, with all that belongs to it."""
    if file_hash(out / planned.file) != row["sha256"]:
        return False
    return not planned.folder or not any(worldscore.problems(planned.entry, out / planned.folder, row["frames"]))


def _make(request: ExportRequest, planned: PlannedVideo, maker: VideoMaker, replace: bool) -> dict[str, Any]:
    """Make one video aside, move it into place with all that belongs to it, and return its line of the manifest.

    Raises FileProblem, unless `replace`, where something else has its place by then.
    """
    total, scenes = num_frames(request, planned, maker), len(planned.texts)
    scene_frames = (total - 1) // scenes + 1
    prompt = tuple((scene * (scene_frames - 1) / maker.fps, text) for scene, text in enumerate(planned.texts))
    digest_of_picture = file_hash(planned.image) if planned.image else ""
    made = maker.make(VideoRequest(prompt, planned.seed, total, planned.image))
    assert (len(made.frames), made.fps) == (total, maker.fps), "the maker was asked for another length"
    target = request.out / planned.unit
    with partial_folder(target) as making:
        # a short name: a file name of 255 bytes leaves no room for the suffix of a file that is being written
        ready = making / "made.mp4"
        deliver(ready, made.frames, made.fps, made.origin, MEASURED, policy=default_policy())
        digest = file_hash(ready)
        if planned.folder:
            assert planned.image is not None
            instance = making / "instance"
            inside = instance / PurePosixPath(planned.file).relative_to(planned.folder)
            inside.parent.mkdir(parents=True)
            ready.replace(inside)
            worldscore.write_instance(planned.entry, planned.image, made, scene_frames, instance)
            ready = instance
        if target.exists() and not replace:
            raise FileProblem(f"{target} appeared during the export and is not replaced; move it away and run it again")
        if planned.folder:
            remove_folder(target)
        ready.replace(target)
        sync_folder(target.parent)
    row = {
        "file": planned.file,
        "prompt": planned.prompt,
        "sample": planned.sample,
        "seed": planned.seed,
        "sha256": digest,
        "frames": total,
        "size": f"{made.frames.shape[2]}x{made.frames.shape[1]}",
        "fps": made.fps,
        "model": dict(maker.weights),
    }
    if planned.image:
        row |= {"image": planned.image.name, "image_sha256": digest_of_picture}
    read = made.origin.get("prompt", planned.prompt)
    if read not in (planned.prompt, [list(beat) for beat in prompt]):
        row["told"] = read  # the text was longer than the model reads
    return row
