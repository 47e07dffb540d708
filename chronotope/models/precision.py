"""The precision of matrix products and convolutions: single precision, or bfloat16 where the hardware multiplies it.

A trained network has the precision of its weights: `rounded` is a copy with bfloat16 matrices, whose layers round their
inputs. Training keeps weights in single precision and computes under `autocast`. In both, residual streams of the
transformer, its norms, attention on a CPU, the linear paths of the autoencoder and the state of a solver stay in single
precision.
"""

from __future__ import annotations

import copy
from typing import Annotated, Literal, TypeVar

import torch
from torch import nn

from chronotope.arguments import described
from chronotope.config import Formerly
from chronotope.errors import UsageError
from chronotope.models.autoencoder import LinearPath

__all__ = ["PRECISIONS", "Precision", "UsedPrecision", "autocast", "multiplies_bfloat16", "rounded", "used_precision"]

UsedPrecision = Literal["fp32", "bf16"]
Precision = Annotated[Literal["auto", "fp32", "bf16"], Formerly((("float32", "fp32"), ("bfloat16", "bf16")))]
PRECISIONS = ("auto", "fp32", "bf16")

Network = TypeVar("Network", bound=nn.Module)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether a device has instructions for bfloat16 products; without them bfloat16 takes several times longer.

    A CPU needs AVX-512 BF16 or AMX, and oneDNN in torch.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def used_precision(asked: Precision, device: torch.device) -> UsedPrecision:
    """Return the precision that is computed in; "auto" is bfloat16 where the device multiplies it.

    Raises UsageError for a name that is none.
    """
    if asked not in PRECISIONS:
        raise UsageError(f"a precision is {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}, got {described(asked)}")
    if asked == "auto":
        return "bf16" if multiplies_bfloat16(device) else "fp32"
    return asked


def autocast(device: torch.device, asked: Precision) -> torch.autocast:
    """Return the context in which training computes the matrix products of weights in single precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=used_precision(asked, device) == "bf16")


def rounded(model: Network, precision: UsedPrecision) -> Network:
    """Return the network itself for fp32; for bf16 a copy with bfloat16 matrices, which shares all other weights.

    The copy follows neither later changes of the matrices nor a move to another device.
    """
    if precision == "fp32":
        return model
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not isinstance(module, LinearPath):
            for weight in module.parameters(recurse=False):
                shared[id(weight)] = nn.Parameter(weight.detach().to(torch.bfloat16), requires_grad=False)
    return copy.deepcopy(model, shared)  # deepcopy takes what it finds in this table for copied
