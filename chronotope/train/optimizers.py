"""The optimizers of the networks made of blocks and of adapters, and their learning rates over a run.

Muon (Jordan et al. 2024) is momentum that is orthogonalised by Newton-Schulz iterations before each step. Matrices of
equal shape are orthogonalised together, in single precision, because half precision is slow on CPUs. The parts of a
stacked projection (q, k, v; gate and value) are orthogonalised separately. Where several processes hold the rows of a
matrix, each of them orthogonalises its share of whole matrices.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from chronotope.parallel import apply_to_whole, local

__all__ = ["Muon", "Rates", "learning_rate_factor", "make_adapter_optimizers", "make_optimizers", "orthogonalise"]


# coefficients of Jordan's quintic iteration, chosen for speed: singular values end between about 0.7 and 1.2
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Approximate the nearest orthogonal matrix of each matrix in a batch [k, rows, columns]."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        x = torch.baddbmm(x, polynomial, x, beta=_A)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon for weight matrices and convolutions (as matrices of outputs x all other axes).

    `split` in a group is the number of stacked matrices in each of its parameters.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float = 0.02, momentum: float = 0.95) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "split": 1})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None
        first = 0  # matrices of this step so far: the processes take them in turn
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            shapes = {p.shape for p in parameters}
            for shape in sorted(shapes):
                alike = [p for p in parameters if p.shape == shape]
                self._step_shape(alike, group, first)
                first += len(alike)

    def _step_shape(self, parameters: list[Tensor], group: dict[str, Any], first: int) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        gradients = [local(parameter.grad) for parameter in parameters if parameter.grad is not None]
        momenta = [local(self.state[parameter]["momentum"]) for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        directions = torch._foreach_lerp(gradients, momenta, group["momentum"])  # Nesterov
        updates = apply_to_whole(partial(_orthogonal_parts, group["split"]), parameters, directions, first)
        own = [local(parameter) for parameter in parameters]
        rows, columns = parameters[0].shape[0] // group["split"], math.prod(parameters[0].shape[1:])
        scale = group["lr"] * max(1.0, rows / columns) ** 0.5
        torch._foreach_add_(own, [update.view_as(p) for p, update in zip(own, updates, strict=True)], alpha=-scale)


def _orthogonal_parts(split: int, matrices: Tensor) -> Tensor:
    """Orthogonalise the `split` matrices that are stacked in each of a batch [k, rows, columns]."""
    parts = matrices.unflatten(1, (split, -1)).flatten(0, 1)
    return orthogonalise(parts).unflatten(0, (len(matrices), -1)).flatten(1, 2)


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


def make_optimizers(model: nn.Module, train: Rates) -> tuple[Muon, torch.optim.AdamW]:
    """Create Muon for the matrices and convolutions inside blocks and AdamW for all other parameters."""
    by_split: dict[int, list[Tensor]] = {1: [], 2: [], 3: []}  # by the number of projections stacked in a matrix
    rest = []
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2 and "blocks." in name:
            stacked = {"qkv": 3, "kv": 2, "up": 2}.get(name.split(".")[-2], 1)
            by_split[stacked].append(parameter)
        else:
            rest.append(parameter)
    groups = [{"params": group, "split": split} for split, group in by_split.items()]
    muon = Muon(groups, lr=train.muon_rate)
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
