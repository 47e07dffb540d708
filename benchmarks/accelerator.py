"""Measure a GPU: seconds to generate a clip, and pixels per second through the autoencoder."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.harness import Options, Row, say
from chronotope.generate.pipeline import Generator

TITLE = "On a GPU"
THREADS = 1
PROMPT = "a fox walks to the right in green hills"
FRAMES, HEIGHT, WIDTH = 17, 720, 1280


def measure(options: Options) -> dict[str, Any]:
    """Measure seconds: the median of the rounds, after one round to warm up."""
    if not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU on this machine, and this benchmark needs one")
    generator = Generator.load(options.model, precision="fp32").to("cuda")
    slices = generator.geometry.slices(FRAMES)
    frames = torch.randint(
        0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    latents = generator.autoencoder.encode(frames, slices)
    work: dict[str, Callable[[], object]] = {
        "one default clip": lambda: generator.generate(PROMPT, seed=0),
        "one clip of 512x288": lambda: generator.generate(PROMPT, seed=0, width=512, height=288),
        "encode": lambda: generator.autoencoder.encode(frames, slices),
        "decode": lambda: generator.autoencoder.decode(latents, slices),
    }
    results = {name: _seconds(call, options.rounds) for name, call in work.items()}
    return {
        "settings": {"model": options.model, "pixels": f"{FRAMES} frames of {WIDTH}x{HEIGHT}", "precision": "float32"},
        "results": results,
    }


def _seconds(call: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        began = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    say(f"  {times}")
    return statistics.median(times[1:])


def rows(section: dict[str, Any]) -> list[Row]:
    """Return seconds per clip and megapixels per second."""
    found, megapixels = section["results"], FRAMES * HEIGHT * WIDTH / 1e6
    clips = [Row(f"seconds for {name}", f"{found[name]:.2f} s") for name in ("one default clip", "one clip of 512x288")]
    return clips + [Row(f"{name}", f"{megapixels / found[name]:,.0f} Mpixel/s") for name in ("encode", "decode")]
