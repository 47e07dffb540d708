"""Held-out clips, and how well the autoencoder reconstructs them while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

import torch
from einops import rearrange
from torch import Tensor

from chronotope.data.clips import Clip
from chronotope.data.notes import Kinds
from chronotope.data.pixels import PixelPool, PoolConfig, load_pool
from chronotope.errors import FileProblem
from chronotope.manifest import LeftOut
from chronotope.metrics.similarity import decibels, moving_pixels
from chronotope.models.autoencoder import Autoencoder
from chronotope.train.autoencoder.windows import reconstruct_windows

__all__ = ["load_pools", "validate"]

ROUNDING = 1 / 12  # the mean square error of rounding to whole levels


def held_out(clip: Clip) -> bool:
    """Return whether a clip is held out for validation: one in forty, by a hash of its key."""
    return crc32(clip.key.encode()) % 40 == 0


def load_pools(
    datasets: Sequence[Sequence[Clip]], config: PoolConfig, seed: int, say: Callable[[str], None]
) -> tuple[PixelPool, PixelPool, tuple[LeftOut, ...]]:
    """Load the pools for training and validation, and name the clips that cannot be read.

    A dataset too small to divide is used for both. Where no held-out clip can be read, or none is as large as a shape
    of the batches, validation uses the training clips, or the other shapes. `say` is told of each. Raises FileProblem
    for a dataset without readable clips, UsageError where no training clip is as large as one of the shapes.
    """
    training = [[clip for clip in clips if not held_out(clip)] or list(clips) for clips in datasets]
    validation = [[clip for clip in clips if held_out(clip)] or list(clips[:1]) for clips in datasets]
    for clips, kept in zip(training, validation, strict=True):
        if kept[0] in clips:
            few = f"none of {len(clips)} clips in {clips[0].path.parent}"
            say(f"note: {few} is held out (one in forty is, by its name), so psnr is of a clip that is trained on")
    left_out: dict[str, LeftOut] = {}

    def leave_out(item: LeftOut) -> None:
        if item.key not in left_out:
            say(f"left out: {item.key}: {item.reason}")
        left_out[item.key] = item

    remarks = Kinds("in the training", "clip")
    pool = load_pool(training, config, seed, leave_out, remarks.add)
    for clips, windows in zip(training, pool.groups, strict=True):
        if not windows:
            raise FileProblem(f"none of {len(clips)} clips beside {clips[0].path} can be read")
    pool.check_shapes()
    for line in remarks.lines():
        say(f"note: {line}")
    validation_pool, missing = load_pool(validation, config, seed, leave_out).with_covered_shapes()
    if missing:
        say(f"note: of the held-out clips, {missing}")
    return pool, validation_pool if validation_pool.config.shapes else pool, tuple(left_out.values())


@torch.no_grad()
def validate(model: Autoencoder, pool: PixelPool, seed: int, batches: int = 8) -> tuple[dict[str, float], Tensor]:
    """Return PSNR in dB on validation windows, and a picture of originals above their reconstructions.

    `psnr` is the mean over windows, `psnr_moving` is over the moving pixels of all windows together, if there are any.
    """
    errors, moving, picture = list[Tensor](), list[Tensor](), None
    for step in range(batches):
        windows = pool.batch(seed + 2, step).to(model.latent_mean.device)
        output, _, _ = reconstruct_windows(model, windows.float() / 127.5 - 1, None)
        pixels = ((output + 1) * 127.5).round().clamp(0, 255)
        error = (pixels - windows) ** 2
        errors.append(error.mean(dim=(1, 2, 3, 4)))
        shown = windows.cpu().numpy()
        moves = torch.from_numpy(moving_pixels(shown[:, :-1], shown[:, 1:]))
        moving.append(error[:, 1:].cpu()[moves].flatten())
        if picture is None:
            rows = torch.cat([windows[:6, 0].float(), pixels[:6, 0]], dim=1)
            picture = rearrange(rows, "b h w c -> h (b w) c").to(torch.uint8).cpu()
    assert picture is not None
    # a window that comes back to the bit has the error of rounding, not none: its PSNR would be infinite
    means = torch.cat(errors).clamp(min=ROUNDING)
    found = {"psnr": float(10 * torch.log10(255**2 / means).mean())}
    if all_moving := torch.cat(moving).numel():
        found["psnr_moving"] = decibels(float(torch.cat(moving).sum()) / all_moving)
    return found, picture
