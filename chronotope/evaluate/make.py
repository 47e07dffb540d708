"""Make the videos of cases with the whole model or with one layer of it, in this process or in several.

Seeds belong to the cases and checks read files, so videos and verdicts do not depend on the number of processes. Worker
processes use the CPU; a GPU makes one video after the other.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from chronotope.data.latents import encode_frames
from chronotope.errors import ChronotopeError, DecoderUnavailableError, FileProblem, UsageError, suggest
from chronotope.evaluate.selection import REFUSALS, Sampled, best_of, disk_problem
from chronotope.evaluate.suite import truth_of
from chronotope.generate.pipeline import Generator
from chronotope.geometry import Frames, Geometry
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.precision import Precision
from chronotope.processes import die_with_parent
from chronotope.prompt import read_story
from chronotope.storage import check_regular, file_sha256
from chronotope.worlds.case import Case, TaskInputs
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.check import Check

__all__ = [
    "LAYERS",
    "Make",
    "Row",
    "Workers",
    "check_bytes",
    "check_file",
    "maker",
    "one_by_one",
    "through_autoencoder",
]

Make = Callable[[Case], tuple[Frames, dict[str, Any]]]
Row = dict[str, Any]
LAYERS = ("model", "autoencoder", "truth")
READ_BYTES = 2**20  # at a time
SAMPLED = Sampled()  # the defaults of the model, first try


def maker(generator: Generator, layer: str, sampled: Sampled = SAMPLED) -> Make:
    """Return the function that makes a case's frames, by layer.

    `model` is the whole model, sampled as `sampled` says. `autoencoder` encodes and decodes the truth: its rate of
    success is the ceiling of every model that uses it. `truth` renders the truth: what fails there is the fault of the
    checks.
    """

    def model(case: Case) -> tuple[Frames, dict[str, Any]]:
        spec, task = case.spec, find_world(case.world).task_inputs(case)
        prompt = read_story(case.prompt.splitlines()) if case.form == "story" else case.prompt
        arguments: dict[str, Any] = {
            "height": spec.height,
            "width": spec.width,
            "num_frames": spec.num_frames,
            "fps": spec.fps,
            "num_inference_steps": sampled.steps,
            "guidance_scale": sampled.guidance,
            "solver": sampled.solver,
            "seed": case.seed,
        }
        if task:
            arguments |= _task_arguments(task)
        made = generator.generate(prompt, **arguments)
        return made.frames[
            : spec.num_frames
        ], made.origin  # whole slices follow a picture: maybe more frames than needed

    def truth(case: Case) -> tuple[Frames, dict[str, Any]]:
        return truth_of(case), {"layer": "truth"}

    chosen = best_of(model, sampled.tries) if sampled.tries > 1 else model
    makers: dict[str, Make] = {
        "model": chosen,
        "autoencoder": through_autoencoder(generator.networks[0], generator.geometry),
        "truth": truth,
    }
    if layer not in makers:
        raise UsageError(f"unknown layer '{layer}'. {suggest(layer, LAYERS)}")
    return makers[layer]


def through_autoencoder(autoencoder: Autoencoder, geometry: Geometry) -> Make:
    """Return the function that encodes and decodes the truth of a case."""

    def make(case: Case) -> tuple[Frames, dict[str, Any]]:
        frames = autoencoder.decode(
            encode_frames(autoencoder, geometry, truth_of(case)), geometry.slices(case.spec.num_frames)
        )
        return frames[:, : case.spec.height, : case.spec.width].cpu().numpy(), {"layer": "autoencoder"}

    return make


def _task_arguments(task: TaskInputs) -> dict[str, Any]:
    """Return the inputs of a task as arguments of `Generator.generate`."""
    names = ("task", "video", "into", "strength", "span", "mask")
    inputs = {name: getattr(task.inputs, name) for name in names}
    return {"image": task.inputs.images or None, "num_frames": task.new_frames, **inputs}


def _attempt(make: Make, case: Case, path: Path) -> Row:
    """Make the video of a case, at the only try; return the row for the ledger.

    Raises DiskProblem where the disk fails, which says nothing about the system.
    """
    started = time.perf_counter()
    try:
        refusal = _make_video(make, case, path)
        if refusal:
            return {"kind": "failed", "case": case.id, "reason": refusal}
        seconds = round(time.perf_counter() - started, 3)
        return {"kind": "done", "case": case.id, "file": case.file, "sha256": file_sha256(path), "seconds": seconds}
    except (OSError, ChronotopeError) as problem:
        raise disk_problem(problem) or problem from problem


def _make_video(make: Make, case: Case, path: Path) -> str:
    """Make a video and write it; return why the system did not make it, or nothing."""
    spec = case.spec
    try:
        frames, origin = make(case)
        wanted = (spec.num_frames, spec.height, spec.width, 3)
        if frames.shape != wanted:
            raise RuntimeError(f"the system made frames of shape {frames.shape}, expected {wanted}")
    except REFUSALS as problem:  # a refusal is a failure of the system, not of the case
        if disk_problem(problem):
            raise
        return f"{type(problem).__name__}: {problem}"
    path.parent.mkdir(parents=True, exist_ok=True)
    video.write(path, frames, spec.fps, metadata={**origin, "case": case.id})
    return ""


def one_by_one(make: Make, cases: Sequence[Case], folder: Path) -> Iterator[tuple[Case, Row | None]]:
    """Yield each case twice: at its start without a row, at its end with one."""
    for case in cases:
        yield case, None
        yield case, _attempt(make, case, folder / case.file)


class Workers:
    """Processes that make and check videos, each with its own model and one thread; without a model they only check."""

    def __init__(
        self,
        count: int,
        model: Path | None = None,
        layer: str = "model",
        sampled: Sampled = SAMPLED,
        adapters: Mapping[str | Path, float] | None = None,
        precision: Precision = "auto",
    ) -> None:
        self.count = count
        start = multiprocessing.get_context("spawn")  # a forked torch may wait for threads that it no longer has
        self.pool = ProcessPoolExecutor(
            count,
            mp_context=start,
            initializer=_start_worker,
            initargs=(os.getpid(), model, layer, sampled, adapters, precision),
        )

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.shutdown(wait=kind is None, cancel_futures=True)

    def make(self, cases: Sequence[Case], folder: Path) -> Iterator[tuple[Case, Row | None]]:
        """Do as `one_by_one`, with as many cases at a time as there are workers."""
        running: dict[Future[Row], Case] = {}
        waiting = iter(cases)
        while True:
            while len(running) < self.count and (case := next(waiting, None)) is not None:
                yield case, None
                running[self.pool.submit(_attempt_in_worker, case, folder / case.file)] = case
            if not running:
                return
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(ended), ended.result()

    def check(self, cases: Sequence[Case], folder: Path) -> Iterator[tuple[Check, ...]]:
        """Yield the checks of every case's video, in order."""
        yield from self.pool.map(_check_in_worker, cases, [folder / case.file for case in cases], chunksize=8)


