"""Integrate a velocity from noise (t = 1) to clean data (t = 0).

A solver takes any callable `velocity(noisy, t)`, the noisy data at `times[0]`, and falling `times`; it returns the data
at `times[-1]` and calls `on_step(index)` after each step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

__all__ = ["SOLVERS", "SolverName", "StepCallback", "euler", "heun", "mean_velocity"]

Velocity = Callable[[Tensor, Tensor], Tensor]
StepCallback = Callable[[int], None]  # called with the index of the step that was completed
SolverName = Literal["euler", "heun"]


def _ignore(step: int) -> None:
    del step


def euler(velocity: Velocity, noisy: Tensor, times: Tensor, on_step: StepCallback = _ignore) -> Tensor:
    """Euler's method, first order: one evaluation of the velocity a step."""
    for step in range(len(times) - 1):
        noisy = noisy + (times[step + 1] - times[step]) * velocity(noisy, times[step])
        on_step(step)
    return noisy


def heun(velocity: Velocity, noisy: Tensor, times: Tensor, on_step: StepCallback = _ignore) -> Tensor:
    """Heun's method, second order: two evaluations of the velocity a step, one in the last step.

    Karras et al. 2022, arXiv 2206.00364, algorithm 1.
    """
    last = len(times) - 2
    for step in range(len(times) - 1):
        length = times[step + 1] - times[step]
        slope = velocity(noisy, times[step])
        ahead = noisy + length * slope
        # no correction in the last step: the velocity of a variance-preserving path may be singular at t = 0
        if step < last:
            ahead = noisy + length * 0.5 * (slope + velocity(ahead, times[step + 1]))
        noisy = ahead
        on_step(step)
    return noisy


def mean_velocity(velocity: Velocity, noisy: Tensor, start: Tensor, stop: Tensor, steps: int) -> Tensor:
    """Return the mean of the velocities of `steps` Euler steps from `start` to `stop`, which may differ by value.

    One step of this velocity leads where the steps lead: what a student of few steps learns (Salimans and Ho 2022,
    arXiv 2202.00512, with any number of the teacher's steps in one).
    """
    length = (stop - start) / steps
    total = torch.zeros_like(noisy)
    for step in range(steps):
        slope = velocity(noisy, start + step * length)
        total, noisy = total + slope, noisy + length * slope
    return total / steps


SOLVERS: dict[str, Callable[[Velocity, Tensor, Tensor, StepCallback], Tensor]] = {"euler": euler, "heun": heun}
