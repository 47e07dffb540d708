"""The perceptual and the adversarial term of the autoencoder's training, and the gate that decides what is finished."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from chronotope.checkpoint import load_tensors, read_description
from chronotope.config import override
from chronotope.errors import ChronotopeError, FileProblem, UsageError
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.train.autoencoder import run as script
from chronotope.train.autoencoder import train_autoencoder
from chronotope.train.autoencoder.adversarial import (
    SliceDiscriminator,
    adaptive_weight,
    discriminator_loss,
    generator_loss,
)
from chronotope.train.autoencoder.gate import Gate
from chronotope.train.autoencoder.perceptual import FeatureNetwork, load_features
from tests.train.small import AUTOENCODER, weights

transformers = pytest.importorskip("transformers")

CPU = torch.device("cpu")
STATISTICS = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random networks as the library saves them: a convolutional one, one of patches, and one that reads text."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    conv = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    patches = transformers.Dinov2Config(**sizes, image_size=28, patch_size=14)
    fixed = transformers.ViTConfig(**sizes, intermediate_size=16, image_size=32, patch_size=8)
    text = transformers.BertConfig(**sizes, intermediate_size=16, vocab_size=30)
    folders = {}
    for name, config in (("conv", conv), ("patches", patches), ("fixed", fixed), ("text", text)):
        folders[name] = tmp_path_factory.mktemp(name)
        transformers.AutoModel.from_config(config).eval().save_pretrained(folders[name])
    (folders["conv"] / "preprocessor_config.json").write_text(json.dumps(STATISTICS))
    return folders


def load(folder: Path) -> FeatureNetwork:
    return load_features(f"hf:{folder}", CPU)


def frames(seed: int, count: int = 2, height: int = 32, width: int = 48) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_distance_is_that_of_the_hidden_states_of_the_library(networks: dict[str, Path]) -> None:
    one, other = frames(0), frames(1)
    network = transformers.AutoModel.from_pretrained(networks["conv"]).eval()
    mean, deviation = (torch.tensor(STATISTICS[name])[:, None, None] for name in ("image_mean", "image_std"))
    with torch.no_grad():
        states = [
            network(((x + 1) / 2 - mean) / deviation, output_hidden_states=True).hidden_states for x in (one, other)
        ]
    layers = [
        (torch.nn.functional.normalize(a, dim=1) - torch.nn.functional.normalize(b, dim=1)).square().sum(1).mean()
        for a, b in zip(*states, strict=True)
    ]
    features = load(networks["conv"])
    assert float(features.distance(one, other)) == pytest.approx(float(torch.stack(layers).mean()), rel=1e-4)
    assert features.facts.kind == "resnet" and features.facts.parameters == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", ["conv", "patches", "fixed"])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (24, 40)])
def test_frames_of_any_size_have_a_distance_with_a_gradient_to_the_output_alone(
    networks: dict[str, Path], name: str, height: int, width: int
) -> None:
    features = load(networks[name])
    output, target = frames(2, 2, height, width).requires_grad_(), frames(3, 2, height, width).requires_grad_()
    assert float(features.distance(target, target).detach()) == pytest.approx(0, abs=1e-6)
    distance = features.distance(output, target)
    distance.backward()
    assert float(distance.detach()) > 1e-4 and output.grad is not None and float(output.grad.abs().sum()) > 0
    assert target.grad is None and all(p.grad is None for p in features.network.parameters())
    half = features.distance(output, target, "bf16")
    assert half.dtype == torch.float32
    assert float(half.detach()) == pytest.approx(float(distance.detach()), rel=0.1)


def test_what_shows_no_features_of_images_is_refused(networks: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a bert, whose input is input_ids and not an image"):
        load(networks["text"])
    with pytest.raises(UsageError, match="a feature network is hf:FOLDER or hf:NAME"):
        load_features("resnet", CPU)
    with pytest.raises(ChronotopeError, match="there is no folder /none"):
        load_features("hf:/none", CPU)
    (tmp_path / "config.json").write_text((networks["conv"] / "config.json").read_text())
    with pytest.raises(FileProblem, match="has no weights"):
        load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((networks["conv"] / "model.safetensors").read_bytes())
    for content, problem in (("[]", "is damaged"), ('{"image_std": [1, 0, 1]}', "the latter above 0")):
        (tmp_path / "preprocessor_config.json").write_text(content)
        with pytest.raises(FileProblem, match=problem):
            load(tmp_path)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (["perceptual.weight=0.1"], "needs perceptual.network"),
        (["perceptual.network=hf:x"], "is not used where perceptual.weight = 0"),
        (["perceptual.network=hf:x", "perceptual.weight=1", "perceptual.start=6"], "is not before the last step"),
        (["adversarial.weight=0.1", "adversarial.rate=0"], "changes no weight in single precision"),
    ],
)
def test_settings_without_effect_are_refused(settings: list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        override(AUTOENCODER, settings)


def test_the_discriminator_sees_one_slice_and_patches_of_26_pixels() -> None:
    torch.manual_seed(0)
    discriminator = SliceDiscriminator(4, 4)
    windows = torch.randn(2, 8, 64, 64, 3)
    apart = torch.cat([discriminator(windows[b : b + 1, t : t + 4]) for b in range(2) for t in (0, 4)])
    torch.testing.assert_close(discriminator(windows), apart, rtol=0, atol=1e-6)
    still = windows[:, :1]
    torch.testing.assert_close(discriminator(still), discriminator(still.expand(-1, 4, -1, -1, -1)))
    pixels = windows[:1, :4].clone().requires_grad_()
    discriminator(pixels)[0, 0, 8, 8].backward()
    assert pixels.grad is not None
    seen = pixels.grad.abs().sum(dim=(0, 1, 4)).nonzero()
    assert (seen.max(dim=0).values - seen.min(dim=0).values + 1).tolist() == [26, 26]


def test_the_losses_and_the_weight_of_the_adversarial_term() -> None:
    real, made = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.5])
    assert float(discriminator_loss(real, made)) == pytest.approx(0.25 + 0.75)
    assert float(generator_loss(made)) == pytest.approx(1.25)
    last = torch.ones(3, requires_grad=True)
    rest, term = 6 * last.sum(), -2 * last.sum()
    assert float(adaptive_weight(rest, term, last, 10.0)) == pytest.approx(3.0, rel=1e-4)
    assert float(adaptive_weight(rest, term, last, 2.0)) == 2.0
    assert float(adaptive_weight(rest, 0 * term, last, 10.0)) == 10.0


def test_the_gate_keeps_the_last_weights_within_the_margin() -> None:
    model = Autoencoder(AutoencoderConfig(widths=(8, 12), encoder_blocks=(0, 0), decoder_blocks=(0, 0), channels=2))
    gate = Gate(model, 0.3)
    said = []
    for step, moving in enumerate([20.0, 21.0, 20.8, 20.6, 22.0, 21.75, 21.6]):
        model.latent_mean.fill_(step)
        said.append(gate.check(step, {"psnr": 30.0, "psnr_moving": moving}, model))
    assert [bool(sentence) for sentence in said] == [False, False, False, True, False, False, True]
    assert said[-1].startswith("step 6 is not kept: its PSNR of moving pixels, 21.60 dB") and "22.00 dB" in said[-1]
    assert float(gate.weights.latent_mean[0]) == 5
    assert gate.facts == {"margin": 0.3, "step": 5, "psnr": 30.0, "psnr_moving": 21.75, "highest": 22.0}
    assert Gate(model, 0.3).check(0, {"psnr": 30.0}, model) == ""  # nothing moves


@pytest.fixture(scope="module")
def settings(networks: dict[str, Path]) -> list[str]:
    terms = [f"perceptual.network=hf:{networks['conv']}", "perceptual.weight=0.1", "perceptual.frames=4"]
    terms += ["adversarial.weight=0.2", "adversarial.start=0.4", "adversarial.width=4", "train.moving_margin=50"]
    return [*terms, "train.freeze_encoder_from=2", "train.check_every=2", "train.log_every=1", "train.warmup=2"]


@pytest.fixture(scope="module")
def trained(clips: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("terms")
    train_autoencoder(override(AUTOENCODER, settings), [clips], folder, quiet=True)
    return folder


def log_of(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in ("seconds", "clips/s", "seal")} for row in rows]


def test_a_run_with_both_terms_resumes_to_the_bit(
    clips: Path, settings: list[str], trained: Path, tmp_path: Path
) -> None:
    run = override(AUTOENCODER, settings)
    steps: Iterator[bool] = iter([False, False, False, True])
    train_autoencoder(run, [clips], tmp_path, quiet=True, stopping=lambda: next(steps))
    assert not (tmp_path / "checkpoints" / "0000006").exists()
    train_autoencoder(run, [clips], tmp_path, quiet=True)
    assert weights(tmp_path) == weights(trained) and log_of(tmp_path) == log_of(trained)
    one, other = (
        load_tensors(folder / "checkpoints" / "0000006" / "state.safetensors") for folder in (tmp_path, trained)
    )
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert {name.split(".")[1] for name in one if name.startswith("beside.")} == {"discriminator", "gate"}


def test_terms_begin_late_and_are_logged(trained: Path) -> None:
    rows = {row["step"]: row for row in log_of(trained)}
    assert all("perceptual" in row for row in rows.values())
    assert [step for step, row in rows.items() if "discriminator" in row] == [4, 5, 6]  # 0.4 of 6 steps are over
    assert all(0 < rows[step]["adversarial_ratio"] <= 10 for step in (4, 5, 6))
    state = load_tensors(trained / "checkpoints" / "0000006" / "state.safetensors")
    assert int(state["beside.discriminator.updates"]) == 3


def test_the_encoder_stays_frozen_and_the_card_says_what_trained_the_model(
    trained: Path, networks: dict[str, Path]
) -> None:
    before, after = (
        load_tensors(trained / "checkpoints" / step / "model.safetensors") for step in ("0000003", "0000006")
    )
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder"}
    card = read_description(trained)
    assert card["perceptual"] == {
        "name": f"hf:{networks['conv']}",
        "hash": load(networks["conv"]).facts.hash,
        "kind": "resnet",
        "parameters": card["perceptual"]["parameters"],
    }
    assert card["training"]["run"]["adversarial"]["weight"] == 0.2
    assert card["gate"]["step"] == 6 and card["gate"]["margin"] == 50
    assert card["training"]["psnr_moving"] == card["gate"]["psnr_moving"] > 0


def test_a_fall_of_moving_pixels_ships_earlier_weights(
    clips: Path,
    settings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = iter([20.0, 21.0, 20.5, 20.0])  # at steps 2 (before the freezing, and of what it froze), 4 and 6
    picture = torch.zeros(8, 8, 3, dtype=torch.uint8)
    monkeypatch.setattr(script, "validate", lambda *_: ({"psnr": 30.0, "psnr_moving": next(found)}, picture))
    run = override(override(AUTOENCODER, settings), ["train.moving_margin=0.6", "train.save_every=2"])
    kept: list[Path] = []
    train_autoencoder(
        run, [clips], tmp_path, stopping=lambda: kept.append(tmp_path / "checkpoints" / "0000004") or False
    )
    assert "step 6 is not kept" in capsys.readouterr().err
    averaged = load_tensors(kept[0] / "model.safetensors")
    shipped = load_tensors(tmp_path / "model.safetensors")
    assert all(torch.equal(shipped[name], averaged[name].half()) for name in shipped)
    card = read_description(tmp_path)
    assert card["gate"] == {"margin": 0.6, "step": 4, "psnr": 30.0, "psnr_moving": 20.5, "highest": 21.0}
    assert card["training"]["psnr_moving"] == 20.5 and log_of(tmp_path)[-1]["psnr_moving"] == 20.0
    assert log_of(tmp_path)[-1]["kept_step"] == 4


def test_a_discriminator_needs_a_frozen_encoder(clips: Path, settings: list[str], tmp_path: Path) -> None:
    late = override(override(AUTOENCODER, settings), ["train.freeze_encoder_from=6"])
    with pytest.raises(UsageError, match="begins when the encoder is frozen"):
        train_autoencoder(late, [clips], tmp_path, quiet=True)


def test_another_network_of_the_same_name_is_refused(
    clips: Path, settings: list[str], trained: Path, networks: dict[str, Path]
) -> None:
    statistics = networks["conv"] / "preprocessor_config.json"
    before = statistics.read_text()
    statistics.write_text(json.dumps({**STATISTICS, "image_mean": [0, 0, 0]}))
    try:
        with pytest.raises(UsageError, match="restore its files, or give another --out"):
            train_autoencoder(
                override(override(AUTOENCODER, settings), ["train.steps=8"]), [clips], trained, quiet=True
            )
    finally:
        statistics.write_text(before)


def test_a_discriminator_that_is_not_finite_changes_nothing(
    clips: Path, settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "chronotope.train.autoencoder.terms.discriminator_loss", lambda real, made: made.mean() * torch.nan
    )
    with pytest.raises(ChronotopeError, match="not finite in 3 steps in a row"):
        train_autoencoder(override(AUTOENCODER, settings), [clips], tmp_path, quiet=True)
    skipped = [json.loads(line)["step"] for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    assert skipped == [4, 5, 6]
