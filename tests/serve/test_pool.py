"""A pool whose worker process, store or system fails: the thread of a slot goes on, and the job is queued again."""

from __future__ import annotations

import errno
import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from chronotope.errors import FileProblem, UsageError
from chronotope.generate.stored.folders import WEIGHTS
from chronotope.serve.jobs import pool as pools
from chronotope.serve.jobs import worker
from chronotope.serve.jobs.pool import Pool
from chronotope.serve.jobs.store import Job, Store, StoreProblem, new_id
from chronotope.serve.jobs.worker import Task
from chronotope.serve.limits import read_model_facts
from chronotope.serve.order import FieldError, Order
from tests.cli.models import save_run
from tests.serve.workers import POISON, broken, obedient, poisoned, sick, silent


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "jobs.sqlite3")
    yield store
    store.close()


def added(store: Store, **asked: Any) -> str:
    job = Job(0, new_id("video"), "a", "video", "queued", asked, None, time.time(), None, None, 0, None, None)
    return store.add(job, [], None, "d").id


def task_of(job: Job) -> Task:
    order = Order(((0.0, "a fox"),), seed=(job.asked or {}).get("seed", 0))
    return Task(job.id, order, {}, Path("x.mp4"), Path("x.webp"))


def ended(store: Store, *names: str) -> list[Job]:
    """Wait until jobs have ended."""
    until = time.monotonic() + 60
    while any(job is None or job.ended is None for job in map(store.get, names)):
        assert time.monotonic() < until
        time.sleep(0.05)
    return [job for job in map(store.get, names) if job is not None]


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Pool]]:
    """Start a pool of one worker, whose process runs a function instead of a model."""
    started: list[Pool] = []

    def start(work: Callable[..., None], task: Callable[[Job], Task] = task_of, batch: int = 1) -> Pool:
        monkeypatch.setattr(pools, "work", work)
        facts = read_model_facts(WEIGHTS / "small")
        pool = Pool(store, facts, ("cpu",), task, lambda _: None, batch=batch)
        started.append(pool)
        pool.start()
        return pool

    yield start
    for pool in started:
        pool.stop()


def test_a_worker_that_fails_at_a_job_is_replaced_and_the_job_is_done_by_the_next(
    store: Store, run: Callable[..., Pool]
) -> None:
    names = [added(store) for _ in range(3)]
    pool = run(sick)
    jobs = ended(store, *names)
    assert [job.state for job in jobs] == ["completed"] * 3
    assert [job.deaths for job in jobs] == [0, 1, 1] and pool.deaths == 2
    assert len({(job.result or {})["bytes"] for job in jobs}) == 3, "every job had a process of its own"


def test_a_job_at_which_two_workers_fail_has_their_error(store: Store, run: Callable[..., Pool]) -> None:
    name = added(store)
    run(broken)
    (job,) = ended(store, name)
    assert (job.state, job.deaths, job.error) == ("failed", 2, {"code": "internal_error", "message": "failed"})


def test_jobs_that_differ_in_prompt_and_seed_alone_are_given_together(store: Store, run: Callable[..., Pool]) -> None:
    alike = [added(store, steps=2, seed=seed, story=[[0, f"fox {seed}"]]) for seed in range(3)]
    other = added(store, steps=3, seed=3)
    last = added(store, steps=2, seed=4)
    pool = run(poisoned, batch=2)
    jobs = ended(store, *alike, other, last)
    assert [(job.result or {})["bytes"] for job in jobs] == [2, 2, 1, 1, 1], "two at once, in the order of the queue"
    assert not pool.progress


def test_a_job_of_which_workers_die_sets_aside_none_that_was_given_together_with_it(
    store: Store, run: Callable[..., Pool]
) -> None:
    names = [added(store, seed=seed) for seed in (1, 2, POISON, 4)]
    pool = run(poisoned, batch=4)
    jobs = ended(store, *names)
    assert [(job.state, job.deaths) for job in jobs] == [*[("completed", 1)] * 2, ("failed", 2), ("completed", 1)]
    assert jobs[2].error is not None and jobs[2].error["code"] == "worker_died"
    assert [(job.result or {}).get("bytes") for job in jobs] == [1, 1, None, 1], "after a death each is done alone"
    assert pool.deaths == 2


