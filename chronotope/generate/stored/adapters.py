"""Adapters on disk -> the weights of a transformer with their updates added: sampling costs what it cost before."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chronotope import checkpoint
from chronotope.arguments import described
from chronotope.config import from_dict
from chronotope.data.record import roots_of
from chronotope.errors import FileProblem, UsageError
from chronotope.models.adapter import AdapterConfig, merge_adapter
from chronotope.models.dit import DiT

__all__ = ["MAX_WEIGHT", "Adapter", "apply_adapters", "find_adapter", "load_adapters"]

MAX_WEIGHT = 100.0  # in either direction; what is beyond is a slip of the keyboard


@dataclass(frozen=True)
class Adapter:
    """An adapter that is applied to a model with a weight; `hash` is of its files, `base` names what it fits.

    `description` is its model.json, which names the data that trained it.
    """

    folder: Path
    weight: float
    hash: str
    base: str
    config: AdapterConfig
    tensors: Mapping[str, Tensor] = field(repr=False, compare=False)
    description: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def origin(self) -> dict[str, Any]:
        """What the sidecar of a video says of it."""
        named = {"adapter": str(self.folder), "weight": self.weight, "hash": self.hash, "base": self.base}
        return named | roots_of(self.description.get("data") or ())


def find_adapter(name: str | Path) -> Path:
    """Return the folder with the adapter of a run folder or of its dit folder; raise FileProblem."""
    if not isinstance(name, str | os.PathLike) or not os.fspath(name):
        raise UsageError(f"an adapter is named by the folder of its run, got {described(name)}")
    folder = Path(name)
    folder = folder / "dit" if (folder / "dit" / "model.json").is_file() else folder
    if not (folder / "model.json").is_file():
        raise FileProblem(
            f"{name} holds no trained adapter (no dit/model.json); train one with: "
            f"chronotope train dit --from small --adapter --data FOLDER --out {name}"
        )
    return folder


def load_adapters(adapters: Mapping[str | Path, float], base: str, name: str) -> tuple[Adapter, ...]:
    """Load adapters with their weights for the model `name`, whose weights have the fingerprint `base`.

    They are sorted by their hashes, so that their order makes no difference. Raises UsageError for one of another base,
    FileProblem for a damaged one.
    """
    if not isinstance(adapters, Mapping):
        raise UsageError(f'adapters are named with weights, as in {{"runs/mine": 1.0}}, got {described(adapters)}')
    found: list[Adapter] = []
    for key, weight in adapters.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not abs(weight) <= MAX_WEIGHT:
            raise UsageError(
                f"the weight of an adapter is a number from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}, got {described(weight)}"
            )
        adapter = _load(find_adapter(key), float(weight), Path(key))
        if adapter.base != base:
            raise UsageError(
                f"{key} is an adapter of the weights {adapter.base}, and the model {name} has {base}; name the model "
                "that it was trained on"
            )
        if twin := next((other for other in found if other.hash == adapter.hash), None):
            raise UsageError(f"{twin.folder} and {key} are the same adapter; name it once, with the sum of the weights")
        found.append(adapter)
    return tuple(sorted(found, key=lambda adapter: adapter.hash))


def _load(folder: Path, weight: float, name: Path) -> Adapter:
    tensors, description = checkpoint.load_adapter(folder)
    try:
        base, config = str(description["base"]), from_dict(AdapterConfig, description["adapter"])
    except (KeyError, TypeError, UsageError) as problem:
        raise FileProblem(f"{folder / 'model.json'} does not describe an adapter: {problem}") from problem
    if not config.rank or not math.isfinite(config.scale):
        raise FileProblem(f"{folder / 'model.json'} does not describe an adapter: its rank is {config.rank}")
    return Adapter(name, weight, checkpoint.weights_hash(folder), base, config, tensors, description)


@torch.no_grad()
def apply_adapters(model: DiT, adapters: tuple[Adapter, ...]) -> None:
    """Add the updates of adapters to the weights of a model; raise FileProblem for one that does not fit it."""
    if not adapters:
        return
    weights = model.state_dict()
    for adapter in adapters:
        try:
            weights = merge_adapter(weights, adapter.tensors, adapter.weight * adapter.config.scale)
        except UsageError as problem:
            raise FileProblem(f"{adapter.folder} does not fit its model.json: {problem}") from problem
    model.load_state_dict(weights)
