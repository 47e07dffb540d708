"""The peak memory of a training step; each model has a process: python -m chronotope.bench.memory NAME TOKENS."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import torch

from chronotope.bench.lines import OURS, Line, Section
from chronotope.bench.measure import in_child, status_megabytes
from chronotope.bench.peers import FACTORISED, PEERS
from chronotope.bench.training import our_step, peer_step

__all__ = ["measure_memory"]

TOKENS = 1024
RESETS = Path("/proc/self/clear_refs")


def measure_memory(against: str) -> Section:
    """Measure the peak of the step of the table of training at 1,024 tokens in fp32."""
    about = f"peak of a training step of {TOKENS:,} tokens above what the process had before it made the model, fp32"
    if not RESETS.exists():
        return Section(
            "memory", about, (Line("peak", OURS, None, "MB", note="not measured here: Linux alone tells it"),)
        )
    names = [OURS, *(peer.name for peer in PEERS if against)]
    peaks = {name: float(in_child("-m", "chronotope.bench.memory", name, str(TOKENS))) for name in names}
    best = min((name for name in names if name != OURS and name not in FACTORISED), key=peaks.__getitem__, default="")
    lines = [
        Line("peak", name, peak, "MB", peak / peaks[OURS], ">= 1.11" if name == best else "")
        for name, peak in peaks.items()
    ]
    return Section("memory", about, tuple(lines))


def peak_of_step(name: str, tokens: int) -> float:
    """Return the peak of two steps in this process, in MiB above what it had before."""
    device = torch.device("cpu")
    small = our_step(16, 1, "fp32", device) if name == OURS else peer_step(name, 16, 1, "fp32", device)[0]
    small()  # what it imports is no memory of a step
    del small
    gc.collect()
    before = status_megabytes("VmRSS")
    RESETS.write_text("5")  # resets the peak
    step = our_step(tokens, 1, "fp32", device) if name == OURS else peer_step(name, tokens, 1, "fp32", device)[0]
    for _ in range(2):
        step()
    return status_megabytes("VmHWM") - before


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps(peak_of_step(sys.argv[1], int(sys.argv[2]))))
