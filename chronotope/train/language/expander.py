"""Train the expander of prompts on the captions of clips: from a short one to a descriptive one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chronotope import checkpoint
from chronotope.caption.subwords import Tokenizer, learn_vocabulary
from chronotope.config import Count, Seed, to_dict
from chronotope.data.record import changes_in_data, data_and_before
from chronotope.models.expander import ExpanderConfig, PromptExpander
from chronotope.models.precision import autocast
from chronotope.train.batches import text_notes
from chronotope.train.fit import check_vocabulary
from chronotope.train.language.captioner import caption_loss
from chronotope.train.language.loop import Record, Steps, train_to_the_end
from chronotope.train.language.pairs import DESCRIPTIVE, CaptionPairs, PairBatch, pair_batches
from chronotope.train.log import write_toml
from chronotope.train.optimizers import make_optimizers
from chronotope.train.same_run import check_same_run
from chronotope.train.state import TrainState

__all__ = ["ExpanderRun", "ExpanderTraining", "train_expander"]


@dataclass(frozen=True)
class ExpanderTraining(Steps):
    """Length of the training, pairs of a step and learning rates."""

    batch_pairs: Count = 48


@dataclass(frozen=True)
class ExpanderRun:
    """Everything that determines the result of a run, beside its data."""

    seed: Seed = 0
    model: ExpanderConfig = field(default_factory=ExpanderConfig)
    train: ExpanderTraining = field(default_factory=ExpanderTraining)

    def __post_init__(self) -> None:
        check_vocabulary(self.model.vocabulary_size)


def train_expander(
    config: ExpanderRun,
    pairs: CaptionPairs,
    out: Path,
    quiet: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Run or continue a training in the folder `out`, on captions of clips; returns the last logged numbers.

    When `stopping()` is true, the state is saved after the step and training ends.
    """
    out.mkdir(parents=True, exist_ok=True)
    check_same_run(out, config)
    asked, train = config, config.train
    vocabulary = _vocabulary(config, pairs, out)
    config = replace(config, model=replace(config.model, vocabulary_size=len(vocabulary) + 2))
    tokenizer = Tokenizer(vocabulary)
    write_toml(out / "config.toml", asked)
    description = {
        "kind": "expander",
        "config": to_dict(config.model),
        "vocabulary": list(vocabulary),
        **data_and_before(out, pairs.data),
    }

    torch.manual_seed(config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = PromptExpander(config.model).to(device)
    state = TrainState(model, make_optimizers(model, train))
    notes = [*changes_in_data(out, description["data"]), *state.resume(out)]
    notes += _notes(pairs, tokenizer, config.model.max_text_tokens)
    batches = pair_batches(pairs, tokenizer, train.batch_pairs, config.model.max_text_tokens, config.seed, state.step)

    def loss_of(batch: PairBatch) -> Tensor:
        batch = batch.to(device)
        with autocast(device, train.precision):
            logits = model(batch.ids, batch.lengths, {DESCRIPTIVE: batch.texts})
        return caption_loss(logits, {DESCRIPTIVE: batch.targets})

    notes.append(f"{len(pairs.keys)} clips, {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    record = Record("expander", description, to_dict(asked), to_dict(config))
    return train_to_the_end(state, train, batches, loss_of, out, record, notes, quiet, stopping)


def _notes(pairs: CaptionPairs, tokenizer: Tokenizer, most: int) -> list[str]:
    """Return sentences on clips without both kinds of caption, and on captions longer than the model reads."""
    notes, clips = [], sum(int(about["clips"]) for about in pairs.data)
    if (without := clips - len(pairs.keys)) > 0:
        notes.append(f"note: {without} of {clips} clips lack a short or a descriptive caption and are not used")
    return notes + text_notes(tuple(pairs.texts()), tokenizer, most)


def _vocabulary(config: ExpanderRun, pairs: CaptionPairs, out: Path) -> tuple[str, ...]:
    """Return the vocabulary of the checkpoint that the run goes on from, or learn one."""
    latest = checkpoint.latest_checkpoint(out)
    if latest is not None:
        return tuple(checkpoint.read_description(latest)["vocabulary"])
    return learn_vocabulary(pairs.texts(), config.model.vocabulary_size - 2)
