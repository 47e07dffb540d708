"""Measure tokens per second of a training step over ten sizes: packed, padded, and one size a batch."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.harness import Options, Row, say
from chronotope.geometry import Geometry
from chronotope.models import dit as dit_module
from chronotope.models.attention import Segments
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.packing import Sample, pack, row_signals, unpack
from chronotope.models.refinement import Grid

TITLE = "Packing: useful tokens per second of a training step"
THREADS = 1
# (frames, height, width): pictures and clips, short and long, small and large, wide and tall
MIX = ((1, 64, 64), (1, 128, 128), (5, 96, 64), (8, 64, 96), (9, 128, 72),
       (12, 80, 48), (16, 64, 64), (16, 96, 64), (17, 64, 96), (24, 72, 128))  # fmt: skip
TEXT_TOKENS = 16
CONFIG = DiTConfig(width=192, depth=6)
GEOMETRY = Geometry()


def make_sample(index: int, frames: int, height: int, width: int) -> Sample:
    """Make a sample of random latents."""
    generator = torch.Generator().manual_seed(index)
    slices = GEOMETRY.slices(frames)
    count = GEOMETRY.num_tokens(frames, height, width)
    row = torch.arange(len(slices)).repeat_interleave(count // len(slices))
    ids = tuple(torch.randint(2, CONFIG.vocabulary_size, (TEXT_TOKENS,), generator=generator).tolist())
    return Sample(
        noisy=torch.randn(count, CONFIG.token_size, generator=generator),
        positions=torch.from_numpy(GEOMETRY.positions(slices, height, width, 8.0)),
        row=row,
        level=torch.rand(len(slices), generator=generator),
        signals=row_signals(GEOMETRY, slices, height, width, 8.0),
        texts=((0.0, ids),),
        grid=Grid(len(slices), *GEOMETRY.token_grid(height, width)),
    )


def make_model() -> DiT:
    """Make a model whose zero-initialised matrices are random, so that comparing outputs is meaningful."""
    torch.manual_seed(0)
    model = DiT(CONFIG)
    for module in (model.modulation, model.final_modulation, model.patch_out):
        nn.init.normal_(module.weight, std=0.5 * module.in_features**-0.5)
    return model


def padded(samples: Sequence[Sample]) -> tuple[list[Sample], list[int]]:
    """Pad every sample to the longest; also return the true lengths, in order."""
    longest = max(sample.num_tokens for sample in samples)
    ordered = sorted(samples, key=lambda sample: (sample.num_tokens, sample.num_text_tokens))
    long = []
    for sample in ordered:
        more = longest - sample.num_tokens
        fill = {"noisy": F.pad(sample.noisy, (0, 0, 0, more)), "positions": F.pad(sample.positions, (0, 0, 0, more))}
        strip = Grid(1, 1, len(sample.noisy) + more)  # a padded sample is no longer a grid
        long.append(dataclasses.replace(sample, **fill, row=F.pad(sample.row, (0, more)), grid=strip))
    return long, [sample.num_tokens for sample in ordered]


@contextlib.contextmanager
def masked_attention(true_lengths: Sequence[int]) -> Iterator[None]:
    """Replace attention by that of a padded batch: one call, with the padding masked."""
    true = torch.tensor(true_lengths)

    def attend(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
        lengths = segments.lengths
        longest = lengths[0]
        visible = (torch.arange(longest) < true[:, None])[:, None, None]
        rows = (x.unflatten(0, (len(lengths), longest)).transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(*rows, attn_mask=visible).transpose(1, 2).flatten(0, 1)

    with mock.patch.object(dit_module, "packed_attention", attend):
        yield


def run_packed(model: DiT, samples: Sequence[Sample]) -> list[Tensor]:
    """Return the network's output for every sample, packed into one sequence."""
    batch, arranged = pack(samples)
    return unpack(model(batch), samples, arranged)


