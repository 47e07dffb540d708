"""The video compression network: slices of pixels <-> grids of latent vectors.

Encoding a slice uses that slice only. A still slice is encoded as a moving slice of repeated frames, so both kinds
share one latent space and all weights. Decoding a slice uses its latents and those of the slices before and after it,
which are explicit arguments. Slices pass through the network one by one, so streaming decoding needs constant memory
and equals whole decoding to the bit.

All networks are two-dimensional: the first step folds (4, 4, 4) pixel blocks into channels, so motion inside a slice is
in the channels. In parallel to each network runs a linear path, which training initialises with the principal
components of the data. Norms act per position, so only convolutions carry information between positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from chronotope.config import Range
from chronotope.errors import UsageError
from chronotope.geometry import Slice
from chronotope.models.linear import PointwiseConv2d, silu

__all__ = ["Autoencoder", "AutoencoderConfig", "LinearPath"]

Size = Annotated[int, Range(1, 2**20)]
Blocks = Annotated[int, Range(0, 1024)]
Length = Annotated[int, Range(1, 1024)]  # in frames or pixels

EXACT = (0.0, 0.0, 0.0)  # noise deviation of the previous, current and following latents


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of the autoencoder; `fold` is the side of the first pixel block, `widths` has one entry per resolution."""

    stride: tuple[Length, Length, Length] = (4, 8, 8)
    channels: Size = 16
    fold: Length = 4
    widths: tuple[Size, ...] = (128, 256)
    encoder_blocks: tuple[Blocks, ...] = (2, 2)
    decoder_blocks: tuple[Blocks, ...] = (3, 3)

    def __post_init__(self) -> None:
        side = self.fold * self.step
        if set(self.stride[1:]) != {side}:
            raise UsageError(
                f"fold {self.fold} and {len(self.widths) - 1} halvings of the resolution give stride {side}, "
                f"expected {self.stride[1:]}"
            )
        if not len(self.widths) == len(self.encoder_blocks) == len(self.decoder_blocks):
            raise UsageError("widths, encoder_blocks and decoder_blocks must have one entry per resolution")

    @property
    def step(self) -> int:
        """The side of the square of folded pixel blocks that one latent covers: each new resolution halves it."""
        return 2 ** (len(self.widths) - 1)

    @property
    def folded_channels(self) -> int:
        """The number of values in one folded pixel block."""
        return self.stride[0] * self.fold**2 * 3


def _initialise_constant(layer: nn.Conv2d, bias: list[float]) -> nn.Conv2d:
    """Initialise a convolution with zero weights, so that the linear path alone determines the first outputs."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(bias))
    return layer


class PixelNorm(nn.Module):
    """RMS normalisation over the channels of each position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        # in channels_last memory the permutation is free and the norm reads contiguous rows
        return F.rms_norm(x.permute(0, 2, 3, 1), self.scale.shape, self.scale.to(x.dtype), 1e-5).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Residual block: norm, convolution, SiLU, convolution (initialised to zero)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = PixelNorm(channels)
        self.conv_in = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.conv_out(silu(self.conv_in(self.norm(x))))


class LinearPath(nn.Conv2d):
    """The linear path of the encoder, which stays in single precision: most of a latent comes through it."""


