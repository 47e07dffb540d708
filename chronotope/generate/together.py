"""Several plans of one kind -> their latents, in one pass of the network a step: faster, and to the bit as alone.

Most of a pass over few tokens is the reading of weights and the starting of kernels, which several videos share.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from chronotope.errors import UsageError
from chronotope.generate.pipeline import Generator, Sampled, Watch
from chronotope.generate.plan import Plan
from chronotope.generate.sampler import Network, sample_together
from chronotope.generate.stored.load import own_settings

__all__ = ["sample_plans"]


def sample_plans(
    generator: Generator,
    plans: Sequence[Plan],
    seeds: Sequence[int],
    report: Callable[[int], None] = lambda step: None,
    watches: Sequence[Watch] = (),
) -> list[Sampled]:
    """Sample plans of equal `Plan.kind` together; `Generator.stream` decodes what is returned.

    `report(step)` is called after each step, and then each of `watches`, see `Generator.stream`. The seconds of a plan
    are its share. Raises `RoundingError` where a video would have other values than alone, as some numbers of rows
    round differently in single precision; `UsageError` for plans that differ in kind; `RefusedError` where the policy
    requires a comparison with training clips that cannot be made.
    """
    if plans[0].kind is None or len({plan.kind for plan in plans}) > 1:
        raise UsageError("plans that are sampled together have one window each, and equal sizes, lengths and settings")
    generator.require_comparison()
    first, canvases, began = plans[0], [plan.canvas for plan in plans], time.perf_counter()

    def watch(latents: Sequence[Tensor]) -> None:
        for one, canvas, look in zip(latents, canvases, watches, strict=True):
            look(partial(generator.glance, one, canvas))

    guidance = replace(first.sampling.guidance, scale=first.scales[0])
    network = Network(generator.sampler(first), generator.tokenizer, generator.flow, generator.geometry)
    with own_settings(generator.dit.patch_in.weight.device.type):
        sampling = replace(first.sampling, guidance=guidance)
        found = sample_together(network, canvases, sampling, seeds, report, watch if watches else None)
    seconds = (time.perf_counter() - began) / len(plans)
    return [Sampled(latents, seconds) for latents in found]
