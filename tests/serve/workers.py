"""What a process of a pool runs in tests instead of a model; this module imports no torch, so that it starts soon."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection

from chronotope.serve.jobs.worker import Answer

POISON = 13  # a seed


def failure(name: str) -> Answer:
    return Answer("failed", name, code="internal_error", message="failed", result={"trace": "t"})


def sick(connection: Connection, parent: int, *_: object) -> None:
    """A worker that does its first job and fails at every other one, in whatever process state that left."""
    del parent
    done = False
    connection.send(Answer("ready"))
    while True:
        (task,) = connection.recv()
        if done:
            connection.send(failure(task.id))
        else:
            connection.send(Answer("done", task.id, result={"bytes": os.getpid()}))
        done = True


def broken(connection: Connection, parent: int, *_: object) -> None:
    """A worker that fails at every job."""
    del parent
    connection.send(Answer("ready"))
    while True:
        (task,) = connection.recv()
        connection.send(failure(task.id))


def poisoned(connection: Connection, parent: int, *_: object) -> None:
    """A worker that dies of one seed; its results tell how many jobs it was given at once."""
    del parent
    connection.send(Answer("ready"))
    while True:
        tasks = connection.recv()
        for task in tasks:
            connection.send(Answer("step", task.id, 1, 2))
        if any(task.order.seed == POISON for task in tasks):
            os._exit(1)
        for task in tasks:
            connection.send(Answer("done", task.id, result={"bytes": len(tasks)}))


def obedient(connection: Connection, parent: int, *_: object) -> None:
    """A worker that does nothing but end the jobs that are cancelled, and all others when two are."""
    del parent
    connection.send(Answer("ready"))
    names = {task.id for task in connection.recv()}
    for _ in range(2):
        name = connection.recv()
        names.remove(name)
        connection.send(Answer("cancelled", name))
    for name in names:
        connection.send(Answer("done", name, result={"bytes": 1}))
    time.sleep(600)


def silent(connection: Connection, parent: int, *_: object) -> None:
    """A worker that tells of no step, as on a GPU that hangs."""
    del parent
    connection.send(Answer("ready"))
    connection.recv()
    time.sleep(600)
