"""Jobs and stored files in SQLite. What a method returned is on disk; a job ends once.

This class is all that the service knows of the database: one that has its methods can take its place.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chronotope.errors import ChronotopeError, FileProblem

__all__ = ["ConflictError", "Job", "State", "Store", "StoreProblem", "StoredFile", "new_id"]

State = Literal["queued", "in_progress", "completed", "failed"]
MAX_DEATHS = 2  # of workers at one job, before it is set aside as failed
BUSY_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    asked TEXT NOT NULL,
    remixed_from TEXT,
    key TEXT,
    digest TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    ended REAL,
    deaths INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    result TEXT,
    bytes INTEGER NOT NULL DEFAULT 0,
    rank REAL,
    UNIQUE (owner, key)
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, number);
CREATE INDEX IF NOT EXISTS jobs_by_start ON jobs (owner, started);
CREATE INDEX IF NOT EXISTS jobs_of_owner_by_state ON jobs (owner, state);
CREATE INDEX IF NOT EXISTS jobs_by_bytes ON jobs (bytes);
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    job TEXT,
    name TEXT NOT NULL,
    suffix TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    created REAL NOT NULL,
    sha256 TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS files_by_job ON files (job);
CREATE TABLE IF NOT EXISTS deleted (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS waits (job TEXT NOT NULL, source TEXT NOT NULL, UNIQUE (job, source));
"""
_JOB = "number, id, owner, kind, state, asked, remixed_from, created, started, ended, deaths, error, result"
_RANK = "coalesce(rank, number)"  # by which the queue of an owner is ordered
_QUEUE = f"SELECT id, {_RANK} FROM jobs WHERE state = 'queued' AND owner = {{}} ORDER BY {_RANK}"
_READY = (  # jobs of which every source has ended, or is gone
    "NOT EXISTS (SELECT 1 FROM waits JOIN jobs AS sources ON sources.id = waits.source "
    "WHERE waits.job = jobs.id AND sources.state IN ('queued', 'in_progress'))"
)
_BY_ID = f"SELECT {_JOB} FROM jobs WHERE id = ?"
_FILE = "id, owner, job, name, suffix, bytes, created, sha256"


class StoreProblem(FileProblem):
    """The database cannot be read or written now, as on a full disk; nothing was acknowledged."""


class ConflictError(ChronotopeError):
    """An idempotency key was used before, with another request."""


@dataclass(frozen=True)
class Job:
    """One request for a video or picture. `number` rises with every job; times are Unix seconds."""

    number: int
    id: str
    owner: str
    kind: Literal["video", "picture"]
    state: State
    asked: dict[str, Any]
    remixed_from: str | None
    created: float
    started: float | None
    ended: float | None
    deaths: int
    error: dict[str, Any] | None
    result: dict[str, Any] | None


@dataclass(frozen=True)
class StoredFile:
    """An uploaded picture or clip; `job` is the one that it is an input of, None for a file of the files call.

    `sha256` is empty for files that an earlier version stored.
    """

    id: str
    owner: str
    job: str | None
    name: str
    suffix: str
    bytes: int
    created: float
    sha256: str = ""


def new_id(kind: str) -> str:
    """Return a random identifier that nobody can guess, such as video_4f..."""
    return f"{kind}_{secrets.token_hex(16)}"


