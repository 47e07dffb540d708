"""The loss of a batch, and that of clips which are never trained on: it rises where a model learns clips by heart.

The held-out loss is divided by noise level, by the kind of slice and by motion, which show what a model learns late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chronotope import checkpoint
from chronotope.data.latents import LatentDataset
from chronotope.errors import UsageError
from chronotope.models.dit import SIGNAL_STILL, DiT, PackedTokens
from chronotope.models.precision import autocast
from chronotope.models.refinement import Grid
from chronotope.models.text import TextTokenizer
from chronotope.parallel import Ranks, from_all, sum_over_ranks
from chronotope.train.batches import TrainingBatch, TrainingPack, groups_of, pack_to_device, training_pack, window_sizes
from chronotope.train.config import DiTRun
from chronotope.train.order import BatchPlan
from chronotope.train.samples import make_samples
from chronotope.train.student.teacher import residual_of_teacher

__all__ = ["HeldOut", "Teacher", "flow_loss", "heldout_losses", "load_teacher"]

Lesson = Callable[[TrainingPack], TrainingPack]

SAMPLES = 64  # at least: few clips are noised several times; of many, every n-th is taken
FIRST_STEP = 2**40  # random numbers are functions of the step: these belong to no step of a training
LEVELS = 4  # equal parts of the noise levels, of which the loss is logged apart


def token_errors(output: Tensor, packed: TrainingPack) -> Float[Tensor, " v"]:
    """Compute the mean squared error of every visual token; known tokens have none."""
    return (packed.scale * output.float() - packed.residual).square().mean(dim=1)


def flow_loss(output: Tensor, packed: TrainingPack, num_noised: Tensor) -> Tensor:
    """Compute the share of a pack in the mean squared error over the `num_noised` unknown tokens of a step."""
    return token_errors(output, packed).sum() / num_noised.clamp(min=1)


class Teacher:
    """The frozen transformer that a student started from."""

    def __init__(self, model: DiT, config: DiTRun) -> None:
        self.model, self.config = model.eval().requires_grad_(False), config

    def batch(self, batch: TrainingBatch) -> TrainingBatch:
        """Return a batch with the teacher's targets."""
        return replace(batch, packs=tuple(self.pack(packed) for packed in batch.packs))

    def pack(self, packed: TrainingPack) -> TrainingPack:
        """Return a pack with the teacher's targets, on its device."""
        device, config = self.model.patch_in.weight.device, self.config
        packed = pack_to_device(packed, device)
        assert packed.guided is not None  # made with the packs of a student
        with autocast(device, config.train.precision):
            residual = residual_of_teacher(
                self.model, packed.tokens, packed.guided, packed.scale[:, :1] > 0, config.flow, config.student
            )
        return replace(packed, residual=residual, guided=None)


def load_teacher(config: DiTRun, start: Path | None, device: torch.device) -> Teacher | None:
    """Return the teacher of a student, the model in `start`; None for a training without one.

    Raises UsageError where there is no model to start from.
    """
    if not config.student.steps:
        return None
    if start is None:
        raise UsageError("a student learns from the model that it starts from; name it, for example --from small")
    model = DiT(config.model)
    checkpoint.load_model(start, model)
    return Teacher(model.to(device), config)


@dataclass(frozen=True)
class HeldOutPack:
    """Noised clips with a membership of each visual token in each of the parts of `HeldOut`, [v, parts]."""

    packed: TrainingPack
    parts: Float[Tensor, "v parts"]


@dataclass(frozen=True)
class HeldOut:
    """Noised clips of one folder, which are the same for every model, seed and step, and the name of the folder.

    Several processes have a share of the packs each, and equally many.
    """

    name: str
    packs: tuple[HeldOutPack, ...]
    parts: tuple[str, ...]

    @torch.no_grad()
    def losses(self, model: nn.Module, run: DiTRun, device: torch.device, ranks: Ranks) -> dict[str, float]:
        """Return the loss over all noised tokens, and over those of each part that has some."""
        sums = torch.zeros(2, 1 + len(self.parts), dtype=torch.float64)
        for each in self.packs:
            packed = pack_to_device(each.packed, device)
            with autocast(device, run.train.precision):
                output = model(packed.tokens)
            errors, noised = token_errors(output, packed).cpu().double(), each.packed.scale[:, 0] > 0
            parts = torch.cat([torch.ones(len(errors), 1), each.parts], dim=1).double()
            sums += torch.stack([errors @ parts, noised.double() @ parts])
        total, count = sum_over_ranks(sums.to(device), ranks).tolist()
        names = (f"heldout/{self.name}", *self.parts)
        return {name: error / tokens for name, error, tokens in zip(names, total, count, strict=True) if tokens}


