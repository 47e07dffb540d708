"""One row a preset: the sizes, the recipe and the hardware. Everything else is the defaults of the dataclasses.

tiny    trains in minutes on two CPU cores: runs/tiny.sh
small   trains in hours on two CPU cores: runs/small.sh; its weights are inside the package
world   learns what actions do, for `chronotope play`: one slice a frame, a slice-causal mask: runs/world.sh
base    never trained: a step fits one GPU of 16 GB
medium  never trained: a step fits one GPU of 48 GB
large   shape only: a size for a cluster; a step takes eight GPUs of 141 GB
xlarge  shape only, of 13 B: eight such GPUs too, for samples of the size of medium

Every preset trains on whole clips of the size that it generates by default. "Never trained" means that nobody has run
it yet: its rates and steps are those of published models of its size. "Shape only" means that parameters, FLOPs and
memory can be counted (--dry-run), and that a step takes several GPUs, which share the weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from chronotope.data.pixels import PoolConfig
from chronotope.errors import UsageError, suggest
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import AutoencoderConfig
from chronotope.models.captioner import CaptionerConfig
from chronotope.models.dit import DiTConfig
from chronotope.models.expander import ExpanderConfig
from chronotope.request import Defaults
from chronotope.train.autoencoder import AutoencoderRun, AutoencoderTraining
from chronotope.train.config import ActionConfig, DiTRun, DiTTraining
from chronotope.train.language.captioner import CaptionerRun, CaptionerTraining
from chronotope.train.language.expander import ExpanderRun, ExpanderTraining
from chronotope.train.noise_levels import NoiseLevelConfig

__all__ = ["PRESETS", "Preset", "find_preset"]


@dataclass(frozen=True)
class Preset:
    """The training runs of an autoencoder, its transformer, its captioner and its expander, and a line about them.

    A step takes at most `gigabytes`, of a machine or of a GPU; where these are None, one device does not hold it.
    `about` says what it takes and gives.
    """

    autoencoder: AutoencoderRun
    dit: DiTRun
    captioner: CaptionerRun
    expander: ExpanderRun
    about: str
    gigabytes: int | None

    @property
    def is_trained(self) -> bool:
        """Whether this preset was trained, so that its result is known."""
        return not self.about.startswith(("never trained", "shape only"))


@dataclass(frozen=True)
class _Row:
    """The numbers in which presets differ; `ae` is the autoencoder, rates are those of (Muon, AdamW)."""

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
    gigabytes: int | None
    captioner: tuple[int, int, int, int] = (192, 3, 4, 3000)  # width, blocks of encoder and decoder, steps
    expander: tuple[int, int, int] = (128, 2, 1000)  # width, blocks of encoder and of decoder, steps
    ae_rates: tuple[float, float] = (0.006, 2e-4)
    rates: tuple[float, float] = (0.01, 1e-3)
    large: bool = False  # whole clips pass one at a time, and blocks are computed again in the backward pass
    stride: tuple[int, int, int] = (4, 8, 8)
    memory: int = 0  # slices; above 0 the clips have actions, which the model learns
    reach: int = 0  # latents by which the picture may move from one slice to the next


# fmt: off
_ROWS = {
    #              autoencoder                              transformer
    #              widths     steps    frozen   pixels      width depth head steps    tokens     size, frames, fps
    "tiny":  _Row((48, 96),   900,     600,     100_000,    128,  4,    64,  900,     2_500,     (64, 64), 17, 8.0,
                  "two CPU cores, 15 minutes: coloured shapes that move", 4, (128, 2, 2, 1200), (128, 2, 1000),
                  (0.02, 5e-4), (0.02, 2e-3)),
    "small": _Row((128, 256), 3000,    2500,    400_000,    192,  8,    64,  12_500,  3_800,     (96, 64), 17, 8.0,
                  "two CPU cores, five to six hours: shapes and a dozen nouns; the weights inside the package",
                  4),
    "world": _Row((48, 96),   1500,    1000,    100_000,    128,  4,    32,  6000,    400,       (64, 64), 12, 8.0,
                  "one CPU core, about an hour: a small game that answers the keyboard", 4, (128, 2, 2, 1200),
                  (128, 2, 1000), (0.02, 5e-4), (0.02, 2e-3), stride=(1, 8, 8), memory=12, reach=1),
    "base":  _Row((192, 384), 200_000, 150_000, 8_000_000,  1024, 24,   128, 400_000, 500_000,   (512, 288), 97, 24.0,
                  "never trained: one GPU of 16 GB, or several; 1.6e21 operations", 16, (512, 8, 8, 100_000),
                  (256, 4, 10_000), large=True),
    "medium": _Row((192, 384), 200_000, 150_000, 8_000_000, 1792, 32,   128, 400_000, 1_000_000, (768, 432), 97, 24.0,
                  "never trained: one GPU of 48 GB, or several; 1.5e22 operations", 48, (768, 8, 8, 100_000),
                  (256, 4, 10_000), large=True),
    "large": _Row((256, 512), 400_000, 300_000, 16_000_000, 3072, 40,   128, 600_000, 8_000_000, (1280, 720), 121, 24.0,
                  "shape only: a step of its transformer takes eight GPUs of 141 GB", None,
                  (1024, 12, 12, 200_000), (512, 6, 50_000), large=True),
    # with the samples of large a step would take 217 GB on each of eight GPUs: attention is not divided over GPUs
    "xlarge": _Row((256, 512), 400_000, 300_000, 16_000_000, 5120, 40,  128, 600_000, 8_000_000, (768, 432), 97, 24.0,
                  "shape only: a step of its transformer takes eight GPUs of 141 GB; 9.9e23 operations", None,
                  (1024, 12, 12, 200_000), (512, 6, 50_000), large=True),
}
# fmt: on


def _preset(row: _Row) -> Preset:
    autoencoder = AutoencoderRun(
        model=AutoencoderConfig(stride=row.stride, widths=row.ae_widths),
        pool=_pool(row),
        train=AutoencoderTraining(
            steps=row.ae_steps, freeze_encoder_from=row.ae_frozen, muon_rate=row.ae_rates[0], adam_rate=row.ae_rates[1]
        ),
    )
    defaults = Defaults(height=row.size[1], width=row.size[0], num_frames=row.num_frames, fps=row.fps)
    geometry = Geometry(row.stride)
    train = DiTTraining(steps=row.steps, batch_tokens=row.batch_tokens, muon_rate=row.rates[0], adam_rate=row.rates[1])
    if row.large:
        whole = geometry.num_tokens(row.num_frames, row.size[1], row.size[0])
        train = replace(train, max_sample_tokens=whole, pass_tokens=whole, recompute=True, spike_factor=20.0)
    model = DiTConfig(width=row.width, depth=row.depth, head_dim=row.head_dim, memory=row.memory, reach=row.reach)
    dit = DiTRun(geometry=geometry, model=model, train=train, defaults=defaults)
    if row.memory:
        dit = _playable(dit)
    width, depth, text_depth, steps = row.captioner
    captioner = CaptionerRun(
        geometry=geometry,
        model=CaptionerConfig(width=width, depth=depth, text_depth=text_depth),
        train=CaptionerTraining(steps=steps),
    )
    width, depth, steps = row.expander
    expander = ExpanderRun(
        model=ExpanderConfig(width=width, depth=depth, text_depth=depth), train=ExpanderTraining(steps=steps)
    )
    return Preset(autoencoder, dit, captioner, expander, row.about, row.gigabytes)


def _pool(row: _Row) -> PoolConfig:
    """Return the batches of the autoencoder; of a game, whose pictures are a grid, it sees whole frames."""
    pool = PoolConfig(batch_pixels=row.ae_pixels)
    width, height = row.size
    return replace(pool, shapes=((4, height, width), (1, height, width))) if row.memory else pool


def _playable(run: DiTRun) -> DiTRun:
    """Return a run that learns actions: nearly all samples train the next slice, whose sampling takes few steps."""
    slices = run.defaults.num_frames // run.geometry.stride[0]
    tokens = run.geometry.num_tokens(slices * run.geometry.stride[0], run.defaults.height, run.defaults.width)
    return replace(
        run,
        noise_levels=NoiseLevelConfig(forcing=0.0, context=0.05, region=0.0, causal=0.95, history=0.2),
        actions=ActionConfig(use=True),
        train=replace(run.train, max_sample_tokens=tokens),
        defaults=replace(run.defaults, num_steps=6, guidance_scale=1.0, order="causal"),
    )


PRESETS: dict[str, Preset] = {name: _preset(row) for name, row in _ROWS.items()}


def find_preset(name: str) -> Preset:
    """Return the preset of this name; an unknown one raises `UsageError` with the nearest name."""
    if name not in PRESETS:
        raise UsageError(f"unknown preset '{name}'. {suggest(name, PRESETS)}")
    return PRESETS[name]
