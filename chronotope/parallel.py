"""Many processes, one training: put on from outside by `torchrun`, absent otherwise.

Every process builds the same batch and takes its share of the samples; gradients are summed between them. A run on n
processes is the run on one, up to the order of additions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Ranks", "join_ranks", "leave_ranks", "share_out", "sum_gradients", "sum_over_ranks", "wait_for_all"]


@dataclass(frozen=True)
class Ranks:
    """Which process this is, and of how many."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0


def join_ranks() -> Ranks:
    """Meet the other processes when `torchrun` started this one; otherwise be alone."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        return Ranks()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Ranks(dist.get_rank(), dist.get_world_size())


def wait_for_all(ranks: Ranks) -> None:
    """Go on when every process has come this far."""
    if ranks.size > 1:
        dist.barrier()


def leave_ranks() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def sum_gradients(parameters: Iterable[Tensor], ranks: Ranks) -> None:
    """Replace every gradient by its sum over all processes, in one message."""
    if ranks.size == 1:
        return
    parameters = list(parameters)
    gradients = [
        parameter.grad if parameter.grad is not None else torch.zeros_like(parameter) for parameter in parameters
    ]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for parameter, gradient, part in zip(
        parameters, gradients, flat.split([g.numel() for g in gradients]), strict=True
    ):
        parameter.grad = part.view_as(gradient)


def share_out(function: Callable[[Tensor], Tensor], ranks: Ranks) -> Callable[[Tensor], Tensor]:
    """The function of a batch, each process doing its share of the rows; every process gets all results.

    For functions that treat rows alike and one by one, on batches that all processes have.
    """
    if ranks.size == 1:
        return function

    def shared(batch: Tensor) -> Tensor:
        results = torch.zeros_like(batch)
        mine = batch[ranks.rank :: ranks.size]
        if len(mine):
            results[ranks.rank :: ranks.size] = function(mine).to(results.dtype)
        dist.all_reduce(results)
        return results

    return shared


def sum_over_ranks(value: Tensor, ranks: Ranks) -> Tensor:
    """The sum of a tensor over all processes."""
    if ranks.size > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value
