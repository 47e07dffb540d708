"""Train the captioner on latents and the captions beside them: short captions first, then all levels of detail."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chronotope import checkpoint
from chronotope.caption.subwords import Tokenizer, learn_vocabulary
from chronotope.caption.tokens import slice_budget
from chronotope.config import Count, Range, Seed, Share, to_dict
from chronotope.data.latents import LatentDataset, fingerprint
from chronotope.data.record import changes_in_data, data_and_before, data_of_latents
from chronotope.errors import UsageError
from chronotope.geometry import Geometry
from chronotope.models.captioner import DETAILS, CaptionerConfig, LatentCaptioner
from chronotope.models.precision import autocast
from chronotope.train.batches import text_notes
from chronotope.train.fit import check_autoencoder, check_latents, check_model
from chronotope.train.language.loop import Record, Steps, train_to_the_end
from chronotope.train.language.texts import IGNORED, CaptionBatch, caption_batch, detail_of
from chronotope.train.log import write_toml
from chronotope.train.optimizers import make_optimizers
from chronotope.train.order import plan_batches
from chronotope.train.same_run import check_same_run
from chronotope.train.state import TrainState

__all__ = ["CaptionerRun", "CaptionerTraining", "train_captioner"]

SHORT = ("tags", "sentence")  # what the first phase learns


@dataclass(frozen=True)
class CaptionerTraining(Steps):
    """Length of the training, size of a step and learning rates.

    In the first `short_share` of the steps the captioner learns short captions alone, which name the subject and what
    it does (two phases, as Betker et al. 2023). A clip of more than `max_sample_tokens` shows that many, evenly spaced
    in time.
    """

    steps: Count = 3000
    average_decay: Annotated[float, Range(0, 1, open="high")] = 0.997
    batch_tokens: Count = 2400
    max_sample_tokens: Count = 2048
    short_share: Share = 0.3


@dataclass(frozen=True)
class CaptionerRun:
    """Everything that determines the result of a run, beside its data."""

    seed: Seed = 0
    geometry: Geometry = field(default_factory=Geometry)
    model: CaptionerConfig = field(default_factory=CaptionerConfig)
    train: CaptionerTraining = field(default_factory=CaptionerTraining)

    def __post_init__(self) -> None:
        check_model(self.model, self.geometry)


def caption_loss(logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Return the mean cross-entropy of all tokens that have a target, of all levels of detail together."""
    rows = torch.cat([logits[detail].flatten(0, 1) for detail in targets]).float()
    return F.cross_entropy(rows, torch.cat([ids.flatten() for ids in targets.values()]), ignore_index=IGNORED)


@dataclass(frozen=True)
class PreparedRun:
    """A run whose config knows its vocabulary's size, with what is measured on the data or taken from a model.

    `deviation` is of every value of a token.
    """

    config: CaptionerRun
    vocabulary: tuple[str, ...]
    deviation: tuple[float, ...]
    started_from: str | None


def prepare_run(config: CaptionerRun, dataset: LatentDataset, out: Path, start: Path | None = None) -> PreparedRun:
    """Take vocabulary and deviations from the checkpoint or the start model, or measure them on the dataset.

    Raises UsageError for latents of another kind and for clips without captions to learn.
    """
    about = dataset.about[0]
    check_latents(config, about["channels"], about["stride"])
    check_same_run(out, config)
    if not any(detail_of(level) for clip in dataset.clips for level, texts in clip.captions.items() if texts):
        raise UsageError("no clip has a caption to learn from; put texts beside the clips and encode them again")
    latest = checkpoint.latest_checkpoint(out)
    if source := latest or start:
        check_autoencoder(about, source)
        trained = checkpoint.read_description(source)
        vocabulary, deviation = tuple(trained["vocabulary"]), tuple(trained["deviation"])
    else:
        vocabulary = learn_vocabulary(dataset.captions(), config.model.vocabulary_size - 2)
        deviation = dataset.deviation() * math.prod(config.geometry.patch_size)
    config = replace(config, model=replace(config.model, vocabulary_size=len(vocabulary) + 2))
    if latest:
        started_from = trained.get("started_from")
    else:
        started_from = fingerprint(_model_of(config.model, start)) if start else None
    return PreparedRun(config, vocabulary, deviation, started_from)


