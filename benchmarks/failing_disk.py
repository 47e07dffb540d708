"""Let the disk fail at every write of every command, one at a time; write what was lost to failing_disk.json.

    python -m benchmarks.failing_disk
    python -m benchmarks.failing_disk --only encode --calls 20

strace lists the calls with which a command creates, writes, flushes and renames files, and then makes one of them fail
with EIO ("Input/output error") or ENOSPC ("No space left on device"). The command must end with one sentence, and the
same command again with the result of an undisturbed run, without litter. Needs strace (apt-get install strace).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.jobs import COMMANDS, Command, end_of, fresh, litter, prepare, start, whole_content
from chronotope.storage import read_json, write_json

__all__ = ["fail_every_write", "main"]

# What each error is called, by the system and by SQLite.
ERRORS = {
    "EIO": ("Input/output error", "disk I/O error", "unable to open database file"),
    "ENOSPC": ("No space left on device", "disk is full", "disk I/O error", "unable to open database file"),
}
CALLS = "openat,write,pwrite64,ftruncate,fsync,rename,mkdir"
SMALLER = {"2": "1", "12": "3"}  # the workers and the clips of `world`: all calls in one process, and fewer


@dataclass(frozen=True)
class Call:
    """One system call of a command: its name, and its place among the calls of that name, from 1."""

    name: str
    number: int


def fail_every_write(command: Command, most: int, seed: int, work: Path) -> Counter[str]:
    """Let at most `most` of the writes of a command fail, each with both errors; return what came of it."""
    command = replace(command, words=tuple(SMALLER.get(word, word) for word in command.words))
    expected = whole_content(command, work)
    calls = _list_calls(command, work)
    chosen = sorted(random.Random(seed).sample(range(len(calls)), min(most, len(calls))))
    found = Counter[str](
        {"calls": len(calls), "failed": 0, "one sentence": 0, "no difference": 0, "missed": 0}
        | {"wrong": 0, "different": 0, "litter": 0}
    )
    for position in chosen:
        for error in ERRORS:
            found.update(_fail_one(command, calls[position], error, expected, work))
    return found


def _fail_one(command: Command, call: Call, error: str, expected: dict[str, str], work: Path) -> list[str]:
    """Let one call fail, then run the command again; return the names of what is to be counted."""
    folder = fresh(command, work / "start", work / "failing")
    status, trace = _traced(command, folder, f"{call.name}:error={error}:when={call.number}")
    injected = next((line for line in trace if "(INJECTED)" in line), "")
    if not _is_below(injected, folder):
        return ["missed"]  # the calls came in another order
    said = (folder / "stderr").read_text()
    found = ["failed"]
    if status == 0:
        found.append("no difference" if command.content(folder / command.folder) == expected else "wrong")
    elif "Traceback" in said or not any(words in said.splitlines()[-1] for words in ERRORS[error]):
        found.append("wrong")
    else:
        found.append("one sentence")
    if found[-1] == "wrong":
        print(f"{command.name}: {injected.strip()}\nexit status {status}: {said}", file=sys.stderr)
    (folder / "stderr").unlink()
    again = end_of(start(command.words, folder))
    if again != 0 or command.content(folder / command.folder) != expected:
        print(f"{command.name}: {injected.strip()}\nthen {again}: {(folder / 'stderr').read_text()}", file=sys.stderr)
        found.append("different")
    if litter(folder):
        print(f"{command.name}: {injected.strip()}\nleft {litter(folder)}", file=sys.stderr)
        found.append("litter")
    return found


def _list_calls(command: Command, work: Path) -> list[Call]:
    """Run a command and list its calls that create, write, flush or rename a file in its folder."""
    folder = fresh(command, work / "start", work / "failing")
    status, trace = _traced(command, folder, None)
    if status != 0:
        raise SystemExit(f"{command.name} failed: {(folder / 'stderr').read_text()}")
    seen, calls = Counter[str](), []
    for line in trace:
        name = line.split("(")[0]
        seen[name] += 1
        if (name != "openat" or "O_CREAT" in line) and _is_below(line, folder):
            calls.append(Call(name, seen[name]))
    return calls


def _is_below(line: str, folder: Path) -> bool:
    """Tell whether a call is about a file below a folder, which is the current folder of the traced process."""
    name, opened = line.split("(")[0], re.search(r"<([^>]*)>", line)
    quoted = re.search(r'"([^"]*)"', line)
    found = quoted if name in ("openat", "rename", "mkdir") else opened
    return found is not None and found[1] != f"{folder}/stderr" and Path(folder, found[1]).is_relative_to(folder)


def _traced(command: Command, folder: Path, fault: str | None) -> tuple[int | None, list[str]]:
    """Run a command under strace, which lets one call fail where `fault` says so; return its status and its calls."""
    process = start(command.words, folder, stopped=True)
    assert process.pid is not None
    os.waitpid(process.pid, os.WUNTRACED)
    trace = folder.parent / "trace"
    options = ["-y", "-s", "200", "-o", str(trace), "-e", f"trace={CALLS}", *(["-e", f"inject={fault}"] * bool(fault))]
    tracer = subprocess.Popen(["strace", *options, "-p", str(process.pid)], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    tracer.stderr.readline()  # "Process 1 attached"
    os.kill(process.pid, signal.SIGCONT)
    status = end_of(process)
    tracer.communicate()
    return status, trace.read_text(errors="replace").splitlines()


def main(calls: int = 10**6, seed: int = 0, only: Sequence[str] = (), out: Path | None = None) -> dict[str, Any]:
    """Let at most `calls` writes of each command fail; write and return the counts.

    With `only`, the other rows of the file stay as they are.
    """
    target = out or Path(__file__).with_suffix(".json")
    found: dict[str, Any] = {"seed": seed, **(read_json(target) if only and target.is_file() else {})}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name).resolve()
        prepare(work / "start")
        for command in COMMANDS:
            if not only or command.name in only:
                found[command.name] = dict(fail_every_write(command, calls, seed, work))
                print(f"{command.name}: {json.dumps(found[command.name])}", flush=True)
    write_json(target, found)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=10**6, help="most calls of a command that fail")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=(), help="names of commands")
    parser.add_argument("--out", type=Path)
    main(**vars(parser.parse_args()))
