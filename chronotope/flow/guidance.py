"""Combine conditional and unconditional velocities.

Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598), applied in an interval of t only (Kynkaanniemi et al.
2024, arXiv 2404.07724).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from chronotope.errors import UsageError

__all__ = ["Guidance"]


@dataclass(frozen=True)
class Guidance:
    """The guidance scale (1: no guidance) and the interval stop <= t <= start in which it applies."""

    scale: float = 3.0
    start: float = 1.0
    stop: float = 0.0

    def __post_init__(self) -> None:
        if not self.scale >= 0:
            raise UsageError(f"guidance_scale must be 0 or more, got {self.scale}; 1 means no guidance")
        if not 0 <= self.stop <= self.start <= 1:
            raise UsageError(
                f"the guidance interval must satisfy 0 <= stop <= start <= 1, got {self.stop} and {self.start}"
            )

    def active(self, t: float) -> bool:
        """Whether guidance applies at t, so that an unconditional velocity is needed."""
        return self.scale != 1 and self.stop <= t <= self.start

    def combine(self, conditional: Tensor, unconditional: Tensor) -> Tensor:
        """Extrapolate from the unconditional velocity through the conditional one."""
        return unconditional + self.scale * (conditional - unconditional)
