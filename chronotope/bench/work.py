"""The FLOPs of a call, counted by torch as it computes: what arithmetic alone says about a ratio of times."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from chronotope.bench.measure import in_turns

__all__ = ["flops_of", "seconds_and_flops"]


def flops_of(call: Callable[[], object]) -> int:
    """Call once and return the FLOPs of its matrix products, convolutions and attention.

    Attention is computed as two products, because torch does not count its fused kernel on a CPU.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def seconds_and_flops(
    calls: Mapping[str, Callable[[], object]], rounds: int, device: torch.device | None = None
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return the seconds of the calls, see `in_turns`, and the FLOPs of each, which are counted in the first round."""
    flops: dict[str, float] = {}

    def count(name: str, call: Callable[[], object]) -> None:
        flops[name] = flops_of(call)

    return in_turns(calls, rounds, device, count), flops
