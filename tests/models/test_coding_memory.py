"""The bytes that encoding and decoding are counted to take, against what torch allocates."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.costs import BUFFERS, coding_bytes
from chronotope.models.precision import rounded

SIDE = 256


def peak_bytes(call: Callable[[], object]) -> int:
    """Return the most bytes that torch holds at once beyond what it held before."""
    call()  # what is made once
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        call()
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("widths", "blocks"), [((48, 96), (1, 1)), ((128, 256), (3, 0))])
def test_coding_takes_what_is_counted(precision: str, widths: tuple[int, int], blocks: tuple[int, int]) -> None:
    torch.manual_seed(0)
    config = AutoencoderConfig(widths=widths, encoder_blocks=blocks, decoder_blocks=blocks)
    model = rounded(Autoencoder(config).eval().requires_grad_(False), "bf16" if precision == "bf16" else "fp32")
    counted = [number - BUFFERS for number in coding_bytes(config, SIDE, SIDE, precision == "bf16")]
    frames = torch.randint(0, 256, (4, SIDE, SIDE, 3), dtype=torch.uint8)
    latents = torch.randn(config.channels, SIDE // 8, SIDE // 8)
    encoding = peak_bytes(lambda: model.encode_slice(frames))
    decoding = peak_bytes(lambda: model.decode_slice(latents, latents, latents, False))
    assert encoding == pytest.approx(counted[0], rel=0.2) and decoding == pytest.approx(counted[1], rel=0.2)
