"""Curation on films whose truth is known: cuts, planted near-copies, other events, speed: python -m benchmarks.curation

    python tests/real_clips.py          # camera clips and a film, once
    python -m benchmarks.curation [--out benchmarks/curation.json]

Films are joined from parts of real clips (no part twice), so the cuts are known to the frame. Copies are re-encoded,
halved, cropped by 5 % and begin 0.27 s later. Speed: one pass of `curate`, and raw decoding by PyAV, in turns.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.harness import say
from chronotope.curate.fingerprints import Fingerprinted, near_duplicates
from chronotope.curate.look import Looked, look
from chronotope.media import video
from chronotope.metrics.statistics import Rate
from chronotope.storage import write_json
from chronotope.worlds.write import DatasetRequest, write_dataset
from tests.real_clips import available

FILM = "bbb.mp4"
TWICE = ("bigbuckbunny.mp4",)  # a part of the film
SIDE, FPS = 320, 24.0
PART_SECONDS = (1.0, 4.0)
FILMS, PARTS, SHOTS, STAGE, ROUNDS = 6, 10, 60, 200, 3
MINUTE = 60.0


def parts(rng: np.random.Generator) -> list[np.ndarray]:
    """Return parts of real clips without a cut inside, each from another clip or another minute of the film."""
    found = []
    for name, path in sorted(available().items()):
        if name in TWICE:
            continue
        info = video.probe(path)
        starts = np.arange(5.0, info.seconds - 12, 9.0) if name == FILM else [0.0]
        for start in starts:
            seconds = float(rng.uniform(*PART_SECONDS))
            frames = video.read(path, fps=FPS, start=float(start), seconds=seconds, max_side=SIDE).frames
            if len(frames) >= 12 and not _has_jump(frames):
                found.append(np.stack([video.resize(frame, 180, 320) for frame in frames]))
    return found


def _has_jump(frames: np.ndarray) -> bool:
    """Return whether two frames that follow each other differ as those of two shots do, by their pixels alone."""
    small = frames[:, ::8, ::8].astype(np.float32)
    steps = np.abs(np.diff(small, axis=0)).mean(axis=(1, 2, 3))
    return bool(steps.max(initial=0) > 18 and steps.max(initial=0) > 4 * np.median(steps))


def cuts(found: Sequence[np.ndarray], folder: Path, rng: np.random.Generator) -> dict[str, Any]:
    """Join parts to films; return precision and recall of the cuts, a frame early or late allowed."""
    hits = planted = told = 0
    for number in range(FILMS):
        chosen = [found[index] for index in rng.choice(len(found), PARTS, replace=False)]
        starts = list(itertools.accumulate([len(part) for part in chosen]))[:-1]
        path = folder / f"film{number}.mp4"
        video.write(path, np.concatenate(chosen), FPS, crf=20)
        shots = look(path, 3600.0).shots
        seen = [round(shot.start * FPS) for shot in shots[1:]]
        matched = sum(any(abs(start - cut) <= 1 for cut in seen) for start in starts)
        hits, planted, told = hits + matched, planted + len(starts), told + len(seen)
    return {"recall": str(Rate(hits, planted)), "precision": str(Rate(hits, told)), "films": FILMS}


def copies(found: Sequence[np.ndarray], folder: Path) -> dict[str, Any]:
    """Plant four copies of each part; return which are found, and which parts are wrongly taken for copies."""
    originals, caught = [], dict.fromkeys(("re-encoded", "halved", "cropped", "later"), 0)
    for number, frames in enumerate(found[:SHOTS]):
        height, width = frames.shape[1:3]
        top, left = round(height * 0.025), round(width * 0.025)
        planted = {
            "re-encoded": (frames, 32),
            "halved": (video.resize(frames, height // 2, width // 2), 24),
            "cropped": (frames[:, top : height - top, left : width - left], 24),
            "later": (frames[round(0.27 * FPS) :], 24),
        }
        original = _fingerprinted(f"{number}", frames, folder, 18, rank=0.0)
        originals.append(original)
        for kind, (pixels, crf) in planted.items():
            copy = _fingerprinted(f"{number} {kind}", pixels, folder, crf, rank=1.0)
            caught[kind] += copy.key in near_duplicates([original, copy])
    wrong = near_duplicates(originals)
    rates = {kind: str(Rate(count, len(originals))) for kind, count in caught.items()}
    return {"found": rates, "all": str(Rate(sum(caught.values()), 4 * len(originals))), "wrong": sorted(wrong.items())}


def _fingerprinted(key: str, frames: np.ndarray, folder: Path, crf: int, rank: float) -> Fingerprinted:
    path = folder / f"{key}.mp4"
    video.write(path, np.ascontiguousarray(frames), FPS, crf=crf)
    return _of(key, look(path, MINUTE), rank)


def _of(key: str, looked: Looked, rank: float = 0.0) -> Fingerprinted:
    hashes = tuple(each for shot in looked.shots for each in shot.hashes)
    return Fingerprinted(key, hashes, (rank,), key, looked.shots[0].colour)


def events(folder: Path) -> str:
    """Return the share of clips of the stage, on few backgrounds, that are wrongly taken for copies."""
    write_dataset(folder / "stage", DatasetRequest(world="stage", scope="shapes", split="train", count=STAGE, seed=11))
    files = sorted(path for path in (folder / "stage").rglob("*") if path.suffix in (".mp4", ".png"))
    clips = [_of(path.stem, look(path, MINUTE)) for path in files if path.suffix == ".mp4"]
    return str(Rate(len(near_duplicates(clips)), len(clips)))


def speed(path: Path) -> dict[str, float]:
    """Return the medians of seconds for one pass over a file, and the share of the speed of raw decoding."""
    times: dict[str, list[float]] = {"decode": [], "look": []}
    for _ in range(ROUNDS):
        for name, work in (("decode", _decode), ("look", _look)):
            began = time.perf_counter()
            work(path)
            times[name].append(time.perf_counter() - began)
    decode, looked = (statistics.median(times[name]) for name in ("decode", "look"))
    return {"decode": round(decode, 2), "curate": round(looked, 2), "share": round(decode / looked, 3)}


def _decode(path: Path) -> None:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        _exhaust(container.decode(video=0))


def _look(path: Path) -> None:
    look(path, MINUTE)


def _exhaust(items: Iterable[Any]) -> None:
    for _ in items:
        pass


def main(out: Path | None = None) -> dict[str, Any]:
    """Measure all, print and write it."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = parts(rng)
        say(f"{len(found)} parts of real clips")
        minute = folder / "minute.mp4"
        with video.VideoWriter(minute, FPS, crf=20) as writer:
            for frame in video.stream(available()[FILM], seconds=40.0):
                writer.add(frame)
        results = {
            "parts": len(found),
            "cuts": cuts(found, folder, rng),
            "copies": copies(found, folder),
            "other events taken for copies": events(folder),
            "seconds of 40 seconds at 1280x720": speed(minute),
        }
    write_json(out or Path(__file__).with_suffix(".json"), results)
    print(results)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    main(**vars(parser.parse_args()))
