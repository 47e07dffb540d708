"""Items that a thread prepares are those of the iterator, and the thread ends with the block."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from chronotope.processes import prepared_ahead


def threads() -> int:
    return sum(thread.name == "prepared_ahead" for thread in threading.enumerate())


def test_items_come_in_their_order_and_end() -> None:
    with prepared_ahead(iter(range(50)), 3) as items:
        assert list(items) == list(range(50))
    assert threads() == 0


def test_the_thread_works_ahead_and_no_further_than_it_may() -> None:
    made: list[int] = []
    with prepared_ahead((made.append(n) or n for n in itertools.count()), 2) as items:  # type: ignore[func-returns-value]
        assert next(items) == 0
        deadline = time.monotonic() + 20
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert made == [0, 1, 2, 3]  # one was taken, two are ready, one waits for room
    assert threads() == 0


def test_a_failure_comes_at_its_place() -> None:
    def failing() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("damaged")

    with prepared_ahead(failing()) as items:
        assert [next(items), next(items)] == [1, 2]
        with pytest.raises(ValueError, match="damaged"):
            next(items)


def test_the_thread_ends_where_the_block_fails() -> None:
    with pytest.raises(KeyboardInterrupt), prepared_ahead(itertools.count()) as items:
        next(items)
        raise KeyboardInterrupt
    assert threads() == 0
