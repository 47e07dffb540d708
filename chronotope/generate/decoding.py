"""Latents of a canvas -> frames, slice by slice; and a glance at latents that are still noisy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from torch import Tensor

from chronotope.generate.canvas import Canvas
from chronotope.geometry import Picture
from chronotope.models.autoencoder import Autoencoder

__all__ = ["decode", "glance"]


def decode(
    autoencoder: Autoencoder, latents: Iterable[Tensor], canvas: Canvas, decoder_noise: float
) -> Iterator[Tensor]:
    """Yield the frames of one slice after another; on a cycle the last slice is a neighbour of the first.

    The decoder is told that what was generated is a little noisy: `decoder_noise` times its level.
    """
    device = next(autoencoder.parameters()).device
    latents = (grid.to(device) for grid in latents)
    noise = [decoder_noise * float(level) for level in canvas.level.amax(dim=(1, 2))]
    slices = list(canvas.slices)
    if not canvas.cycle:
        yield from autoencoder.stream_decode(latents, slices, noise)
        return
    grids = list(latents)
    grids, slices, noise = ([part[-1], *part, part[0]] for part in (grids, slices, noise))  # type: ignore[assignment]
    yield from islice(autoencoder.stream_decode(grids, slices, noise), 1, len(slices) - 1)


def glance(autoencoder: Autoencoder, latents: Tensor, canvas: Canvas, decoder_noise: float) -> Picture:
    """Decode a frame from the middle of latents that are still noisy, without its neighbours."""
    place = len(canvas.slices) // 2
    grid = latents[place].to(next(autoencoder.parameters()).device)
    noise = [decoder_noise * float(canvas.level[place].amax())]
    frames = next(autoencoder.stream_decode(iter([grid]), [canvas.slices[place]], noise))
    return frames[0, : canvas.height, : canvas.width].cpu().numpy()
