"""What bfloat16 saves of attention that is trained on a CPU, by the length of a sample: docs/performance.md, Precision.

    python -m benchmarks.attention_precision [--rounds 15]

One thread, processor time, all variants in turns, medians of the ratios to single precision. `step` is a whole training
step of 1,024 tokens of the preset `small` in bf16 whose attention is in bfloat16 too, beside the same in single
precision.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import torch
import torch.nn.functional as F

from chronotope.bench.training import our_step
from chronotope.models import attention

LENGTHS, HEADS = (256, 512, 1024, 2048), ((6, 32), (3, 64), (4, 64))
CPU = torch.device("cpu")


def call(length: int, heads: int, channels: int, dtype: torch.dtype, backward: bool) -> Callable[[], None]:
    """Return the fused attention of one sample whose queries, keys and values are rounded from single precision."""
    given = [torch.randn(1, heads, length, channels, requires_grad=backward) for _ in range(3)]

    def run() -> None:
        queries, keys, values = (each.to(dtype) for each in given)
        out = F.scaled_dot_product_attention(queries, keys, values).float()
        if backward:
            out.sum().backward()

    return run


def ratio(first: Callable[[], object], second: Callable[[], object], rounds: int) -> float:
    """Return the median of the processor time of the second call over that of the first, after one round to warm up."""
    found = []
    for _ in range(rounds + 1):
        times = []
        for each in (first, second):
            begun = time.process_time()
            each()
            times.append(time.process_time() - begun)
        found.append(times[1] / times[0])
    return statistics.median(found[1:])


def rounding(length: int, heads: int, channels: int, backward: bool, rounds: int) -> float:
    """Return the time of attention in bfloat16 over that in single precision."""
    first, second = (call(length, heads, channels, dtype, backward) for dtype in (torch.float32, torch.bfloat16))
    return ratio(first, second, rounds)


def step(precision_from: int) -> Callable[[], None]:
    """Return a training step whose attention is in bfloat16 from a length on."""
    made = our_step(1024, 1, "bf16", CPU)

    def run() -> None:
        with patch.object(attention, "BFLOAT16_FROM", precision_from):
            made()

    return run


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print("| tokens | heads x channels | forward and backward | forward |\n|---|---|---|---|")
    for length in LENGTHS:
        for heads, channels in HEADS:
            both, alone = (rounding(length, heads, channels, backward, rounds) for backward in (True, False))
            print(f"| {length} | {heads}x{channels} | {both:.2f} | {alone:.2f} |", flush=True)
    print(f"step of 1,024 tokens: {ratio(step(10**9), step(512), rounds):.3f}")


if __name__ == "__main__":
    main()
