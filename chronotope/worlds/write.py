"""Write a dataset of a world: video or picture, captions, spec, truth and arrays of every clip. It can be interrupted
and run again; a folder says what fills it, and refuses another request.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from chronotope.actions import SUFFIX
from chronotope.config import to_dict
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Frames
from chronotope.jsonl import append_jsonl, write_jsonl
from chronotope.manifest import LOST, manifest_hash, read_manifest, seal
from chronotope.media import video
from chronotope.processes import MAX_WORKERS, die_with_parent
from chronotope.progress import Progress
from chronotope.sealed import read_sealed, write_sealed
from chronotope.storage import atomic_file, locked, remove_partials, write_atomically
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.splits import Split, split_rng
from chronotope.worlds.world import Rendered

__all__ = [
    "DatasetRequest",
    "Put",
    "clip_seed",
    "filled_folder",
    "put_copy",
    "put_pixels",
    "write_clip",
    "write_dataset",
]

MAX_CLIPS = 10_000_000  # of one dataset
SAME_LEVELS = 8  # of 255, the mean difference of a video from what was rendered; compression takes less
SAVE_CLIPS, SAVE_SECONDS = 32, 5.0  # lines of the manifest are written after so many clips or seconds

Row = dict[str, Any]  # of the manifest: index, key, files with their hashes and sizes, seal
# What writes the frames of a clip at a path without suffix, by rate and record, and returns the files that it wrote.
Put = Callable[[Path, Frames, float, Mapping[str, Any]], Sequence[Path]]


@dataclass(frozen=True)
class DatasetRequest:
    """Which clips a dataset holds: `count` clips of a scope and a split, by seed.

    All are of `size` if it is given. `dissolves` is the share of clips that are two, of which one dissolves into the
    other, without masks and truth; of the others a share `pictures`, if not the scope's own, has one frame.
    """

    world: str
    scope: str
    split: str
    seed: int
    count: int
    size: tuple[int, int] | None = None
    dissolves: float = 0.0
    pictures: float | None = None

    def described(self) -> dict[str, Any]:
        """Return what `dataset.json` says of it."""
        about: dict[str, Any] = {"world": self.world, "scope": self.scope, "split": self.split, "seed": self.seed}
        world = find_world(self.world)
        about |= {"count": self.count, "licence": world.licence}
        also = {
            "size": list(self.size) if self.size else None,
            "dissolves": self.dissolves or None,
            "pictures": self.pictures,
            "actions": to_dict(world.actions) if world.actions else None,
        }
        return about | {name: value for name, value in also.items() if value is not None}


def clip_seed(seed: int, index: int) -> int:
    """Return the seed of one clip of a dataset."""
    return seed * 1_000_003 + index


def write_dataset(
    out: Path, request: DatasetRequest, progress: Progress | None = None, workers: int = 1, program: str = ""
) -> int:
    """Render the clips of a dataset that are not there yet; return how many clips the folder then holds.

    `dataset.json` says from the first moment what fills the folder, and whether it is complete; `manifest.jsonl` holds
    a sealed line for each clip with the hashes of its files. `program`, if given, is recorded as its writer. A complete
    folder keeps its clips where fewer are asked for. Raises UsageError for a request that makes no sense and for a
    folder that holds something else, FileProblem where nothing can be written.
    """
    if not 1 <= request.count <= MAX_CLIPS:
        raise UsageError(f"count = {request.count}: expected 1 to {MAX_CLIPS}")
    if not 1 <= workers <= MAX_WORKERS:
        raise UsageError(f"workers = {workers}: expected 1 to {MAX_WORKERS}")
    world = find_world(request.world)
    world.scope(request.scope, request.size, pictures=request.pictures, dissolves=request.dissolves)
    split_rng(0, request.split)  # refuses an unknown split before any work
    if why := world.unavailable():
        raise FileProblem(why)
    try:
        with locked(out):
            request = replace(request, count=max(request.count, _check_folder(out, request)))
            remove_partials(out, *out.glob("[0-9]*"))
            known = _whole_clips(out)
            missing = [index for index in range(request.count) if index not in known]
            if missing or not _is_complete(out):
                wrote = {"program": program} if program else {}
                write_sealed(out / "dataset.json", {**request.described(), **wrote, "complete": False})
                clips = {**known, **_render(out, request, missing, progress, workers)}
                rows = [clips[index] for index in range(request.count)]
                write_jsonl(out / "manifest.jsonl", rows)
                about = {**request.described(), **wrote, "complete": True, "manifest": manifest_hash(rows)}
                write_sealed(out / "dataset.json", about)
                remove_partials(out, *out.glob("[0-9]*"))  # of workers that outlived a killed run by a moment
    except OSError as problem:
        raise FileProblem(f"{out} cannot be written: {problem.strerror or problem}") from problem
    return request.count


def _is_complete(out: Path) -> bool:
    """Return whether a folder whose clips are all there says so, or is of a version that said nothing."""
    if not ((out / "dataset.json").is_file() and (out / "manifest.jsonl").is_file()):
        return False
    about = read_sealed(out / "dataset.json", LOST)
    listed = manifest_hash(read_manifest(out / "manifest.jsonl", lambda _: None))
    return bool(about.get("complete", True)) and about.get("manifest", listed) == listed


def _check_folder(out: Path, request: DatasetRequest) -> int:
    """Return how many clips a complete folder holds or held, 0 for one that is new or incomplete.

    Raises UsageError where the folder holds another dataset, or files that are none of this program's datasets.
    """
    about = out / "dataset.json"
    if not about.is_file():
        if (out / "manifest.jsonl").is_file():
            raise FileProblem(f"{about} is missing, and {out} holds clips that a world rendered; {LOST}")
        if any(not path.name.startswith(".") for path in out.iterdir()):
            raise UsageError(f"{out} already holds other files and no dataset of a world; give another --out")
        return 0
    found, wanted = read_sealed(about, LOST), request.described()
    names = ("world", "scope", "split", "seed", "size", "dissolves", "pictures")
    different = [
        f"{name} {found.get(name, 'not given')}, asked for {wanted.get(name, 'none')}"
        for name in names
        if found.get(name) != wanted.get(name) and (name in found or name != "scope")  # once there was one scope
    ]
    if different:
        raise UsageError(f"{out} already holds another dataset ({'; '.join(different)}); give another --out")
    count = found.get("count")
    if not isinstance(count, int):
        raise UsageError(f"{about} does not say how many clips there are; give another --out")
    if found.get("complete", True):
        return count
    if count > request.count:
        raise UsageError(
            f"{out} is an interrupted dataset of {count} clips; complete it with --count {count}, or give another --out"
        )
    return 0


def _render(
    out: Path, request: DatasetRequest, missing: Sequence[int], progress: Progress | None, workers: int
) -> dict[int, Row]:
    """Render the missing clips; return their rows by index. The rows are saved every few clips."""
    rows: dict[int, Row] = {}
    waiting: list[Row] = []
    saved = time.monotonic()
    done = request.count - len(missing)
    job = functools.partial(_write_clip, out, request)
    try:
        for row in _in_processes(job, missing, workers):
            rows[row["index"]] = row
            waiting.append(row)
            if len(waiting) >= SAVE_CLIPS or time.monotonic() - saved > SAVE_SECONDS:
                append_jsonl(out / "manifest.jsonl", *waiting)
                waiting, saved = [], time.monotonic()
            if progress:
                progress(done + len(rows), request.count)
    finally:
        append_jsonl(out / "manifest.jsonl", *waiting)
    return rows


def _whole_clips(out: Path) -> dict[int, Row]:
    """Return the undamaged rows of the manifest whose files are all there, by index.

    Raises FileProblem where a file is not as it was rendered: it may be somebody's correction, which is not replaced.
    """
    manifest = out / "manifest.jsonl"
    rows: dict[int, Row] = {}
    changed: list[str] = []
    for row in read_manifest(manifest, lambda _: None) if manifest.is_file() else []:
        there = {name: about for name, about in row["files"].items() if (out / name).is_file()}
        changed += [name for name, about in there.items() if _facts(out / name) != about]
        if len(there) == len(row["files"]):
            rows[row["index"]] = row
    if changed:
        raise FileProblem(
            f"{len(changed)} files of {out} were changed since they were rendered ({', '.join(changed[:3])}"
            f"{', ...' if len(changed) > 3 else ''}); delete them, and they are rendered again, or give another --out"
        )
    return rows


def _in_processes(job: Callable[[int], Row], indices: Sequence[int], workers: int) -> Iterable[Row]:
    """Do the job for every index in `workers` processes, and yield the results in order."""
    workers = min(workers, len(indices))
    if workers <= 1:
        yield from map(job, indices)
        return
    with ProcessPoolExecutor(workers, initializer=die_with_parent, initargs=(os.getpid(),)) as pool:
        chunk = max(1, min(64, math.ceil(len(indices) / workers / 4)))
        try:
            yield from pool.map(job, indices, chunksize=chunk)
        except BrokenProcessPool as problem:
            raise FileProblem(
                "a process that renders clips was killed, perhaps for want of memory; run the same command again, "
                "with fewer --workers"
            ) from problem
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_clip(out: Path, request: DatasetRequest, index: int) -> Row:
    """Render one clip, write its files, and return its sealed row of the manifest."""
    world = find_world(request.world)
    scope = world.scope(request.scope, request.size, pictures=request.pictures, dissolves=request.dissolves)
    spec = world.sample(clip_seed(request.seed, index), scope, cast(Split, request.split))
    place, key = f"{index // 1000:04d}", world.key(spec)
    (out / place).mkdir(exist_ok=True)
    clip = world.render(spec)
    record = {"captions": to_dict(world.captions(spec)), **clip.record}
    about = json.dumps(record, separators=(",", ":")).encode()
    _refuse_corrected(out / place, key, about, clip.frames)
    return write_clip(out, index, f"{place}/{key}", clip, spec.fps, record)


@contextlib.contextmanager
def filled_folder(out: Path, about: Mapping[str, Any], same: Sequence[str]) -> Iterator[dict[int, Row]]:
    """Lock a folder of clips and yield the rows of its whole clips, to which the caller adds; then say it is complete.

    `about` is what `dataset.json` says; a folder in which one of the fields `same` differs holds another dataset.
    Raises UsageError for that and for a folder with other files, FileProblem where clips were changed or nothing can be
    written.
    """
    try:
        with locked(out):
            _refuse_other(out, about, same)
            remove_partials(out, *out.glob("[0-9]*"), *out.glob("heldout/[0-9]*"))
            rows = _whole_clips(out)
            write_sealed(out / "dataset.json", {**about, "count": len(rows), "complete": False})
            yield rows
            listed = [rows[index] for index in sorted(rows)]
            write_jsonl(out / "manifest.jsonl", listed)
            done = {"count": len(listed), "complete": True, "manifest": manifest_hash(listed)}
            write_sealed(out / "dataset.json", {**about, **done})
    except OSError as problem:
        raise FileProblem(f"{out} cannot be written: {problem.strerror or problem}") from problem


def _refuse_other(out: Path, wanted: Mapping[str, Any], same: Sequence[str]) -> None:
    about = out / "dataset.json"
    if not about.is_file():
        if any(not path.name.startswith(".") for path in out.iterdir()):
            raise UsageError(f"{out} already holds other files and no such dataset; give another --out")
        return
    found = read_sealed(about, LOST)
    different = [
        f"{name} {found.get(name, 'none')}, asked for {wanted.get(name, 'none')}"
        for name in same
        if found.get(name) != wanted.get(name)
    ]
    if different:
        raise UsageError(f"{out} already holds another dataset ({'; '.join(different)}); give another --out")


def write_clip(
    out: Path,
    index: int,
    key: str,
    clip: Rendered,
    fps: float,
    record: Mapping[str, Any],
    also: Mapping[str, Any] | None = None,
    put: Put | None = None,
) -> Row:
    """Write the files of a clip, each atomically, and return its sealed row of the manifest.

    `key` is its path below `out` without suffix, `record` what its JSON file says, and `also` what else the row says.
    `put` writes the frames, `put_pixels` by default.
    """
    place, name = (out / key).parent, Path(key).name
    files = [*(put or put_pixels)(place / name, clip.frames, fps, record)]
    for suffix, arrays in clip.arrays.items():
        files.append(_put_arrays(place / f"{name}.{suffix}.npz", **arrays))
    if clip.actions is not None:
        files.append(_put_arrays(place / f"{name}{SUFFIX}", **clip.actions.arrays()))
    files.append(place / f"{name}.json")
    write_atomically(files[-1], json.dumps(record, separators=(",", ":")))
    facts = {path.relative_to(out).as_posix(): _facts(path) for path in files}
    return seal({"index": index, "key": key, "files": facts, **(also or {})})


def _refuse_corrected(folder: Path, key: str, rendered: bytes, frames: Frames) -> None:
    """Raise FileProblem where captions or a video are there that no manifest lists and that are not those of the clip.

    A rendering that was killed leaves the same ones; others are somebody's corrections of a dataset that lost its
    manifest. Bytes of videos may differ from run to run, so pixels are compared.
    """
    record, video_file = folder / f"{key}.json", folder / f"{key}.mp4"
    changed = record if record.is_file() and record.read_bytes() != rendered else None
    if changed is None and video_file.is_file():
        with contextlib.suppress(FileProblem):  # damaged, so it is nobody's work
            found = video.read(video_file).frames
            same = found.shape == frames.shape and np.abs(found.astype(int) - frames).mean() < SAME_LEVELS
            changed = None if same else video_file
    if changed is not None:
        raise FileProblem(
            f"{changed} is not as it was rendered, and no manifest lists it; delete it, and it is rendered again, or "
            "give another --out"
        )


def _facts(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def put_pixels(key: Path, frames: Frames, fps: float, record: Mapping[str, Any]) -> list[Path]:
    """Write one frame as KEY.png, more as KEY.mp4; return the path."""
    del record
    if len(frames) > 1:
        path = key.with_name(f"{key.name}.mp4")
        video.write(path, frames, fps)  # itself writes beside, then renames
        return [path]
    path, packed = key.with_name(f"{key.name}.png"), io.BytesIO()
    Image.fromarray(frames[0]).save(packed, "PNG")
    write_atomically(path, packed.getvalue())
    return [path]


def put_copy(film: Path, key: Path, frames: Frames, fps: float, record: Mapping[str, Any]) -> list[Path]:
    """Copy an MP4 file that holds the frames already, as KEY.mp4; return the path."""
    del frames, fps, record
    path = key.with_name(f"{key.name}.mp4")
    with atomic_file(path) as partial:
        shutil.copyfile(film, partial)
    return [path]


def _put_arrays(path: Path, **arrays: np.ndarray) -> Path:
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
    write_atomically(path, packed.getvalue())
    return path
