"""Write a dataset of a world: video or picture, captions, spec, truth and arrays of every clip. It can be interrupted
and run again.
"""

from __future__ import annotations

import functools
import io
import json
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from chronotope.config import to_dict
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Frames
from chronotope.media import video
from chronotope.progress import Progress
from chronotope.storage import write_atomically
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.splits import Split, split_rng

__all__ = ["DatasetRequest", "clip_seed", "write_dataset"]


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
        about |= {"count": self.count, "licence": find_world(self.world).licence}
        also = {
            "size": list(self.size) if self.size else None,
            "dissolves": self.dissolves or None,
            "pictures": self.pictures,
        }
        return about | {name: value for name, value in also.items() if value is not None}


def clip_seed(seed: int, index: int) -> int:
    """Return the seed of one clip of a dataset."""
    return seed * 1_000_003 + index


def write_dataset(out: Path, request: DatasetRequest, progress: Progress | None = None, workers: int = 1) -> None:
    """Write the clips of a dataset that are not there yet, and `dataset.json` at the end.

    Raises UsageError for a request that makes no sense, FileProblem where nothing can be written.
    """
    if request.count < 1:
        raise UsageError(f"count = {request.count}: expected at least 1")
    world = find_world(request.world)
    world.scope(request.scope)
    split_rng(0, request.split)  # refuses an unknown split before any work
    job = functools.partial(_write_clip, out, request)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for done, _ in enumerate(_in_processes(job, request.count, workers), start=1):
            if progress:
                progress(done, request.count)
        write_atomically(out / "dataset.json", json.dumps(request.described(), indent=1))
    except OSError as problem:
        raise FileProblem(f"{out} cannot be written: {problem.strerror or problem}") from problem


def _in_processes(job: Callable[[int], None], count: int, workers: int) -> Iterable[None]:
    """Do the job for every number below `count` in `workers` processes; yield after each."""
    if workers <= 1:
        yield from map(job, range(count))
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(job, range(count), chunksize=max(1, min(64, math.ceil(count / workers / 4))))


def _write_clip(out: Path, request: DatasetRequest, index: int) -> None:
    world = find_world(request.world)
    scope = world.scope(request.scope, request.size, pictures=request.pictures, dissolves=request.dissolves)
    spec = world.sample(clip_seed(request.seed, index), scope, cast(Split, request.split))
    folder, key = out / f"{index // 1000:04d}", world.key(spec)
    if (folder / f"{key}.json").exists():
        return
    folder.mkdir(exist_ok=True)
    clip = world.render(spec)
    _put_pixels(folder, key, clip.frames, spec.fps)
    for suffix, arrays in clip.arrays.items():
        _put_arrays(folder / f"{key}.{suffix}.npz", **arrays)
    # The JSON comes last: where it stands, the clip is whole.
    record = {"captions": to_dict(world.captions(spec)), **clip.record}
    write_atomically(folder / f"{key}.json", json.dumps(record, separators=(",", ":")).encode())


def _put_pixels(folder: Path, key: str, frames: Frames, fps: float) -> None:
    """Write one frame as KEY.png, more as KEY.mp4."""
    if len(frames) > 1:
        video.write(folder / f"{key}.mp4", frames, fps)  # itself writes beside, then renames
        return
    packed = io.BytesIO()
    Image.fromarray(frames[0]).save(packed, "PNG")
    write_atomically(folder / f"{key}.png", packed.getvalue())


def _put_arrays(path: Path, **arrays: np.ndarray) -> None:
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
    write_atomically(path, packed.getvalue())
