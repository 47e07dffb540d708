"""Run `python -m benchmarks.canvas`."""

from benchmarks.canvas import PAGE
from benchmarks.harness import run

if __name__ == "__main__":
    run(PAGE)
