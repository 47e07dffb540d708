"""Grown weights compute what the old ones compute, and a grown model can be trained further and generate."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from einops import reduce

from chronotope.checkpoint import read_description
from chronotope.cli.language.captioners import load_captioner
from chronotope.config import override
from chronotope.data.encode import encode_dataset
from chronotope.data.latents import LatentDataset, fingerprint
from chronotope.errors import UsageError
from chronotope.generate.pipeline import Generator, load_autoencoder
from chronotope.geometry import Geometry
from chronotope.models.attention import Segments
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.captioner import CaptionerConfig, LatentCaptioner, VisualTokens
from chronotope.models.dit import DiT, DiTConfig, PackedTokens
from chronotope.models.refinement import Grid, neighbours_of
from chronotope.train.autoencoder import train_autoencoder
from chronotope.train.dit import train_dit
from chronotope.train.grow import fit_new_channels, grow_autoencoder, grow_captioner, grow_dit, grow_refinement
from chronotope.train.language.captioner import CaptionerRun, CaptionerTraining, train_captioner
from tests.cli.models import save_run
from tests.train.small import AUTOENCODER, DIT

CONFIG = AutoencoderConfig(widths=(8, 12), encoder_blocks=(1, 1), decoder_blocks=(1, 1), channels=3)


def random_weights(model: torch.nn.Module) -> None:
    """Draw every weight, those that begin at zero too."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) / parameter[0].numel() ** 0.5)


@pytest.fixture
def old() -> Autoencoder:
    model = Autoencoder(CONFIG)
    random_weights(model)
    return model


