"""The captioner that --captioner names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from chronotope import checkpoint
from chronotope.caption.captioners.builtin import BuiltIn
from chronotope.caption.captioners.captioner import Captioner
from chronotope.caption.captioners.endpoint import Endpoint
from chronotope.config import from_dict
from chronotope.data.latents import encode_frames, fingerprint
from chronotope.errors import FileProblem
from chronotope.generate.pipeline import find_model, load_autoencoder
from chronotope.geometry import Geometry
from chronotope.models.captioner import CaptionerConfig, LatentCaptioner

__all__ = ["BUILTIN", "find_captioner", "load_captioner", "load_doubting"]

BUILTIN = "small"  # the model in the package whose captioner is used


def find_captioner(name: str, detail: str, per_minute: float) -> Captioner:
    """Return the captioner of a name.

    `builtin`, the folder of a trained one, the address of an endpoint, or `hf:` and a model of `transformers`.
    """
    if name.startswith("hf:"):
        from chronotope.caption.captioners.hub import VisionLanguageModel

        return VisionLanguageModel(name.removeprefix("hf:"), detail)
    if name.startswith(("http:", "https:")):
        return Endpoint(name, detail, per_minute)
    return load_captioner(find_model(BUILTIN if name == "builtin" else name), detail)


def load_doubting(name: str) -> BuiltIn:
    """Return the captioner that says which words it doubts: `builtin`, or the folder of a trained one."""
    return load_captioner(find_model(BUILTIN if name == "builtin" else name))


def load_captioner(folder: Path, detail: str = "sentence") -> BuiltIn:
    """Load `folder`/captioner and `folder`/autoencoder; raise FileProblem where one is missing or fits not."""
    part = folder / "captioner"
    if not (part / "model.json").is_file():
        raise FileProblem(
            f"{folder} holds no captioner; train one: chronotope train captioner --preset small --data FOLDER "
            f"--out {folder}"
        )
    about = checkpoint.verify_model(part)
    if about.get("kind") != "captioner":
        raise FileProblem(f"{part} is no captioner, but of the kind {about.get('kind')}")
    autoencoder = load_autoencoder(folder)
    if fingerprint(autoencoder) != about["autoencoder"]:
        raise FileProblem(
            f"{part} was trained on latents of autoencoder {about['autoencoder']}, but {folder / 'autoencoder'} is "
            f"{fingerprint(autoencoder)}; train it again on latents of this one"
        )
    with checkpoint.Uninitialised():
        network = LatentCaptioner(from_dict(CaptionerConfig, about["config"]))
    checkpoint.load_model(part, network)
    encode = partial(encode_frames, autoencoder, from_dict(Geometry, about["geometry"]))
    return BuiltIn(encode, network, about, detail, weights=checkpoint.weights_hash(part))
