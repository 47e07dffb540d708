"""The optimizers of the networks made of blocks and of adapters, and their learning rates over a run."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from chronotope.parallel import Ranks, split_over_ranks
from chronotope.train.muon import Muon, orthogonalise

__all__ = ["Rates", "learning_rate_factor", "make_adapter_optimizers", "make_optimizers"]


class Rates(Protocol):
    """The settings of a training that say how fast it learns."""

    @property
    def steps(self) -> int: ...

    @property
    def muon_rate(self) -> float: ...

    @property
    def adam_rate(self) -> float: ...

    @property
    def warmup(self) -> int: ...

    @property
    def decay_from(self) -> float: ...


def make_optimizers(model: nn.Module, train: Rates, ranks: Ranks | None = None) -> tuple[Muon, torch.optim.AdamW]:
    """Create Muon for the matrices inside blocks and AdamW for all other parameters."""
    by_split: dict[int, list[Tensor]] = {1: [], 2: [], 3: []}  # by the number of projections stacked in a matrix
    rest = []
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and "blocks." in name:
            stacked = {"qkv": 3, "kv": 2, "up": 2}.get(name.split(".")[-2], 1)
            by_split[stacked].append(parameter)
        else:
            rest.append(parameter)
    groups = [{"params": group, "split": split} for split, group in by_split.items()]
    muon = Muon(groups, lr=train.muon_rate, make_orthogonal=split_over_ranks(orthogonalise, ranks or Ranks()))
    adam = torch.optim.AdamW(rest, lr=train.adam_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    return muon, adam


def make_adapter_optimizers(model: nn.Module, rate: float) -> tuple[torch.optim.AdamW]:
    """Create AdamW for the parameters of an adapter, the only ones of the model that are trained."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return (torch.optim.AdamW(trained, lr=rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),)


def learning_rate_factor(train: Rates, step: int) -> float:
    """Return the factor of the learning rates: linear warm-up, 1, and linear decay after `decay_from` of the steps."""
    if step < train.warmup:
        return (step + 1) / train.warmup
    return min(1.0, (1 - step / train.steps) / (1 - train.decay_from)) + 1e-3