class Store:
    """The database of one service. Its methods can be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._path = path
        with self._problems():
            self._connection = sqlite3.connect(
                path, check_same_thread=False, isolation_level=None, timeout=BUSY_SECONDS
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
            self._connection.executescript(_SCHEMA)
            if "rank" not in {row[1] for row in self._connection.execute("PRAGMA table_info(jobs)")}:
                self._connection.execute("ALTER TABLE jobs ADD COLUMN rank REAL")  # of an earlier version
            if "sha256" not in {row[1] for row in self._connection.execute("PRAGMA table_info(files)")}:
                self._connection.execute("ALTER TABLE files ADD COLUMN sha256 TEXT NOT NULL DEFAULT ''")

    def close(self) -> None:
        """Close the database; what was returned before stays."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _problems(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as problem:
            if getattr(problem, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise StoreProblem(
                    f"the database of the service is damaged ({problem}); bring {self._path.name} back from a copy, or "
                    "give another --folder"
                ) from None
            raise StoreProblem(f"the database of the service cannot be used now ({problem}); try again later") from None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._problems():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._problems():
            return self._connection.execute(query, values).fetchall()

    # Jobs

    def add(
        self, job: Job, files: Sequence[StoredFile], key: str | None, digest: str, sources: Sequence[str] = ()
    ) -> Job:
        """Commit a queued job with its input files, and return it; its number is set.

        It is not claimed before the jobs `sources` have ended, whose outputs are its inputs. With the idempotency
        `key` of an earlier job of this owner that job is returned, if its `digest` is the same; else `ConflictError` is
        raised.
        """
        with self._transaction() as connection:
            if key is not None and (earlier := self.with_key(job.owner, key, digest)):
                return earlier
            connection.execute(
                "INSERT INTO jobs (id, owner, kind, state, asked, remixed_from, key, digest, created) "
                "VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?)",
                (job.id, job.owner, job.kind, json.dumps(job.asked), job.remixed_from, key, digest, job.created),
            )
            for file in files:
                self._insert(connection, file)
            for name in sources:
                connection.execute("INSERT INTO waits VALUES (?, ?)", (job.id, name))
            return _job(connection.execute(_BY_ID, (job.id,)).fetchone())  # a failure to read it undoes the rest

    def with_key(self, owner: str, key: str, digest: str) -> Job | None:
        """Return the job that has an idempotency key; raise `ConflictError` where it is another request."""
        rows = self._rows(f"SELECT digest, {_JOB} FROM jobs WHERE owner = ? AND key = ?", (owner, key))
        if rows and rows[0][0] != digest:
            raise ConflictError(
                "this idempotency key was used for another request; use a new key for a new request, and repeat a "
                "request unchanged"
            )
        return _job(rows[0][1:]) if rows else None

    def get(self, name: str) -> Job | None:
        """Return a job by its identifier; None where there is none."""
        rows = self._rows(_BY_ID, (name,))
        return _job(rows[0]) if rows else None

    def jobs(
        self, owner: str, kind: str | None, after: int | None = None, limit: int = 20, descending: bool = True
    ) -> list[Job]:
        """Return jobs in the order of their numbers, those beyond the number `after`."""
        conditions, values = ["owner = ?"], [owner]
        if kind is not None:
            conditions.append("kind = ?")
            values.append(kind)
        if after is not None:
            conditions.append("number < ?" if descending else "number > ?")
        query = f"SELECT {_JOB} FROM jobs WHERE {' AND '.join(conditions)} ORDER BY number "
        query += "DESC LIMIT ?" if descending else "ASC LIMIT ?"
        return [_job(row) for row in self._rows(query, [*values, *([] if after is None else [after]), limit])]

    def claim(self, accept: Callable[[Job], bool] = lambda job: True) -> Job | None:
        """Take the next job: the first of the owner who has waited longest for a start. None if it is not accepted."""
        with self._transaction() as connection:
            row = connection.execute(
                f"SELECT id FROM jobs WHERE state = 'queued' AND {_READY} ORDER BY "
                f"(SELECT max(started) FROM jobs AS others WHERE others.owner = jobs.owner), {_RANK} LIMIT 1"
            ).fetchone()
            if row is None or not accept(_job(connection.execute(_BY_ID, row).fetchone())):
                return None
            connection.execute("UPDATE jobs SET state = 'in_progress', started = ? WHERE id = ?", (time.time(), row[0]))
            return _job(connection.execute(_BY_ID, row).fetchone())

    def adopt(self, name: str, asked: dict[str, Any], files: Sequence[StoredFile]) -> None:
        """Give a job input files in place of the jobs that it has waited for, and store what it asks for now."""
        with self._transaction() as connection:
            for file in files:
                self._insert(connection, file)
            connection.execute("UPDATE jobs SET asked = ? WHERE id = ?", (json.dumps(asked), name))
            connection.execute("DELETE FROM waits WHERE job = ?", (name,))

    def complete(self, name: str, result: dict[str, Any]) -> bool:
        """Publish a job that is in progress; return False where it is not, because it was deleted or has ended."""
        return self._end(name, "completed", "result", result)

    def fail(self, name: str, error: dict[str, Any]) -> bool:
        """End a job that is in progress with an error, a dict of `code` and `message`; return False as `complete`."""
        return self._end(name, "failed", "error", error)

    def cancel(self, name: str) -> bool:
        """End a job that waits or is in progress as failed, with the code `cancelled`; return whether it was one."""
        error = json.dumps({"code": "cancelled", "message": "it was cancelled"})
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = 'failed', ended = ?, error = ? "
                "WHERE id = ? AND state IN ('queued', 'in_progress')",
                (time.time(), error, name),
            )
            return changed.rowcount == 1

    def _end(self, name: str, state: State, column: str, value: dict[str, Any]) -> bool:
        with self._transaction() as connection:
            changed = connection.execute(
                f"UPDATE jobs SET state = ?, ended = ?, {column} = ?, bytes = ? WHERE id = ? AND state = 'in_progress'",
                (state, time.time(), json.dumps(value), value.get("bytes", 0), name),
            )
            return changed.rowcount == 1

    def put_back(self, name: str, died: bool, error: dict[str, Any] | None = None) -> None:
        """Queue a job that is in progress again; one at which workers `died` too often is set aside as failed.

        It then has the `error`, or one that says that its process was killed.
        """
        with self._transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'queued', deaths = deaths + ? WHERE id = ? AND state = 'in_progress'",
                (int(died), name),
            )
            row = connection.execute("SELECT deaths FROM jobs WHERE id = ? AND state = 'queued'", (name,)).fetchone()
            if row and row[0] >= MAX_DEATHS:
                error = error or {
                    "code": "worker_died",
                    "message": f"the process that computed it was killed {row[0]} times, perhaps for want of memory; "
                    "ask for a smaller size or fewer seconds",
                }
                connection.execute(
                    "UPDATE jobs SET state = 'failed', ended = ?, error = ? WHERE id = ?",
                    (time.time(), json.dumps(error), name),
                )

    def recover(self) -> int:
        """Queue the jobs again that were in progress when the service ended; return how many."""
        with self._transaction() as connection:
            return connection.execute("UPDATE jobs SET state = 'queued' WHERE state = 'in_progress'").rowcount

    def delete(self, name: str) -> list[StoredFile]:
        """Delete a job in any state and return the input files that were its own."""
        with self._transaction() as connection:
            files = [
                StoredFile(*row) for row in connection.execute(f"SELECT {_FILE} FROM files WHERE job = ?", (name,))
            ]
            self._note_deleted(connection, name, *(file.id for file in files))
            connection.execute("DELETE FROM files WHERE job = ?", (name,))
            connection.execute("DELETE FROM waits WHERE job = ?", (name,))
            connection.execute("DELETE FROM jobs WHERE id = ?", (name,))
        return files

    def _note_deleted(self, connection: sqlite3.Connection, *names: str) -> None:
        connection.executemany("INSERT OR IGNORE INTO deleted VALUES (?)", [(name,) for name in names])

    def deleted(self) -> set[str]:
        """Return the identifiers of deleted jobs and files, whose files on disk may still be there."""
        return {row[0] for row in self._rows("SELECT id FROM deleted")}

    def forget_deleted(self) -> None:
        """Forget the identifiers of deleted jobs and files: nothing of them is on disk any more."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM deleted")

    def counts(self) -> dict[State, int]:
        """Return how many jobs are in each state."""
        counts: dict[State, int] = {"queued": 0, "in_progress": 0, "completed": 0, "failed": 0}
        counts.update(self._rows("SELECT state, count(*) FROM jobs GROUP BY state"))
        return counts

    def queued(self, owner: str) -> int:
        """Return how many jobs of an owner wait."""
        return int(self._rows("SELECT count(*) FROM jobs WHERE state = 'queued' AND owner = ?", (owner,))[0][0])

    def position(self, job: Job) -> int:
        """Return how many queued jobs are taken before this one, as owners take turns; new ones are not foreseen."""
        turns = self._rows(
            f"SELECT owner, count(*), sum({_RANK} < (SELECT {_RANK} FROM jobs WHERE id = ?)) FROM jobs "
            "WHERE state = 'queued' GROUP BY owner ORDER BY "
            f"(SELECT max(started) FROM jobs AS others WHERE others.owner = jobs.owner), min({_RANK})",
            (job.id,),
        )
        older = next((older for owner, _, older in turns if owner == job.owner), 0)
        before, taken = 0, older + 1  # owners whose turn comes first have one turn more
        for owner, queued, _ in turns:
            if owner == job.owner:
                taken = older
            before += min(queued, taken)
        return before

    def move(self, name: str, place: int) -> bool:
        """Move a queued job to a place among those of its owner, 0 for the next; return False for any other job."""
        with self._transaction() as connection:
            owner = "(SELECT owner FROM jobs WHERE id = ?)"
            rows = connection.execute(_QUEUE.format(owner), (name,)).fetchall()
            names = [row[0] for row in rows]
            if name not in names:
                return False
            names.remove(name)
            names.insert(place, name)
            ranks = [(row[1], moved) for row, moved in zip(rows, names, strict=True)]
            connection.executemany("UPDATE jobs SET rank = ? WHERE id = ?", ranks)
            return True

    def queue(self, owner: str) -> list[str]:
        """Return the identifiers of the waiting jobs of an owner, the next first."""
        return [row[0] for row in self._rows(_QUEUE.format("?"), (owner,))]

    def of_size(self, owner: str, size: int) -> list[Job]:
        """Return the completed jobs of an owner whose files have `size` bytes."""
        query = f"SELECT {_JOB} FROM jobs WHERE state = 'completed' AND bytes = ? AND owner = ?"
        return [_job(row) for row in self._rows(query, (size, owner))]

    def last_completed(self, count: int) -> list[Job]:
        """Return the jobs that were completed last, of any owner."""
        query = f"SELECT {_JOB} FROM jobs WHERE state = 'completed' ORDER BY number DESC LIMIT ?"
        return [_job(row) for row in self._rows(query, (count,))]

    def active(self) -> list[Job]:
        """Return the jobs of all owners that wait or are in progress."""
        query = f"SELECT {_JOB} FROM jobs WHERE state IN ('queued', 'in_progress')"
        return [_job(row) for row in self._rows(query)]

    def job_seconds(self) -> float:
        """Return how long the last jobs took on average, in seconds; 10 where none is known."""
        query = "SELECT avg(ended - started) FROM (SELECT ended, started FROM jobs WHERE state = 'completed' "
        (mean,) = self._rows(query + "ORDER BY number DESC LIMIT 20)")[0]
        return 10.0 if mean is None else float(mean)

    def ended_before(self, time_limit: float) -> list[str]:
        """Return the identifiers of jobs that ended before a time."""
        return [row[0] for row in self._rows("SELECT id FROM jobs WHERE ended < ?", (time_limit,))]

    def names(self) -> set[str]:
        """Return the identifiers of all jobs and files, each of which may own a file on disk."""
        return {row[0] for row in self._rows("SELECT id FROM jobs UNION ALL SELECT id FROM files")}

    # Files

    def add_file(self, file: StoredFile) -> None:
        """Commit an uploaded file."""
        with self._transaction() as connection:
            self._insert(connection, file)

    def _insert(self, connection: sqlite3.Connection, file: StoredFile) -> None:
        connection.execute(
            f"INSERT INTO files ({_FILE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (file.id, file.owner, file.job, file.name, file.suffix, file.bytes, file.created, file.sha256),
        )

    def file(self, name: str) -> StoredFile | None:
        """Return an uploaded file by its identifier; None where there is none."""
        rows = self._rows(f"SELECT {_FILE} FROM files WHERE id = ?", (name,))
        return StoredFile(*rows[0]) if rows else None

    def files(self, owner: str) -> list[StoredFile]:
        """Return the files of an owner that are no job's own, the newest first."""
        query = f"SELECT {_FILE} FROM files WHERE owner = ? AND job IS NULL ORDER BY created DESC"
        return [StoredFile(*row) for row in self._rows(query, (owner,))]

    def files_before(self, time_limit: float) -> list[StoredFile]:
        """Return the files that are no job's own and older than a time."""
        query = f"SELECT {_FILE} FROM files WHERE job IS NULL AND created < ?"
        return [StoredFile(*row) for row in self._rows(query, (time_limit,))]

    def delete_file(self, name: str) -> None:
        """Forget an uploaded file."""
        with self._transaction() as connection:
            self._note_deleted(connection, name)
            connection.execute("DELETE FROM files WHERE id = ?", (name,))

    def stored_bytes(self) -> int:
        """Return the bytes of all inputs and outputs."""
        query = "SELECT (SELECT coalesce(sum(bytes), 0) FROM files) + (SELECT coalesce(sum(bytes), 0) FROM jobs)"
        return int(self._rows(query)[0][0])


def _job(row: tuple[Any, ...]) -> Job:
    number, name, owner, kind, state, asked, remixed, created, started, ended, deaths, error, result = row
    return Job(
        number=number,
        id=name,
        owner=owner,
        kind=kind,
        state=state,
        asked=_stored(asked),
        remixed_from=remixed,
        created=created,
        started=started,
        ended=ended,
        deaths=deaths,
        error=error and _stored(error),
        result=result and _stored(result),
    )


def _stored(text: str) -> Any:
    """Parse stored JSON; halves of characters, which earlier versions accepted in prompts, become question marks."""
    found = json.loads(text)
    if "\\ud" in text:
        found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    return found
