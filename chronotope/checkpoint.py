"""Weights and training state on disk: safetensors and JSON only, written whole or not at all.

A model folder holds `model.safetensors` and `model.json` (kind, config, origin). A checkpoint folder holds those of the
averaged weights and `state.safetensors` (weights, optimizer, random states) with `state.json` (step and counters).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from chronotope.errors import FileProblem

__all__ = [
    "latest_checkpoint",
    "load_json",
    "load_model",
    "load_tensors",
    "remove_folder",
    "save_json",
    "save_model",
    "save_state",
    "weights_hash",
    "write_folder",
]

UNHASHED = ("trained_on", "licence")  # fields of model.json


def save_json(data: Any, path: Path) -> None:
    """Write JSON beside, then rename."""
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(_json_bytes(data))
    beside.replace(path)


def _json_bytes(data: Any) -> bytes:
    return (json.dumps(data, indent=1) + "\n").encode()


def load_json(path: Path) -> Any:
    """Read JSON, or say what is wrong with the file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing") from problem
    except (OSError, ValueError) as problem:
        raise FileProblem(f"{path} is not readable JSON: {problem}") from problem


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, or say what is wrong with it."""
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
    """Write a module's weights (floating ones as `dtype`) and its description into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().to("cpu")
        tensors[name] = (tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor).contiguous()
    beside = folder / "model.safetensors.part"
    try:
        beside.write_bytes(save(tensors))  # save_file would let nobody else read it
        beside.replace(folder / "model.safetensors")
    finally:
        beside.unlink(missing_ok=True)
    save_json(dict(description), folder / "model.json")


def load_model(folder: Path, model: nn.Module) -> None:
    """Fill `model` with the weights in `folder`; every name and shape must fit."""
    tensors = load_tensors(folder / "model.safetensors")
    wanted = model.state_dict()
    problems = [f"{name} is missing" for name in wanted if name not in tensors]
    problems += [f"{name} is not part of this model" for name in tensors if name not in wanted]
    problems += [
        f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise FileProblem(f"{folder / 'model.safetensors'} does not fit its model.json: {problems[0]}{more}")
    model.load_state_dict(tensors)


def write_folder(target: Path, fill: Any) -> None:
    """Call `fill(folder)` on a new folder beside `target`, then put it in the place of `target`."""
    beside = target.with_name(f".{target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        fill(beside)
    except BaseException:  # Ctrl-C too
        shutil.rmtree(beside, ignore_errors=True)
        raise
    if target.exists():
        remove_folder(target)
    os.replace(beside, target)


def remove_folder(folder: Path) -> None:
    """Delete a folder; its name goes first, so that a half-deleted checkpoint is never found."""
    aside = folder.with_name(f".{folder.name}.gone")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside)


def save_state(folder: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
    """Write the resumable state of a training run into `folder`."""
    save_file(
        {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}, folder / "state.safetensors"
    )
    save_json(dict(counters), folder / "state.json")


def latest_checkpoint(run: Path) -> Path | None:
    """The checkpoint with the highest step in a run folder, or None."""
    found = sorted((run / "checkpoints").glob("[0-9]*"))
    return found[-1] if found else None


def weights_hash(folder: Path) -> str:
    """Hash a model's weights and description; reports and ledgers name the model by it.

    What only tells people about the weights (`UNHASHED`) is left out, so that it can be added or corrected later.
    """
    description = {name: value for name, value in load_json(folder / "model.json").items() if name not in UNHASHED}
    content = (folder / "model.safetensors").read_bytes() + _json_bytes(description)
    return hashlib.sha256(content).hexdigest()[:16]
