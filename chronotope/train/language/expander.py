"""Train the expander of prompts on the captions of clips: from a short one to a descriptive one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from chronotope import checkpoint
from chronotope.config import MOST, Count, Positive, Range, Seed, Share, to_dict
from chronotope.data.record import changes_in_data
from chronotope.errors import UsageError
from chronotope.models.expander import ExpanderConfig, PromptExpander
from chronotope.models.text import MIN_VOCABULARY, Tokenizer, learn_vocabulary
from chronotope.train.batches import text_notes
from chronotope.train.language.captioner import caption_loss
from chronotope.train.language.loop import take_steps
from chronotope.train.language.pairs import DESCRIPTIVE, CaptionPairs, PairBatch, pair_batches, read_pairs
from chronotope.train.log import TrainingLog, write_toml
from chronotope.train.optimizers import make_optimizers
from chronotope.train.same_run import check_same_run
from chronotope.train.state import Precision, TrainState, autocast, check_rates

__all__ = ["ExpanderRun", "ExpanderTraining", "train_expander"]


@dataclass(frozen=True)
class ExpanderTraining:
    """Length of the training, pairs of a step and learning rates."""

    steps: Count = 1000
    batch_pairs: Count = 48
    muon_rate: Share = 0.02
    adam_rate: Share = 3e-3
    warmup: Annotated[int, Range(0, MOST)] = 50
    decay_from: Annotated[float, Range(0, 1, open="high")] = 0.5
    clip_norm: Positive = 1.0
    average_decay: Annotated[float, Range(0, 1, open="high")] = 0.99
    precision: Precision = "auto"
    log_every: Count = 20
    save_every: Count = 500

    def __post_init__(self) -> None:
        check_rates(self.muon_rate, self.adam_rate)


@dataclass(frozen=True)
class ExpanderRun:
    """Everything that determines the result of a run, beside its data."""

    seed: Seed = 0
    model: ExpanderConfig = field(default_factory=ExpanderConfig)
    train: ExpanderTraining = field(default_factory=ExpanderTraining)

    def __post_init__(self) -> None:
        if self.model.vocabulary_size < MIN_VOCABULARY:
            raise UsageError(
                f"model.vocabulary_size = {self.model.vocabulary_size}: expected at least {MIN_VOCABULARY}, for the "
                "characters that every vocabulary spells words with"
            )


def train_expander(
    config: ExpanderRun,
    data: Sequence[Path],
    out: Path,
    quiet: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Run or continue a training in the folder `out`, on folders of clips or latents; returns the last logged numbers.

    When `stopping()` is true, the state is saved after the step and training ends.
    """
    out.mkdir(parents=True, exist_ok=True)
    check_same_run(out, config)
    pairs, asked, train = read_pairs(data), config, config.train
    vocabulary = _vocabulary(config, pairs, out)
    config = replace(config, model=replace(config.model, vocabulary_size=len(vocabulary) + 2))
    tokenizer = Tokenizer(vocabulary)
    write_toml(out / "config.toml", asked)
    description = {
        "kind": "expander",
        "config": to_dict(config.model),
        "vocabulary": list(vocabulary),
        "data": list(pairs.data),
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

    with TrainingLog(out, "expander", train.steps, state.step, quiet) as log:
        for note in notes:
            log.say(note)
        log.say(f"{len(pairs.keys)} clips, {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
        take_steps(state, train, log, batches, loss_of, out, {**description, "settings": to_dict(asked)}, stopping)

    trained = {"run": to_dict(config), "seconds": state.seconds, "clips": state.clips, **state.numbers}
    if state.step == train.steps:
        checkpoint.save_model(out, state.average, {**description, "training": trained}, torch.float16)
    return state.numbers


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
