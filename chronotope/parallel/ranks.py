"""This process among the others of a run, and errors and decisions that all of them share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from chronotope.errors import ChronotopeError

__all__ = [
    "Ranks",
    "end_process",
    "from_all",
    "from_first",
    "in_all",
    "join_ranks",
    "leave_ranks",
    "sum_over_ranks",
    "wait_for_all",
]

Result = TypeVar("Result")


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
        # gloo as well, for the decisions and the files that processes share
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        store, rank, size = next(rendezvous("env://"))
        dist.init_process_group(backend, store=_of_this_attempt(store), rank=rank, world_size=size)
    return Ranks(dist.get_rank(), dist.get_world_size())


def _of_this_attempt(store: Store) -> Store:
    """Return a store without the addresses of processes that died.

    The torchrun of torch 2.13 keeps one store for all its restarts. It counts them alike on one node alone; launches on
    several nodes set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 (docs/scale.md).
    """
    if os.environ.get("LOCAL_WORLD_SIZE") != os.environ["WORLD_SIZE"]:
        return store
    return PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def wait_for_all(ranks: Ranks) -> None:
    """Block until every process has called this function."""
    if ranks.size > 1:
        dist.barrier()


def leave_ranks() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def end_process(code: int) -> NoReturn:
    """End this process, one of several, without the end of the Python interpreter.

    Threads of gloo outlive the process group where FSDP2 used it, and drop their last tensors at any time. One that
    does so while the interpreter ends aborts the process, and `torchrun` then counts a finished run as failed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def sum_over_ranks(value: Tensor, ranks: Ranks) -> Tensor:
    """Return the sum of a tensor over all processes; the argument is unchanged."""
    if ranks.size > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def from_first(ranks: Ranks, function: Callable[[], Result]) -> Result:
    """Call a function in the first process; all processes return its result, or raise its ChronotopeError."""
    if ranks.size == 1:
        return function()
    outcome: list[Any] = [None]
    if ranks.first:
        try:
            outcome = [function()]
        except ChronotopeError as problem:
            outcome = [problem]
    dist.broadcast_object_list(outcome, src=0)
    if isinstance(outcome[0], ChronotopeError):
        outcome[0].said = not ranks.first
        raise outcome[0]
    return outcome[0]  # type: ignore[no-any-return]


def from_all(ranks: Ranks, value: Result) -> list[Result]:
    """Return the values of all processes, in their order."""
    if ranks.size == 1:
        return [value]
    values: list[Any] = [None] * ranks.size
    dist.all_gather_object(values, value)
    return values


def in_all(ranks: Ranks, function: Callable[[], Result]) -> Result:
    """Call a function in each process; where it raises a ChronotopeError in one of them, all raise that of the first.

    The function must not wait for other processes after what may fail.
    """
    if ranks.size == 1:
        return function()
    result, problem = None, None
    try:
        result = function()
    except ChronotopeError as found:
        problem = found
    for rank, failure in enumerate(from_all(ranks, problem)):
        if failure is not None:
            failure.said = rank != ranks.rank
            raise failure
    return result  # type: ignore[return-value]
