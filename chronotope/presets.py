"""One row a preset: the sizes, the recipe, and what it takes. Everything else is the dataclasses' defaults.

tiny    the whole of runs/tiny.sh on two CPU cores, in minutes
small   the weights inside the package: runs/small.sh, hours of two CPU cores
base    one node of GPUs; its shapes, parameters and FLOPs are checked on the meta device, it has not been trained
large   a cluster; likewise
"""

from __future__ import annotations

from dataclasses import dataclass

from chronotope.data.pixels import PoolConfig
from chronotope.errors import UsageError, suggest
from chronotope.models.autoencoder import AutoencoderConfig
from chronotope.models.dit import DiTConfig
from chronotope.request import Defaults
from chronotope.train.autoencoder import AutoencoderRun, AutoencoderTraining
from chronotope.train.dit import DiTRun, DiTTraining

__all__ = ["PRESETS", "Preset", "find_preset"]


@dataclass(frozen=True)
class Preset:
    """Two training runs that belong together, and a line about them."""

    autoencoder: AutoencoderRun
    dit: DiTRun
    about: str


@dataclass(frozen=True)
class _Row:
    """The numbers in which presets differ."""

    ae_widths: tuple[int, int]
    ae_steps: int
    ae_frozen: int
    ae_pixels: int
    width: int
    depth: int
    head_dim: int
    steps: int
    batch_tokens: int
    size: tuple[int, int]
    num_frames: int
    fps: float
    about: str
    ae_rates: tuple[float, float] = (0.006, 2e-4)  # Muon, AdamW
    rates: tuple[float, float] = (0.01, 1e-3)


# fmt: off
_ROWS = {
    #              autoencoder                                  transformer                                  generates
    #              widths       steps    frozen   pixels        width depth head  steps    tokens      size         frames fps
    "tiny":  _Row((48, 96),     900,     600,     100_000,      128,  4,    64,   900,     2_500,      (64, 64),    17,    8.0,
                  "two CPU cores, 15 minutes: coloured shapes that move", ae_rates=(0.02, 5e-4), rates=(0.02, 2e-3)),
    "small": _Row((128, 256),   3000,    2500,    400_000,      192,  8,    64,   12_500,  3_800,      (96, 64),    17,    8.0,
                  "two CPU cores, five to six hours: shapes and a dozen nouns; the weights inside the package"),
    "base":  _Row((192, 384),   200_000, 150_000, 8_000_000,    1024, 24,   128,  400_000, 500_000,    (512, 288),  97,    24.0,
                  "one node of eight GPUs, weeks; not trained"),
    "large": _Row((256, 512),   400_000, 300_000, 16_000_000,   3072, 40,   128,  600_000, 8_000_000,  (1280, 720), 121,   24.0,
                  "a cluster; not trained"),
}
# fmt: on


def _preset(row: _Row) -> Preset:
    autoencoder = AutoencoderRun(
        model=AutoencoderConfig(widths=row.ae_widths),
        pool=PoolConfig(batch_pixels=row.ae_pixels),
        train=AutoencoderTraining(
            steps=row.ae_steps, freeze_encoder_from=row.ae_frozen, muon_rate=row.ae_rates[0], adam_rate=row.ae_rates[1]
        ),
    )
    dit = DiTRun(
        model=DiTConfig(width=row.width, depth=row.depth, head_dim=row.head_dim),
        train=DiTTraining(
            steps=row.steps, batch_tokens=row.batch_tokens, muon_rate=row.rates[0], adam_rate=row.rates[1]
        ),
        defaults=Defaults(height=row.size[1], width=row.size[0], num_frames=row.num_frames, fps=row.fps),
    )
    return Preset(autoencoder, dit, row.about)


PRESETS: dict[str, Preset] = {name: _preset(row) for name, row in _ROWS.items()}


def find_preset(name: str) -> Preset:
    """The preset of this name, or the nearest name."""
    if name not in PRESETS:
        raise UsageError(f"unknown preset '{name}'. {suggest(name, PRESETS)}")
    return PRESETS[name]
