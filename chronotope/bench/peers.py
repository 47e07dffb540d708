"""Models of diffusers with random weights, in the sizes of ours: their speed does not depend on the weights.

Each has the width of our transformer and as many layers as bring its parameters nearest to ours. Text is given to them
as vectors, so they are spared their text encoders, which are larger than they.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from chronotope.errors import UsageError

__all__ = [
    "CHANNELS",
    "FACTORISED",
    "FRAMES",
    "HEAD",
    "PEERS",
    "TEXT",
    "Peer",
    "import_diffusers",
    "layers_for",
    "parameters_made",
    "parameters_of",
]

HEAD, TEXT, CHANNELS, FRAMES = 64, 32, 16, 4  # channels of a head, text tokens, latent channels and frames


def import_diffusers() -> Any:
    """Import diffusers without what it says meanwhile; UsageError where it is missing."""
    if find_spec("diffusers") is None:
        raise UsageError("--against diffusers needs that library: pip install 'chronotope[bench]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("transformers").setLevel(logging.ERROR)
        import diffusers
        import diffusers.models.autoencoders
        import diffusers.models.transformers  # imported late otherwise, see `parameters_made`
    diffusers.utils.logging.set_verbosity_error()
    return diffusers


def parameters_of(model: nn.Module) -> int:
    """Count the parameters of a model."""
    return sum(weights.numel() for weights in model.parameters())


def parameters_made(make: Callable[[], nn.Module]) -> int:
    """Count the parameters of a model of diffusers without memory for them.

    The library is imported before: its modules make tensors of their own on the device that is in use meanwhile.
    """
    import_diffusers()
    with torch.device("meta"):
        return parameters_of(make())


def layers_for(make: Callable[[int], nn.Module], parameters: int) -> int:
    """Return how many layers bring the parameters of a model nearest to `parameters`."""
    few, more = (parameters_made(partial(make, layers)) for layers in (3, 6))
    return max(1, round(3 + 3 * (parameters - few) / (more - few)))


@dataclass(frozen=True)
class Peer:
    """A transformer of another family: `make(width, layers)` and `call(model, latents [b, c, f, h, w], states)`."""

    name: str
    make: Callable[[int, int, int], nn.Module]
    call: Callable[[Any, Tensor, Tensor], Tensor]
    factorised: bool = False  # attention in space and in time apart: fewer operations, and beside no aim

    def of_size(self, width: int, parameters: int, side: int = 16) -> nn.Module:
        """Return the model whose number of parameters is nearest to `parameters`."""
        return self.make(width, layers_for(lambda layers: self.make(width, layers, side), parameters), side)

    def run(self, model: nn.Module, latents: Tensor, states: Tensor) -> Tensor:
        """Pass latents [b, c, f, h, w] and text [b, l, width] through the model."""
        return self.call(model, latents, states)


def _sizes(width: int) -> dict[str, int]:
    return {"num_attention_heads": width // HEAD, "attention_head_dim": HEAD}


def _channels(count: int = CHANNELS) -> dict[str, int]:
    return {"in_channels": count, "out_channels": count}


def _wan(width: int, layers: int, side: int) -> Any:
    del side
    rest = {"text_dim": width, "freq_dim": 256, "ffn_dim": 4 * width, "num_layers": layers, "patch_size": (1, 2, 2)}
    return import_diffusers().WanTransformer3DModel(**_sizes(width), **_channels(), **rest)


def _ltx(width: int, layers: int, side: int) -> Any:
    del side
    rest = {"cross_attention_dim": width, "caption_channels": width, "num_layers": layers}
    return import_diffusers().LTXVideoTransformer3DModel(**_sizes(width), **_channels(4 * CHANNELS), **rest)


def _cogvideox(width: int, layers: int, side: int) -> Any:
    rest = {"time_embed_dim": width, "text_embed_dim": width, "num_layers": layers, "max_text_seq_length": TEXT}
    size = {"sample_width": side, "sample_height": side, "sample_frames": 4 * FRAMES - 3}  # else places are made anew
    return import_diffusers().CogVideoXTransformer3DModel(**_sizes(width), **_channels(), **rest, **size)


def _hunyuan(width: int, layers: int, side: int) -> Any:
    del side
    double = layers // 3
    rest = {"num_layers": double, "num_single_layers": layers - double, "num_refiner_layers": 1}
    text = {"text_embed_dim": width, "pooled_projection_dim": width, "guidance_embeds": False}
    made = import_diffusers().HunyuanVideoTransformer3DModel
    return made(**_sizes(width), **_channels(), **rest, **text, rope_axes_dim=(16, 24, 24))


def _latte(width: int, layers: int, side: int) -> Any:
    rest = {"cross_attention_dim": width, "caption_channels": width, "num_layers": layers, "patch_size": 2}
    kind = {"activation_fn": "gelu-approximate", "norm_type": "ada_norm_single", "norm_elementwise_affine": False}
    size = {"num_embeds_ada_norm": 1000, "sample_size": side, "video_length": FRAMES}
    return import_diffusers().LatteTransformer3DModel(**_sizes(width), **_channels(), **rest, **kind, **size)


def _times(latents: Tensor) -> Tensor:
    return torch.full((len(latents),), 500, device=latents.device)


def _call_ltx(model: Any, latents: Tensor, states: Tensor) -> Tensor:
    """Pass latents in patches of 2 x 2, which other models make themselves."""
    batch, channels, frames, height, width = latents.shape
    patches = latents.unflatten(3, (-1, 2)).unflatten(5, (-1, 2)).permute(0, 2, 3, 5, 1, 4, 6)
    tokens = patches.reshape(batch, -1, 4 * channels)
    mask = torch.ones(states.shape[:2], device=states.device)
    grid = {"num_frames": frames, "height": height // 2, "width": width // 2}
    output: Tensor = model(tokens, states, _times(latents), mask, **grid, return_dict=False)[0]
    return output


def _call_hunyuan(model: Any, latents: Tensor, states: Tensor) -> Tensor:
    mask = torch.ones(states.shape[:2], dtype=torch.long, device=states.device)
    output: Tensor = model(latents, _times(latents), states, mask, states[:, 0], return_dict=False)[0]
    return output


def _call(model: Any, latents: Tensor, states: Tensor) -> Tensor:
    output: Tensor = model(latents, _times(latents), states, return_dict=False)[0]
    return output


def _call_cogvideox(model: Any, latents: Tensor, states: Tensor) -> Tensor:
    output: Tensor = model(latents.transpose(1, 2), states, _times(latents), return_dict=False)[0]
    return output


PEERS = (
    Peer("Wan", _wan, _call),
    Peer("LTX", _ltx, _call_ltx),
    Peer("CogVideoX", _cogvideox, _call_cogvideox),
    Peer("HunyuanVideo", _hunyuan, _call_hunyuan),
    Peer("Latte (factorised)", _latte, _call, factorised=True),
)
FACTORISED = frozenset(peer.name for peer in PEERS if peer.factorised)
