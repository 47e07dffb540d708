"""The configuration of a training run of the diffusion transformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from chronotope.config import MOST, Count, NotNegative, Positive, Range, Seed, Share, from_dict
from chronotope.errors import UsageError
from chronotope.flow.path import FlowConfig
from chronotope.flow.student import StudentConfig
from chronotope.geometry import Geometry
from chronotope.models.adapter import AdapterConfig
from chronotope.models.dit import DiTConfig
from chronotope.models.precision import Precision
from chronotope.processes import MAX_WORKERS
from chronotope.request import Defaults
from chronotope.train.fit import check_model
from chronotope.train.noise_levels import NoiseLevelConfig
from chronotope.train.state import LEAST_RATE, check_rates

__all__ = ["ActionConfig", "CaptionConfig", "DiTRun", "DiTTraining", "read_run"]


@dataclass(frozen=True)
class CaptionConfig:
    """Relative frequencies of the caption levels, and the share `dropout` of samples without a caption.

    `descriptive` captions are those of `chronotope caption`: 95 % of the captions of a clip that has them and others
    (Betker et al. 2023).
    """

    tags: NotNegative = 0.25
    sentence: NotNegative = 0.6
    paragraph: NotNegative = 0.15
    story: NotNegative = 0.6
    descriptive: NotNegative = 19.0
    dropout: Share = 0.1

    def __post_init__(self) -> None:
        if not self.tags + self.sentence + self.paragraph + self.story + self.descriptive > 0:
            raise UsageError(
                "captions: one of tags, sentence, paragraph, story and descriptive must be above 0, got 0 for each"
            )
        if self.dropout == 1:
            raise UsageError("captions.dropout = 1 leaves out every caption, so no text would be learned; give less")


@dataclass(frozen=True)
class ActionConfig:
    """Whether the model learns the actions of its clips, and the share `dropout` of slices without them.

    Dropout teaches the model to go on without an action, which guidance needs.
    """

    use: bool = False
    dropout: Share = 0.1

    def __post_init__(self) -> None:
        if self.use and self.dropout == 1:
            raise UsageError("actions.dropout = 1 leaves out every action; set actions.use=false for a model without")


@dataclass(frozen=True)
class DiTTraining:
    """Length of the training, size of a step and learning rates.

    A step takes as many clips as fit `batch_tokens` visual tokens; up to `look_ahead` clips that do not fit are passed
    over, and come next. A clip of more than `max_sample_tokens` contributes a random run of its slices. `workers`
    processes prepare batches, where 0 means a thread; they do not change the result. `adapter_rate` is that of AdamW
    for an adapter, which leaves the other two rates unused.

    A step whose gradient norm is more than `spike_factor` times the median of the last 64 is skipped, as one that is
    not finite (0: none is).

    Two settings trade time for memory, and change a result by rounding alone: at most `pass_tokens` visual tokens pass
    through the network at once (0: all of a step), and with `recompute` the backward pass computes the inside of each
    block again, instead of keeping it.
    """

    steps: Count = 2000
    batch_tokens: Count = 3800
    max_sample_tokens: Count = 4096
    look_ahead: Annotated[int, Range(0, 10_000)] = 0
    pass_tokens: Annotated[int, Range(0, MOST)] = 0
    recompute: bool = False
    muon_rate: Share = 0.01
    adam_rate: Share = 1e-3
    adapter_rate: Share = 3e-3
    warmup: Annotated[int, Range(0, MOST)] = 50
    decay_from: Annotated[float, Range(0, 1, open="high")] = 0.3
    clip_norm: Positive = 1.0
    spike_factor: NotNegative = 0.0
    average_decay: Annotated[float, Range(0, 1, open="high")] = 0.997
    compile: bool = False
    workers: Annotated[int, Range(0, MAX_WORKERS)] = 0
    precision: Precision = "auto"
    log_every: Count = 20
    check_every: Count = 500
    save_every: Count = 500

    def __post_init__(self) -> None:
        check_rates(self.muon_rate, self.adam_rate)


@dataclass(frozen=True)
class DiTRun:
    """Everything that determines the result of a run, beside its data.

    `text_encoder` names a frozen text encoder, hf:FOLDER or hf:NAME; without one the transformer learns its own.
    """

    seed: Seed = 0
    text_encoder: str = ""
    geometry: Geometry = field(default_factory=Geometry)
    model: DiTConfig = field(default_factory=DiTConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    noise_levels: NoiseLevelConfig = field(default_factory=NoiseLevelConfig)
    captions: CaptionConfig = field(default_factory=CaptionConfig)
    actions: ActionConfig = field(default_factory=ActionConfig)
    train: DiTTraining = field(default_factory=DiTTraining)
    defaults: Defaults = field(default_factory=Defaults)
    student: StudentConfig = field(default_factory=StudentConfig)

    def __post_init__(self) -> None:
        check_model(self.model, self.geometry)
        if self.adapter.rank > (most := min(self.model.width, self.model.hidden)):
            raise UsageError(
                f"adapter.rank = {self.adapter.rank} is more than the smaller side of a matrix of this model, {most}; "
                "give less, such as 16"
            )
        if self.student.steps and (self.noise_levels.forcing or self.noise_levels.causal):
            raise UsageError(
                "the slices of a student of few steps have one clock; set noise_levels.forcing=0 and "
                f"noise_levels.causal=0, got {self.noise_levels.forcing:g} and {self.noise_levels.causal:g}"
            )
        if self.student.steps and self.actions.use:
            raise UsageError("a student learns guidance by texts, and a model with actions is guided by these")
        if self.student.steps and self.flow.prediction != "velocity":
            raise UsageError(f"a student learns a mean velocity, and this model predicts {self.flow.prediction}")
        if self.adapter.rank and self.train.adapter_rate < LEAST_RATE:
            raise UsageError(
                f"train.adapter_rate = {self.train.adapter_rate:g} changes no weight in single precision; give more, "
                "such as 0.003"
            )


def read_run(data: Mapping[str, Any]) -> DiTRun:
    """Build a run from the `training.run` of a model.json, where older models have `levels` for `noise_levels`."""
    return from_dict(DiTRun, {"noise_levels" if name == "levels" else name: value for name, value in data.items()})