@pytest.mark.parametrize(("frames", "channels"), [(1, 3), (2, 3), (2, 5), (4, 8)])
def test_a_grown_autoencoder_does_what_the_old_one_does_for_repeated_frames(
    old: Autoencoder, frames: int, channels: int
) -> None:
    new = grow_autoencoder(old, frames, channels)
    assert new.config == replace(CONFIG, stride=(frames, 8, 8), channels=channels)
    pixels = torch.rand(2, frames, 16, 24, 3) * 2 - 1
    mean, log_variance = new.encoder(new.fold(pixels))
    before, variance_before = old.encoder(old.fold(pixels.repeat_interleave(4 // frames, dim=1)))
    torch.testing.assert_close(mean[:, :3], before)
    torch.testing.assert_close(log_variance[:, :3], variance_before)
    assert not mean[:, 3:].any() and (log_variance[:, 3:] == -6).all()
    noise = torch.randn(2, channels - 3, 2, 3)  # in new channels: the decoder does not look at them yet
    latents = torch.cat([mean[:, :3], noise], dim=1)
    decoded = new.unfold(new.decoder(new.window(latents, latents, None, (0.2, 0.1, 0.0))))
    decoded_before = old.unfold(old.decoder(old.window(before, before, None, (0.2, 0.1, 0.0))))
    expected = reduce(decoded_before, "b (t r) h w c -> b t h w c", "mean", t=frames)
    torch.testing.assert_close(decoded, expected)


@pytest.mark.parametrize(("frames", "channels"), [(3, 3), (8, 3), (2, 2), (0, 3), (4, 3)])
def test_what_cannot_be_grown_is_refused(old: Autoencoder, frames: int, channels: int) -> None:
    with pytest.raises(UsageError, match=f"got {frames} frames and {channels} channels"):
        grow_autoencoder(old, frames, channels)


def test_new_channels_are_the_best_linear_correction(old: Autoencoder) -> None:
    """As many new channels as a block has values: what is left is the residual of least squares."""
    config = AutoencoderConfig(stride=(1, 4, 4), widths=(8,), encoder_blocks=(1,), decoder_blocks=(1,), channels=3)
    small = Autoencoder(config)
    random_weights(small)
    pixels = torch.rand(40, 1, 16, 24, 3) * 2 - 1
    pixels[..., 1] = 0.5 * pixels[..., 0]
    new = grow_autoencoder(small, 1, 3 + 48)
    before = errors(new, pixels)
    fit_new_channels(new, pixels, kept=3, ridge=1e-9)
    after = errors(new, pixels)
    inputs = new.corners(new.fold(pixels))
    design = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1).double()
    solution = torch.linalg.lstsq(design, before.double(), driver="gelsd").solution
    residual = before.double() - design @ solution
    # the decoder has one bias a channel, so the mean error of a block stays
    centred = after.double() - after.double().mean(dim=0)
    assert float(centred.square().mean()) == pytest.approx(float(residual.square().mean()), rel=1e-2)
    assert float(after.square().mean()) < float(before.square().mean())
    # the first of them correct most
    fewer = grow_autoencoder(small, 1, 3 + 6)
    fit_new_channels(fewer, pixels, kept=3)
    assert float(after.square().mean()) < float(errors(fewer, pixels).square().mean()) < float(before.square().mean())


@torch.no_grad()
def errors(model: Autoencoder, pixels: torch.Tensor) -> torch.Tensor:
    folded = model.fold(pixels)
    mean, _ = model.encoder(folded)
    return model.corners(folded) - model.corners(model.decoder(model.window(None, mean, None)))


SMALL_DIT = DiTConfig(width=32, depth=2, head_dim=16, text_depth=1, vocabulary_size=80, channels=3, seam_width=6)


def predict(model: DiT) -> torch.Tensor:
    """The output for two slices of 2 x 3 tokens of 4 latents; models of more channels see more of the same numbers."""
    noisy = torch.randn(12, 4, 8, generator=torch.Generator().manual_seed(4))[..., : model.config.channels]
    with torch.no_grad():
        output = model(
            PackedTokens(
                noisy=noisy.flatten(1),
                text_tokens=torch.tensor([0, 5, 9]),
                texts=Segments((3,)),
                order=torch.arange(15),
                place=torch.arange(3, 15),
                samples=Segments((15,)),
                positions=torch.randn(15, 3, generator=torch.Generator().manual_seed(1)),
                row=torch.tensor([2] * 3 + [0] * 6 + [1] * 6),
                level=torch.tensor([0.3, 0.6, 0.0]),
                signals=torch.randn(3, 5, generator=torch.Generator().manual_seed(2)),
                grids=(Grid(2, 2, 3),),
                neighbours=neighbours_of((Grid(2, 2, 3),)),
            )
        )
    return output.unflatten(1, (4, model.config.channels))


def test_a_grown_transformer_predicts_the_old_channels_as_before() -> None:
    old = DiT(SMALL_DIT)
    random_weights(old)
    before, after = predict(old), predict(grow_dit(old, 5))
    torch.testing.assert_close(after[..., :3], before)
    assert not after[..., 3:].any()


@pytest.mark.parametrize(("hidden", "depth"), [(6, 2), (9, 0), (10, 3)])
def test_a_grown_refinement_predicts_as_before_and_its_new_parts_learn(hidden: int, depth: int) -> None:
    old = DiT(SMALL_DIT)
    random_weights(old)
    new = grow_refinement(old, hidden, depth)
    assert new.config == replace(SMALL_DIT, seam_width=hidden, seam_depth=depth)
    torch.testing.assert_close(predict(new), predict(old))
    with torch.no_grad():
        new.seams.correct.weight[:, -1] += 0.1  # what the last channel holds is read
        if depth:
            new.seams.blocks[-1].conv_out.weight += 0.1
    assert (predict(new) - predict(old)).abs().max() > 1e-3


def test_a_refinement_with_blocks_can_be_deepened_and_not_widened() -> None:
    old = DiT(replace(SMALL_DIT, seam_depth=1))
    random_weights(old)
    torch.testing.assert_close(predict(grow_refinement(old, 6, 3)), predict(old))
    for hidden, depth in ((6, 0), (5, 1), (7, 1)):
        with pytest.raises(UsageError, match="more blocks, got"):
            grow_refinement(old, hidden, depth)
    with pytest.raises(UsageError, match="of 3 channels can be grown to more, got 2"):
        grow_dit(old, 2)


def test_a_grown_captioner_writes_as_before() -> None:
    config = CaptionerConfig(width=32, depth=1, text_depth=1, head_dim=16, vocabulary_size=80, channels=3)
    old = LatentCaptioner(config)
    random_weights(old)
    new, values = grow_captioner(old, 5), torch.randn(6, 4, 5)

    def write(model: LatentCaptioner, channels: int) -> torch.Tensor:
        positions = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
        clips = VisualTokens(values[..., :channels].flatten(1), torch.zeros(6), positions, (6,))
        with torch.no_grad():
            return model(clips, {"sentence": torch.tensor([[5, 9, 7]])})["sentence"]

    torch.testing.assert_close(write(new, 5), write(old, 3))
    with pytest.raises(UsageError, match="of 3 channels can be grown to more, got 2"):
        grow_captioner(old, 2)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "runs" / "grow.py"
    spec = importlib.util.spec_from_file_location("grow", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow  # the networks of a grown model have tests each
def test_a_grown_model_is_trained_and_generates(run: Path, clips: Path, tmp_path: Path, script: ModuleType) -> None:
    grown, out = tmp_path / "grown", tmp_path / "out"
    script.grow_an_autoencoder(str(run), 2, 6, [clips], grown)
    start = load_autoencoder(grown)
    latents = override(AUTOENCODER, ["model.stride=[2,8,8]", "model.channels=6"])
    train_autoencoder(latents, [clips], out / "autoencoder", grown / "autoencoder", quiet=True)
    trained = load_autoencoder(out)
    # the encoder of a grown model was not frozen, so it is trained until it is
    assert not torch.equal(start.encoder.layers[0].weight, trained.encoder.layers[0].weight)  # type: ignore[arg-type]
    assert (trained.latent_deviation != 1).all()
    geometry = Geometry(stride=(2, 8, 8))
    encode_dataset(clips, tmp_path / "latents", trained, geometry)
    script.grow_on_latents("dit", str(run), out, [tmp_path / "latents"], tmp_path / "start")
    config = override(DIT, ["geometry.stride=[2,8,8]", "model.channels=6"])
    Generator.load(tmp_path / "start").generate("a block", height=32, width=48, num_frames=5, num_inference_steps=1)
    train_dit(config, [tmp_path / "latents"], out / "dit", start=tmp_path / "start" / "dit", quiet=True)
    sampling = {"height": 32, "width": 48, "num_frames": 9, "num_inference_steps": 2}
    made = Generator.load(out).generate("block 1 moves", **sampling)
    assert made.frames.shape == (9, 32, 48, 3)
    script.grow_the_refinement(str(out), 64, 2, tmp_path / "deeper")
    deeper = Generator.load(tmp_path / "deeper").generate("block 1 moves", **sampling)
    np.testing.assert_allclose(deeper.frames.astype(int), made.frames.astype(int), atol=2)
    config = override(config, ["model.seam_width=64", "model.seam_depth=2"])
    train_dit(config, [tmp_path / "latents"], tmp_path / "deep", start=tmp_path / "deeper" / "dit", quiet=True)


def test_a_captioner_grows_with_its_latents(clips: Path, tmp_path: Path, script: ModuleType) -> None:
    model, other, latents = save_run(tmp_path / "model"), save_run(tmp_path / "other", seed=1), tmp_path / "latents"
    for name, coder in (("lat", model), ("latents", other)):
        encode_dataset(clips, tmp_path / name, load_autoencoder(coder), Geometry())
    config = CaptionerRun(
        model=CaptionerConfig(width=32, head_dim=16, depth=1, text_depth=1, vocabulary_size=160),
        train=CaptionerTraining(steps=2, warmup=1, batch_tokens=40),
    )
    channels = load_autoencoder(model).config.channels
    config = override(config, [f"model.channels={channels}"])
    train_captioner(config, [tmp_path / "lat"], model / "captioner", quiet=True)
    script.grow_on_latents("captioner", str(model), other, [latents], tmp_path / "grown")
    about = read_description(tmp_path / "grown" / "captioner")
    assert about["autoencoder"] == fingerprint(load_autoencoder(other))
    assert not {"heldout", "training", "started_from"} & about.keys()
    trained = read_description(model / "captioner")["data"]
    assert trained and (about["data"], about["data_before"]) == ([], trained)
    with pytest.raises(SystemExit, match="captioner holds a model; give another --out"):
        script.grow_on_latents("captioner", str(model), other, [latents], tmp_path / "grown")
    assert load_captioner(tmp_path / "grown").deviation == LatentDataset([latents]).deviation() * 4
    with pytest.raises(SystemExit, match="was encoded by autoencoder"):
        script.grow_on_latents("captioner", str(model), model, [latents], tmp_path / "no")
