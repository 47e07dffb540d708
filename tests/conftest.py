"""The test run is stricter than the user's: one thread, fixed seeds, repeatable examples, warnings as errors."""

from __future__ import annotations

import atexit
import collections
import functools
import gc
import inspect
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Threads that wait for each other sleep: where more of them than cores wait in a loop, a busy machine stands still.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import hypothesis
import jaxtyping
import numpy
import pytest
import torch
from jaxtyping import jaxtyped


def modules_with_shapes() -> list[str]:
    """Return the names of the modules whose signatures state shapes of arrays; the types of others mypy checks."""
    package = Path(__file__).parents[1] / "chronotope"
    files = [file for file in sorted(package.rglob("*.py")) if "from jaxtyping import" in file.read_text()]
    return [".".join(file.relative_to(package.parent).with_suffix("").parts) for file in files]


def states_shapes(found: Any) -> bool:
    """Return whether an annotation of a function, or of a field of a class, is of an array with a shape."""
    words = {word for each in found.__annotations__.values() for word in re.findall(r"\w+", str(each))}
    names = vars(sys.modules[found.__module__])
    return any(getattr(names.get(word), "__module__", "").startswith("jaxtyping") for word in words)


CHECKED_CALLS = 50  # of a function in a test
calls: collections.Counter[int] = collections.Counter()  # by the number of the function, since the test began


def checked_at_first(function: Any, checked: Any) -> Any:
    """Check the first calls of a function in each test; a long training would repeat the check of the same shapes."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if torch.compiler.is_compiling():
            return function(*arguments, **named)
        calls[number] += 1
        return (checked if calls[number] <= CHECKED_CALLS else function)(*arguments, **named)

    number = id(call)
    return call


def jaxtyped_where_shapes_are(typechecker: Any) -> Callable[[Any], Any]:
    """Check the calls of functions whose signatures state shapes, and leave the others as fast as they are."""
    check = jaxtyped(typechecker=typechecker)

    def decorate(found: Any) -> Any:
        if not states_shapes(found):
            return found
        return checked_at_first(found, check(found)) if inspect.isfunction(found) else check(found)

    return decorate


jaxtyping.jaxtyped = jaxtyped_where_shapes_are  # what the hook puts before every function and class
jaxtyping.install_import_hook(modules_with_shapes(), "beartype.beartype")  # before any of them is imported

# files are signed with keys of the test run, and not with those of whoever runs it
os.environ["CHRONOTOPE_KEYS"] = tempfile.mkdtemp(prefix="chronotope-keys-")
atexit.register(shutil.rmtree, os.environ["CHRONOTOPE_KEYS"], ignore_errors=True)
hypothesis.settings.register_profile("chronotope", deadline=None, derandomize=True, database=None, max_examples=50)
hypothesis.settings.load_profile("chronotope")
torch.set_num_threads(1)
# no test outlives the machine it runs on, so nothing waits for a disk; processes that tests start do wait


def fsync(descriptor: int) -> None:
    """Do nothing: a test waits for no disk, and no power fails in it."""
    del descriptor


os.fsync = fsync
if threading.current_thread() is threading.main_thread():
    # a shell starts what runs in the background without Ctrl-C, which the processes of the tests would inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are skipped where there is no device."""
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_collection_finish() -> None:
    """What is loaded stays loaded: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state, whatever ran before it, and with the check of shapes."""
    calls.clear()
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def scheduled_as_before() -> Iterator[None]:
    """No test leaves the process with another scheduling policy, as encoders do that ask for real time."""
    policy = os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None
    yield
    assert policy is None or os.sched_getscheduler(0) == policy
