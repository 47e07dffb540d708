"""The costs that --dry-run prints, against the real modules: parameters, FLOPs, what autograd keeps."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from chronotope.cli.costs import TEXT_TOKENS, autoencoder_costs, check_memory, dit_costs, memory_problem
from chronotope.config import override
from chronotope.errors import UsageError
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.costs import (
    SampleSize,
    autoencoder_flops,
    dit_activations,
    dit_flops,
    kept_bytes,
    text_flops,
)
from chronotope.models.dit import DiT, DiTConfig, PackedTokens
from chronotope.models.packing import Sample, pack, row_signals
from chronotope.models.refinement import Grid
from chronotope.presets import PRESETS
from chronotope.train.autoencoder import reconstruct_windows
from chronotope.train.optimizers import make_optimizers
from tests.cli.models import AUTOENCODER, SMALL_AUTOENCODER, answer, refused

SIZE = SampleSize(visual=24, text=5, slices=4)
LONG, LARGE = ("batch_tokens", "max_sample_tokens"), ["defaults.num_frames=1000000", "defaults.width=2048"]


def packed(config: DiTConfig, size: SampleSize, copies: int) -> PackedTokens:
    """Samples of the size, all alike."""
    geometry = Geometry()
    slices = geometry.slices(4 * size.slices)
    height, width = 16, 16 * size.visual // size.slices
    positions = torch.from_numpy(geometry.positions(slices, height, width, 8.0))
    row = torch.arange(size.slices).repeat_interleave(size.visual // size.slices)
    noisy, signals = torch.randn(size.visual, config.token_size), row_signals(geometry, slices, height, width, 8.0)
    grid = Grid(size.slices, 1, size.visual // size.slices)
    text = torch.randn(size.text, config.text_width) if config.text_width else tuple(range(size.text))
    sample = Sample(noisy, positions, row, torch.rand(size.slices), signals, ((0.0, text),), grid)
    return pack([sample] * copies)[0]


def counted(run: object) -> int:
    """Operations of a call, attention written out as two matrix products, which the counter knows on every device."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()  # type: ignore[operator]
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "config",
    [
        DiTConfig(width=64, depth=1, text_depth=1),
        DiTConfig(width=128, depth=3, mlp_ratio=2.0, channels=8),
        DiTConfig(width=64, depth=1, text_depth=1, text_width=96),
    ],
    ids=str,
)
def test_operations_of_the_transformer(config: DiTConfig) -> None:
    model = DiT(config)
    batch = packed(config, SIZE, copies=2)
    text = model.encode_text(batch.text_tokens, batch.text_lengths)
    assert counted(lambda: model(batch, text)) == 2 * dit_flops(config, SIZE)
    assert counted(lambda: model.encode_text(batch.text_tokens, batch.text_lengths)) == 2 * text_flops(
        config, SIZE.text
    )


@pytest.mark.parametrize(
    ("width", "depth", "mlp_ratio", "text_width"),
    [(64, 1, 2.5, 0), (64, 6, 8 / 3, 0), (128, 3, 4.0, 0), (64, 1, 3.0, 768)],
)
def test_memory_of_the_transformer(width: int, depth: int, mlp_ratio: float, text_width: int) -> None:
    config = DiTConfig(width=width, depth=depth, mlp_ratio=mlp_ratio, text_width=text_width)
    size = SampleSize(visual=96, text=TEXT_TOKENS, slices=4)
    model = DiT(config)
    batch = packed(config, size, copies=1)
    assert dit_activations(config, size) == pytest.approx(kept_bytes(model, lambda: model(batch)), rel=0.1)


def test_operations_and_memory_of_the_autoencoder() -> None:
    model = Autoencoder(AUTOENCODER)
    frames = torch.rand(2, 8, 32, 48, 3)
    encoding, decoding = autoencoder_flops(AUTOENCODER)
    seen = counted(lambda: reconstruct_windows(model, frames, None))
    assert seen == pytest.approx((encoding + decoding) * frames.numel() / 3, rel=1e-6)
    run = replace(PRESETS["tiny"].autoencoder, model=AUTOENCODER)
    run = override(run, ["pool.batch_pixels=24576", "pool.shapes=[[8,32,48]]"])
    kept = kept_bytes(model, lambda: reconstruct_windows(model, frames, None))
    assert autoencoder_costs(run)["memory"]["activations"] == pytest.approx(kept, rel=0.05)
    assert autoencoder_costs(run)["parameters"] == sum(p.numel() for p in model.parameters())


