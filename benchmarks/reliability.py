"""Run every benchmark of docs/reliability.md; each writes its results beside itself, as crashes.json and so on.

    python -m benchmarks.reliability                 everything, about an hour and a half on two cores
    python -m benchmarks.reliability --share 0.05    a twentieth of the cases, into a temporary folder

`benchmarks.crashes` kills the commands that write and damages checkpoints, `benchmarks.datasets` starts commands twice
and damages datasets and latents, `benchmarks.failing_disk` lets every write fail, `benchmarks.hostile_media` reads
mutated and handmade media files, `benchmarks.overhead` measures what the guarantees cost.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

__all__ = ["main"]

# The option of each benchmark that sets its number of cases, and that number.
COUNTS = {
    "crashes": {"--kills": 35, "--damages": 1000},
    "datasets": {"--pairs": 10, "--damages": 500},
    "failing_disk": {"--calls": 1000},
    "hostile_media": {"--count": 10_000},
    "overhead": {"--pairs": 5},
}


def main(share: float = 1.0) -> None:
    """Run all benchmarks on a share of their cases and print how long each took."""
    with tempfile.TemporaryDirectory() as name:
        for module, counts in COUNTS.items():
            words = [word for option, most in counts.items() for word in (option, str(max(2, round(most * share))))]
            words += ["--out", f"{name}/{module}.json"] if share < 1 else []
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", f"benchmarks.{module}", *words], check=True, cwd=Path(__file__).parents[1]
            )
            print(f"{module}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the cases")
    main(**vars(parser.parse_args()))
