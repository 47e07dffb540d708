"""The peak memory of a training step; each model has a process: python -m chronotope.bench.memory NAME TOKENS."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import torch

from chronotope.bench.lines import OURS, Line, Section
from chronotope.bench.measure import in_child, status_megabytes
from chronotope.bench.peers import FACTORISED, PEERS, parameters_of
from chronotope.bench.training import Step, our_step, peer_step
from chronotope.models.costs import FLOAT, kept_bytes

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
    found = {name: in_child("-m", "chronotope.bench.memory", name, str(TOKENS)) for name in names}
    peaks = {name: float(each["peak"]) for name, each in found.items()}
    counts = {name: float(each["counted"]) for name, each in found.items()}
    best = min((name for name in names if name != OURS and name not in FACTORISED), key=peaks.__getitem__, default="")
    lines = [
        Line(
            "peak",
            name,
            peak,
            "MB",
            peak / peaks[OURS],
            ">= 1.11" if name == best else "",
            f"{counts[name]:.0f} MB counted",
            counts[name] / counts[OURS],
        )
        for name, peak in peaks.items()
    ]
    return Section("memory", about, tuple(lines))


def peak_of_step(name: str, tokens: int) -> float:
    """Return the peak of two steps in this process, in MiB above what it had before."""
    _step_of(name, 16)()  # what it imports is no memory of a step
    gc.collect()
    before = status_megabytes("VmRSS")
    RESETS.write_text("5")  # resets the peak
    step = _step_of(name, tokens)
    for _ in range(2):
        step()
    return status_megabytes("VmHWM") - before


def counted_of_step(name: str, tokens: int) -> float:
    """Count in MiB: weights and two moments of AdamW, and what the forward pass keeps for the backward pass.

    Gradients are not counted: they take the place of what the backward pass has freed.
    """
    step = _step_of(name, tokens)
    return (3 * FLOAT * parameters_of(step.model) + kept_bytes(step.model, step.forward)) / 2**20


def _step_of(name: str, tokens: int) -> Step:
    device = torch.device("cpu")
    return our_step(tokens, 1, "fp32", device) if name == OURS else peer_step(name, tokens, 1, "fp32", device)


if __name__ == "__main__":
    torch.set_num_threads(1)
    peak = peak_of_step(sys.argv[1], int(sys.argv[2]))
    sys.stdout.write(json.dumps({"peak": peak, "counted": counted_of_step(sys.argv[1], int(sys.argv[2]))}))
