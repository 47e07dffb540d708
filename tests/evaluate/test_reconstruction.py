"""The sums of the meter in closed form; the round trip against encoding and decoding the whole video."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from chronotope.data.latents import encode_frames
from chronotope.errors import UsageError
from chronotope.evaluate.reconstruction import Meter, measure_reconstruction, reconstruct
from chronotope.geometry import Geometry
from chronotope.metrics.similarity import psnr, ssim
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_the_meter_measures_the_whole_however_it_is_cut() -> None:
    one, other = noise(9, 12, 14, 3), noise(9, 12, 14, 3, seed=1)
    meters = []
    for cuts in ([9], [1, 4, 4], [1] * 9):
        meter, start = Meter(), 0
        for length in cuts:
            meter.add(one[start : start + length], other[start : start + length])
            start += length
        meters.append((meter.psnr, meter.ssim, meter.temporal_psnr))
    assert meters[0] == pytest.approx(meters[1])
    assert meters[0] == pytest.approx(meters[2])
    assert meters[0][0] == pytest.approx(psnr(one, other))
    error = np.diff(one.astype(int), axis=0) - np.diff(other.astype(int), axis=0)
    assert meters[0][2] == pytest.approx(10 * math.log10(255**2 / np.mean(error**2)))


def test_temporal_psnr_sees_flicker_that_psnr_does_not() -> None:
    frames = np.full((8, 16, 16, 3), 100, np.uint8)
    steady, flicker = Meter(), Meter()
    steady.add(frames, frames + np.uint8(4))
    flicker.add(frames, frames + np.where(np.arange(8) % 2, 4, -4).astype(np.int8)[:, None, None, None].view(np.uint8))
    assert steady.psnr == pytest.approx(flicker.psnr)
    assert steady.temporal_psnr == math.inf
    assert flicker.temporal_psnr == pytest.approx(20 * math.log10(255 / 8))


def test_moving_psnr_is_of_the_pixels_that_change() -> None:
    """A square of 4 pixels' side moves by 4: the decoded one is 10 levels off, the ground 1 level."""
    frames, decoded = np.full((3, 16, 16, 3), 100, np.uint8), np.full((3, 16, 16, 3), 101, np.uint8)
    for time in range(3):
        frames[time, 4:8, 4 * time : 4 * time + 4] = 200
        decoded[time, 4:8, 4 * time : 4 * time + 4] = 210
    whole, pieces, still = Meter(), Meter(), Meter()
    whole.add(frames, decoded)
    for time in range(3):
        pieces.add(frames[time : time + 1], decoded[time : time + 1])
    # of two equal parts, the square left one and covers the other
    assert whole.moving_psnr == pieces.moving_psnr == pytest.approx(10 * math.log10(255**2 / ((10**2 + 1) / 2)))
    still.add(frames[:1], decoded[:1])
    assert still.moving_psnr is None


def test_frames_of_two_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be compared"):
        Meter().add(noise(1, 8, 8, 3), noise(1, 8, 9, 3))


@pytest.fixture
def autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    config = AutoencoderConfig(widths=(8, 16), encoder_blocks=(1, 1), decoder_blocks=(1, 1), channels=4)
    return Autoencoder(config).eval()


@pytest.mark.parametrize(("num_frames", "height", "width"), [(1, 32, 32), (4, 16, 48), (7, 33, 50), (9, 5, 3)])
def test_streaming_is_the_whole_round_trip(autoencoder: Autoencoder, num_frames: int, height: int, width: int) -> None:
    geometry, frames = Geometry(), noise(num_frames, height, width, 3)
    latents = encode_frames(autoencoder, geometry, frames)
    whole = autoencoder.decode(latents, geometry.slices(num_frames))[:, :height, :width].numpy()
    pairs = list(reconstruct(autoencoder, geometry, iter(frames), num_frames))
    assert np.array_equal(np.concatenate([original for original, _ in pairs]), frames)
    assert np.array_equal(np.concatenate([decoded for _, decoded in pairs]), whole)

    seen: list[int] = []
    result = measure_reconstruction(
        autoencoder, geometry, iter(frames), num_frames, lambda original, decoded: seen.append(len(decoded))
    )
    assert sum(seen) == result.num_frames == num_frames
    assert result.psnr == pytest.approx(psnr(frames, whole))
    assert result.ssim == pytest.approx(np.mean([ssim(a, b) for a, b in zip(frames, whole, strict=True)]))
    assert result.values_ratio == pytest.approx(frames.size / latents.numel())
    assert result.bits_ratio == result.values_ratio / 2
    assert result.seconds > 0
    assert (result.temporal_psnr is None) == (num_frames == 1)


def test_no_more_than_three_slices_are_read_ahead(autoencoder: Autoencoder) -> None:
    """The memory does not grow with the length of the video."""
    read = 0

    def source() -> object:
        nonlocal read
        for frame in noise(40, 16, 16, 3):
            read += 1
            yield frame

    returned = 0
    for original, _ in reconstruct(autoencoder, Geometry(), source(), 40):
        returned += len(original)
        assert read - returned <= 8


def test_a_video_shorter_than_announced(autoencoder: Autoencoder) -> None:
    with pytest.raises(UsageError, match="ended after 5 frames, and 8 were announced"):
        list(reconstruct(autoencoder, Geometry(), noise(5, 16, 16, 3), 8))
