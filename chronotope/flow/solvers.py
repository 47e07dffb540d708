"""Solvers: plain functions that carry data from t = 1 to t = 0 along any velocity.

`velocity(noisy, t)` is any callable; `times` falls from the first to the last entry; `report(step)` is called after each step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

__all__ = ["SOLVERS", "SolverName", "euler", "heun"]

Velocity = Callable[[Tensor, Tensor], Tensor]
Report = Callable[[int], None]
SolverName = Literal["euler", "heun"]


def _silent(step: int) -> None:
    del step


def euler(velocity: Velocity, noisy: Tensor, times: Tensor, report: Report = _silent) -> Tensor:
    """First order: one velocity a step."""
    for step in range(len(times) - 1):
        noisy = noisy + (times[step + 1] - times[step]) * velocity(noisy, times[step])
        report(step)
    return noisy


def heun(velocity: Velocity, noisy: Tensor, times: Tensor, report: Report = _silent) -> Tensor:
    """Second order (Karras et al. 2022, arXiv 2206.00364, algorithm 1): two velocities a step, one in the last."""
    last = len(times) - 2
    for step in range(len(times) - 1):
        length = times[step + 1] - times[step]
        slope = velocity(noisy, times[step])
        ahead = noisy + length * slope
        if (
            step < last
        ):  # at t = 0 the velocity of a variance-preserving path may be singular, and little is left to correct
            ahead = noisy + length * 0.5 * (slope + velocity(ahead, times[step + 1]))
        noisy = ahead
        report(step)
    return noisy


SOLVERS: dict[str, Callable[[Velocity, Tensor, Tensor, Report], Tensor]] = {"euler": euler, "heun": heun}
