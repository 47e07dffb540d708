"""Run every reliability benchmark and gather the results in reliability.json, which docs/reliability.md shows.

    python -m benchmarks.reliability                 everything, about two hours on two cores
    python -m benchmarks.reliability --share 0.05    a twentieth of the cases

`benchmarks.crashes` kills the commands that write and damages checkpoints, `benchmarks.datasets` starts commands twice
and damages datasets and latents, `benchmarks.failing_disk` lets every write fail, `benchmarks.hostile_media` reads
mutated and handmade media files, `benchmarks.overhead` measures what the guarantees cost.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chronotope.storage import write_json

__all__ = ["main"]

# Kills and pairs of each command, damages of each kind of file, failing calls of each command, media files, rounds.
COUNTS = {"kills": 35, "pairs": 10, "damages": 500, "calls": 10_000, "media": 10_000, "rounds": 5}
OUTPUT = Path(__file__).with_suffix(".json")


def _run(module: str, *words: str) -> float:
    """Run a benchmark to its end and return the seconds that it took."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", f"benchmarks.{module}", *words], check=True)
    return round(time.perf_counter() - started, 1)


def main(share: float = 1.0, seed: int = 0) -> dict[str, Any]:
    """Run all benchmarks on a share of their cases; write and return what they found."""
    count = {name: str(max(2, round(most * share))) for name, most in COUNTS.items()}
    found: dict[str, Any] = {"seed": seed, "share": share, "machine": f"{platform.machine()}, {platform.system()}"}
    seconds: dict[str, float] = {}
    options = {
        "crashes": ("--kills", count["kills"], "--damages", count["damages"], "--seed", str(seed)),
        "datasets": ("--pairs", count["pairs"], "--damages", count["damages"], "--seed", str(seed)),
        "failing_disk": ("--calls", count["calls"], "--seed", str(seed)),
        "hostile_media": ("--count", count["media"], "--seed", str(seed)),
        "overhead": ("--pairs", count["rounds"]),
    }
    with tempfile.TemporaryDirectory() as name:
        for module, words in options.items():
            output = Path(name) / f"{module}.json"
            seconds[module] = _run(module, *words, "--out", str(output))
            found[module] = json.loads(output.read_text())
    found["seconds"] = seconds
    write_json(OUTPUT, found)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the cases")
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
