"""Model weights and training state on disk, as safetensors and JSON only.

A model folder holds `model.safetensors` and `model.json` (kind, config, origin). A checkpoint folder holds those two
files for the averaged weights, plus `state.safetensors` (weights, optimizer states) and `state.json` (step and
counters).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from chronotope.errors import FileProblem
from chronotope.storage import json_text, read_json, write_atomically, write_json

__all__ = ["latest_checkpoint", "load_model", "load_tensors", "save_model", "save_state", "weights_hash"]

UNHASHED = ("trained_on", "licence")  # fields of model.json that only tell people about the weights


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file onto the CPU; raise FileProblem where it is missing or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing") from problem
    except (OSError, SafetensorError) as problem:
        raise FileProblem(
            f"{path} is not a whole safetensors file ({problem}); it may be truncated: copy it again or train it again"
        ) from problem


def save_model(
    folder: Path, model: nn.Module, description: Mapping[str, Any], dtype: torch.dtype | None = None
) -> None:
    """Write a module's weights and its description into `folder`; `dtype` converts the floating-point weights."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().to("cpu")
        tensors[name] = (tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor).contiguous()
    # not `save_file`: it creates files that only their owner can read
    write_atomically(folder / "model.safetensors", save(tensors))
    write_json(folder / "model.json", dict(description))


def load_model(folder: Path, model: nn.Module) -> None:
    """Fill `model` with the weights in `folder`; raise FileProblem unless every name and shape agrees."""
    tensors = load_tensors(folder / "model.safetensors")
    expected = model.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is not part of this model" for name in tensors if name not in expected]
    problems += [
        f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name].shape
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise FileProblem(f"{folder / 'model.safetensors'} does not fit its model.json: {problems[0]}{more}")
    model.load_state_dict(tensors)


def save_state(folder: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
    """Write the resumable state of a training run into `folder`."""
    on_cpu = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    save_file(on_cpu, folder / "state.safetensors")
    write_json(folder / "state.json", dict(counters))


def latest_checkpoint(run: Path) -> Path | None:
    """Return the checkpoint folder with the highest step in a run folder, or None."""
    checkpoints = sorted((run / "checkpoints").glob("[0-9]*"))
    return checkpoints[-1] if checkpoints else None


def weights_hash(folder: Path) -> str:
    """Hash a model's weights and description; reports and ledgers name the model by it.

    What only tells people about the weights (`UNHASHED`) is left out, so that it can be added or corrected later.
    """
    description = {name: value for name, value in read_json(folder / "model.json").items() if name not in UNHASHED}
    content = (folder / "model.safetensors").read_bytes() + json_text(description).encode()
    return hashlib.sha256(content).hexdigest()[:16]
