"""A process that holds a model and makes one video after another; `pool.py` is the other side of its connection."""

from __future__ import annotations

import contextlib
import math
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chronotope import PROGRAM
from chronotope.errors import ChronotopeError, FileProblem
from chronotope.processes import watch_parent
from chronotope.safety.policy.decide import RefusedError
from chronotope.serve.jobs.costs import Cost, measure_costs
from chronotope.serve.limits import ModelFacts, model_identity
from chronotope.serve.order import Order, text_of

if TYPE_CHECKING:
    from chronotope.generate.pipeline import Generator

__all__ = ["CANCEL", "Answer", "Task", "count_gpus", "work"]

CANCEL = "cancel"  # sent during a job
PREVIEW_SECONDS = 1.0  # between two pictures of a video that is being made


@dataclass(frozen=True)
class Task:
    """A job for a worker: the paths of its input files by their identifiers, and of the two files that it writes."""

    id: str
    order: Order
    paths: dict[str, Path]
    output: Path
    preview: Path
    policy: Path | None = None


@dataclass(frozen=True)
class Answer:
    """What a worker tells: it is ready, it could not load its model, or how a job goes and ends."""

    kind: Literal["ready", "unloaded", "step", "told", "preview", "done", "failed", "cancelled"]
    step: int = 0
    total: int = 0
    message: str = ""
    code: str = ""
    result: dict[str, Any] | None = None
    costs: tuple[Cost, ...] = ()


FULL = Answer("failed", message="the memory is full; ask for a smaller size", code="out_of_memory")


class _CancelledError(Exception):
    """The job is no longer wanted."""


def count_gpus() -> int:
    """Return how many GPUs torch can use; asked in a process of its own, since torch is large."""
    if not list(Path("/dev").glob("nvidia[0-9]*")):
        return 0
    command = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(found.stdout) if found.returncode == 0 else 0


def work(connection: Connection, parent: int, model: ModelFacts, device: str, threads: int | None) -> None:
    """Load a model, then do tasks until the connection ends; the main function of a worker process.

    A model that was exchanged since the service read its facts is not used: jobs were accepted for that of before.
    """
    watch_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to every process; the service decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            _check_identity(model)
            generator = _load(str(model.folder), device, threads)
            _check_identity(model)  # it may have been exchanged meanwhile
        except ChronotopeError as problem:
            connection.send(Answer("unloaded", message=str(problem)))
            return
        connection.send(Answer("ready", costs=measure_costs(generator)))
        while True:
            task: Task | str = connection.recv()
            if isinstance(task, Task):  # else the cancelling of a job that has ended meanwhile
                answer = _answer(generator, task, connection)
                connection.send(answer)
                if answer.code == "internal_error":
                    return  # nothing is known of the state of this process, such as that of its GPU


def _check_identity(model: ModelFacts) -> None:
    if model_identity(model.folder) != model.identity:
        raise FileProblem(f"the model in {model.folder} was exchanged since the service started; start it again")


def _load(model: str, device: str, threads: int | None) -> Generator:
    import torch

    from chronotope.generate.memory import return_large_blocks
    from chronotope.generate.pipeline import Generator

    if threads:
        torch.set_num_threads(threads)
    return_large_blocks()
    return Generator.load(model).to(device)


def _answer(generator: Generator, task: Task, connection: Connection) -> Answer:
    try:
        return Answer("done", result=_make(generator, task, connection))
    except _CancelledError:
        return Answer("cancelled")
    except RefusedError as refusal:
        return Answer("failed", message=str(refusal), code="content_policy_violation")
    except ChronotopeError as problem:
        code = "invalid_request" if problem.exit_code == 2 else "generation_failed"
        return Answer("failed", message=_without_folders(str(problem), task), code=code)
    except Exception as problem:
        if _is_out_of_memory(problem):
            return FULL
        trace = "".join(traceback.format_exception(problem))
        message = "the program failed at this job; the log of the server says why"
        return Answer("failed", message=message, code="internal_error", result={"trace": trace})


def _is_out_of_memory(problem: Exception) -> bool:
    """Return whether memory could not be allocated; other errors speak of memory too, such as an illegal access."""
    import torch

    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(problem, RuntimeError) and "DefaultCPUAllocator" in str(problem)  # torch has no class for the CPU


def _without_folders(message: str, task: Task) -> str:
    """Replace the paths of files by what their user knows: the kind of the file."""
    for path in (*task.paths.values(), task.output):
        message = message.replace(str(path), "the file")
    return message


def _make(generator: Generator, task: Task, connection: Connection) -> dict[str, Any]:
    """Generate and publish one file; return its facts."""
    from chronotope.caption.prompts import expand_prompts
    from chronotope.generate.stored.knowledge import training_notes, vocabulary_of_model
    from chronotope.media.picture import sidecar
    from chronotope.safety.deliver import Delivery, deliver
    from chronotope.safety.policy.decide import default_policy, read_policy

    order, notes = task.order, list[str]()
    generator.policy = read_policy(task.policy) if task.policy else default_policy()
    request = order.request(task.paths, generator.defaults.fps)
    vocabulary = vocabulary_of_model(generator.folder) if order.expand else None
    typed: dict[str, Any] = {}
    if vocabulary is not None:
        guidance = generator.defaults.guidance_scale if order.guidance is None else order.guidance
        found = expand_prompts(request.prompts, order.negative, guidance != 1, vocabulary)
        request = replace(request, prompts=found.prompts, negative=found.negative, typed=found.typed)
        notes += found.notes
        typed = {"typed_prompt": found.typed} if found.typed else {}
    told = text_of(tuple((prompt.seconds, prompt.text) for prompt in request.prompts))
    connection.send(Answer("told", message=told))
    plan = generator.plan(request.read(generator.defaults, generator.geometry, notes.append))
    notes = [_without_folders(note, task) for note in (*notes, *training_notes(generator.folder, plan, (), notes))]
    plan = replace(plan, notes=(*notes, *plan.notes))
    total = len(plan.windows) * plan.sampling.num_steps

    def report(step: int) -> None:
        if connection.poll():
            connection.recv()  # nothing else is sent during a job
            raise _CancelledError
        connection.send(Answer("step", step + 1, total))

    shown = -math.inf

    def watch(glance: Callable[[], Any]) -> None:
        nonlocal shown
        if time.monotonic() - shown >= PREVIEW_SECONDS:
            with contextlib.suppress(RefusedError):  # what is finished is judged again
                about = {"program": PROGRAM, "task": "unfinished"}
                deliver(task.preview, [glance()], 1, about, policy=generator.policy)
                connection.send(Answer("preview"))
            shown = time.monotonic()

    refusing = generator.policy.near_copies.action == "refuse"  # then nothing is shown before all of it is judged
    stream = generator.stream(plan, order.seed, report, None if refusing else watch)
    origin = {**stream.origin, **typed, "expand": order.expand}
    with Delivery(task.output, stream.fps, origin, composite=bool(order.files), policy=generator.policy) as delivery:
        for piece in stream.pieces:
            for frame in piece:
                delivery.add(frame)
            connection.send(Answer("step", total, total))  # decoding goes on
        took = {part: round(seconds, 3) for part, seconds in stream.seconds.items()}
        delivery.finish({**origin, **stream.found(), "seconds": took})
    for path in (task.preview, sidecar(task.preview)):
        path.unlink(missing_ok=True)
    return {
        "width": origin["width"],
        "height": origin["height"],
        "num_frames": origin["num_frames"],
        "fps": stream.fps,
        "bytes": task.output.stat().st_size,
        "told": told,
        "seed": order.seed,
        "notes": notes,
        "took": took,
    }
