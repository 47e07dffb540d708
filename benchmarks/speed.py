"""Compare the speed of encoding and decoding with two published video autoencoders, in one process, in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import Options, Row, say
from chronotope.bench.autoencoder import calls_of, published
from chronotope.bench.lines import AGAIN, OURS
from chronotope.errors import FileProblem
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig

TITLE = "Speed: encode and decode"
THREADS = 1
FRAMES, HEIGHT, WIDTH = 9, 128, 128  # a length that all three accept without padding
SHORTEST = 1.0  # seconds; calls are repeated for at least this long


def measure(options: Options) -> dict[str, Any]:
    """Measure megapixels of video per second, the median of the rounds."""
    clip = torch.randint(
        0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    calls = _calls(options.model, clip)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with torch.no_grad():
        for call in calls.values():
            call()  # warm up: the first call also prepares kernels
        for number in range(options.rounds):
            for name, call in calls.items():
                seconds[name].append(_timed(call))
                say(f"  round {number + 1}: {name} {seconds[name][-1]:.3f} s")
    megapixels = FRAMES * HEIGHT * WIDTH / 1e6
    results = {
        name: {"seconds": times, "megapixels_per_second": megapixels / statistics.median(times)}
        for name, times in seconds.items()
    }
    clip_size = f"{FRAMES} frames of {WIDTH}x{HEIGHT}"
    settings = {"clip": clip_size, "rounds": options.rounds, "order": "interleaved", "weights": "random (theirs)"}
    return {"settings": settings, "results": results}


def _calls(model: str, clip: Tensor) -> dict[str, Callable[[], object]]:
    from benchmarks.autoencoder import find_autoencoder

    try:
        ours = find_autoencoder(model)
    except FileProblem:  # no trained model: use random weights of the default sizes
        ours = Autoencoder(AutoencoderConfig()).eval()
    others = {name: published(name) for name in ("AutoencoderKLLTXVideo", "AutoencoderKLWan")}
    return {
        f"{what}, {'Chronotope' if name == OURS else name}": call
        for what, calls in calls_of(ours, others, clip).items()
        for name, call in calls.items()
        if name != AGAIN
    }


def _timed(call: Callable[[], object]) -> float:
    """Return the seconds of one call, averaged over at least `SHORTEST` seconds."""
    count, began = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - began < SHORTEST:
        call()
        count += 1
    return (time.perf_counter() - began) / count


def rows(section: dict[str, Any]) -> list[Row]:
    """Return megapixels per second, and the ratio to the faster of the others."""
    speeds = {name: found["megapixels_per_second"] for name, found in section["results"].items()}
    lines = [Row(name, f"{speed:.3g} Mpixel/s") for name, speed in sorted(speeds.items())]
    for what in ("encode", "decode"):
        ours = speeds[f"{what}, Chronotope"]
        fastest = max(speed for name, speed in speeds.items() if name.startswith(what) and "Chronotope" not in name)
        lines.append(Row(f"{what}: ratio to the faster of the other two", f"{ours / fastest:.1f} x", "3 x"))
    return lines
