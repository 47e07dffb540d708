"""Estimate the memory that a canvas needs, and find how much this machine has free, in bytes."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

from chronotope.errors import UsageError
from chronotope.geometry import Geometry

if TYPE_CHECKING:
    from chronotope.generate.canvas import Canvas
    from chronotope.models.autoencoder import AutoencoderConfig
    from chronotope.models.dit import DiTConfig

__all__ = ["asked_size", "available_bytes", "check_free", "process_bytes", "return_large_blocks", "video_bytes"]

LARGE_BLOCK = 4 << 20
M_MMAP_THRESHOLD = -3  # of mallopt(3)


def video_bytes(
    dit: DiTConfig, autoencoder: AutoencoderConfig, geometry: Geometry, canvas: Canvas, at_once: int, guided: bool
) -> int:
    """Bytes that a canvas takes at most, beside the process as it is; `at_once` slices are sampled together."""
    from chronotope.models.costs import FLOAT, sampling_bytes  # it needs torch, and the free memory does not

    # A canvas without known content is one number, expanded; any known content makes it a whole tensor.
    known = canvas.known.numel() * FLOAT if 0 not in canvas.known.stride() else 0
    return known + sampling_bytes(dit, autoencoder, geometry, canvas.height, canvas.width, at_once, guided)


def return_large_blocks() -> None:
    """Make the C library (glibc) return freed blocks of more than 4 MB to the system at once; elsewhere do nothing.

    Otherwise it keeps some of them, and the same video takes up to half as much memory again (docs/log.md, entry 23).
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def process_bytes() -> int:
    """Bytes that this process holds now; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def available_bytes() -> int:
    """Bytes that this machine, or the container it runs in, can still give; without /proc, all that it has."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if not limit.exists() or not used.exists() or limit.read_text().strip() == "max":
        return available
    stat = dict(line.split() for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines())
    cached = int(stat.get("inactive_file", 0))  # file pages that the system can drop
    return min(available, int(limit.read_text()) - int(used.read_text()) + cached)


def check_free(needed: int, what: str) -> None:
    """Refuse what does not fit into the free memory of this machine; `what` completes "... GB are needed"."""
    if needed > (free := available_bytes()):
        raise UsageError(f"about {needed / 1e9:.1f} GB are needed {what}. This machine has {free / 1e9:.1f} GB free")


def asked_size(width: int, height: int) -> str:
    """Say what `check_free` refuses, and what to do."""
    return f"to generate {width}x{height}; ask for a smaller --size"
