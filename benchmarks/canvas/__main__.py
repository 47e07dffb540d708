"""python -m benchmarks.canvas"""

from benchmarks.canvas import PAGE
from benchmarks.harness import run

run(PAGE)
