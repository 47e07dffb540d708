"""Write the measured success rates beside the shipped weights, where the page of `chronotope serve` reads them.

python tools/keep_standard.py && python tools/keep_rates.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chronotope.sealed import write_sealed

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "chronotope" / "weights" / "small" / "rates.json"


def rates() -> dict[str, Any]:
    """The rates of the standard suite that belong to kinds of prompts."""
    report = json.loads((ROOT / "benchmarks" / "standard.json").read_text())["model"]
    summary = report["summary"]
    actions = {name: rate for name, rate in summary["checks"].items() if name.split()[-1] in DIRECTIONS | ALONE}
    return {
        "about": {name: report["about"][name] for name in ("suite", "weights", "videos")},
        "success": summary["success"],
        "physics": summary["strata"]["physics"],
        "cube": summary["cube"],
        "checks": actions,
    }


DIRECTIONS = {"left", "right", "up", "down"}
ALONE = {"spin", "grow", "shrink", "bounce", "stop"}

if __name__ == "__main__":
    write_sealed(TARGET, rates())
