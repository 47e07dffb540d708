"""Slices that are encoded together: equal to one by one where the kernels are the same, and to rounding elsewhere."""

from __future__ import annotations

import pytest
import torch

from chronotope.data.latents import DEVICE_PASS_SLICES, encode_in_passes
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig

STILL, COUNT = 1, 11


@pytest.fixture(scope="module")
def autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(AutoencoderConfig(widths=(16, 24))).eval().requires_grad_(False)


def slices(height: int, width: int) -> list[torch.Tensor]:
    """One still slice and ten moving ones of random pixels."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 256, (STILL if n == 0 else 4, height, width, 3), dtype=torch.uint8, generator=generator)
        for n in range(COUNT)
    ]


@pytest.mark.parametrize(("height", "width", "exact"), [(64, 96, True), (16, 24, False)])
def test_passes_of_several_slices_equal_passes_of_one(
    autoencoder: Autoencoder, height: int, width: int, exact: bool
) -> None:
    pieces = slices(height, width)
    alone = encode_in_passes(autoencoder, pieces, 1, filled=False)
    for filled in (False, True):
        together = encode_in_passes(autoencoder, pieces, DEVICE_PASS_SLICES, filled)
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
        assert torch.equal(together, alone) or not exact


def test_a_slice_in_filled_passes_does_not_depend_on_the_length_of_its_clip(autoencoder: Autoencoder) -> None:
    pieces = slices(16, 24)  # where the bits depend on the number of slices in a pass
    whole = encode_in_passes(autoencoder, pieces, DEVICE_PASS_SLICES, filled=True)
    for count in (1, 3, 9):
        assert torch.equal(
            encode_in_passes(autoencoder, pieces[:count], DEVICE_PASS_SLICES, filled=True), whole[:count]
        )
    parts = [encode_in_passes(autoencoder, part, DEVICE_PASS_SLICES, filled=True) for part in (pieces[:4], pieces[4:])]
    assert torch.equal(torch.cat(parts), whole)
