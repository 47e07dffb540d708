"""Measure the memory of decoding long videos: peak resident memory above that of the loaded program."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import Options, Row, say
from chronotope.errors import FileProblem
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig

TITLE = "Memory: decoding long videos"
THREADS = 1
HEIGHT, WIDTH, FPS = 128, 128, 24
LENGTHS = (4, 60)  # seconds


def measure(options: Options) -> dict[str, Any]:
    """Decode each length in processes of its own, the lengths in turn; keep the round with the median peak."""
    found: dict[str, list[dict[str, float]]] = {str(seconds): [] for seconds in LENGTHS}
    for _ in range(options.rounds):
        for seconds in LENGTHS:
            command = [sys.executable, "-m", "benchmarks.memory", options.model, str(seconds)]
            answer = subprocess.run(
                command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
            )
            found[str(seconds)].append(json.loads(answer.stdout))
            say(f"  {seconds} s: {found[str(seconds)][-1]}")
    results = {
        name: sorted(runs, key=lambda run: run["peak"] - run["base"])[len(runs) // 2] for name, runs in found.items()
    }
    settings = {"clip": f"{WIDTH}x{HEIGHT} at {FPS} fps, random latents made slice by slice, frames discarded"}
    return {"settings": {**settings, "rounds": f"{options.rounds}, the median"}, "results": results}


def _status(field: str) -> float:
    """Return a field of /proc/self/status in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def decode(model: str, seconds: int) -> dict[str, float]:
    """Decode in this process; return its base and peak memory in MiB."""
    from benchmarks.autoencoder import find_autoencoder

    torch.set_num_threads(THREADS)
    try:
        autoencoder = find_autoencoder(model)
    except FileProblem:
        autoencoder = Autoencoder(AutoencoderConfig()).eval().requires_grad_(False)
    geometry = Geometry(stride=autoencoder.config.stride)
    slices = geometry.slices(seconds * FPS)
    generator = torch.Generator().manual_seed(0)
    shape = (autoencoder.config.channels, *geometry.latent_size(HEIGHT, WIDTH))
    latents = (torch.randn(shape, generator=generator) for _ in slices)
    base = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    frames, began = 0, time.perf_counter()
    for piece in autoencoder.stream_decode(latents, slices):
        frames += len(piece)
    assert frames == seconds * FPS
    return {"base": base, "peak": _status("VmHWM"), "frames": frames, "seconds": round(time.perf_counter() - began, 2)}


def rows(section: dict[str, Any]) -> list[Row]:
    """Return both peaks and their ratio."""
    above = {name: found["peak"] - found["base"] for name, found in section["results"].items()}
    short, long = (above[str(seconds)] for seconds in LENGTHS)
    lines = [
        Row(f"{name} s: peak above the loaded program", f"{megabytes:.0f} MB") for name, megabytes in above.items()
    ]
    return [*lines, Row(f"{LENGTHS[1]} s over {LENGTHS[0]} s", f"{long / short:.3f}", "<= 1.1")]


if __name__ == "__main__":
    print(json.dumps(decode(sys.argv[1], int(sys.argv[2]))))
