"""A network in bfloat16: the matrices alone are rounded, its bits are those of training's autocast on any threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from chronotope import Generator
from chronotope.caption.subwords import Tokenizer
from chronotope.config import from_dict, override, to_dict
from chronotope.data.latents import encode_frames
from chronotope.errors import UsageError
from chronotope.flow.path import FlowConfig
from chronotope.generate.sampler import Sampling, sample
from chronotope.generate.tasks import Frame, loop, text_to_video
from chronotope.geometry import Geometry
from chronotope.models.adapter import AdapterConfig, adapter_state, add_adapter
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.dit import DiT
from chronotope.models.packing import pack
from chronotope.models.precision import (
    Precision,
    UsedPrecision,
    autocast,
    multiplies_bfloat16,
    rounded,
    used_precision,
)
from chronotope.prompt import Prompt, read_prompts
from chronotope.request import Request
from chronotope.train.config import DiTTraining
from tests.models.test_dit import model as dit
from tests.models.test_dit import sample as tokens

__all__ = ["dit"]

CPU, GEOMETRY = torch.device("cpu"), Geometry()
TOKENIZER = Tokenizer(["\u2581", *"abcdefghijklm"])


@pytest.fixture
def autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    model = Autoencoder(AutoencoderConfig(widths=(32, 64), encoder_blocks=(1, 1), decoder_blocks=(1, 1)))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return model.eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def one_thread_afterwards() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


def processor(monkeypatch: pytest.MonkeyPatch, avx512_bf16: bool, amx: bool, onednn: bool = True) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)


# Which one


@pytest.mark.parametrize(
    ("has", "used"),
    [
        ((False, False), "fp32"),
        ((True, False), "bf16"),
        ((False, True), "bf16"),
        ((True, True), "bf16"),
        ((True, True, False), "fp32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, has: tuple[bool, ...], used: UsedPrecision
) -> None:
    processor(monkeypatch, *has)
    assert used_precision("auto", CPU) == used
    assert multiplies_bfloat16(CPU) == (used == "bf16")
    assert (used_precision("fp32", CPU), used_precision("bf16", CPU)) == ("fp32", "bf16")
    assert used_precision("auto", torch.device("mps")) == "fp32"  # nobody has measured one
    asked: tuple[Precision, ...] = ("auto", "fp32", "bf16")
    for name, expected in zip(asked, (used, "fp32", "bf16"), strict=True):
        with autocast(CPU, name):
            assert torch.is_autocast_enabled("cpu") == (expected == "bf16")


@pytest.mark.parametrize("native", [False, True])
def test_auto_on_a_gpu_is_bfloat16_where_it_is_not_emulated(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert used_precision("auto", torch.device("cuda")) == ("bf16" if native else "fp32")


def test_a_precision_that_is_none_is_refused() -> None:
    for wrong in ("fp16", "float32", None):
        with pytest.raises(UsageError, match="a precision is auto, fp32 or bf16, got"):
            used_precision(wrong, CPU)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="got 'fp16'"):
        Generator.load("small", precision="fp16")  # type: ignore[arg-type]


def test_runs_of_earlier_versions_are_read() -> None:
    described = to_dict(DiTTraining())
    for before, now in (("float32", "fp32"), ("bfloat16", "bf16"), ("auto", "auto")):
        assert from_dict(DiTTraining, {**described, "precision": before}).precision == now
        assert override(DiTTraining(), [f"precision={before}"]).precision == now
    with pytest.raises(UsageError, match="precision"):
        from_dict(DiTTraining, {**described, "precision": "float16"})


# What is rounded


def test_single_precision_is_the_network_itself(autoencoder: Autoencoder, dit: DiT) -> None:
    assert rounded(autoencoder, "fp32") is autoencoder and rounded(dit, "fp32") is dit
    generator = Generator.load("small", precision="fp32")
    assert generator.networks == (generator.autoencoder, generator.dit) and generator.precision == "fp32"


def test_matrices_are_rounded_and_nothing_else(autoencoder: Autoencoder, dit: DiT) -> None:
    for model in (autoencoder, dit):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        half = rounded(model, "bf16").state_dict(keep_vars=True)
        for name, tensor in model.state_dict(keep_vars=True).items():
            assert torch.equal(tensor, before[name])  # the network itself stays as it was
            assert half[name] is tensor or torch.equal(half[name], tensor.bfloat16()), name
            matrix = tensor.ndim > 1 or name.endswith("bias")
            kept = ".linear." in name or "embedding" in name  # the linear paths; text is looked up, not multiplied
            assert (half[name].dtype == torch.bfloat16) == (matrix and not kept), name


@pytest.mark.parametrize("rank", [0, 4])
def test_a_network_in_bfloat16_computes_what_training_computes(dit: DiT, rank: int) -> None:
    """Under autocast, to the bit: so its weights were trained for it; also while an adapter of it is trained."""
    if rank:
        for name, tensor in adapter_state(add_adapter(dit, AdapterConfig(rank))).items():
            nn.init.normal_(tensor, std=0.3 if "lora_B" in name else 0.1)
    batch, _ = pack([tokens(9, 64), tokens(1, 48), tokens(5, 32)])
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            trained, text = dit(batch), dit.encode_text(batch.text_tokens, batch.texts)
        half = rounded(dit, "bf16")
        assert torch.equal(half(batch), trained)
        assert torch.equal(half.encode_text(batch.text_tokens, batch.texts), text)
        assert text.dtype == torch.float32  # the residual stream
        exact = dit(batch)
    assert trained.dtype == torch.bfloat16
    assert 0 < (trained.float() - exact).norm() < 0.02 * exact.norm()


def test_pixels_and_latents_differ_by_less_than_they_are_rounded(autoencoder: Autoencoder) -> None:
    half = rounded(autoencoder, "bf16")
    frames = torch.randint(0, 256, (9, 64, 96, 3), dtype=torch.uint8)
    slices = GEOMETRY.slices(9)
    exact, found = (encode_frames(model, GEOMETRY, frames.numpy(), slices) for model in (autoencoder, half))
    assert found.dtype == torch.float32  # the linear path
    assert 0 < (found - exact).norm() < 0.01 * exact.norm()
    decoded = [model.decode(exact, slices).int() for model in (autoencoder, half)]
    assert 0 < (decoded[0] - decoded[1]).abs().float().mean() < 1


# The same bits


def frame(width: int = 96, height: int = 64) -> Frame:
    return Frame(GEOMETRY, 16, height, width, 8.0, (Prompt("a fox"),))


@pytest.mark.parametrize(("width", "height"), [(96, 64), (64, 64), (48, 16)])
def test_bits_depend_neither_on_threads_nor_on_what_is_computed_beside(
    autoencoder: Autoencoder, dit: DiT, width: int, height: int
) -> None:
    half = rounded(autoencoder, "bf16")
    frames = torch.randint(0, 256, (17, height, width, 3), dtype=torch.uint8).numpy()
    slices = GEOMETRY.slices(17)

    def all_of_it() -> list[torch.Tensor]:
        latents = encode_frames(half, GEOMETRY, frames, slices)
        filled = sample(
            rounded(dit, "bf16"), TOKENIZER, FlowConfig(), GEOMETRY,
            text_to_video(frame(width, height), 17), Sampling(num_steps=2), seed=3,
        )  # fmt: skip
        return [latents, half.decode(latents, slices), filled]

    wanted = all_of_it()
    for threads in (2, 3, 8):
        torch.set_num_threads(threads)
        for one, other in zip(all_of_it(), wanted, strict=True):
            assert torch.equal(one, other), threads
    torch.set_num_threads(1)
    alone = [half.encode_slice(torch.from_numpy(frames[piece.start : piece.stop])) for piece in slices]
    assert torch.equal(torch.stack(alone), wanted[0])  # several slices a pass, or one


def test_the_order_of_samples_changes_no_bit(dit: DiT) -> None:
    half = rounded(dit, "bf16")
    canvases = text_to_video(frame(), 9), loop(frame(), 8)

    def made(number: int) -> torch.Tensor:
        return sample(half, TOKENIZER, FlowConfig(), GEOMETRY, canvases[number], Sampling(num_steps=2), seed=number)

    first, second = made(0), made(1)
    assert torch.equal(made(1), second) and torch.equal(made(0), first)
    assert first.dtype == torch.float32  # the state of the solver


# The generator


def test_the_generator_rounds_what_computes_and_keeps_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {name: Generator.load("small", precision=name) for name in ("fp32", "bf16")}  # type: ignore[arg-type]
    assert made["fp32"].names == made["bf16"].names  # fingerprints are of the weights on disk
    plans = [generator.plan(Request(read_prompts("a red ball")), encode=False) for generator in made.values()]
    more = made["bf16"].memory(plans[1]) - made["fp32"].memory(plans[0])
    bf16 = [tensor for model in made["bf16"].networks for tensor in model.parameters() if tensor.element_size() == 2]
    assert sum(tensor.nbytes for tensor in bf16) <= more < 1.05 * sum(tensor.nbytes for tensor in bf16)
    assert made["bf16"].memory(plans[1]) == made["fp32"].memory(plans[0])  # the copies are there now
    assert made["bf16"].networks is made["bf16"].networks  # rounded once
    size: dict[str, Any] = {"height": 32, "width": 48, "num_frames": 5, "num_inference_steps": 2}
    found = {name: generator.generate("a red ball", **size) for name, generator in made.items()}
    assert [one.origin["precision"] for one in found.values()] == ["fp32", "bf16"]
    error = found["fp32"].frames.astype(int) - found["bf16"].frames
    assert 0 < (error**2).mean() < 10  # above 38 dB
    for amx, used in ((False, "fp32"), (True, "bf16")):
        processor(monkeypatch, False, amx)
        auto = Generator.load("small")
        assert auto.precision == used
        assert (auto.generate("a red ball", **size).frames == found[used].frames).all()
