"""The memory of encoding and decoding large frames: python -m benchmarks.large_frames

Each row is a process of its own: the peak of its resident memory above that of the loaded program, for a moving slice
and a still one of random pixels, beside what `models.costs.coding_bytes` counts for a slice. The frames lie in memory
before they are encoded, and decoded slices are discarded. Weights are random, in the widths of a preset, with one
residual block at the finest level: slices and blocks are computed one after another, so more take time and no memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness import hardware, in_own_process, say
from chronotope.bench.measure import status_megabytes
from chronotope.data.latents import encode_frames
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.costs import coding_bytes
from chronotope.models.precision import rounded
from chronotope.presets import PRESETS
from chronotope.storage import write_json

CASES = (("small", 3840, 2160), ("large", 960, 544))
RESETS = Path("/proc/self/clear_refs")  # writing 5 resets the peak


def peak(what: str, preset: str, precision: str, width: int, height: int) -> dict[str, float]:
    """Encode or decode in this process; return the peak above the loaded program in MiB, and seconds."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = replace(PRESETS[preset].autoencoder.model, encoder_blocks=(1, 0), decoder_blocks=(1, 0))
    network = rounded(Autoencoder(config).eval().requires_grad_(False), "bf16" if precision == "bf16" else "fp32")
    geometry = Geometry(stride=config.stride)
    frames = np.zeros((0, height, width, 3), np.uint8)
    pieces = geometry.slices(config.stride[0] + 1)
    rows, columns = geometry.latent_size(height, width)
    if what == "encode":
        shape = (pieces[-1].stop, height, width, 3)
        frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        encode_frames(
            network, geometry, frames[:1, :64, :64]
        )  # what is loaded at the first call is no memory of frames
    else:
        network.decode(torch.randn(1, config.channels, 8, 8), geometry.slices(1))
    before, began = status_megabytes("VmRSS"), time.perf_counter()
    RESETS.write_text("5")
    if what == "encode":
        encode_frames(network, geometry, frames)
    else:
        for _ in network.stream_decode((torch.randn(config.channels, rows, columns) for _ in pieces), pieces):
            pass
    return {"peak": status_megabytes("VmHWM") - before, "seconds": time.perf_counter() - began}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/large_frames.json"))
    parser.add_argument("--child", nargs=5, metavar=("WHAT", "PRESET", "PRECISION", "WIDTH", "HEIGHT"))
    arguments = parser.parse_args()
    if arguments.child:
        what, preset, precision, *numbers = arguments.child
        sys.stdout.write(json.dumps(peak(what, preset, precision, *map(int, numbers))))
        return
    rows: list[dict[str, Any]] = []
    for (preset, width, height), what, precision in itertools.product(CASES, ("encode", "decode"), ("fp32", "bf16")):
        found = in_own_process("benchmarks.large_frames", "--child", what, preset, precision, width, height)
        counted = (
            coding_bytes(PRESETS[preset].autoencoder.model, height, width, precision == "bf16")[what == "decode"]
            / 2**20
        )
        row = {"preset": preset, "size": f"{width}x{height}", "what": what, "precision": precision}
        rows.append({**row, **{name: round(value, 1) for name, value in found.items()}, "counted": round(counted)})
        say(f"{rows[-1]}")
        write_json(arguments.out, {"hardware": hardware(), "rows": rows})


if __name__ == "__main__":
    main()
