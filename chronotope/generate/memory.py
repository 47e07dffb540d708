"""How much memory a video takes, before any of it is taken: counted at the worst moment, checked against what processes really took."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from chronotope.generate.canvas import Canvas
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import AutoencoderConfig
from chronotope.models.dit import PIECE, DiTConfig

__all__ = ["available_bytes", "decoding_bytes", "process_bytes", "return_large_blocks", "sampling_bytes", "video_bytes"]

FLOAT = 4
ALWAYS = 12_000_000  # libraries' buffers, whatever the size
# freed blocks that the allocator keeps for itself: measured, a share of what was held, up to a limit
KEPT, KEPT_MOST = 0.3, 60_000_000


def sampling_bytes(config: DiTConfig, tokens: int, moving: bool = True) -> int:
    """What one forward pass holds at its worst: in attention, in the MLP of a block (a piece at a time), or where tokens meet."""
    attention = tokens * 7 * config.width
    mlp = tokens * 3 * config.width + min(tokens, PIECE) * (4 * config.hidden + 9 * config.width)
    latents = config.patch_size[1] * config.patch_size[2]
    seams = tokens * (2 * config.width + latents * ((14 if moving else 7) * config.seam_width + 5 * config.channels))
    return FLOAT * (max(attention, mlp, seams) + tokens * 3 * config.token_size) + ALWAYS


def decoding_bytes(config: AutoencoderConfig, height: int, width: int) -> int:
    """What decoding (or encoding) one slice holds at its worst: a residual block at the finest level."""
    fine = height * width // config.fold**2
    return fine * FLOAT * (5 * config.widths[0] + config.folded_channels // 4) + ALWAYS


def video_bytes(
    dit: DiTConfig, autoencoder: AutoencoderConfig, geometry: Geometry, canvas: Canvas, at_once: int, guided: bool
) -> int:
    """The most that a canvas takes, beside the process as it is: `at_once` slices are sampled together, frames leave as they are made."""
    covered = geometry.covered_size(canvas.height, canvas.width)
    rows, columns = canvas.level.shape[1:]
    latents = (
        at_once * autoencoder.channels * covered[0] * covered[1] // (geometry.stride[1] * geometry.stride[2]) * FLOAT
    )
    tokens = at_once * rows * columns * (2 if guided else 1)
    less, more = sorted((sampling_bytes(dit, tokens, at_once > 1), decoding_bytes(autoencoder, *covered)))
    # what is given anywhere makes the whole canvas a tensor; of nothing but words it is one number
    known = canvas.known.numel() * FLOAT if 0 not in canvas.known.stride() else 0
    return known + 2 * latents + more + round(min(KEPT * less, KEPT_MOST))


def return_large_blocks() -> None:
    """Let the C library give blocks of more than 4 MB back to the system at once, where it can (glibc).

    Otherwise it keeps some of them, other ones each time, and the same video takes up to half as much again (docs/log.md, entry 23).
    """
    m_mmap_threshold = -3
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(m_mmap_threshold, 4 << 20)


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
        stat = dict(line.split() for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines())
        available = min(
            available, int(most) - int(used.read_text()) + int(stat.get("inactive_file", 0))
        )  # files read once can go
    return available
