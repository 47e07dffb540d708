"""Startup: how long `chronotope --help` takes, beside an interpreter that does nothing: python -m benchmarks.startup

The aim is 0.3 s on an idle machine. If it takes longer, the ratio tells a slow machine from a heavy import.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.harness import say

COMMANDS = {"python -c pass": ("-c", "pass"), "chronotope --help": ("-m", "chronotope", "--help")}
ROUNDS = 11
AIM = 0.3  # seconds


def run_time(*arguments: str) -> float:
    """Return the seconds that a fresh interpreter takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Print the median of both commands, run in turns, and their ratio."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(ROUNDS):
        say(f"round {number + 1} of {ROUNDS}")
        for name, arguments in COMMANDS.items():
            seconds[name].append(run_time(*arguments))
    nothing, shown = (statistics.median(seconds[name]) for name in COMMANDS)
    print(
        f"chronotope --help: {shown:.3f} s (aim {AIM} s), {shown / nothing:.1f} x the {nothing:.3f} s of python -c pass"
    )


if __name__ == "__main__":
    main()
