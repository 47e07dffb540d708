"""A video through the autoencoder and back: PSNR, SSIM and what motion costs, slice by slice in constant memory.

PSNR is over all pixels and channels of the video together, SSIM (Wang et al. 2004) is the mean over the frames, and
temporal PSNR is the PSNR of the differences between successive frames. Moving PSNR is over the pixels that differ from
the frame before (`metrics.similarity.moving_pixels`): most of a video stands still, and what moves is what is lost
first. The peak is 255 in all of them.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from chronotope.data.latents import encode_frames
from chronotope.errors import UsageError
from chronotope.geometry import Frames, Geometry, Slice
from chronotope.metrics.similarity import decibels, moving_pixels, ssim
from chronotope.models.autoencoder import Autoencoder

__all__ = ["Meter", "Reconstruction", "measure_reconstruction", "reconstruct"]

Frame = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Reconstruction:
    """How similar the decoded video is to the original, and how small its latents were."""

    psnr: float  # dB; infinite if all pixels are equal
    ssim: float
    temporal_psnr: float | None  # dB; None for a single frame
    moving_psnr: float | None  # dB; None where no pixel moves
    num_frames: int
    seconds: float  # spent encoding and decoding
    values_ratio: float  # values of the video over values of the latents
    bits_ratio: float  # with 8 bits a pixel value and 16 bits a latent value, as `data.latents` stores them
    channels: int


class Meter:
    """Sums the errors of a video that is given in pieces."""

    def __init__(self) -> None:
        self.num_frames, self.num_values, self.num_differences, self.num_moving = 0, 0, 0, 0
        self.squares, self.difference_squares, self.moving_squares, self.similarity = 0.0, 0.0, 0.0, 0.0
        self._last: tuple[np.ndarray, np.ndarray] | None = None  # the original of the last frame, and its error

    def add(self, original: np.ndarray, decoded: np.ndarray) -> None:
        """Add the errors of the next frames; the sums do not depend on how the video is cut into pieces."""
        if original.shape != decoded.shape:
            raise UsageError(
                f"frames of shape {original.shape} cannot be compared with {decoded.shape}: expected equal shapes"
            )
        for true, seen in zip(original, decoded, strict=True):
            error = true.astype(np.int32) - seen
            self.squares += float((error**2).sum())
            self.num_values += error.size
            self.similarity += ssim(true, seen)
            if self._last is not None:
                # The error of the difference of two frames is the difference of their errors.
                original_before, error_before = self._last
                self.difference_squares += float(((error - error_before) ** 2).sum())
                self.num_differences += error.size
                moving = error[moving_pixels(original_before, true)]
                self.moving_squares += float((moving**2).sum())
                self.num_moving += moving.size
            self._last = true, error
            self.num_frames += 1

    @property
    def psnr(self) -> float:
        return decibels(self.squares / self.num_values)

    @property
    def ssim(self) -> float:
        return self.similarity / self.num_frames

    @property
    def temporal_psnr(self) -> float | None:
        return decibels(self.difference_squares / self.num_differences) if self.num_differences else None

    @property
    def moving_psnr(self) -> float | None:
        return decibels(self.moving_squares / self.num_moving) if self.num_moving else None


def reconstruct(
    autoencoder: Autoencoder, geometry: Geometry, frames: Iterable[Frame], num_frames: int
) -> Iterator[tuple[Frames, Frames]]:
    """Yield pairs (original, decoded) of one slice after another, at native size.

    At most three slices are in memory. Raises UsageError if the video has fewer than `num_frames` frames.
    """
    source = iter(frames)
    slices = geometry.slices(num_frames)
    waiting: deque[np.ndarray] = deque()

    def latents() -> Iterator[Tensor]:
        for piece in slices:
            found = list(islice(source, piece.num_frames))
            if len(found) != piece.num_frames:
                ended = piece.start + len(found)
                raise UsageError(f"the video ended after {ended} frames, and {num_frames} were announced")
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
    """Encode, decode and measure a video; `watch` is called with each pair (original, decoded) of slices."""
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
        psnr=meter.psnr,
        ssim=meter.ssim,
        temporal_psnr=meter.temporal_psnr,
        moving_psnr=meter.moving_psnr,
        num_frames=meter.num_frames,
        seconds=seconds,
        values_ratio=ratio,
        bits_ratio=ratio * 8 / 16,
        channels=channels,
    )
