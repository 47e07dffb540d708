"""How faithfully the autoencoder returns a video: PSNR, SSIM and PSNR of the motion, measured slice by slice in constant memory.

PSNR is over all pixels and channels of the clip together, against a peak of 255. SSIM follows Wang et al. 2004: luma (BT.601),
Gaussian window of 11 x 11 and sigma 1.5, K = (0.01, 0.03), only where the whole window lies inside the frame, averaged over frames.
Temporal PSNR is the PSNR of the differences between successive frames, again against 255.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from chronotope.data.latents import encode_frames
from chronotope.errors import UsageError
from chronotope.geometry import Frames, Geometry, Slice
from chronotope.models.autoencoder import Autoencoder

__all__ = ["Meter", "Reconstruction", "measure_reconstruction", "psnr", "reconstruct", "ssim"]

Frame = UInt8[np.ndarray, "h w 3"]
WINDOW, SIGMA = 11, 1.5
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Reconstruction:
    """What came back of a video, and how small it was in between."""

    psnr: float  # dB; infinite where every pixel came back
    ssim: float
    temporal_psnr: float | None  # dB; None for a single frame
    num_frames: int
    seconds: float  # spent encoding and decoding
    values_ratio: float  # numbers in over latent numbers out
    bits_ratio: float  # with 8 bits a pixel value and 16 bits a latent value, as `data.latents` keeps them
    channels: int


def _decibels(mean_square: float) -> float:
    return math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)


def psnr(one: UInt8[np.ndarray, "*any"], other: UInt8[np.ndarray, "*any"]) -> float:
    """Peak signal to noise ratio in dB, all values together."""
    return _decibels(float(np.mean((one.astype(np.float64) - other) ** 2)))


def _smooth(picture: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h2 w2"]:
    """Gaussian means of every whole window; a frame smaller than the window shrinks it to the largest odd one that fits."""
    import cv2

    height, width = picture.shape
    tall, wide = (min(WINDOW, side - 1 + side % 2) for side in (height, width))
    kernels = [cv2.getGaussianKernel(size, SIGMA, cv2.CV_64F) for size in (wide, tall)]
    smooth = cv2.sepFilter2D(picture, cv2.CV_64F, kernels[0], kernels[1]).reshape(height, width)
    return smooth[tall // 2 : height - tall // 2, wide // 2 : width - wide // 2]


def ssim(one: Frame, other: Frame) -> float:
    """Structural similarity of two frames (Wang et al. 2004) on luma."""
    x, y = one @ LUMA, other @ LUMA
    mean_x, mean_y = _smooth(x), _smooth(y)
    variance_x, variance_y = _smooth(x * x) - mean_x**2, _smooth(y * y) - mean_y**2
    covariance = _smooth(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float(np.mean(above / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))))


class Meter:
    """Adds up the errors of a video that passes by in pieces."""

    def __init__(self) -> None:
        self.num_frames, self.num_values, self.num_differences = 0, 0, 0
        self.squares, self.difference_squares, self.similarity = 0.0, 0.0, 0.0
        self._last: np.ndarray | None = None

    def add(self, original: np.ndarray, decoded: np.ndarray) -> None:
        """Compare the next frames; however they are cut into pieces, the sums are the same."""
        if original.shape != decoded.shape:
            raise UsageError(f"frames of shape {original.shape} cannot be compared with {decoded.shape}")
        for true, seen in zip(original, decoded, strict=True):
            error = true.astype(np.int32) - seen
            self.squares += float((error**2).sum())
            self.num_values += error.size
            self.similarity += ssim(true, seen)
            if self._last is not None:
                # the difference of the differences of frames is the difference of the errors
                self.difference_squares += float(((error - self._last) ** 2).sum())
                self.num_differences += error.size
            self._last = error
            self.num_frames += 1

    @property
    def psnr(self) -> float:
        return _decibels(self.squares / self.num_values)

    @property
    def ssim(self) -> float:
        return self.similarity / self.num_frames

    @property
    def temporal_psnr(self) -> float | None:
        return _decibels(self.difference_squares / self.num_differences) if self.num_differences else None


def reconstruct(
    autoencoder: Autoencoder, geometry: Geometry, frames: Iterable[Frame], num_frames: int
) -> Iterator[tuple[Frames, Frames]]:
    """Pairs (original, decoded) of one slice after another, at native size; holds three slices, however long the video is."""
    source = iter(frames)
    slices = geometry.slices(num_frames)
    waiting: deque[np.ndarray] = deque()

    def latents() -> Iterator[Tensor]:
        for piece in slices:
            found = list(islice(source, piece.num_frames))
            if len(found) != piece.num_frames:
                raise UsageError(
                    f"the video ended after {piece.start + len(found)} frames, and {num_frames} were announced"
                )
            waiting.append(np.stack(found))
            yield encode_frames(autoencoder, geometry, waiting[-1], [Slice(0, piece.num_frames)])[0]

    for decoded in autoencoder.stream_decode(latents(), slices):
        original = waiting.popleft()
        yield original, decoded[:, : original.shape[1], : original.shape[2]].cpu().numpy()


def measure_reconstruction(
    autoencoder: Autoencoder,
    geometry: Geometry,
    frames: Iterable[Frame],
    num_frames: int,
    watch: Callable[[Frames, Frames], None] | None = None,
) -> Reconstruction:
    """Send a video through the autoencoder and back; `watch` sees every pair of slices as it passes."""
    meter, seconds = Meter(), 0.0
    values, size = 0, (0, 0)
    pairs = reconstruct(autoencoder, geometry, frames, num_frames)
    while True:
        began = time.perf_counter()
        pair = next(pairs, None)
        seconds += time.perf_counter() - began
        if pair is None:
            break
        meter.add(*pair)
        values, size = values + pair[0].size, pair[0].shape[1:3]
        if watch:
            watch(*pair)
    channels = autoencoder.config.channels
    latent_values = len(geometry.slices(num_frames)) * channels * math.prod(geometry.latent_size(*size))
    ratio = values / latent_values
    return Reconstruction(
        meter.psnr, meter.ssim, meter.temporal_psnr, meter.num_frames, seconds, ratio, ratio * 8 / 16, channels
    )
