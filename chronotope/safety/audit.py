"""The log of refusals: lines that are only appended, each with the hash of the line before, so that gaps are noticed.

It holds no prompt and no path: a prompt is named by its SHA-256, a file by its name alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.jsonl import read_jsonl
from chronotope.safety.keys import keys_folder

__all__ = ["audit_path", "check_audit", "record"]

FIRST = "0" * 16
TAIL = 2**16  # bytes at the end of the log, in which the last line begins
CLOCK_SLACK = 2.0  # seconds, by which clocks are corrected while they run
DIGITS = 16  # of a hash


def audit_path() -> Path:
    """Return the path of the log of this installation, which need not exist."""
    return keys_folder() / "audit.jsonl"


def record(event: Mapping[str, Any]) -> bool:
    """Append an event with its time; return whether it could be written.

    It never raises: what is refused stays refused where the log cannot be written.
    """
    path = audit_path()
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            tail = os.pread(descriptor, TAIL, max(0, size - TAIL))
            whole, _, torn = tail.rpartition(b"\n")  # the last line was cut off where its writer was killed
            os.ftruncate(descriptor, size - len(torn))
            now = time.time()
            row = {"time": round(now, 3), **event, **_set_back(whole, now), "before": _before(whole)}
            os.write(descriptor, json.dumps(row).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return True
    return False


def check_audit(path: Path) -> int:
    """Return the number of events of a log; raise FileProblem where a line is missing or was changed."""
    before = FIRST
    rows = read_jsonl(path)
    for number, row in enumerate(rows, start=1):
        if row.get("before") != before:
            raise FileProblem(
                f"{path}, line {number}, does not follow the one before it: lines were changed or deleted"
            )
        before = _hash(json.dumps(row).encode())
    return len(rows)


def _before(tail: bytes) -> str:
    lines = tail.splitlines()
    return _hash(lines[-1]) if lines else FIRST


def _set_back(tail: bytes, now: float) -> dict[str, str]:
    """Say where the clock is before the time of the line before: then the times of the log are in no order."""
    with contextlib.suppress(ValueError, IndexError, KeyError, TypeError):
        back = float(json.loads(tail.splitlines()[-1])["time"]) - now
        if back > CLOCK_SLACK:
            return {"clock": f"set back by {back:.0f} s since the line before"}
    return {}


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[:DIGITS]