def check_sizes(model: CaptionerConfig, start: Path) -> None:
    """Raise UsageError for a start model of other sizes than the config's; its vocabulary is kept."""
    found = checkpoint.read_description(start)["config"]
    for name, value in to_dict(model).items():
        if name != "vocabulary_size" and found.get(name) != value:
            raise UsageError(
                f"{start} has {name} {found.get(name)}, the preset {value}; use the preset that it was trained with"
            )


def _model_of(config: CaptionerConfig, start: Path | None) -> LatentCaptioner:
    model = LatentCaptioner(config)
    if start:
        checkpoint.load_model(start, model)
    return model


def shown_clips(dataset: LatentDataset) -> dict[str, float]:
    """Return the most common rate and the most common area in pixels of the clips, at which others are shown later."""
    rates = Counter(clip.fps for clip in dataset.clips)
    areas = Counter(clip.height * clip.width for clip in dataset.clips)
    return {"fps": rates.most_common(1)[0][0], "area": areas.most_common(1)[0][0]}


def shown_at(train: CaptionerTraining, step: int, present: Sequence[str]) -> tuple[str, ...]:
    """Return the levels of detail, of those `present` in the data, that a step learns."""
    short = tuple(detail for detail in present if detail in SHORT)
    return short if short and step < train.short_share * train.steps else tuple(present)


def batches_of(
    config: CaptionerRun, dataset: LatentDataset, tokenizer: Tokenizer, deviation: Sequence[float], state: TrainState
) -> Iterator[CaptionBatch]:
    """Yield batches without end, from the step of the state on."""
    train, geometry = config.train, config.geometry
    details = {detail_of(level) for clip in dataset.clips for level, texts in clip.captions.items() if texts}
    present = [detail for detail in DETAILS if detail in details]
    sizes = []
    for clip in dataset.clips:
        rows, columns = geometry.token_grid(clip.height, clip.width)
        most = slice_budget(geometry, clip.height, clip.width, train.max_sample_tokens)
        sizes.append(min(len(clip.slices), most) * rows * columns)
    limits = (train.max_sample_tokens, config.model.max_text_tokens)
    for plan in plan_batches(sizes, train.batch_tokens, config.seed, state.step, state.clips):
        shown = shown_at(train, plan.step, present)
        yield caption_batch(plan, dataset, tokenizer, geometry, deviation, limits, shown, config.seed)


def train_captioner(
    config: CaptionerRun,
    data: Sequence[Path],
    out: Path,
    start: Path | None = None,
    quiet: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Run or continue a training in the folder `out`, on latents folders; returns the last logged numbers.

    `start` is the folder of a trained captioner to start from, instead of random weights. When `stopping()` is true,
    the state is saved after the step and training ends.
    """
    # setup: folder, data, vocabulary
    out.mkdir(parents=True, exist_ok=True)
    dataset = LatentDataset(data)
    asked = config
    run = prepare_run(config, dataset, out, start)
    config, train, tokenizer = run.config, run.config.train, Tokenizer(run.vocabulary)
    write_toml(out / "config.toml", asked)
    description = {
        "kind": "captioner",
        "config": to_dict(config.model),
        "geometry": to_dict(config.geometry),
        "deviation": list(run.deviation),
        "max_sample_tokens": train.max_sample_tokens,
        "shown": shown_clips(dataset),
        "autoencoder": dataset.about[0]["autoencoder"],
        "vocabulary": list(run.vocabulary),
        "started_from": run.started_from,
        **data_and_before(out, data_of_latents(dataset), start, run.started_from),
    }

    # model, optimizers and state
    torch.manual_seed(config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = _model_of(config.model, start).to(device)
    state = TrainState(model, make_optimizers(model, train))
    notes = [*changes_in_data(out, description["data"]), *state.resume(out)]
    notes += text_notes(tuple(dataset.captions()), tokenizer, config.model.max_text_tokens)
    batches = batches_of(config, dataset, tokenizer, run.deviation, state)

    def loss_of(batch: CaptionBatch) -> Tensor:
        batch = batch.to(device)
        with autocast(device, train.precision):
            logits = model(batch.clips, batch.ids)
        return caption_loss(logits, batch.targets)

    notes.append(f"{len(dataset)} clips, {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    record = Record("captioner", description, to_dict(asked), to_dict(config))
    return train_to_the_end(state, train, batches, loss_of, out, record, notes, quiet, stopping)