_WORKER: dict[str, Any] = {}  # in a worker process: the function that makes videos


def _start_worker(
    parent: int,
    model: Path | None,
    layer: str,
    sampled: Sampled,
    adapters: Mapping[str | Path, float] | None,
    precision: Precision = "auto",
) -> None:
    die_with_parent(parent)
    torch.set_num_threads(1)
    _WORKER["make"] = model and maker(Generator.load(model, adapters, precision), layer, sampled)


def _attempt_in_worker(case: Case, path: Path) -> Row:
    return _attempt(_WORKER["make"], case, path)


def _check_in_worker(case: Case, path: Path) -> tuple[Check, ...]:
    return check_file(case, path)


def check_file(case: Case, path: Path) -> tuple[Check, ...]:
    """Check one video on disk; one whose bytes can be read and not decoded fails.

    Raises FileProblem where the disk fails, which says nothing about the video.
    """
    check_bytes(path)
    try:
        frames = video.read(path).frames
    except DecoderUnavailableError:
        raise
    except ChronotopeError:
        return (Check("is readable", "", "SYS-RUN", 0),)
    return find_world(case.world).check(case, frames)


def check_bytes(path: Path) -> None:
    """Read the bytes of a file, which tells a failing disk from a damaged video; raise FileProblem where it fails."""
    check_regular(path)
    try:
        with path.open("rb") as file:
            while file.read(READ_BYTES):
                pass
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror or problem}; check the disk") from problem
