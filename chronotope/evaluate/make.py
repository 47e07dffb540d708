"""What makes a case's video - the whole model, or one layer of it - in this process or in several that each hold the model.

Seeds are the cases' own and judging looks at files, so videos and verdicts are the same, however many processes there are. They
work on the CPU; a GPU makes one video after the other.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from chronotope.data.latents import encode_frames
from chronotope.errors import UsageError, suggest
from chronotope.evaluate.selection import REFUSALS, Sampled, best_of
from chronotope.evaluate.suite import Case
from chronotope.evaluate.verdict import check_case
from chronotope.generate.pipeline import Generator
from chronotope.geometry import Frames, Geometry
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder
from chronotope.prompt import read_story
from chronotope.worlds.check import Check
from chronotope.worlds.stage.checks.detector import Detector, load_detector
from chronotope.worlds.stage.suites.tasks import TaskInputs

__all__ = ["LAYERS", "Helpers", "Make", "Row", "check_file", "maker", "one_by_one", "sha256", "there_and_back"]

Make = Callable[[Case], tuple[Frames, dict[str, Any]]]
Row = dict[str, Any]
LAYERS = ("model", "autoencoder", "truth")
SAMPLED = Sampled()  # as the weights say, first try


def maker(generator: Generator, layer: str, sampled: Sampled = SAMPLED) -> Make:
    """What makes a case's frames: the whole model; the autoencoder alone, of the truth; or the truth, to see what the checks lose.

    `sampled` is how the whole model is sampled, and the best of how many is kept.
    """

    def model(case: Case) -> tuple[Frames, dict[str, Any]]:
        spec, given = case.spec, case.asked
        told = read_story(case.prompt.splitlines()) if case.form == "story" else case.prompt
        asked: dict[str, Any] = {
            "height": spec.height,
            "width": spec.width,
            "num_frames": spec.num_frames,
            "fps": spec.fps,
            "num_inference_steps": sampled.steps,
            "guidance_scale": sampled.guidance,
            "solver": sampled.solver,
            "seed": case.seed,
        }
        made = generator.generate(told, **{**asked, **(_beside(given) if given else {})})
        return made.frames[: spec.num_frames], made.origin  # after a picture maybe too many: up to whole slices

    def truth(case: Case) -> tuple[Frames, dict[str, Any]]:
        return case.truth(), {"layer": "truth"}

    chosen = best_of(model, load_detector(), sampled.tries) if sampled.tries > 1 else model
    makers: dict[str, Make] = {
        "model": chosen,
        "autoencoder": there_and_back(generator.autoencoder, generator.geometry),
        "truth": truth,
    }
    if layer not in makers:
        raise UsageError(f"unknown layer '{layer}'. {suggest(layer, LAYERS)}")
    return makers[layer]


def there_and_back(autoencoder: Autoencoder, geometry: Geometry) -> Make:
    """The truth of a case, encoded and decoded."""

    def make(case: Case) -> tuple[Frames, dict[str, Any]]:
        frames = autoencoder.decode(
            encode_frames(autoencoder, geometry, case.truth()), geometry.slices(case.spec.num_frames)
        )
        return frames[:, : case.spec.height, : case.spec.width].cpu().numpy(), {"layer": "autoencoder"}

    return make


def _beside(asked: TaskInputs) -> dict[str, Any]:
    """What a task gives beside words, as `Generator.generate` calls it."""
    named = {what: getattr(asked.given, what) for what in ("task", "video", "into", "strength", "span", "mask")}
    return {"image": asked.given.images or None, "num_frames": asked.new, **named}


def _attempt(make: Make, case: Case, path: Path) -> Row:
    """Make the video of a case, its only try; returns what the ledger will say of it."""
    started, spec = time.perf_counter(), case.spec
    try:
        frames, origin = make(case)
        wanted = (spec.num_frames, spec.height, spec.width, 3)
        if frames.shape != wanted:
            raise RuntimeError(f"frames of {frames.shape} were made, {wanted} were asked for")
    except REFUSALS as problem:  # a refusal is a failure of the system, not of the case
        return {"kind": "failed", "case": case.id, "reason": f"{type(problem).__name__}: {problem}"}
    path.parent.mkdir(parents=True, exist_ok=True)
    video.write(path, frames, spec.fps, metadata={**origin, "case": case.id})
    seconds = round(time.perf_counter() - started, 3)
    return {"kind": "done", "case": case.id, "file": case.file, "sha256": sha256(path), "seconds": seconds}


def sha256(path: Path) -> str:
    """Of a file, in hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def one_by_one(make: Make, cases: Sequence[Case], folder: Path) -> Iterator[tuple[Case, Row | None]]:
    """Each case twice: when it is begun, without a row, and when it has ended."""
    for case in cases:
        yield case, None
        yield case, _attempt(make, case, folder / case.file)


class Helpers:
    """Processes that make and judge videos, each with a model of its own and one thread; without a model they only judge."""

    def __init__(self, count: int, model: Path | None = None, layer: str = "model", sampled: Sampled = SAMPLED) -> None:
        self.count = count
        start = multiprocessing.get_context("spawn")  # a forked torch may wait for threads that it no longer has
        self.pool = ProcessPoolExecutor(count, mp_context=start, initializer=_settle, initargs=(model, layer, sampled))

    def __enter__(self) -> Helpers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.shutdown(wait=kind is None, cancel_futures=True)

    def make(self, cases: Sequence[Case], folder: Path) -> Iterator[tuple[Case, Row | None]]:
        """As `one_by_one`, as many at a time as there are helpers."""
        under_way: dict[Future[Row], Case] = {}
        waiting = iter(cases)
        while True:
            while len(under_way) < self.count and (case := next(waiting, None)) is not None:
                yield case, None
                under_way[self.pool.submit(_attempt_held, case, folder / case.file)] = case
            if not under_way:
                return
            for ended in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield under_way.pop(ended), ended.result()

    def check(self, cases: Sequence[Case], folder: Path) -> Iterator[tuple[Check, ...]]:
        """The checks of every case's video, in order."""
        yield from self.pool.map(_check, cases, [folder / case.file for case in cases], chunksize=8)


_HELD: dict[str, Any] = {}  # in a helper: what makes, and the detector


def _settle(model: Path | None, layer: str, sampled: Sampled) -> None:
    torch.set_num_threads(1)
    _HELD["make"], _HELD["detector"] = model and maker(Generator.load(model), layer, sampled), load_detector()


def _attempt_held(case: Case, path: Path) -> Row:
    return _attempt(_HELD["make"], case, path)


def _check(case: Case, path: Path) -> tuple[Check, ...]:
    return check_file(_HELD["detector"], case, path)


def check_file(detector: Detector, case: Case, path: Path) -> tuple[Check, ...]:
    """The checks of one video on disk."""
    return check_case(detector, case, video.read(path).frames)