def heldout_losses(
    run: DiTRun,
    folders: Sequence[Path],
    tokenizer: TextTokenizer,
    ranks: Ranks | None = None,
    lesson: Lesson = lambda packed: packed,
) -> Callable[[nn.Module], dict[str, float]]:
    """Return the function from a model to its losses on folders of latents, by the names `heldout/FOLDER`.

    The parts are `heldout_by_level/FOLDER/FROM-TO`, `heldout_by_kind/FOLDER/still` and `moving`, and
    `heldout_by_motion/FOLDER/low` and `high`: tokens that change less and more than the median from slice to slice.
    `lesson` puts the targets of a teacher in the place of the clips' own.
    """
    ranks = ranks or Ranks()
    sets = [_noised(run, folder, tokenizer, ranks, lesson) for folder in folders]

    def losses(model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        return {name: loss for each in sets for name, loss in each.losses(model, run, device, ranks).items()}

    return losses


def _noised(run: DiTRun, folder: Path, tokenizer: TextTokenizer, ranks: Ranks, lesson: Lesson) -> HeldOut:
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
    made, changes = list[tuple[TrainingPack, Tensor]](), list[Tensor]()
    for plan in plans[ranks.rank :: ranks.size] or plans[:1]:
        for group in groups_of(range(len(plan.clips)), plan.sizes, run.train.pass_tokens):
            noised = make_samples(fixed, dataset, tokenizer, ((at, plan.clips[at]) for at in group), plan.step)
            changes.append(_changes(noised.clean, [sample.grid for sample in noised.samples]))
            made.append((lesson(training_pack(run, tokenizer, noised)), changes[-1]))
    if ranks.rank >= len(plans):  # a process without a share passes what another one counts
        made = [(packed.without_loss(), change) for packed, change in made]
    most = max(from_all(ranks, len(made)))
    made += [(made[-1][0].without_loss(), made[-1][1])] * (most - len(made))
    known = torch.cat(from_all(ranks, torch.cat(changes)))
    median = float(known.nanmedian())  # NaN where no clip has two slices
    levels = [f"{number / LEVELS:g}-{(number + 1) / LEVELS:g}" for number in range(LEVELS)]
    parts = {"level": levels, "kind": ["still", "moving"], "motion": ["low", "high"]}
    names = [f"heldout_by_{by}/{folder.name}/{part}" for by, those in parts.items() for part in those]
    packs = tuple(HeldOutPack(packed, _memberships(packed.tokens, change, median)) for packed, change in made)
    return HeldOut(folder.name, packs, tuple(names))


def _memberships(tokens: PackedTokens, changes: Float[Tensor, " v"], median: float) -> Float[Tensor, "v parts"]:
    """Return in which parts each visual token is: of noise levels, of kinds of slices, of motion."""
    row = tokens.row[tokens.place]
    number = (tokens.level[row] * LEVELS).long().clamp(max=LEVELS - 1)
    levels = torch.nn.functional.one_hot(number, LEVELS).bool()
    still = tokens.signals[row, SIGNAL_STILL] > 0
    motion = torch.stack([still, ~still, changes <= median, changes > median], dim=1)  # a comparison with NaN is false
    return torch.cat([levels, motion], dim=1).float()


def _changes(clean: Float[Tensor, "v p"], grids: Sequence[Grid]) -> Float[Tensor, " v"]:
    """Return the root mean square change of every token since the slice before, of the first slice to the second.

    A grid in the order "teacher" holds its clip twice, and each copy has a first slice. NaN for the tokens of a clip of
    a single slice.
    """
    found = []
    for grid, tokens in zip(grids, clean.split([each.tokens for each in grids]), strict=True):
        copies = 2 if grid.order == "teacher" else 1
        slices = tokens.unflatten(0, (copies, grid.slices // copies, -1))
        steps = slices.diff(dim=1).square().mean(dim=3).sqrt()
        if steps.shape[1]:
            found.append(torch.cat([steps[:, :1], steps], dim=1).flatten())
        else:
            found.append(tokens.new_full((len(tokens),), torch.nan))
    return torch.cat(found)


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
