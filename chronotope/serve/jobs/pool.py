"""The worker processes of a service: a thread for each starts it, hands it jobs and replaces it when it dies."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from chronotope.errors import ChronotopeError
from chronotope.serve.jobs.costs import Cost
from chronotope.serve.jobs.store import Job, Store, StoreProblem
from chronotope.serve.jobs.worker import Answer, Task, work
from chronotope.serve.limits import ModelFacts

__all__ = ["Pool", "Progress"]

log = logging.getLogger("chronotope.serve")
IDLE_SECONDS = 0.5  # between two looks at the queue, beside those that a new job causes
LISTEN_SECONDS = 0.2
RELOAD_SECONDS = 5.0  # after a model that could not be loaded
END_SECONDS = 3.0  # for a worker to end by itself
SILENT_SECONDS = 3600.0  # after which a worker that tells of no step is taken for one that hangs


@dataclass(frozen=True)
class Progress:
    """How far a job in progress has come: sampling steps, what the model is told, and how many previews there were."""

    step: int = 0
    total: int = 0
    told: str = ""
    previews: int = 0

    @property
    def percent(self) -> int:
        """Progress as a whole number; 100 only when the file is published."""
        return min(99, 100 * self.step // self.total) if self.total else 0


@dataclass
class _Slot:
    """A device, the worker process on it, and the jobs that it does."""

    device: str
    process: BaseProcess | None = None
    connection: Connection | None = None
    jobs: dict[str, Job] = field(default_factory=dict)  # that have not ended
    problem: str = "the model is being loaded"
    silent: bool = False  # whether its worker told nothing for too long
    sending: threading.Lock = field(default_factory=threading.Lock)


class Pool:
    """Workers that do the jobs of a store. `task_of` makes a task of a job; `removed` deletes what a lost one wrote.

    A worker that tells nothing for `silent_seconds` during a job, or while it loads its model, is ended. It is given
    up to `batch` jobs at once that differ in prompt and seed alone; after the death of a worker its jobs are done
    one by one, so that one of them sets aside no other.
    """

    def __init__(
        self,
        store: Store,
        model: ModelFacts,
        devices: Sequence[str],
        task_of: Callable[[Job], Task],
        removed: Callable[[str], None],
        threads: int | None = None,
        silent_seconds: float = SILENT_SECONDS,
        batch: int = 1,
    ) -> None:
        self.store, self.model, self.threads, self.silent_seconds = store, model, threads, silent_seconds
        self.batch = batch
        self.task_of, self.removed = task_of, removed
        self.progress: dict[str, Progress] = {}
        self.costs: tuple[Cost, ...] = ()  # known when a worker has loaded the model
        self.deaths = 0
        self.running = True
        self._wake = threading.Condition()
        self._slots = [_Slot(device) for device in devices]
        self._threads = [
            threading.Thread(target=self._run, args=(slot,), name=f"worker on {slot.device}", daemon=True)
            for slot in self._slots
        ]

    def start(self) -> None:
        """Start the threads, and by them the workers."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look at the queue now: there is a new job."""
        with self._wake:
            self._wake.notify()

    def cancel(self, name: str) -> None:
        """Stop a job after its current step, where it is in progress."""
        for slot in self._slots:
            with slot.sending, contextlib.suppress(OSError):
                if name in slot.jobs and slot.connection is not None:
                    slot.connection.send(name)

    @property
    def problem(self) -> str:
        """Why no worker can take a job now; empty where one can."""
        problems = [slot.problem for slot in self._slots]
        return "" if not all(problems) else next(iter(problems), "this server has no worker")

    @property
    def pids(self) -> list[int]:
        """The process identifiers of the workers that run."""
        return [
            slot.process.pid for slot in self._slots if slot.process and slot.process.pid and slot.process.is_alive()
        ]

    def stop_soon(self) -> None:
        """Take no further job, and let those that are done go."""
        self.running = False
        with self._wake:
            self._wake.notify_all()

    def stop(self) -> None:
        """End the workers; the jobs that they do are queued again."""
        self.stop_soon()
        for thread in self._threads:
            thread.join()

    # One thread a slot

    def _run(self, slot: _Slot) -> None:
        while self.running:
            try:
                if not self._ready(slot):
                    continue
                if jobs := self._claim():
                    self._do(slot, jobs)
                else:
                    self._pause(IDLE_SECONDS)
            except StoreProblem as problem:  # such as a full disk
                slot.problem = str(problem)
                time.sleep(IDLE_SECONDS)
            except Exception:  # such as a system that starts no process now; the thread has to outlive it
                log.exception("the worker on %s", slot.device)
                slot.problem = "the worker could not be used; the log of the server says why"
                self._pause(RELOAD_SECONDS)
        self._end(slot)

    def _pause(self, seconds: float) -> None:
        """Wait, at most until there is a new job or the pool stops."""
        with self._wake:
            if self.running:
                self._wake.wait(seconds)

    def _ready(self, slot: _Slot) -> bool:
        """Return whether the worker of a slot waits for a job; start one where there is none."""
        if slot.process is not None and slot.process.is_alive():
            slot.problem = ""
            return True
        self._end(slot)
        slot.problem = "the model is being loaded"
        spawn = multiprocessing.get_context("spawn")  # nothing of the server's threads and files
        slot.connection, theirs = spawn.Pipe()
        arguments = (theirs, os.getpid(), self.model, slot.device, self.threads)
        process = spawn.Process(target=work, args=arguments, name=f"worker on {slot.device}", daemon=True)
        with theirs:
            process.start()
        slot.process = process
        answer = self._receive(slot)
        if answer is not None and answer.kind == "ready":
            self.costs = answer.costs
            slot.problem = ""
            return True
        if self.running:
            hung = f"the model was not loaded within {self.silent_seconds / 60:g} minutes"
            killed = hung if slot.silent else "the process that loads the model was killed"
            slot.problem = answer.message if answer else killed
            self._end(slot)
            self._pause(RELOAD_SECONDS if answer else IDLE_SECONDS)
        return False

    def _receive(self, slot: _Slot) -> Answer | None:
        """Return the next answer of a worker; None where it died or told nothing for too long, or the pool stops."""
        assert slot.connection is not None
        until, slot.silent = time.monotonic() + self.silent_seconds, False
        try:
            while self.running:
                if slot.connection.poll(LISTEN_SECONDS):
                    answer = slot.connection.recv()
                    assert isinstance(answer, Answer)
                    return answer
                if time.monotonic() > until:
                    slot.silent = True
                    return None
        except (EOFError, OSError):
            pass
        return None

    def _claim(self) -> list[Job]:
        """Take the next job, and those right behind it that one pass can sample, a fair share for every worker."""
        first = self.store.claim()
        if first is None:
            return []
        jobs = [first]
        with contextlib.suppress(StoreProblem):
            share = self.store.counts()["queued"] // len(self._slots) + 1 if self.batch > 1 else 1
            while len(jobs) < min(share, self.batch):
                if (job := self.store.claim(lambda other: _are_alike(first, other))) is None:
                    break
                jobs.append(job)
        return jobs

    def _do(self, slot: _Slot, jobs: Sequence[Job]) -> None:
        """Have jobs done; a worker that dies at them is replaced, and what nobody foresaw puts the jobs back."""
        slot.jobs = {job.id: job for job in jobs}
        try:
            self._give(slot)
        except StoreProblem:
            self._put_back(slot)
            raise
        except Exception:
            self._died(slot)
            raise

    def _give(self, slot: _Slot) -> None:
        """Give jobs to the worker, and note its answers until all have ended."""
        assert slot.connection is not None
        tasks = []
        for job in list(slot.jobs.values()):
            self.progress[job.id] = Progress()
            try:
                tasks.append(self.task_of(job))
            except StoreProblem:
                raise
            except ChronotopeError as problem:  # such as one that was accepted for another model
                error = {"code": getattr(problem, "code", "invalid_request"), "message": str(problem)}
                self._end_job(slot, job.id, partial(self.store.fail, job.id, error))
        with slot.sending, contextlib.suppress(OSError):
            if tasks:
                slot.connection.send(tuple(tasks))
        while slot.jobs:
            answer = self._receive(slot)
            if answer is not None:
                self._note(slot, answer)
            elif self.running:
                self._died(slot, self._silence() if slot.silent else None)
            else:
                self._put_back(slot)

    def _end_job(self, slot: _Slot, name: str, write: Callable[[], Any]) -> Any:
        """Store how a job ended, and forget it."""
        found = self._kept(slot, write)
        with slot.sending:
            del slot.jobs[name]
        self.progress.pop(name, None)
        return found

    def _put_back(self, slot: _Slot, died: bool = False, error: dict[str, Any] | None = None) -> None:
        """Queue the jobs of a slot again."""
        for name in list(slot.jobs):
            self._end_job(slot, name, partial(self.store.put_back, name, died, error))

    def _silence(self) -> dict[str, Any]:
        words = f"no step ended within {self.silent_seconds / 60:g} minutes (--step-minutes); ask for a smaller size"
        return {"code": "worker_hung", "message": words}

    def _died(self, slot: _Slot, error: dict[str, Any] | None = None) -> None:
        """End what is left of a worker, and queue its jobs again; at the last time a job fails with the error."""
        self.deaths += 1
        self._end(slot)
        for name in slot.jobs:
            with contextlib.suppress(OSError):
                self.removed(name)  # previews, too
        self._put_back(slot, True, error)

    def _kept(self, slot: _Slot, write: Callable[[], Any]) -> Any:
        """Call a method of the store until it can write; a service that stops meanwhile recovers the job later."""
        while True:
            try:
                return write()
            except StoreProblem as problem:  # such as a full disk
                slot.problem = str(problem)
                if not self.running:
                    raise
                time.sleep(IDLE_SECONDS)

    def _note(self, slot: _Slot, answer: Answer) -> None:
        """Note an answer, and end its job where it is the last one."""
        name = answer.job
        known = self.progress[name]
        if answer.kind == "told":
            self.progress[name] = Progress(told=answer.message)
        elif answer.kind == "step":
            self.progress[name] = replace(known, step=answer.step, total=answer.total)
        elif answer.kind == "preview":
            self.progress[name] = replace(known, previews=known.previews + 1)
        elif answer.kind == "done":
            if not self._end_job(slot, name, partial(self.store.complete, name, answer.result or {})):
                self.removed(name)  # it was deleted meanwhile
        elif answer.kind == "cancelled":
            self.removed(name)
            self._end_job(slot, name, partial(self.store.put_back, name, died=False))  # where it was not deleted
        else:
            error = {"code": answer.code, "message": answer.message}
            if answer.code == "internal_error":  # the next job may fail in this process too, as after errors of a GPU
                log.error("%s: %s", name, (answer.result or {}).get("trace"))
                self._died(slot, error)
            else:
                self._end_job(slot, name, partial(self.store.fail, name, error))

    def _end(self, slot: _Slot) -> None:
        """End the process of a slot, if there is one."""
        with slot.sending:
            if slot.connection is not None:
                slot.connection.close()
            slot.connection = None
        if slot.process is not None:
            slot.process.terminate()
            slot.process.join(END_SECONDS)
            if slot.process.is_alive():
                slot.process.kill()
                slot.process.join()
        slot.process = None


def _are_alike(job: Job, other: Job) -> bool:
    """Whether one pass can sample both: they differ in prompt and seed alone, and no worker died at either."""
    own = ("story", "seed")
    asked, others = ({name: value for name, value in one.asked.items() if name not in own} for one in (job, other))
    return not job.deaths and not other.deaths and asked == others
