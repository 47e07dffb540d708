"""The state of a run that trains an adapter: its checkpoints hold the adapter and its optimizer, not the base."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chronotope import checkpoint
from chronotope.config import from_dict, to_dict
from chronotope.data.record import TrainingRecord, read_record
from chronotope.errors import FileProblem, UsageError
from chronotope.generate.pipeline import WEIGHTS
from chronotope.models.adapter import AdapterConfig, adapter_state, add_adapter, load_adapter_state, peft_config
from chronotope.parallel import Ranks
from chronotope.train.config import DiTRun
from chronotope.train.optimizers import make_adapter_optimizers
from chronotope.train.state import TrainState

__all__ = ["AdapterState", "begin_adapter", "describe_adapter", "new_words"]

MAX_NAMED = 8  # words that a note names


@dataclass
class AdapterState(TrainState):
    """The state of a run whose frozen weights are those of the base; model and average share them in one process."""

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        return adapter_state(model)

    def write_average(
        self, folder: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any], dtype: torch.dtype | None
    ) -> None:
        config = from_dict(AdapterConfig, description["adapter"])
        peft = peft_config(tensors, config, description["base_name"])
        checkpoint.save_adapter(folder, tensors, description, peft, dtype)

    def load_average(self, folder: Path) -> None:
        tensors, _ = checkpoint.load_adapter(folder)
        try:
            load_adapter_state(self.average, tensors)
        except UsageError as problem:
            raise FileProblem(f"{folder} does not fit this run: {problem}") from problem

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        load_adapter_state(self.model, weights)


def begin_adapter(
    model: nn.Module,
    base: str,
    config: DiTRun,
    run: Path,
    ranks: Ranks | None = None,
    divide: Callable[[nn.Module], None] = lambda network: None,
) -> AdapterState:
    """Add an adapter to a base whose fingerprint is `base`; return the state of a run before its first step.

    `divide` divides a network over `ranks`. Raises UsageError where the newest checkpoint of `run` is no adapter of
    this base.
    """
    if latest := checkpoint.latest_checkpoint(run):
        before = checkpoint.read_description(latest)
        if before.get("kind") != "adapter":
            raise UsageError(f"{latest} is of a training of all weights; leave --adapter out, or give another --out")
        if before["base"] != base:
            raise UsageError(f"{latest} is an adapter of the weights {before['base']}, and the base has {base}")
    add_adapter(model, config.adapter)
    frozen = {id(each): each for each in model.parameters() if not each.requires_grad}
    average = copy.deepcopy(model, frozen)  # which shares them
    for network in (model, average):
        divide(network)
    optimizers = make_adapter_optimizers(model, config.train.adapter_rate)
    return AdapterState(model, optimizers, ranks=ranks or Ranks(), copied=average)


def describe_adapter(config: DiTRun, base: str | None, start: Path) -> dict[str, Any]:
    """Return what model.json says of an adapter beside what it says of any transformer."""
    folder = start.parent
    name = folder.name if folder.resolve().parent == WEIGHTS else str(folder)
    return {"kind": "adapter", "adapter": to_dict(config.adapter), "base": base, "base_name": name}


def new_words(start: Path, record: TrainingRecord | None) -> list[str]:
    """Say in a note which words of the captions the base was not trained on: its vocabulary is kept.

    A base with a frozen text encoder has no vocabulary.
    """
    description = checkpoint.read_description(start)
    before = read_record(description)
    if (
        "text_encoder" in description
        or before is None
        or record is None
        or not (new := sorted(set(record.words) - set(before.words)))
    ):
        return []
    more = f" and {len(new) - MAX_NAMED} more" if len(new) > MAX_NAMED else ""
    return [
        f"note: an adapter adds no words to the vocabulary of its base: {', '.join(new[:MAX_NAMED])}{more} are read in "
        "pieces that the base knows"
    ]
