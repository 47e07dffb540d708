"""The resumable state of a training run in one object, with saving and loading.

Data order and noise are functions of (seed, step), so the step is both the position in the data and the random state.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from chronotope import checkpoint
from chronotope.errors import FileProblem
from chronotope.storage import read_json, remove_folder, write_folder

__all__ = ["Precision", "TrainState", "autocast", "random_generator"]

Precision = Literal["auto", "float32", "bfloat16"]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context for matrix products in bfloat16; with "auto", only where the hardware supports them.

    A CPU needs AVX-512 BF16 or AMX: without them bfloat16 is several times slower than single precision.
    """
    fast = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast(
        device.type, torch.bfloat16, enabled=precision == "bfloat16" or (precision == "auto" and fast)
    )


def random_generator(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a random generator that depends only on the seed and the step."""
    # mixed as in splitmix64, so that neighbouring seeds and steps give unrelated numbers
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**63
    return torch.Generator(device).manual_seed(mixed)


@dataclass
class TrainState:
    """Weights, their running average, optimizers, and the counters of a run.

    Learning rates at construction are the base rates, which `optimizer_step` scales.
    """

    model: nn.Module
    optimizers: Sequence[torch.optim.Optimizer]
    step: int = 0
    clips: int = 0
    tokens: int = 0
    seconds: float = 0.0
    average: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self._base_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]

    def optimizer_step(self, factor: float, clip_norm: float, precision: Precision) -> None:
        """Clip the gradients, scale every learning rate by `factor`, update the weights, and clear the gradients."""
        parameters = list(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        for optimizer, rates in zip(self.optimizers, self._base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            with autocast(parameters[0].device, precision):
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Update the averaged weights; the decay starts at 0.2, so that the initial weights are forgotten quickly."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        # parameters are matched by order, because a compiled model has other names
        both = zip(self.average.parameters(), self.model.parameters(), strict=True)
        # frozen parameters are left out, because interpolation could change their last bit
        trained = [(average, current.detach()) for average, current in both if current.requires_grad]
        torch._foreach_lerp_([average for average, _ in trained], [current for _, current in trained], 1 - decay)
        for average, current in zip(self.average.buffers(), self.model.buffers(), strict=True):
            average.copy_(current)

    def save(self, run: Path, description: dict[str, Any], keep: int = 2) -> None:
        """Write a checkpoint folder named by the step, and delete all but the `keep` newest."""

        def fill(folder: Path) -> None:
            checkpoint.save_model(folder, self.average, description)
            counters = {"step": self.step, "clips": self.clips, "tokens": self.tokens, "seconds": self.seconds}
            checkpoint.save_state(folder, dict(self._tensors()), counters)

        write_folder(run / "checkpoints" / f"{self.step:07d}", fill)
        for old in sorted((run / "checkpoints").glob("[0-9]*"))[:-keep]:
            remove_folder(old)

    def resume(self, run: Path) -> None:
        """Load the newest checkpoint of the run folder, if there is one."""
        folder = checkpoint.latest_checkpoint(run)
        if folder is None:
            return
        checkpoint.load_model(folder, self.average)
        tensors = checkpoint.load_tensors(folder / "state.safetensors")
        weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        try:
            self.model.load_state_dict(weights)
        except RuntimeError as problem:
            raise FileProblem(
                f"{folder} was written by a model of other shapes; use the same preset or another --out"
            ) from problem
        self._load_optimizers(tensors)
        counters = read_json(folder / "state.json")
        self.step, self.clips = counters["step"], counters["clips"]
        self.tokens, self.seconds = counters["tokens"], counters["seconds"]

    def _tensors(self) -> list[tuple[str, Tensor]]:
        pairs = [(f"model.{name}", tensor) for name, tensor in self.model.state_dict().items()]
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                pairs += [(f"optimizer.{number}.{index}.{key}", torch.as_tensor(value)) for key, value in state.items()]
        return pairs

    def _load_optimizers(self, tensors: dict[str, Tensor]) -> None:
        for number, optimizer in enumerate(self.optimizers):
            groups = optimizer.state_dict()["param_groups"]
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            prefix = f"optimizer.{number}."
            for name, tensor in tensors.items():
                if name.startswith(prefix):
                    index, key = name.removeprefix(prefix).split(".", 1)
                    like = parameters[int(index)]
                    # in the memory layout of the parameter, because fused kernels read both by address
                    state.setdefault(int(index), {})[key] = (
                        torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
                    )
            optimizer.load_state_dict({"state": state, "param_groups": groups})
