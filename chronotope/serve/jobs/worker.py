"""A process that holds a model and makes videos, one after another or several in one pass of the network.

`pool.py` is the other side of its connection.
"""

from __future__ import annotations

import contextlib
import math
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from chronotope import PROGRAM
from chronotope.errors import ChronotopeError, FileProblem
from chronotope.processes import watch_parent
from chronotope.safety.policy.decide import RefusedError
from chronotope.serve.jobs.costs import Cost, measure_costs
from chronotope.serve.limits import ModelFacts, model_identity
from chronotope.serve.order import Order, text_of
from chronotope.storage import file_sha256

if TYPE_CHECKING:
    from chronotope.generate.pipeline import Generator, Sampled
    from chronotope.generate.plan import Plan

__all__ = ["Answer", "Task", "count_gpus", "work"]

T = TypeVar("T")
PREVIEW_SECONDS = 1.0  # between two pictures of what is being made


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
    """What a worker tells: it is ready, it could not load its model, or how a `job` goes and ends."""

    kind: Literal["ready", "unloaded", "step", "told", "preview", "done", "failed", "cancelled"]
    job: str = ""
    step: int = 0
    total: int = 0
    message: str = ""
    code: str = ""
    result: dict[str, Any] | None = None
    costs: tuple[Cost, ...] = ()


class _CancelledError(Exception):
    """The job is no longer wanted."""


class _BrokenError(Exception):
    """Nothing is known of the state of this process, such as that of its GPU: it has to end."""


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
        maker = _Maker(generator, connection)
        with contextlib.suppress(_BrokenError):
            while True:
                tasks: tuple[Task, ...] | str = connection.recv()
                if isinstance(tasks, tuple):  # else the cancelling of a job that has ended meanwhile
                    maker.make(tasks)


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


def _is_out_of_memory(problem: Exception) -> bool:
    """Return whether memory could not be allocated; other errors speak of memory too, such as an illegal access."""
    import torch

    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(problem, RuntimeError) and "DefaultCPUAllocator" in str(problem)  # torch has no class for the CPU


def _without_folders(message: str, task: Task) -> str:
    """Replace the paths of files by what their user knows: the kind of the file. Leave out folders of other files."""
    paths = (*task.paths.values(), task.output, task.preview)
    for path in paths:
        message = message.replace(str(path), "the file")
    for path in paths:
        message = message.replace(f"{path.parent}/", "")
    return message


@dataclass(frozen=True)
class _Prepared:
    """A task whose canvas is laid out; `typed` are settings that say what its user typed."""

    task: Task
    plan: Plan
    told: str
    notes: tuple[str, ...]
    typed: dict[str, Any]

    @property
    def num_steps(self) -> int:
        return len(self.plan.windows) * self.plan.sampling.num_steps


