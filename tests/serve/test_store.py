"""The store: what it returned is on disk, a job ends once, owners take turns."""

from __future__ import annotations

import random
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chronotope.serve.jobs.store import ConflictError, Job, Store, StoredFile, StoreProblem, new_id


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "jobs.sqlite3")


def job(owner: str = "a", kind: str = "video") -> Job:
    return Job(0, new_id("video"), owner, kind, "queued", {"x": 1}, None, time.time(), None, None, 0, None, None)


def test_a_job_is_found_by_another_connection_as_soon_as_it_was_added(store: Store, tmp_path: Path) -> None:
    added = store.add(job(), [], None, "d")
    assert Store(tmp_path / "jobs.sqlite3").get(added.id) == added
    assert added.number == 1
    pragma = (
        store._connection.execute("PRAGMA synchronous").fetchone(),
        store._connection.execute("PRAGMA journal_mode").fetchone(),
    )
    assert pragma == ((2,), ("wal",)), "2 is FULL"


def test_a_job_ends_once(store: Store) -> None:
    added = store.add(job(), [], None, "d")
    assert not store.complete(added.id, {}), "it is not in progress yet"
    claimed = store.claim()
    assert claimed is not None and claimed.id == added.id and claimed.started
    assert store.claim() is None
    assert store.complete(added.id, {"bytes": 5})
    assert not store.complete(added.id, {"bytes": 6})
    assert not store.fail(added.id, {"code": "x", "message": "y"})
    found = store.get(added.id)
    assert found is not None and found.state == "completed" and found.result == {"bytes": 5} and found.error is None
    assert store.stored_bytes() == 5


def test_a_key_is_one_job(store: Store) -> None:
    first = store.add(job(), [], "key", "d")
    assert store.add(job(), [], "key", "d").id == first.id
    with pytest.raises(ConflictError):
        store.add(job(), [], "key", "other")
    assert store.add(job("b"), [], "key", "other").id != first.id, "keys of other owners are other keys"
    assert store.counts()["queued"] == 2


def test_a_job_at_which_two_workers_died_is_set_aside(store: Store) -> None:
    added = store.add(job(), [], None, "d")
    for state in ("queued", "failed"):
        store.claim()
        store.put_back(added.id, died=True)
        found = store.get(added.id)
        assert found is not None and found.state == state
    assert found.error is not None and found.error["code"] == "worker_died"
    assert store.claim() is None


def test_a_job_outlives_any_number_of_ends_of_the_server(store: Store, tmp_path: Path) -> None:
    added = store.add(job(), [], None, "d")
    for _ in range(5):
        assert store.claim() is not None
        store = Store(tmp_path / "jobs.sqlite3")
        assert store.recover() == 1
    found = store.get(added.id)
    assert found is not None and found.state == "queued" and found.deaths == 0


def test_owners_take_turns(store: Store) -> None:
    """Who comes late with one job does not wait for all jobs of another."""
    many = [store.add(job("many"), [], None, "d").id for _ in range(4)]
    late = store.add(job("late"), [], None, "d").id
    order = []
    for _ in range(5):
        claimed = store.claim()
        assert claimed is not None
        order.append(claimed.id)
        store.complete(claimed.id, {})
    assert order == [many[0], late, *many[1:]]


def test_the_position_is_the_number_of_jobs_that_are_claimed_before(store: Store) -> None:
    chance = random.Random(0)
    for _ in range(4):  # owners of whom some had turns before
        store.add(job(chance.choice("abc")), [], None, "d")
        store.claim()
    added = [store.add(job(chance.choice("abcde")), [], None, "d") for _ in range(20)]
    expected = {one.id: store.position(one) for one in added}
    order = [claimed.id for _ in added if (claimed := store.claim())]
    assert expected == {name: place for place, name in enumerate(order)}


class Lost:
    """A connection to a database that can be written and not be read, from a moment on."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def execute(self, query: str, *values: Any) -> Any:
        if query.startswith("SELECT number"):
            raise sqlite3.OperationalError("database is locked")
        return self.connection.execute(query, *values)


def test_what_cannot_be_read_back_was_not_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is refused is not in the queue, and one that nobody got is not in progress."""
    kept = store.add(job(), [], None, "d")
    monkeypatch.setattr(store, "_connection", Lost(store._connection))
    with pytest.raises(StoreProblem, match="locked"):
        store.add(job(), [], None, "d")
    with pytest.raises(StoreProblem, match="locked"):
        store.claim()
    monkeypatch.undo()
    assert store.counts()["queued"] == 1 and store.get(kept.id) == kept


def test_a_store_of_many_jobs_is_as_fast_as_one_of_few(store: Store) -> None:
    """What every request and every start of a job look up is found by an index, counted in steps of the database."""
    for _ in range(100):
        store.add(job(), [], None, "d")
    few = steps(store)
    with store._transaction() as connection:
        for _ in range(20_000):
            connection.execute(
                "INSERT INTO jobs (id, owner, kind, state, asked, digest, created, started, ended, bytes) "
                "VALUES (?, 'a', 'video', 'completed', '{}', 'd', 1, 2, 3, 10)",
                (new_id("video"),),
            )
    assert store.queued("a") > 0 and store.stored_bytes() == 200_000
    assert steps(store) < 1.5 * few


def steps(store: Store) -> int:
    """How many tens of steps SQLite takes to count and to start jobs."""
    taken: list[None] = []
    store._connection.set_progress_handler(lambda: taken.append(None), 10)
    for _ in range(20):
        assert store.queued("a") > 0
        assert store.claim() is not None
    store._connection.set_progress_handler(None, 10)
    return len(taken)


def test_pages_of_jobs(store: Store) -> None:
    ids = [store.add(job(), [], None, "d").id for _ in range(5)]
    store.add(replace(job(), owner="other"), [], None, "d")
    newest = store.jobs("a", "video", limit=2)
    assert [one.id for one in newest] == [ids[4], ids[3]]
    assert [one.id for one in store.jobs("a", "video", newest[-1].number, 9)] == ids[2::-1]
    assert [one.id for one in store.jobs("a", None, 2, 9, descending=False)] == ids[2:]


def test_files_of_a_job_go_with_it(store: Store) -> None:
    added = job()
    file = StoredFile(new_id("file"), "a", added.id, "a.png", ".png", 7, time.time())
    store.add(added, [file], None, "d")
    assert store.file(file.id) == file and store.stored_bytes() == 7
    assert store.files("a") == []
    assert store.delete(added.id) == [file]
    assert store.file(file.id) is None and store.get(added.id) is None and store.names() == set()


def test_a_full_disk_is_a_problem_of_the_store_and_acknowledges_nothing(store: Store) -> None:
    kept = store.add(job(), [], None, "d")
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    added = []
    with pytest.raises(StoreProblem, match="full"):
        for _ in range(200):
            added.append(store.add(replace(job(), asked={"x": "y" * 3000}), [], None, "d"))
    store._connection.execute("PRAGMA max_page_count = 1000000")
    assert store.counts()["queued"] == 1 + len(added)
    assert store.get(kept.id) == kept
    store.add(job(), [], None, "d")


def test_two_jobs_of_one_identifier_are_refused(store: Store) -> None:
    added = store.add(job(), [], None, "d")
    with pytest.raises(sqlite3.IntegrityError):
        store.add(replace(job(), id=added.id), [], None, "d")