def test_jobs_that_were_given_together_are_cancelled_one_by_one(store: Store, run: Callable[..., Pool]) -> None:
    names = [added(store, seed=seed) for seed in range(3)]
    pool = run(obedient, batch=3)
    until = time.monotonic() + 60
    while store.counts()["in_progress"] < 3 or len(pool.progress) < 3:
        assert time.monotonic() < until
        time.sleep(0.05)
    for name in names[:2]:
        store.delete(name)
        pool.cancel(name)
    (job,) = ended(store, names[2])
    assert job.state == "completed" and [store.get(name) for name in names[:2]] == [None, None]


def test_a_worker_that_hangs_is_ended_and_its_job_fails_at_the_second_time(
    store: Store, run: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_back, pools = store.put_back, list[Pool]()

    def impatient(job: Job) -> Task:
        pools[0].silent_seconds = 0.6
        return task_of(job)

    def patient(*arguments: Any) -> None:
        pools[0].silent_seconds = 600.0  # for the next process to start
        put_back(*arguments)

    monkeypatch.setattr(store, "put_back", patient)
    name = added(store)
    pools.append(run(silent, impatient))
    (job,) = ended(store, name)
    assert (job.state, job.deaths, pools[0].deaths) == ("failed", 2, 2) and job.error is not None
    assert job.error["code"] == "worker_hung" and "within 0.01 minutes" in job.error["message"]


def test_a_job_of_another_model_is_not_done(store: Store, run: Callable[..., Pool]) -> None:
    def refuse(job: Job) -> Task:
        raise FieldError("model", "it was accepted for another model", "model_changed")

    name = added(store)
    run(sick, refuse)
    (job,) = ended(store, name)
    assert (job.state, job.error and job.error["code"]) == ("failed", "model_changed")


def test_a_worker_loads_no_model_that_was_exchanged(tmp_path: Path) -> None:
    facts = read_model_facts(save_run(tmp_path / "model"))
    worker._check_identity(facts)
    save_run(tmp_path / "model")
    worker._check_identity(facts)  # the same weights
    save_run(tmp_path / "model", seed=1)
    with pytest.raises(FileProblem, match="was exchanged since the service started; start it again"):
        worker._check_identity(facts)


def test_a_database_that_is_locked_for_a_moment_ends_no_job(store: Store, run: Callable[..., Pool]) -> None:
    name, tried = added(store), list[str]()

    def locked_once(job: Job) -> Task:
        tried.append(job.id)
        if len(tried) == 1:
            raise StoreProblem("database is locked")
        return task_of(job)

    run(sick, locked_once)
    (job,) = ended(store, name)
    assert (job.state, job.deaths, tried) == ("completed", 0, [name, name])


def test_a_system_that_starts_no_process_is_asked_again(
    store: Store, run: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, tried = added(store), list[int]()
    context = multiprocessing.get_context("spawn").Process
    start = context.start

    def start_later(process: multiprocessing.process.BaseProcess) -> None:
        tried.append(1)
        if len(tried) < 3:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        start(process)  # type: ignore[arg-type]

    monkeypatch.setattr(context, "start", start_later)
    monkeypatch.setattr(pools, "RELOAD_SECONDS", 0.1)
    run(sick)
    assert ended(store, name)[0].state == "completed" and len(tried) == 3


def test_only_memory_that_cannot_be_allocated_is_a_full_memory() -> None:
    def answer(problem: Exception) -> str:
        return worker._failed(problem, task_of(Job(*[None] * 13))).code  # type: ignore[arg-type]

    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    for problem in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), caught.value):
        assert answer(problem) == "out_of_memory"
    assert answer(RuntimeError("CUDA error: an illegal memory access was encountered")) == "internal_error"
    assert answer(UsageError("too many tokens")) == "invalid_request"