class _Maker:
    """Does tasks and tells of them; those of equal kind are sampled in one pass, where that changes no value.

    During tasks the connection receives the identifiers of cancelled jobs.
    """

    def __init__(self, generator: Generator, connection: Connection) -> None:
        self._generator, self._connection = generator, connection
        self._unwanted: set[str] = set()  # identifiers of cancelled jobs
        self._ended: set[str] = set()  # those of tasks that have failed or were cancelled
        self._apart: set[Any] = set()  # kinds and numbers of plans that round differently in one pass

    def make(self, tasks: Sequence[Task]) -> None:
        """Do tasks, and end each with an answer; raise `_BrokenError` after an error that was not foreseen."""
        self._unwanted.clear()
        self._ended.clear()
        prepared = [self._attempt(task, partial(self._prepare, task)) for task in tasks]
        for group in self._groups([one for one in prepared if one is not None]):
            sampled: Sequence[Sampled | None] = self._sample(group) if len(group) > 1 else (None,)
            for one, latents in zip(group, sampled, strict=True):
                self._attempt(one.task, partial(self._publish, one, latents))

    def _attempt(self, task: Task, work: Callable[[], T]) -> T | None:
        """Do a part of a task that has not ended; where it fails, answer, delete its preview and return None."""
        if task.id in self._ended:
            return None
        try:
            self._check(task)
            return work()
        except Exception as problem:
            if task.id in self._ended:  # its preview has failed meanwhile, and was answered
                return None
            answer = _failed(problem, task)
            self._ended.add(task.id)
            _remove_preview(task)
            self._connection.send(answer)
            if answer.code == "internal_error":
                raise _BrokenError from problem
        return None

    def _check(self, *tasks: Task) -> None:
        """Raise `_CancelledError` where none of these tasks is wanted any more, or each has ended."""
        while self._connection.poll():
            self._unwanted.add(self._connection.recv())
        if (self._unwanted | self._ended).issuperset(task.id for task in tasks):
            raise _CancelledError

    def _prepare(self, task: Task) -> _Prepared:
        """Write the prompt as a caption, read the files and lay out the canvas."""
        from chronotope.caption.prompts import expand_prompts
        from chronotope.generate.stored.knowledge import vocabulary_of_model
        from chronotope.safety.policy.decide import default_policy, read_policy

        generator, order, notes = self._generator, task.order, list[str]()
        generator.policy = read_policy(task.policy) if task.policy else default_policy()
        generator.require_comparison()
        request = order.request(task.paths, generator.defaults.fps)
        vocabulary = vocabulary_of_model(generator.folder) if order.expand else None
        typed: dict[str, Any] = {}
        if vocabulary is not None:
            guidance = generator.defaults.guidance_scale if order.guidance is None else order.guidance
            found = expand_prompts(request.prompts, order.negative, guidance != 1, vocabulary)
            changes = {"negative": found.negative, "typed": found.typed, "word_notes": tuple(found.notes)}
            request = replace(request, prompts=found.prompts, **changes)  # type: ignore[arg-type]
            typed = {"typed_prompt": found.typed} if found.typed else {}
        told = text_of(tuple((prompt.seconds, prompt.text) for prompt in request.prompts))
        self._connection.send(Answer("told", task.id, message=told))
        plan = generator.plan(request.read(generator.defaults, generator.geometry, notes.append))
        plan = replace(plan, notes=tuple(_without_folders(note, task) for note in (*notes, *plan.notes)))
        return _Prepared(task, plan, told, plan.notes, typed)

    def _groups(self, prepared: Sequence[_Prepared]) -> Iterator[list[_Prepared]]:
        """Yield what is sampled in one pass: neighbours of one kind, as many as the memory holds."""
        group: list[_Prepared] = []
        for one in prepared:
            if group and (one.plan.kind is None or one.plan.kind != group[0].plan.kind or self._is_full(group)):
                yield group
                group = []
            group.append(one)
        if group:
            yield group

    def _is_full(self, group: Sequence[_Prepared]) -> bool:
        import torch

        from chronotope.generate.memory import available_bytes

        device = self._generator.dit.patch_in.weight.device
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()
        return (len(group) + 1) * self._generator.memory(group[0].plan) > free

    def _sample(self, group: Sequence[_Prepared]) -> Sequence[Sampled | None]:
        """Return the latents of plans of one kind; None for each where they have to be sampled alone."""
        from chronotope.generate.sampler import RoundingError
        from chronotope.generate.together import sample_plans

        tasks, alone = [one.task for one in group], [None for _ in group]
        if (kind := (group[0].plan.kind, len(group))) in self._apart:
            return alone

        def report(step: int) -> None:
            self._check(*tasks)
            for one in group:
                if one.task.id not in self._ended:
                    self._connection.send(Answer("step", one.task.id, step + 1, one.num_steps))

        plans, seeds = [one.plan for one in group], [task.order.seed for task in tasks]
        try:
            watches = [watch for task in tasks if (watch := self._watch(task, len(tasks))) is not None]
            return sample_plans(self._generator, plans, seeds, report, watches)
        except _CancelledError:
            return alone  # nothing is sampled for jobs that are not wanted
        except RoundingError:
            self._apart.add(kind)
        except _BrokenError:
            raise
        except Exception as problem:
            if (answer := _failed(problem, tasks[0])).code == "internal_error":
                self._connection.send(answer)
                raise _BrokenError from problem
        return alone

    def _watch(self, task: Task, count: int = 1) -> Callable[[Callable[[], Any]], None] | None:
        """Return a function that stores a preview, one of `count` that share about one a second.

        None where the policy judges frames or refuses near copies: a preview would show what is not judged yet. A
        preview that fails ends its task alone.
        """
        from chronotope.safety.deliver import deliver

        policy, shown = self._generator.policy, -math.inf
        if policy.output or policy.near_copies.action == "refuse":
            return None

        def store(glance: Callable[[], Any]) -> None:
            about = {"program": PROGRAM, "task": "unfinished"}
            deliver(task.preview, [glance()], 1, about, policy=policy)
            self._connection.send(Answer("preview", task.id))

        def watch(glance: Callable[[], Any]) -> None:
            nonlocal shown
            if time.monotonic() - shown >= count * PREVIEW_SECONDS:
                self._attempt(task, partial(store, glance))
                shown = time.monotonic()

        return watch

    def _publish(self, one: _Prepared, sampled: Sampled | None) -> None:
        """Sample what is not sampled yet, decode and publish one file, and tell its facts."""
        from chronotope.media.picture import sidecar
        from chronotope.safety.deliver import Delivery

        task, order, total = one.task, one.task.order, one.num_steps
        steps = 0 if sampled is None else total

        def report(step: int) -> None:
            nonlocal steps
            steps = step + 1
            self._check(task)
            self._connection.send(Answer("step", task.id, steps, total))

        stream = self._generator.stream(one.plan, order.seed, report, self._watch(task), sampled)
        origin = {**stream.origin, **one.typed, "expand": order.expand}
        policy = self._generator.policy
        with Delivery(task.output, stream.fps, origin, composite=bool(order.files), policy=policy) as delivery:
            for piece in stream.pieces:
                for frame in piece:
                    delivery.add(frame)
                self._check(task)
                self._connection.send(Answer("step", task.id, steps, total))  # decoding goes on, also between windows
            took = {part: round(seconds, 3) for part, seconds in stream.seconds.items()}
            delivery.finish({**origin, **stream.found(), "seconds": took})
        _remove_preview(task)
        result = {
            "width": origin["width"],
            "height": origin["height"],
            "num_frames": origin["num_frames"],
            "fps": stream.fps,
            "bytes": task.output.stat().st_size,
            "sha256": file_sha256(task.output),
            "settings_sha256": file_sha256(sidecar(task.output)),
            "told": one.told,
            "seed": order.seed,
            "notes": list(one.notes),
            "took": took,
        }
        self._connection.send(Answer("done", task.id, result=result))


def _remove_preview(task: Task) -> None:
    from chronotope.media.picture import sidecar

    for path in (task.preview, sidecar(task.preview)):
        path.unlink(missing_ok=True)


def _failed(problem: Exception, task: Task) -> Answer:
    """Return the answer of a task that has failed or is not wanted any more."""
    if isinstance(problem, _CancelledError):
        return Answer("cancelled", task.id)
    if isinstance(problem, RefusedError):
        return Answer("failed", task.id, message=str(problem), code="content_policy_violation")
    if isinstance(problem, ChronotopeError):
        code = "invalid_request" if problem.exit_code == 2 else "generation_failed"
        return Answer("failed", task.id, message=_without_folders(str(problem), task), code=code)
    if _is_out_of_memory(problem):
        message = "the memory is full; ask for a smaller size"
        return Answer("failed", task.id, message=message, code="out_of_memory")
    trace = "".join(traceback.format_exception(problem))
    message = "the program failed at this job; the log of the server says why"
    return Answer("failed", task.id, message=message, code="internal_error", result={"trace": trace})
