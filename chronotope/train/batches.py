"""Build the batches of the transformer: clips in an endless shuffled order, noised and packed up to a token budget.

All random numbers are functions of (seed, step, place in the batch). Batches can therefore be prepared by other
processes, and an interrupted run continues with the same batches.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from chronotope.data.latents import LatentDataset
from chronotope.errors import UsageError
from chronotope.models.attention import copied_to
from chronotope.models.costs import SampleSize, dit_flops, text_flops
from chronotope.models.dit import PackedTokens
from chronotope.models.packing import pack
from chronotope.models.text import TextTokenizer
from chronotope.parallel import Ranks
from chronotope.processes import prepared_ahead
from chronotope.train.config import DiTRun
from chronotope.train.order import BatchPlan, mixture_of, plan_batches
from chronotope.train.samples import NoisedSamples, make_samples
from chronotope.train.state import TrainState
from chronotope.train.student.teacher import GuidedPack, guided_pack

__all__ = [
    "TrainingBatch",
    "TrainingPack",
    "caption_notes",
    "check_batch_tokens",
    "groups_of",
    "length_notes",
    "make_batch",
    "pack_to_device",
    "stream_batches",
    "text_notes",
    "to_device",
    "training_pack",
    "window_sizes",
]


@dataclass(frozen=True)
class TrainingPack:
    """A pack with the residual and the scale of every visual token, [v, p] each.

    The network output times `scale` is trained towards `residual`, the target minus its best linear estimate (see
    `flow.path.balance`); both are 0 for known tokens.
    """

    tokens: PackedTokens
    residual: Tensor
    scale: Tensor
    guided: GuidedPack | None = None  # what the teacher of a student reads

    def without_loss(self) -> TrainingPack:
        """Return a pack that passes through the network and teaches it nothing."""
        return replace(self, residual=torch.zeros_like(self.residual), scale=torch.zeros_like(self.scale))


@dataclass(frozen=True)
class TrainingBatch:
    """The packs of a step, which pass through the network one after the other.

    `keys` of the clips and `num_tokens` (visual) are those of all processes; `num_noised` counts the tokens with loss
    in this process, and `flops` what the model computes for them; `waiting` are the places of `BatchPlan`.
    """

    packs: tuple[TrainingPack, ...]
    keys: tuple[str, ...]
    num_tokens: int
    num_noised: int
    flops: int
    waiting: tuple[int, ...]


def text_notes(texts: Sequence[str], tokenizer: TextTokenizer, most: int) -> list[str]:
    """Return sentences on captions of more than `most` tokens, and on characters that are not in the vocabulary."""
    notes: list[str] = []
    long = [text for text in texts if len(text) >= most and tokenizer.num_tokens(text, most + 1) > most]
    if long:
        count = f"{len(long)} caption{' has' if len(long) == 1 else 's have'}"
        kept = len(tokenizer.shortened(long[0], most).split())
        notes.append(
            f"note: {count} more than the {most} tokens that the model reads, so their ends are cut; the first one "
            f"keeps {kept} of {len(long[0].split())} words"
        )
    lost = sum(bool(tokenizer.unknown_characters(text)) for text in texts if not text.isascii())
    if lost:
        notes.append(
            f"note: {lost} captions have characters that are not in the vocabulary, "
            "all of which are one token to the model"
        )
    return notes


def caption_notes(dataset: LatentDataset, tokenizer: TextTokenizer, config: DiTRun) -> list[str]:
    """Return sentences on clips and captions longer than the model reads, and on levels whose shares say little."""
    notes = length_notes(dataset, config) + text_notes(
        tuple(dataset.captions()), tokenizer, config.model.max_text_tokens
    )
    own = {field.name for field in dataclasses.fields(config.captions)} - {"dropout"}
    others = sorted({level for clip in dataset.clips for level in clip.captions} - own)
    if others:
        levels = f"level{'' if len(others) == 1 else 's'} {', '.join(others)}"
        notes.append(
            f"note: captions of the {levels} are used with a share of 1; "
            f"[captions] has shares for {', '.join(sorted(own))}"
        )
    off = {level for level in own if getattr(config.captions, level) == 0}
    if alone := sum(bool(clip.captions) and clip.captions.keys() <= off for clip in dataset.clips):
        clips = f"{alone} clip{' has' if alone == 1 else 's have'}"
        notes.append(
            f"note: {clips} captions of levels with a share of 0 alone ({', '.join(sorted(off))}), which are used there"
        )
    return notes


def length_notes(dataset: LatentDataset, config: DiTRun) -> list[str]:
    """Return a sentence on captioned clips of which a step shows only a part, while the caption is of all of it."""
    most = config.train.max_sample_tokens
    shown: list[tuple[int, int]] = []  # slices in all, and of a step
    for clip in dataset.clips:
        rows, columns = config.geometry.token_grid(clip.height, clip.width)
        if any(clip.captions.values()) and len(clip.slices) > (count := most_slices(most, rows * columns)):
            shown.append((len(clip.slices), count))
    if not shown:
        return []
    slices, count = max(shown)
    return [
        f"note: {len(shown)} of {len(dataset)} clips are longer than train.max_sample_tokens={most}: a step shows a "
        f"random part, of the longest {count} of {slices} slices, while its caption describes all of it; cut them into "
        "shorter clips with captions of their own, or give them stories"
    ]


def most_slices(max_tokens: int, tokens_per_slice: int) -> int:
    """Return how many slices of a clip a step shows at most."""
    return max(1, max_tokens // tokens_per_slice)


def window_sizes(config: DiTRun, dataset: LatentDataset) -> np.ndarray:
    """Return the number of visual tokens that each clip contributes to a batch."""
    index, (cell_height, cell_width) = dataset.index, config.geometry.cell
    tokens = -(-index.heights // cell_height) * -(-index.widths // cell_width)
    return np.minimum(index.slices, np.maximum(1, config.train.max_sample_tokens // tokens)) * tokens


def check_batch_tokens(config: DiTRun, dataset: LatentDataset, ranks: Ranks) -> None:
    """Raise UsageError if a batch might hold fewer clips than there are processes."""
    largest = max(window_sizes(config, dataset))
    if ranks.size > 1 and config.train.batch_tokens < ranks.size * largest:
        raise UsageError(
            f"a step of {config.train.batch_tokens} tokens may hold fewer clips than there are processes "
            f"({ranks.size}): clips have up to {largest}; set train.batch_tokens={ranks.size * largest} or more, "
            "or a smaller train.max_sample_tokens"
        )


def make_batch(
    config: DiTRun, dataset: LatentDataset, tokenizer: TextTokenizer, plan: BatchPlan, ranks: Ranks | None = None
) -> TrainingBatch:
    """Build the batch of a plan; with several processes, the share of this one."""
    ranks = ranks or Ranks()
    # clips are dealt in turn from the longest to the shortest, so that all processes have about the same work
    places = sorted(range(len(plan.clips)), key=lambda place: -plan.sizes[place])
    shares = [groups_of(places[rank :: ranks.size], plan.sizes, config.train.pass_tokens) for rank in range(ranks.size)]
    packs = []
    for group in shares[ranks.rank]:
        noised = make_samples(config, dataset, tokenizer, ((place, plan.clips[place]) for place in group), plan.step)
        packs.append(training_pack(config, tokenizer, noised))
    flops = sum(3 * forward_flops(config, each.tokens) for each in packs)  # a backward pass takes twice a forward one
    guided = [each.guided.tokens for each in packs if each.guided is not None]
    flops += sum(config.student.substeps * forward_flops(config, tokens) for tokens in guided)
    # processes that share the weights pass them equally often
    packs += [packs[-1].without_loss()] * (max(map(len, shares)) - len(packs))
    keys = tuple(dataset.clips[index].key for index in plan.clips)
    num_noised = sum(int((each.scale[:, 0] > 0).sum()) for each in packs)
    return TrainingBatch(tuple(packs), keys, sum(plan.sizes), num_noised, flops, plan.waiting)


def training_pack(config: DiTRun, tokenizer: TextTokenizer, noised: NoisedSamples) -> TrainingPack:
    """Pack noised samples, for a student also as its teacher reads them."""
    guided = guided_pack(noised.samples, tokenizer) if config.student.steps else None
    return TrainingPack(pack(noised.samples)[0], noised.residual, noised.scale, guided)


def forward_flops(config: DiTRun, tokens: PackedTokens) -> int:
    """Count the FLOPs of a forward pass of a pack."""
    flops = sum(text_flops(config.model, length) for length in tokens.text_lengths)
    for length, grid in zip(tokens.lengths, tokens.grids, strict=True):
        visual = grid.slices * grid.rows * grid.columns
        flops += dit_flops(config.model, SampleSize(visual, length - visual, grid.slices))
    return flops


def groups_of(places: Sequence[int], sizes: Sequence[int], most: int) -> list[list[int]]:
    """Divide places into groups of at most `most` visual tokens, or of one clip that has more; 0: into one group.

    Each goes into the first group with room (first fit), so from the longest to the shortest there are few groups.
    """
    groups: list[list[int]] = []
    rooms: list[float] = []
    for place in places:
        at = next((number for number, room in enumerate(rooms) if sizes[place] <= room), len(groups))
        if at == len(groups):
            groups.append([])
            rooms.append(most or math.inf)
        groups[at].append(place)
        rooms[at] -= sizes[place]
    return groups


@dataclass(frozen=True)
class _PlannedBatches(Dataset[TrainingBatch]):
    """A dataset for DataLoader whose indices are plans and whose items are batches."""

    config: DiTRun
    latents: LatentDataset
    tokenizer: TextTokenizer
    ranks: Ranks

    def __getitem__(self, plan: BatchPlan) -> TrainingBatch:
        return make_batch(self.config, self.latents, self.tokenizer, plan, self.ranks)


@contextlib.contextmanager
def stream_batches(
    config: DiTRun, dataset: LatentDataset, tokenizer: TextTokenizer, state: TrainState, ranks: Ranks
) -> Generator[Iterator[TrainingBatch]]:
    """Iterate without end over the batches from the state on, prepared ahead in the background.

    A thread of this process prepares them, or `train.workers` processes. Raises UsageError where a step might hold
    fewer clips than there are processes.
    """
    check_batch_tokens(config, dataset, ranks)
    batches, train = _PlannedBatches(config, dataset, tokenizer, ranks), config.train
    plans = plan_batches(
        window_sizes(config, dataset),
        train.batch_tokens,
        config.seed,
        state.step,
        state.clips,
        mixture_of(dataset),
        train.look_ahead,
        state.waiting,
    )
    if train.workers == 0:
        with prepared_ahead(map(batches.__getitem__, plans)) as prepared:
            yield prepared
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more than there are cores, as was asked for
        prepared = iter(
            DataLoader(
                batches,
                batch_size=None,
                sampler=plans,
                num_workers=train.workers,
                prefetch_factor=4,
                collate_fn=_identity,  # type: ignore[arg-type]
                worker_init_fn=_ignore_signals,
            )
        )
    yield prepared


def _ignore_signals(worker: int) -> None:
    """Leave Ctrl-C, which a terminal sends to every process, to the training process: it needs batches to its end."""
    del worker
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _identity(batch: Any) -> Any:
    return batch


def to_device(batch: TrainingBatch, device: torch.device) -> TrainingBatch:
    """Copy a batch to a device; the copy to a GPU is asynchronous."""
    return replace(batch, packs=tuple(pack_to_device(packed, device) for packed in batch.packs))


def pack_to_device(packed: TrainingPack, device: torch.device) -> TrainingPack:
    """Copy a pack to a device, as `to_device` does."""
    residual, scale = (copied_to(each, device) for each in (packed.residual, packed.scale))
    guided = packed.guided.to(device) if packed.guided else None
    return TrainingPack(packed.tokens.to(device), residual, scale, guided)
