"""How much memory a video takes, before any of it is taken."""

from __future__ import annotations

import os
from pathlib import Path

from chronotope.generate.canvas import Canvas
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import AutoencoderConfig
from chronotope.models.dit import DiTConfig

__all__ = ["available_bytes", "decoding_bytes", "process_bytes", "sampling_bytes"]

FLOAT = 4


def sampling_bytes(config: DiTConfig, tokens: int) -> int:
    """What one forward pass holds at its worst: in a block, beside the stream, the modulation of every token and what is multiplied."""
    in_attention = 9 * config.width
    in_mlp = 2 * config.width + 4 * config.hidden
    return tokens * FLOAT * (8 * config.width + max(in_attention, in_mlp) + 6 * config.token_size)


def decoding_bytes(config: AutoencoderConfig, height: int, width: int) -> int:
    """What decoding (or encoding) one slice holds at its worst: activations at the finest level, and its pixels as numbers."""
    fine = height * width // config.fold**2
    return fine * FLOAT * (5 * config.widths[0] + 3 * config.folded_channels)


def video_bytes(dit: DiTConfig, autoencoder: AutoencoderConfig, geometry: Geometry, canvas: Canvas, window: int, guided: bool) -> int:
    """The most that sampling and decoding a canvas take at once, beside the process as it is; frames leave as they are made."""
    covered = geometry.covered_size(canvas.height, canvas.width)
    rows, columns = canvas.level.shape[1:]
    at_once = len(canvas.slices) if canvas.cycle else min(window, len(canvas.slices))
    latents = len(canvas.slices) * autoencoder.channels * covered[0] * covered[1] // (geometry.stride[1] * geometry.stride[2]) * FLOAT
    tokens = at_once * rows * columns * (2 if guided else 1)
    return 2 * latents + max(sampling_bytes(dit, tokens), decoding_bytes(autoencoder, *covered))


def process_bytes() -> int:
    """What this process holds now; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def available_bytes() -> int:
    """What this machine, or the container it runs in, can still give; without /proc, all it has."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    told = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    available = int(told["MemAvailable"].split()[0]) * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (most := limit.read_text().strip()) != "max":
        available = min(available, int(most) - int(used.read_text()))
    return available
