"""Time calls in turns, so that whatever else the machine does falls on all of them alike; and facts of the machine."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from chronotope.errors import ChronotopeError

__all__ = [
    "clock",
    "cpu_seconds",
    "environment",
    "hardware",
    "in_child",
    "in_turns",
    "peak_megabytes",
    "ratios_to",
    "run_python",
]


def clock(device: torch.device) -> float:
    """Return the seconds of this process: of its processor time, or of the wall clock once a GPU has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def in_turns(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device | None = None,
    first_round: Callable[[str, Callable[[], object]], object] = lambda name, call: call(),
) -> dict[str, list[float]]:
    """Return the seconds of every call in each of the rounds, after a first round that only prepares kernels.

    The call that comes first changes from round to round. `first_round` makes the calls of the first round.
    """
    device, names = device or torch.device("cpu"), list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            if number == 0:
                first_round(name, calls[name])
                continue
            began = clock(device)
            calls[name]()
            seconds[name].append(clock(device) - began)
    return seconds


def ratios_to(seconds: Mapping[str, Sequence[float]], ours: str) -> dict[str, float]:
    """Return for each name the median over the rounds of its seconds divided by those of `ours` in the same round."""
    return {
        name: statistics.median(theirs / own for theirs, own in zip(times, seconds[ours], strict=True))
        for name, times in seconds.items()
    }


def cpu_seconds(*words: str) -> float:
    """Return the processor time of `python WORDS...` and of the processes that it waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_python(*words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def in_child(*words: str) -> Any:
    """Return the JSON that `python WORDS...` prints."""
    return json.loads(run_python(*words))


def environment() -> dict[str, str]:
    """Return the environment of processes that are measured: one thread, and this package, wherever they start."""
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def run_python(*words: str) -> str:
    """Return what `python WORDS...` prints; ChronotopeError where it fails."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ChronotopeError(f"a measured process ended with status {done.returncode}: {last}")
    return done.stdout


def peak_megabytes() -> float:
    """Return the peak resident memory of this process in MiB."""
    return round(status_megabytes("VmHWM"), 1)


def status_megabytes(field: str) -> float:
    """Return a field of /proc/self/status in MiB; Linux alone has that file."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def hardware() -> dict[str, Any]:
    """Describe the machine and the versions of torch and Python."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = (line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name"))
        cpu = next(names, cpu)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    memory = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    return {"cpu": cpu, "cores": os.cpu_count(), "gigabytes": memory, "gpu": gpu, **versions}
