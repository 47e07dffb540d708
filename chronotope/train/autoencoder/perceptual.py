"""A perceptual term: the distance of two frames in the features of a frozen network that was trained on other images.

Features of each position are scaled to length 1, as in LPIPS (Zhang et al. 2018, arXiv 1801.03924), whose learned
weights of channels are left out. Any image model of `transformers` that gives its hidden states is used as it is.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from chronotope.caption.captioners.pretrained import find_pretrained, hash_of_files, one_sentence, open_library
from chronotope.errors import FileProblem, UsageError
from chronotope.models.precision import Precision, autocast

__all__ = ["FeatureFacts", "FeatureNetwork", "load_features"]

WEIGHTS, PREPROCESSOR = "*.safetensors", "preprocessor_config.json"
FILES = ("config.json", PREPROCESSOR, WEIGHTS, f"{WEIGHTS}.index.json")  # they decide the features
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, where a folder states none
LAYERS = 5  # hidden states that are compared, evenly from the first to the last
PROBE = 64  # pixels a side


@dataclass(frozen=True)
class FeatureFacts:
    """What a model says of the network whose features trained it: name, hash of its files, kind, parameters."""

    name: str
    hash: str
    kind: str
    parameters: int


def load_features(name: str, device: torch.device) -> FeatureNetwork:
    """Load the network `hf:FOLDER` or `hf:NAME`.

    Raises FileProblem for an incomplete folder, UsageError for a model that reads no images or shows no hidden states.
    """
    folder = find_pretrained(name, "a feature network", FILES)
    for what, pattern in (("config.json", "config.json"), ("weights", WEIGHTS)):
        if not any(folder.glob(pattern)):
            raise FileProblem(f"{folder} is no complete model: it has no {what} ({pattern}); copy the whole folder")
    transformers, path = open_library(str(folder))
    with one_sentence(f"{folder} cannot be loaded as an image model"), torch.random.fork_rng():
        network, loaded = transformers.AutoModel.from_pretrained(
            path, trust_remote_code=False, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    # a pooler has no part in the hidden states
    if missing := sorted(key for key in loaded["missing_keys"] if "pooler" not in key):
        raise FileProblem(f"the weights in {folder} lack {missing[0]}; copy the whole folder")
    kind = str(network.config.model_type)
    if network.main_input_name != "pixel_values":
        raise UsageError(
            f"{folder} is a {kind}, whose input is {network.main_input_name} and not an image; give an image model, "
            "such as a ResNet, ConvNeXt or DINOv2, or the vision model of a CLIP alone"
        )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    facts = FeatureFacts(name, hash_of_files(folder, FILES), kind, parameters)
    features = FeatureNetwork(network.to(device), facts, *_statistics(folder))
    features(torch.zeros(1, 3, PROBE, PROBE, device=device))  # refused now, and not at the first step that needs it
    return features


def _statistics(folder: Path) -> tuple[Sequence[float], Sequence[float]]:
    """Return the mean and the deviation of the images that a network expects, of values from 0 to 1."""
    path = folder / PREPROCESSOR
    if not path.is_file():
        return MEAN, DEVIATION
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        found = [[float(value) for value in about.get(key, usual)] for key, usual in _KEYS]
    except (OSError, ValueError, TypeError, AttributeError) as problem:
        raise FileProblem(f"{path} is damaged ({problem}); copy the whole folder") from problem
    if any(len(values) != 3 for values in found) or not all(value > 0 for value in found[1]):
        raise FileProblem(
            f"{path} has image_mean and image_std {found}, expected three numbers each, the latter above 0"
        )
    return found[0], found[1]


_KEYS = (("image_mean", MEAN), ("image_std", DEVIATION))


class FeatureNetwork:
    """A frozen image model: frames -> features of several depths, and the distance of frames in them."""

    def __init__(self, network: Any, facts: FeatureFacts, mean: Sequence[float], deviation: Sequence[float]) -> None:
        self.network, self.facts = network.eval().requires_grad_(False), facts
        device = next(network.parameters()).device
        self.mean, self.deviation = (torch.tensor(values, device=device)[:, None, None] for values in (mean, deviation))
        taken = inspect.signature(network.forward).parameters
        self._options = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in taken else {}
        patch = getattr(network.config, "patch_size", 1)
        self._multiple = patch if isinstance(patch, int) else 1

    def __call__(self, frames: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """Return features of frames in [-1, 1], [n, c, h, w] of a convolutional network or [n, tokens, c], as floats.

        Frames are enlarged to whole patches where the network has patches. Raises UsageError where it shows no hidden
        states.
        """
        size = [-(-side // self._multiple) * self._multiple for side in frames.shape[-2:]]
        if size != list(frames.shape[-2:]):
            frames = F.interpolate(frames, size, mode="bilinear", antialias=True)
        images = ((frames + 1) / 2 - self.mean) / self.deviation
        with one_sentence(f"{self.facts.name} cannot read images of {size[1]}x{size[0]}"):
            states = self.network(pixel_values=images, output_hidden_states=True, **self._options).hidden_states
        if not states:
            raise UsageError(f"{self.facts.name} ({self.facts.kind}) shows no hidden states; give another image model")
        last = len(states) - 1
        chosen = sorted({round(last * depth / (LAYERS - 1)) for depth in range(LAYERS)})
        return [states[number].float() for number in chosen]

    def distance(
        self, output: Float[Tensor, "n 3 h w"], target: Float[Tensor, "n 3 h w"], precision: Precision = "fp32"
    ) -> Float[Tensor, ""]:
        """Return the mean square distance of features of length 1; its gradient is that of `output` alone."""
        with autocast(output.device, precision):
            with torch.no_grad():
                wanted = self(target)
            found = self(output)
        distances = []
        for one, other in zip(found, wanted, strict=True):
            axis = 1 if one.ndim == 4 else -1
            difference = _of_length_one(one, axis) - _of_length_one(other, axis)
            distances.append(difference.square().sum(dim=axis).mean())
        return torch.stack(distances).mean()


def _of_length_one(features: Tensor, axis: int) -> Tensor:
    return features * (features.square().sum(dim=axis, keepdim=True) + 1e-10).rsqrt()
