"""Measure this program on this machine, beside the models of another library: what `chronotope bench` prints."""

from chronotope.bench.lines import Line, Section
from chronotope.bench.measure import hardware
from chronotope.bench.run import ROWS, run_bench

__all__ = ["ROWS", "Line", "Section", "hardware", "run_bench"]
