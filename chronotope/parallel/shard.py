"""A model on one device -> its weights, gradients and optimizer states divided over all processes (FSDP2).

Zhao et al. 2023, arXiv 2304.11277, as torch has it in `fully_shard`: every process holds 1/n of the rows of every
tensor. A block is gathered before it is computed and divided again afterwards; gradients are summed and divided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from chronotope.errors import UsageError
from chronotope.parallel.ranks import Ranks

__all__ = ["gathered", "local", "parallelise", "whole"]


def parallelise(
    model: nn.Module, blocks: Sequence[nn.Module], ranks: Ranks, half: bool = False, compile: bool = False
) -> None:
    """Compile the blocks of a model and divide its weights, in place, in the one order in which they compose.

    1. Recomputation of blocks is the model's own (`DiT.recompute`): it wraps the call of a block, so whatever follows
       is inside of it.
    2. With `compile`, each block becomes one graph; blocks of equal shape share it.
    3. With several processes, each block is divided, then what is left of the model. With `half` the matrices of blocks
       travel in bfloat16, as autocast would round them; gradients are summed in single precision.

    The gradients of a step are the sums over all processes: the loss carries the weight of each token.
    """
    if compile:
        for block in blocks:
            block.compile(dynamic=True)
    if ranks.size == 1:
        return
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

    if not hasattr(FSDPModule, "set_reduce_scatter_unused_params"):
        raise UsageError(
            f"training in several processes needs torch 2.13 or later, and this is {torch.__version__}; install it, or "
            "train in one process"
        )
    everyone = torch.distributed.group.WORLD
    assert everyone is not None
    mesh = DeviceMesh.from_group(everyone, "cuda" if torch.cuda.is_available() else "cpu")
    exact = MixedPrecisionPolicy(cast_forward_inputs=False)
    rounded = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False) if half else exact
    for block in blocks:
        fully_shard(block, mesh=mesh, mp_policy=rounded, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, mp_policy=exact, reshard_after_forward=True)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # sums instead of means
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    # A process whose samples are all pictures uses fewer weights than one with videos.
    model.set_reduce_scatter_unused_params(True)  # type: ignore[operator]


def local(tensor: Tensor) -> Tensor:
    """Return the rows of a tensor that this process holds, in the same memory; all rows of one that is not divided."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def whole(tensor: Tensor) -> Tensor:
    """Return all rows of a tensor; all processes must call this for one that is divided."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def gathered(tensors: Mapping[str, Tensor], ranks: Ranks) -> dict[str, Tensor]:
    """Return whole tensors in the first process, on the CPU where they were divided, and nothing in the others.

    They are gathered one after the other, so a device holds one whole tensor at a time.
    """
    if ranks.size == 1:
        return dict(tensors)
    found = {}
    for name, tensor in tensors.items():
        every = whole(tensor.detach())
        if ranks.first:
            found[name] = every.cpu()
    return found
