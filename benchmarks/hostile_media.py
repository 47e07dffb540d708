"""Hostile media -> how many cases were read, refused, crashed, hung or opened other files, as a table and JSON.

`python -m benchmarks.hostile_media --count 2000 --seed 0 --out hostile.json` takes about 20 cases a second. Where
strace is installed, every system call that opens a file or an address is looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chronotope.errors import ChronotopeError
from chronotope.media import video

__all__ = ["check", "foreign_files", "main", "traced"]

HANG_SECONDS = 10.0  # of computing time or waiting for one call
BATCH = 250  # files that one process reads
CALLS = "open,openat,openat2,creat,connect,socket,bind,execve"
# Places that Python, its packages and the C library open for themselves.
OWN_PLACES = (
    "/etc/ld.so",
    "/lib",
    "/usr/lib",
    "/usr/share/locale",
    "/etc/localtime",
    "/proc/",
    "/sys/devices/",
    "/dev/null",
)


def check(path: Path) -> str:
    """Read a file in all ways; return `read`, `refused`, or what is wrong: `differs`, `slow` or an unknown error."""
    answers = []
    for reader in (video.read, video.read, video.probe, video.read_image, video.read_origin):
        began = time.monotonic()
        try:
            answers.append(reader(path))  # type: ignore[operator]
        except ChronotopeError as problem:
            if "\n" in str(problem) or "was given up" in str(problem):
                return f"slow: {problem}"
            answers.append(str(problem))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        if time.monotonic() - began > HANG_SECONDS:
            return f"slow: {time.monotonic() - began:.0f} s"
    first, second = answers[:2]
    if isinstance(first, str) or isinstance(second, str):
        same = first == second if isinstance(first, str) and isinstance(second, str) else False
        return "refused" if same else f"differs: {first} and {second}"
    same = first.frames.shape == second.frames.shape and bytes(first.frames.data) == bytes(second.frames.data)
    return "read" if same else "differs: pixels"


def _check_all(paths: Sequence[Path]) -> dict[str, Any]:
    """Check files in this process, and return the results with the peak memory in bytes."""
    results = {str(path): check(path) for path in paths}
    return {"results": results, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def _command(listing: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.hostile_media", "--batch", str(listing)]


def traced(paths: Sequence[Path], log: Path) -> Path:
    """Check files in a process of its own under strace, and return the log of the calls that open something."""
    listing = log.with_suffix(".list.json")
    listing.write_text(json.dumps([str(path) for path in paths]))
    trace = ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(log)]
    subprocess.run([*trace, *_command(listing)], check=True, capture_output=True, cwd=_root(), env=_environment())
    return log


def _root() -> Path:
    return Path(__file__).resolve().parents[1]


def _environment() -> dict[str, str]:
    """Return the variables for a batch; with a path of libraries, the loader would try names in every folder of it."""
    kept = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    return {**kept, "PYTHONPATH": str(_root())}


def foreign_files(log: Path, paths: Sequence[Path]) -> list[str]:
    """Return the calls in a log of strace that opened, or tried to open, what is neither a given file nor Python's."""
    own = {*OWN_PLACES, str(_root()), sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()}
    allowed = (
        {*sys.path, *(str(path) for path in paths)}
        | {f"{path}.json" for path in paths}
        | {str(log.with_suffix(".list.json"))}
    )
    foreign = []
    for line in log.read_text(errors="replace").splitlines():
        if "resumed>" in line or "+++" in line or "---" in line:
            continue
        if re.search(r"\b(connect|bind)\(", line) or ("socket(" in line and "AF_UNIX" not in line):
            foreign.append(line)
        elif name := re.search(r"\b(?:open|openat|openat2|creat)\((?:AT_FDCWD, |\d+, )?\"([^\"]*)\"", line):
            path = name.group(1)
            if path not in allowed and not any(path.startswith(place) for place in own) and path not in ("", ".", "/"):
                foreign.append(line)
    return foreign


def _run(paths: Sequence[Path], folder: Path, totals: Counter[str], found: dict[str, Any]) -> None:
    """Check one batch in a process of its own, and add up what happened."""
    log = folder / "calls.txt"
    listing = log.with_suffix(".list.json")
    listing.write_text(json.dumps([str(path) for path in paths]))
    trace = ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(log)]
    command = [*trace, *_command(listing)] if shutil.which("strace") else _command(listing)
    done = subprocess.run(command, capture_output=True, text=True, cwd=_root(), env=_environment())
    totals["cases"] += len(paths)
    if done.returncode != 0:
        totals["parent crashes"] += 1
        found.setdefault("crashes", []).append(done.stderr[-2000:])
        return
    answer = json.loads(done.stdout.splitlines()[-1])
    found["peak"] = max(found.get("peak", 0), answer["peak"])
    for path, result in answer["results"].items():
        kind = result.split(":")[0]
        totals[kind if kind in ("read", "refused", "slow", "differs") else "other errors"] += 1
        if kind not in ("read", "refused"):
            kept = Path(found["kept"]) / f"{totals['cases']}_{Path(path).name}"
            shutil.copy(path, kept)
            found.setdefault("failures", []).append({"file": str(kept), "result": result})
    if shutil.which("strace"):
        foreign = foreign_files(log, paths)
        totals["other files opened"] += len(foreign)
        found.setdefault("foreign", []).extend(foreign[:20])


def main(count: int = 10_000, seed: int = 0, output: Path | None = None, kept: Path | None = None) -> dict[str, Any]:
    """Check every handmade file and `count` mutations; print a table, write JSON, and return what it holds."""
    from tests.media import hostile

    totals: Counter[str] = Counter()
    found: dict[str, Any] = {"kept": str(kept or tempfile.mkdtemp(prefix="hostile-"))}
    Path(found["kept"]).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("seeds", "handmade", "mutated"):
            (folder / part).mkdir()
        real = hostile.seeds(folder / "seeds")
        _run(hostile.handmade(folder / "handmade", real), folder, totals, found)
        for start in range(0, count, BATCH):
            paths = []
            for index in range(start, min(start + BATCH, count)):
                rng = random.Random(f"{seed} {index}")
                original = rng.choice(sorted(real))
                paths.append(folder / "mutated" / f"{index}_{original}")
                paths[-1].write_bytes(hostile.mutate(real[original], rng))
            _run(paths, folder, totals, found)
            for path in paths:
                path.unlink()
            print(f"{totals['cases']} cases, {totals['cases'] - totals['read'] - totals['refused']} wrong", flush=True)
    rows = {
        "cases": totals["cases"],
        "read": totals["read"],
        "refused in one sentence": totals["refused"],
        "parent crashes": totals["parent crashes"],
        "hangs over 10 s": totals["slow"],
        "other errors": totals["other errors"],
        "read twice and not the same": totals["differs"],
        "peak memory of the parent, MiB": round(found.get("peak", 0) / 2**20),
        "other files or addresses opened": totals["other files opened"] if shutil.which("strace") else None,
    }
    result = {"seed": seed, **rows, **{key: found[key] for key in ("failures", "crashes", "foreign") if key in found}}
    for label, value in rows.items():
        print(f"{label:34} {value}")
    if output is not None:
        output.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--batch", type=Path, help="a list of files to check in this process")
    chosen = parser.parse_args()
    if chosen.batch:
        print(json.dumps(_check_all([Path(path) for path in json.loads(chosen.batch.read_text())])))
    else:
        main(chosen.count, chosen.seed, chosen.out, chosen.kept)
