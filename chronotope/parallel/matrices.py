"""Whole matrices out of rows that are divided over processes: each process computes its share of them.

An optimizer such as Muon needs whole matrices, and FSDP divides their rows. Each process sends the rows that it holds
to the process that computes the matrix and gets the rows of the result back: twice the bytes of its share of the
weights, where gathering every matrix everywhere would take n times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["apply_to_whole"]


def apply_to_whole(
    function: Callable[[Tensor], Tensor], parameters: Sequence[Tensor], pieces: Sequence[Tensor], first: int = 0
) -> list[Tensor]:
    """Apply a function of matrices [k, rows, columns], each on its own, to `pieces`: the rows that this process holds.

    `pieces` are divided as `parameters` of equal shape are; so are the results. Of parameters that are not divided, all
    matrices are computed here. Matrix i is computed by process `first` + i, modulo the number of processes.
    """
    stacked = torch.stack([piece.flatten(1) for piece in pieces])
    mesh = getattr(parameters[0], "device_mesh", None)
    if mesh is None:
        return list(function(stacked).unbind())
    group, size, rank = mesh.get_group(), mesh.size(), mesh.get_local_rank()
    count, own, columns = stacked.shape
    owner = [(first + index) % size for index in range(count)]
    order = sorted(range(count), key=owner.__getitem__)  # what goes to one process lies together
    shares = [owner.count(process) for process in range(size)]
    rows = _rows_of(parameters[0].shape[0], size)
    sent = [share * own * columns for share in shares]
    received = [shares[rank] * held * columns for held in rows]
    arrived = stacked.new_empty(sum(received))
    dist.all_to_all_single(arrived, stacked[order].flatten(), received, sent, group=group)
    parts = [part.view(shares[rank], held, columns) for part, held in zip(arrived.split(received), rows, strict=True)]
    matrices = torch.cat(parts, dim=1)
    if shares[rank]:
        matrices = function(matrices).to(stacked.dtype)  # under autocast it returns another one
    returned = torch.cat([part.flatten() for part in matrices.split(rows, dim=1)])
    results = torch.empty_like(stacked)
    dist.all_to_all_single(results.view(-1), returned, sent, received, group=group)
    places = sorted(range(count), key=order.__getitem__)  # of each matrix in `order`
    return list(results[places].unbind())


def _rows_of(count: int, size: int) -> list[int]:
    """Return how many of `count` rows each process holds, as FSDP divides them: like `torch.chunk`."""
    most = -(-count // size)
    return [max(0, min(most, count - process * most)) for process in range(size)]
