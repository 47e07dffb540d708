"""Data-parallel training in several processes, started by `torchrun`; without it there is one process.

Every process builds the same batch, computes its share of the samples, and sums gradients with the others. A run on n
processes equals the run on one process up to the order of additions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Ranks", "join_ranks", "leave_ranks", "split_over_ranks", "sum_gradients", "sum_over_ranks", "wait_for_all"]


@dataclass(frozen=True)
class Ranks:
    """The index of this process and the number of processes."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0


def join_ranks() -> Ranks:
    """Join the process group when `torchrun` started this process; otherwise return a group of one."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        return Ranks()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Ranks(dist.get_rank(), dist.get_world_size())


def wait_for_all(ranks: Ranks) -> None:
    """Block until every process has called this function."""
    if ranks.size > 1:
        dist.barrier()


def leave_ranks() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def sum_gradients(parameters: Iterable[Tensor], numbers: Tensor, ranks: Ranks) -> Tensor:
    """Replace every gradient by its sum over all processes; return the sums of `numbers` [n], in the same message."""
    if ranks.size == 1:
        return numbers
    parameters = list(parameters)
    gradients = [
        parameter.grad if parameter.grad is not None else torch.zeros_like(parameter) for parameter in parameters
    ]
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), numbers])
    dist.all_reduce(flat)
    sizes = [gradient.numel() for gradient in gradients]
    *parts, sums = flat.split([*sizes, len(numbers)])
    for parameter, gradient, part in zip(parameters, gradients, parts, strict=True):
        parameter.grad = part.view_as(gradient)
    return sums


def split_over_ranks(function: Callable[[Tensor], Tensor], ranks: Ranks) -> Callable[[Tensor], Tensor]:
    """Wrap a function of a batch so that each process computes a share of its rows and all processes get all results.

    The function must treat rows independently and keep the shape; the batch must be the same in all processes.
    """
    if ranks.size == 1:
        return function

    def split_function(batch: Tensor) -> Tensor:
        results = torch.zeros_like(batch)
        share = batch[ranks.rank :: ranks.size]
        if len(share):
            results[ranks.rank :: ranks.size] = function(share).to(results.dtype)
        dist.all_reduce(results)
        return results

    return split_function


def sum_over_ranks(value: Tensor, ranks: Ranks) -> Tensor:
    """Return the sum of a tensor over all processes; the argument is unchanged."""
    if ranks.size > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value