def test_parameters_and_optimizer_of_a_run() -> None:
    run = PRESETS["tiny"].dit
    model = DiT(run.model)
    costs = dit_costs(run)
    assert costs["parameters"] == sum(p.numel() for p in model.parameters())
    optimizers = make_optimizers(model, run.train)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    for optimizer in optimizers:
        optimizer.step()
    remembered = [tensor for optimizer in optimizers for state in optimizer.state.values() for tensor in state.values()]
    assert costs["memory"]["optimizer"] == sum(
        tensor.nbytes for tensor in remembered if torch.is_tensor(tensor) and tensor.ndim
    )
    visual = costs["tokens_per_step"] - costs["samples_per_step"] * TEXT_TOKENS
    assert run.train.batch_tokens - visual // costs["samples_per_step"] < visual <= run.train.batch_tokens


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_counted(preset: str) -> None:
    dit = answer("train", "dit", "--preset", preset, "--dry-run")
    assert dit["settings"]["model"]["width"] == PRESETS[preset].dit.model.width
    assert dit["costs"]["flops_per_step"] > 6 * dit["costs"]["parameters"]
    autoencoder = answer("train", "autoencoder", "--preset", preset, "--dry-run")
    assert autoencoder["costs"]["parameters"] < 1e9
    assert all(costs["memory"]["in all"] > 4 * costs["parameters"] for costs in (dit["costs"], autoencoder["costs"]))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_trained_on_what_it_generates_and_fits_its_device(name: str) -> None:
    preset = PRESETS[name]
    run = preset.dit
    rows, columns = run.geometry.token_grid(run.defaults.height, run.defaults.width)
    tokens = len(run.geometry.slices(run.defaults.num_frames)) * rows * columns
    assert tokens <= run.train.max_sample_tokens
    assert not run.train.pass_tokens or tokens <= run.train.pass_tokens <= run.train.batch_tokens
    costs = dit_costs(run)
    if preset.gigabytes is None:
        assert preset.about.startswith("shape only") and costs["memory"]["in all"] > 180e9  # of the largest GPUs
    else:
        assert costs["memory"]["in all"] <= preset.gigabytes * 1e9
        assert autoencoder_costs(preset.autoencoder)["memory"]["in all"] <= preset.gigabytes * 1e9
    if operations := re.search(r"([\d.e]+) operations", preset.about):
        assert costs["flops_in_all"] == pytest.approx(float(operations[1]), rel=0.05)


def test_settings_change_the_count() -> None:
    small = answer("train", "autoencoder", "--preset", "tiny", "--dry-run", "--set", *SMALL_AUTOENCODER, "--seed", "5")
    assert small["costs"]["parameters"] == sum(p.numel() for p in Autoencoder(AUTOENCODER).parameters())
    assert small["settings"]["seed"] == 5
    assert "multiple of head_dim" in refused(
        "train", "dit", "--preset", "tiny", "--dry-run", "--set", "model.width=100", status=2
    )


def test_a_model_that_no_machine_holds_is_a_problem() -> None:
    assert memory_problem(dit_costs(PRESETS["tiny"].dit)) is None
    costs = dit_costs(override(PRESETS["tiny"].dit, ["model.width=1000000", "model.head_dim=64"]))
    with pytest.raises(UsageError, match=r"need [0-9,]{7,}\.[0-9] GB .* this (machine|GPU) has"):
        check_memory(costs)


def test_a_step_that_no_machine_holds_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no preset that trains is refused with 3 GB, which a machine of 4 GiB has free."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("chronotope.cli.costs.available_bytes", lambda: 3_000_000_000)
    trained = [preset for preset in PRESETS.values() if preset.is_trained]
    assert len(trained) == 3
    for preset in trained:
        assert memory_problem(dit_costs(preset.dit)) is None
        assert memory_problem(autoencoder_costs(preset.autoencoder)) is None
        for costs, setting in (
            (dit_costs(override(preset.dit, ["train.batch_tokens=100000000"])), "train.batch_tokens"),
            (dit_costs(override(preset.dit, [f"train.{name}=100000000" for name in LONG] + LARGE)), "max_sample"),
            (autoencoder_costs(override(preset.autoencoder, ["pool.batch_pixels=100000000"])), "pool.batch_pixels"),
        ):
            with pytest.raises(UsageError, match=f"activations of a step, and this machine has free 3.0 GB.*{setting}"):
                check_memory(costs)
    large = override(PRESETS["tiny"].dit, ["train.batch_tokens=100000"])
    assert memory_problem(dit_costs(large))
    assert memory_problem(dit_costs(override(large, ["train.pass_tokens=25000"]))) is None
    monkeypatch.setenv("WORLD_SIZE", "4")  # each process has a quarter of a step
    assert memory_problem(dit_costs(large)) is None


COUNT = """
import sys
import torch
before = set(sys.modules)
from chronotope.models.autoencoder import AutoencoderConfig
from chronotope.models.costs import autoencoder_flops, count_parameters
from chronotope.models.dit import DiTConfig
count_parameters(DiTConfig()), count_parameters(AutoencoderConfig()), autoencoder_flops(AutoencoderConfig())
print(*sorted({"sympy", "torch._dynamo", "torch._prims", "torch._refs"} & (set(sys.modules) - before)))
"""


def test_counting_imports_no_compiler() -> None:
    """As drawing weights, or a convolution, on the meta device does."""
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
