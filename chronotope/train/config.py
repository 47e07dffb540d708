"""The configuration of a training run of the diffusion transformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chronotope.config import from_dict
from chronotope.errors import UsageError
from chronotope.flow.path import FlowConfig
from chronotope.geometry import Geometry
from chronotope.models.dit import DiTConfig
from chronotope.request import Defaults
from chronotope.train.noise_levels import NoiseLevelConfig
from chronotope.train.state import Precision

__all__ = ["CaptionConfig", "DiTRun", "DiTTraining", "read_run"]


@dataclass(frozen=True)
class CaptionConfig:
    """Relative frequencies of the caption levels, and the share `dropout` of samples without a caption."""

    tags: float = 0.25
    sentence: float = 0.6
    paragraph: float = 0.15
    story: float = 0.6
    dropout: float = 0.1


@dataclass(frozen=True)
class DiTTraining:
    """Length of the training, size of a step and learning rates.

    A step takes as many clips as fit `batch_tokens` visual tokens; a clip of more than `max_sample_tokens` contributes
    a random run of its slices. `workers` processes prepare batches, which a GPU needs (one core prepares 500 to 1,000
    small clips per second); they do not change the result.
    """

    steps: int = 2000
    batch_tokens: int = 3800
    max_sample_tokens: int = 4096
    muon_rate: float = 0.01
    adam_rate: float = 1e-3
    warmup: int = 50
    decay_from: float = 0.3
    clip_norm: float = 1.0
    average_decay: float = 0.997
    compile: bool = False
    workers: int = 0
    precision: Precision = "auto"
    log_every: int = 20
    check_every: int = 500
    save_every: int = 500

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_tokens < 1:
            raise UsageError(
                f"a training has at least 1 step of at least 1 token, got {self.steps} of {self.batch_tokens}"
            )


@dataclass(frozen=True)
class DiTRun:
    """Everything that determines the result of a run, beside its data."""

    seed: int = 0
    geometry: Geometry = field(default_factory=Geometry)
    model: DiTConfig = field(default_factory=DiTConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    noise_levels: NoiseLevelConfig = field(default_factory=NoiseLevelConfig)
    captions: CaptionConfig = field(default_factory=CaptionConfig)
    train: DiTTraining = field(default_factory=DiTTraining)
    defaults: Defaults = field(default_factory=Defaults)


def read_run(data: Mapping[str, Any]) -> DiTRun:
    """Build a run from the `training.run` of a model.json, where older models have `levels` for `noise_levels`."""
    return from_dict(DiTRun, {"noise_levels" if name == "levels" else name: value for name, value in data.items()})
