"""Run every reliability benchmark and gather the results in reliability.json, which the documentation shows as a table.

    python -m benchmarks.reliability                 everything, about two hours on two cores
    python -m benchmarks.reliability --share 0.05    a twentieth of the cases

`benchmarks.datasets` kills and damages datasets and latents, `benchmarks.crashes` training and generation,
`benchmarks.hostile_media` reads mutated and handmade media files.
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

KILLS, DAMAGES, PAIRS, MEDIA = 100, 500, 20, 10_000
OUTPUT = Path(__file__).with_suffix(".json")


def _run(module: str, *words: str) -> float:
    """Run a benchmark to its end and return the seconds that it took."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", f"benchmarks.{module}", *words], check=True)
    return round(time.perf_counter() - started, 1)


def main(share: float = 1.0, seed: int = 0) -> dict[str, Any]:
    """Run all benchmarks on a share of their cases; write and return what they found."""
    count = {name: str(max(2, round(most * share))) for name, most in vars(_counts()).items()}
    found: dict[str, Any] = {"seed": seed, "share": share, "machine": f"{platform.machine()}, {platform.system()}"}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, media = folder / "data.json", folder / "media.json"
        words = ("--kills", count["kills"], "--damages", count["damages"], "--pairs", count["pairs"])
        seconds["datasets"] = _run("datasets", *words, "--seed", str(seed), "--out", str(data))
        words = ("--kills", count["kills"], "--damages", count["damages"])
        seconds["crashes"] = _run("crashes", *words, "--seed", str(seed))
        seconds["hostile_media"] = _run(
            "hostile_media", "--count", count["media"], "--seed", str(seed), "--output", str(media)
        )
        found["datasets"] = json.loads(data.read_text())
        found["crashes"] = json.loads((OUTPUT.parent / "crashes.json").read_text())
        found["hostile_media"] = json.loads(media.read_text())
    found["seconds"] = seconds
    write_json(OUTPUT, found)
    return found


def _counts() -> argparse.Namespace:
    return argparse.Namespace(kills=KILLS, damages=DAMAGES, pairs=PAIRS, media=MEDIA)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the cases")
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
