"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv 2106.09685) of the matrices inside blocks.

A matrix W [o, i] becomes W + alpha / rank * B A with A [rank, i] and B [o, rank]; only A and B are trained. B is zero
at first, so an untrained adapter changes nothing. A fused projection (q, k, v; gate and value) is one matrix here, and
its update is one pair. Tensors have the names that the library peft gives them on disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chronotope.config import Positive, Range
from chronotope.errors import UsageError
from chronotope.models.linear import Linear

__all__ = [
    "AdaptedLinear",
    "AdapterConfig",
    "adapted_modules",
    "adapter_state",
    "add_adapter",
    "load_adapter_state",
    "merge_adapter",
    "peft_config",
]

PREFIX = "base_model.model."  # of every name in an adapter file of peft
A, B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class AdapterConfig:
    """Size of an adapter; `rank` 0 is none: all weights are trained. The update is scaled by `alpha / rank`."""

    rank: Annotated[int, Range(0, 2**20)] = 0
    alpha: Positive = 16.0

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class AdaptedLinear(Linear):
    """A linear layer whose own weights are frozen, plus its low-rank update."""

    def __init__(self, layer: nn.Linear, config: AdapterConfig) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.scale = config.scale
        self.lora_A = Linear(layer.in_features, config.rank, bias=False)
        self.lora_B = Linear(config.rank, layer.out_features, bias=False)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))  # as in peft: uniform within 1 / sqrt(inputs)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, input: Tensor) -> Tensor:
        # scaled where it is small: an output of A has `rank` values
        return super().forward(input) + self.lora_B(self.scale * self.lora_A(input))


def adapted_modules(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear layers inside the blocks of a model, of its text encoder too, by their paths."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "blocks." in name and ".lora_" not in name
    }


def add_adapter(model: nn.Module, config: AdapterConfig) -> nn.Module:
    """Freeze a model and add a low-rank update to every linear layer inside its blocks; return the model.

    A is drawn from torch's global generator on the CPU. Raises UsageError for a rank above a side of a matrix.
    """
    model.requires_grad_(False)
    for name, layer in adapted_modules(model).items():
        if not 1 <= config.rank <= (most := min(layer.in_features, layer.out_features)):
            raise UsageError(f"an adapter has rank 1 to {most}, the smaller side of {name}, got {config.rank}")
        parent, _, own = name.rpartition(".")
        adapted = AdaptedLinear(layer, config)
        adapted.lora_A.to(layer.weight.device)
        adapted.lora_B.to(layer.weight.device)
        setattr(model.get_submodule(parent), own, adapted)
    return model


def adapter_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the A and B of a model with an adapter, by their names in peft."""
    return {PREFIX + name: tensor for name, tensor in model.state_dict().items() if ".lora_" in name}


@torch.no_grad()
def load_adapter_state(model: nn.Module, adapter: Mapping[str, Tensor]) -> None:
    """Fill the A and B of a model; raise UsageError unless all are there and have its shapes."""
    own = adapter_state(model)
    if problem := _difference(adapter, {name: tensor.shape for name, tensor in own.items()}):
        raise UsageError(problem)
    for name, tensor in own.items():
        tensor.copy_(adapter[name])  # state_dict shares memory with the parameters


@torch.no_grad()
def merge_adapter(weights: Mapping[str, Tensor], adapter: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Return the weights of a model with `scale * B A` added to each matrix that the adapter has a pair for.

    Computed in double precision and rounded once. Raises UsageError for a pair that fits no matrix.
    """
    merged = dict(weights)
    for name in _modules(adapter):
        matrix = weights.get(f"{name}.weight")
        a, b = adapter.get(f"{PREFIX}{name}{A}"), adapter.get(f"{PREFIX}{name}{B}")
        if matrix is None or a is None or b is None or matrix.ndim != 2:
            raise UsageError(f"the adapter and the model differ: {name} is no matrix of both, or lacks its A or B")
        if a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1] or (len(b), a.shape[1]) != tuple(matrix.shape):
            shapes = f"A {tuple(a.shape)} and B {tuple(b.shape)} give no update of a matrix {tuple(matrix.shape)}"
            raise UsageError(f"the adapter does not fit {name}: {shapes}")
        merged[f"{name}.weight"] = _merged(matrix, a, b, scale)
    return merged


def _merged(matrix: Float[Tensor, "o i"], a: Float[Tensor, "r i"], b: Float[Tensor, "o r"], scale: float) -> Tensor:
    update = b.to(matrix.device, torch.float64) @ a.to(matrix.device, torch.float64)
    return (matrix.double() + scale * update).to(matrix.dtype)


def peft_config(adapter: Iterable[str], config: AdapterConfig, base: str) -> dict[str, Any]:
    """Return the content of adapter_config.json of peft for the tensors with these names; `base` names the model."""
    return {
        "alpha_pattern": {},
        "auto_mapping": None,
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "layers_pattern": None,
        "layers_to_transform": None,
        "lora_alpha": int(config.alpha) if config.alpha.is_integer() else config.alpha,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": config.rank,
        "rank_pattern": {},
        "revision": None,
        # peft adapts every module whose path ends with one of these
        "target_modules": sorted({name.rpartition(".")[2] for name in _modules(adapter)}),
        "task_type": None,
        "use_dora": False,
        "use_rslora": False,
    }


def _modules(adapter: Iterable[str]) -> list[str]:
    """Return the paths of the modules that tensors of these names belong to, each once."""
    stems = (name.removesuffix(A).removesuffix(B).removeprefix(PREFIX) for name in adapter)
    return list(dict.fromkeys(stems))


def _difference(adapter: Mapping[str, Tensor], expected: Mapping[str, torch.Size]) -> str | None:
    """Say the first difference in names or shapes between an adapter and what is expected; None if there is none."""
    for name in [*expected, *adapter]:
        if name not in adapter or name not in expected:
            return f"the adapter {'lacks' if name not in adapter else 'has a needless'} {name}"
        if adapter[name].shape != expected[name]:
            return f"{name} has shape {tuple(adapter[name].shape)}, expected {tuple(expected[name])}"
    return None
