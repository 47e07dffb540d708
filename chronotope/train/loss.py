"""The loss of a batch, and that of clips which are never trained on: it rises where a model learns clips by heart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from chronotope.data.latents import LatentDataset
from chronotope.models.precision import autocast
from chronotope.models.text import TextTokenizer
from chronotope.parallel import Ranks
from chronotope.train.batches import TrainingBatch, TrainingPack, make_batch, to_device, window_sizes
from chronotope.train.config import DiTRun
from chronotope.train.order import BatchPlan

__all__ = ["HeldOut", "flow_loss", "heldout_losses"]

SAMPLES = 64  # at least: few clips are noised several times; of many, every n-th is taken
FIRST_STEP = 2**40  # random numbers are functions of the step: these belong to no step of a training


def flow_loss(output: Tensor, packed: TrainingPack, num_noised: Tensor) -> Tensor:
    """Compute the share of a pack in the mean squared error over the `num_noised` unknown tokens of a step."""
    return (packed.scale * output.float() - packed.residual).square().mean(dim=1).sum() / num_noised.clamp(min=1)


@dataclass(frozen=True)
class HeldOut:
    """Noised clips of one folder, which are the same for every model, seed and step, and the name of the folder."""

    name: str
    batches: tuple[TrainingBatch, ...]

    @torch.no_grad()
    def loss(self, model: nn.Module, run: DiTRun, device: torch.device) -> float:
        """Return the loss over all noised tokens."""
        total, count = 0.0, 0
        for batch in self.batches:
            for packed in to_device(batch, device).packs:
                with autocast(device, run.train.precision):
                    output = model(packed.tokens)
                total += float(flow_loss(output, packed, torch.ones(())))
            count += batch.num_noised
        return total / count


def heldout_losses(
    run: DiTRun, folders: Sequence[Path], tokenizer: TextTokenizer
) -> Callable[[nn.Module], dict[str, float]]:
    """Return the function from a model to its losses on folders of latents, by the names `heldout/FOLDER`."""
    sets = [_noised(run, folder, tokenizer) for folder in folders]

    def losses(model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        return {f"heldout/{each.name}": each.loss(model, run, device) for each in sets}

    return losses


def _noised(run: DiTRun, folder: Path, tokenizer: TextTokenizer) -> HeldOut:
    dataset = LatentDataset([folder])
    fixed = replace(run, seed=0)  # so that trainings of different seeds can be compared
    sizes = window_sizes(fixed, dataset).tolist()
    clips = range(len(dataset))[:: max(1, len(dataset) // SAMPLES)]
    rounds = -(-SAMPLES // len(clips))
    samples = [clip for _ in range(rounds) for clip in clips]
    plans = [
        BatchPlan(FIRST_STEP + number, 0, part, tuple(sizes[clip] for clip in part))
        for number, part in enumerate(_parts(samples, sizes, run.train.batch_tokens))
    ]
    return HeldOut(folder.name, tuple(make_batch(fixed, dataset, tokenizer, plan, Ranks()) for plan in plans))


def _parts(samples: Sequence[int], sizes: Sequence[int], budget: int) -> Iterator[tuple[int, ...]]:
    """Divide samples into batches of at most `budget` tokens, or of one sample."""
    part, room = list[int](), budget
    for clip in samples:
        if part and sizes[clip] > room:
            yield tuple(part)
            part, room = [], budget
        part.append(clip)
        room -= sizes[clip]
    yield tuple(part)