def run_padded(model: DiT, samples: Sequence[Sample]) -> list[Tensor]:
    """Return the network's output for every sample, padded; outputs of padding are removed."""
    long, true_lengths = padded(samples)
    with masked_attention(true_lengths):
        outputs = run_packed(model, long)
    ordered = sorted(range(len(samples)), key=lambda i: (samples[i].num_tokens, samples[i].num_text_tokens))
    found = dict(zip(ordered, (o[: t - TEXT_TOKENS] for t, o in zip(true_lengths, outputs, strict=True)), strict=True))
    return [found[i] for i in range(len(samples))]


def step(model: DiT, run: Callable[[DiT, Sequence[Sample]], list[Tensor]], samples: Sequence[Sample]) -> None:
    """Compute one forward and backward pass."""
    outputs = run(model, samples)
    torch.stack([output.square().mean() for output in outputs]).mean().backward()
    model.zero_grad(set_to_none=True)


def measure(options: Options) -> dict[str, Any]:
    """Check that all variants compute the same outputs, then measure the speed of each."""
    model = make_model()
    samples = [make_sample(i, *shape) for i, shape in enumerate(MIX)]
    with torch.no_grad():
        alone = [run_packed(model, [sample])[0] for sample in samples]
        differences = {
            name: max(float((a - b).abs().max()) for a, b in zip(alone, run(model, samples), strict=True))
            for name, run in (("packed", run_packed), ("padded", run_padded))
        }
    scale = max(float(output.abs().max()) for output in alone)
    assert max(differences.values()) < 1e-4 * scale, (
        f"the variants differ by {differences}, at outputs of up to {scale}"
    )
    useful = sum(sample.num_tokens for sample in samples)
    # one size a batch: for each size, as many samples as fit the tokens of the packed batch
    same_size = [
        [make_sample(100 * i + j, *shape) for j in range(max(1, useful // samples[i].num_tokens))]
        for i, shape in enumerate(MIX)
    ]
    rates: dict[str, list[float]] = {"packed": [], "padded": [], "one size a batch": []}
    step(model, run_packed, samples)  # warm up
    for number in range(options.rounds):
        for name, run in (("packed", run_packed), ("padded", run_padded)):
            began = time.perf_counter()
            for _ in range(3):
                step(model, run, samples)
            rates[name].append(3 * useful / (time.perf_counter() - began))
        began = time.perf_counter()
        for batch in same_size:
            step(model, run_packed, batch)
        rates["one size a batch"].append(
            sum(s.num_tokens for batch in same_size for s in batch) / (time.perf_counter() - began)
        )
        say(f"  round {number + 1}: " + ", ".join(f"{name} {values[-1]:.0f}" for name, values in rates.items()))
    longest = max(sample.num_tokens for sample in samples)
    shares = {
        "packed": useful / sum(pack(samples)[0].lengths),
        "padded": useful / (longest * len(samples)),
        "one size a batch": 1.0,
    }
    results = {
        name: {"tokens_per_second": values, "median": statistics.median(values), "useful_share": shares[name]}
        for name, values in rates.items()
    }
    settings = {
        "model": f"width {CONFIG.width}, depth {CONFIG.depth}",
        "tokens": f"{useful} in {len(MIX)} samples of {min(s.num_tokens for s in samples)} to {longest}",
        "rounds": options.rounds,
        "order": "interleaved",
    }
    return {"settings": settings, "results": results, "largest_difference": differences, "output_scale": scale}


def rows(section: dict[str, Any]) -> list[Row]:
    """Return speeds, shares of useful tokens, and the agreement of outputs."""
    found = section["results"]
    lines = [Row(f"{name}: useful tokens per second", f"{values['median']:.0f}") for name, values in found.items()]
    for name, values in found.items():
        lines.append(
            Row(
                f"{name}: share of useful tokens",
                f"{values['useful_share']:.1%}",
                ">= 98 %" if name == "packed" else "",
            )
        )
    ratio = found["packed"]["median"] / found["padded"]["median"]
    same = found["packed"]["median"] / found["one size a batch"]["median"]
    digits = -math.log10(max(section["largest_difference"].values()) / section["output_scale"])
    return [
        *lines,
        Row("packed over padded", f"{ratio:.2f} x"),
        Row("packed over one size a batch", f"{same:.2f} x"),
        Row("packed, padded and separate outputs agree", f"to {digits:.1f} digits", "5"),
    ]