class Encoder(nn.Module):
    """Map folded slices [b, t*fold*fold*3, h, w] to the mean and log variance of their latents, [b, c, h, w] each."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = config.widths
        layers: list[nn.Module] = [nn.Conv2d(config.folded_channels, widths[0], 3, padding=1)]
        for level, width in enumerate(widths):
            if level > 0:
                layers.append(nn.Conv2d(widths[level - 1], width, 2, stride=2))
            layers += [Block(width) for _ in range(config.encoder_blocks[level])]
        layers.append(
            _initialise_constant(
                PointwiseConv2d(widths[-1], 2 * config.channels), config.channels * [0.0] + config.channels * [-6.0]
            )
        )
        self.layers = nn.Sequential(*layers)
        self.linear = LinearPath(config.folded_channels, config.channels, config.step, stride=config.step)

    def forward(self, folded: Float[Tensor, "b f h w"]) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.layers(folded.to(next(self.layers.parameters()).dtype)).chunk(2, dim=1)
        return mean + self.linear(folded), log_variance.clamp(-20, 4)


class Decoder(nn.Module):
    """Map the latents of a slice and its two neighbours to the folded pixels of that slice."""

    trained_noise: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = config.widths
        layers: list[nn.Module] = [nn.Conv2d(3 * (config.channels + 1), widths[-1], 3, padding=1)]
        for level in reversed(range(len(widths))):
            layers += [Block(widths[level]) for _ in range(config.decoder_blocks[level])]
            if level > 0:
                layers += [PointwiseConv2d(widths[level], 4 * widths[level - 1]), nn.PixelShuffle(2)]
        layers.append(
            _initialise_constant(
                nn.Conv2d(widths[0], config.folded_channels, 3, padding=1), config.folded_channels * [0.0]
            )
        )
        self.layers = nn.Sequential(*layers)
        self.linear = nn.ConvTranspose2d(config.channels, config.folded_channels, config.step, stride=config.step)
        self.current = slice(config.channels + 1, 2 * config.channels + 1)
        # the largest standard deviation of latent noise that these weights were trained with
        self.register_buffer("trained_noise", torch.zeros(()))

    def forward(self, window: Float[Tensor, "b f h w"]) -> Float[Tensor, "b g h2 w2"]:
        window = window.contiguous(memory_format=torch.channels_last)
        detail = self.layers(window.to(next(self.layers.parameters()).dtype))
        return self.linear(window[:, self.current]).add_(detail)  # in place: large frames reach their peak memory here


class Autoencoder(nn.Module):
    """Encoder, decoder, and per-channel statistics that normalise latents to mean 0 and mean square 1."""

    latent_mean: Tensor
    latent_deviation: Tensor

    def __init__(self, config: AutoencoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or AutoencoderConfig()
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
        self.register_buffer("latent_mean", torch.zeros(self.config.channels))
        self.register_buffer("latent_deviation", torch.ones(self.config.channels))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    # Pixels are float in [-1, 1] inside the networks and uint8 in [0, 255] outside.

    def fold(self, frames: Shaped[Tensor, "b t h w c"]) -> Shaped[Tensor, "b f h2 w2"]:
        """Fold slices of pixels into channels; the frame of a still slice (t = 1) is repeated `stride[0]` times."""
        if frames.shape[1] == 1:
            frames = frames.expand(-1, self.config.stride[0], -1, -1, -1)
        side = self.config.fold
        folded = rearrange(frames, "b t (h i) (w j) c -> b (t i j c) h w", i=side, j=side)
        return folded.contiguous(memory_format=torch.channels_last)

    def unfold(self, folded: Float[Tensor, "b f h2 w2"]) -> Float[Tensor, "b t h w c"]:
        """Unfold channels into slices of pixels; the inverse of `fold` for moving slices."""
        side, length = self.config.fold, self.config.stride[0]
        return rearrange(folded, "b (t i j c) h w -> b t (h i) (w j) c", t=length, i=side, j=side)

    def corners(self, folded: Float[Tensor, "b f h w"]) -> Float[Tensor, "n v"]:
        """Return whole blocks of `stride` pixels as rows of values, in the order of the weights of the linear paths."""
        step = self.config.step
        return rearrange(folded, "b f (h i) (w j) -> (b h w) (f i j)", i=step, j=step)

    @torch.no_grad()
    def set_linear(
        self, analysis: Float[Tensor, "c v"], synthesis: Float[Tensor, "c v"], centre: Float[Tensor, " v"]
    ) -> None:
        """Set the linear paths to latents = analysis (block - centre) and block = synthesis^T latents + centre."""
        encoder, decoder = self.encoder.linear, self.decoder.linear
        encoder.weight.copy_(analysis.view_as(encoder.weight))
        encoder.bias.copy_(-analysis @ centre)  # type: ignore[union-attr]
        decoder.weight.copy_(synthesis.view_as(decoder.weight))
        # a transposed convolution has one bias per channel, so the centre is averaged over positions
        decoder.bias.copy_(centre.view(decoder.weight.shape[1], -1).mean(dim=1))  # type: ignore[union-attr]

    def normalise(self, latents: Tensor) -> Tensor:
        """Centre and scale raw latents [..., c, h, w] with the statistics of each channel."""
        return (latents - self.latent_mean[:, None, None]) / self.latent_deviation[:, None, None]

    def denormalise(self, latents: Tensor) -> Tensor:
        """Undo `normalise`."""
        return latents * self.latent_deviation[:, None, None] + self.latent_mean[:, None, None]

    def window(
        self,
        previous: Tensor | None,
        current: Tensor,
        following: Tensor | None,
        noise: tuple[float, float, float] = EXACT,
    ) -> Tensor:
        """Build the decoder's input [b, 3 * (channels + 1), h, w]: three latent grids with a confidence channel each.

        The confidence is 1 minus the standard deviation of the noise on the latents, and 0 where there is no slice.
        """
        parts = []
        for latents, deviation in zip((previous, current, following), noise, strict=True):
            confidence = torch.full_like(current[:, :1], 0.0 if latents is None else 1 - deviation)
            parts += [torch.zeros_like(current) if latents is None else latents, confidence]
        return torch.cat(parts, dim=1)

    def encode_slice(self, frames: Tensor) -> Float[Tensor, "c h w"]:
        """Encode one slice, uint8 [t, height, width, 3] with t = 1 or stride[0], to normalised latents."""
        return self.encode_slices([frames])[0]

    @torch.no_grad()
    def encode_slices(self, slices: Sequence[Tensor]) -> Float[Tensor, "s c h w"]:
        """Encode slices of one size, see `encode_slice`, in one pass through the network.

        Where frames are small, the last bit can differ from that of passes of one slice.
        """
        _, side_h, side_w = self.config.stride
        for frames in slices:
            if len(frames) not in (1, self.config.stride[0]) or frames.shape[1] % side_h or frames.shape[2] % side_w:
                raise UsageError(
                    f"a slice has 1 or {self.config.stride[0]} frames of sides divisible by {side_h} and {side_w}, "
                    f"got {len(frames)} frames of {frames.shape[2]}x{frames.shape[1]}"
                )
        device = self.latent_mean.device
        # folded as bytes and converted in place, because encoding large frames reaches its peak memory here
        folded = torch.cat([self.fold(frames.to(device)[None]) for frames in slices]).float().div_(127.5).sub_(1)
        mean, _ = self.encoder(folded)
        return self.normalise(mean).contiguous()

    @torch.no_grad()
    def decode_slice(
        self,
        previous: Tensor | None,
        current: Tensor,
        following: Tensor | None,
        still: bool,
        noise: tuple[float, float, float] = EXACT,
    ) -> Tensor:
        """Decode normalised latents [c, h, w] of a slice and its neighbours to its frames, uint8 [t, height, width, 3].

        `noise` is the standard deviation of the error of each of the three grids: 0 for encoded latents, above 0 for
        generated ones. It is limited to the largest deviation that the decoder was trained with.
        """
        first, second, third = (min(deviation, float(self.decoder.trained_noise)) for deviation in noise)
        grids = [None if z is None else self.denormalise(z)[None] for z in (previous, current, following)]
        assert grids[1] is not None
        frames = self.unfold(self.decoder(self.window(grids[0], grids[1], grids[2], (first, second, third))))[0]
        if still:
            frames = frames.mean(dim=0, keepdim=True)
        # in place, because decoding reaches its peak memory here
        return frames.add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)

    def encode(self, frames: Tensor, slices: Sequence[Slice]) -> Float[Tensor, "s c h w"]:
        """Encode frames, uint8 [t, height, width, 3], to one latent grid per slice."""
        return torch.stack([self.encode_slice(frames[piece.start : piece.stop]) for piece in slices])

    def decode(
        self, latents: Float[Tensor, "s c h w"], slices: Sequence[Slice], noise: Sequence[float] | None = None
    ) -> Tensor:
        """Decode all frames at once, uint8 [t, height, width, 3]; see `stream_decode`."""
        return torch.cat(list(self.stream_decode(latents, slices, noise)))

    def stream_decode(
        self, latents: Iterable[Tensor], slices: Iterable[Slice], noise: Iterable[float] | None = None
    ) -> Iterator[Tensor]:
        """Yield the frames of one slice after another, in constant memory: one slice of latents is read ahead.

        `noise` is one number per slice (see `decode_slice`); None means that all latents are exact. An exact slice is
        decoded without its inexact neighbours, so that known content does not depend on generated content.
        """
        columns = zip(latents, slices, strict=True) if noise is None else zip(latents, slices, noise, strict=True)
        previous: tuple[Tensor | None, float] = None, 0.0
        current: tuple[Tensor, Slice, float] | None = None
        for grid, piece, *deviation in columns:
            following = grid, piece, deviation[0] if deviation else 0.0
            if current is not None:
                yield self._decode_between(previous, current, (grid, following[2]))
                previous = current[0], current[2]
            current = following
        if current is not None:
            yield self._decode_between(previous, current, (None, 0.0))

    def _decode_between(
        self,
        previous: tuple[Tensor | None, float],
        current: tuple[Tensor, Slice, float],
        following: tuple[Tensor | None, float],
    ) -> Tensor:
        """Decode a slice with those of its neighbours that it may depend on."""
        grid, piece, noise = current
        before, after = ((None, 0.0) if noise == 0 < other[1] else other for other in (previous, following))
        return self.decode_slice(before[0], grid, after[0], piece.still, (before[1], noise, after[1]))
