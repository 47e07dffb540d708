"""Does a run fit its own parts, its latents, and the weights that it goes on from? Raises UsageError where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chronotope import checkpoint
from chronotope.actions import ActionSchema
from chronotope.caption.encoder.frozen import EncoderFacts
from chronotope.caption.subwords import MIN_VOCABULARY
from chronotope.config import to_dict
from chronotope.data.latents import read_header
from chronotope.errors import UsageError
from chronotope.geometry import Geometry
from chronotope.models.captioner import CaptionerConfig
from chronotope.models.dit import DiTConfig
from chronotope.parallel import Ranks, from_all, from_first

__all__ = [
    "check_actions",
    "check_actions_of_folders",
    "check_autoencoder",
    "check_latents",
    "check_model",
    "check_processes",
    "check_text_encoder",
    "check_vocabulary",
]


def check_processes(ranks: Ranks, facts: Mapping[str, Any]) -> None:
    """Refuse processes of one training whose facts differ: those of the first would be taken for those of all."""
    first, *others = from_all(ranks, dict(facts))

    def check() -> None:
        for rank, found in enumerate(others, start=1):
            if other := [name for name in first if found[name] != first[name]]:
                raise UsageError(
                    f"process {rank} of this training has other {' and '.join(other)} than process 0; start all "
                    "processes with the same command, and give every machine the same files"
                )

    from_first(ranks, check)


def check_model(model: DiTConfig | CaptionerConfig, geometry: Geometry) -> None:
    """Refuse a model of a vocabulary that cannot spell, or of other patches than the geometry's."""
    if not getattr(model, "text_width", 0):
        check_vocabulary(model.vocabulary_size)
    if geometry.patch_size != model.patch_size:
        raise UsageError(
            f"geometry.patch_size is {list(geometry.patch_size)} and model.patch_size {list(model.patch_size)}; "
            "set both to the same"
        )


def check_vocabulary(size: int) -> None:
    """Refuse a vocabulary that cannot spell."""
    if size < MIN_VOCABULARY:
        raise UsageError(
            f"model.vocabulary_size = {size}: expected at least {MIN_VOCABULARY}, for the characters that every "
            "vocabulary spells words with"
        )


def check_latents(config: Any, channels: int, stride: Sequence[int]) -> None:
    """Refuse latents of other channels or another stride than those of the run `config`."""
    if (channels, tuple(stride)) != (config.model.channels, config.geometry.stride):
        raise UsageError(
            f"the latents have {channels} channels at stride {list(stride)}, the preset expects "
            f"{config.model.channels} at {list(config.geometry.stride)}; change model.channels and geometry.stride, or "
            "take another autoencoder"
        )


def check_autoencoder(about: Mapping[str, Any], source: Path) -> None:
    """Refuse latents of another autoencoder than that of a start model or a checkpoint."""
    trained = checkpoint.read_description(source)
    if trained["autoencoder"] != about["autoencoder"]:
        raise UsageError(
            f"{source} was trained on latents of autoencoder {trained['autoencoder']}, these latents are of "
            f"{about['autoencoder']}; encode the clips with the autoencoder of {source}, or give another --out"
        )


def check_text_encoder(model: DiTConfig, encoder: EncoderFacts | None, source: Path | None) -> None:
    """Refuse sizes that are not those of the text encoder, and another encoder than that of `source`.

    That is a start model or a checkpoint.
    """
    width = encoder.width if encoder else 0
    if model.text_width != width:
        raise UsageError(
            f"model.text_width is {model.text_width} and that of the text encoder {width}; name the encoder with "
            "--text-encoder, which sets it"
        )
    trained = (checkpoint.read_description(source).get("text_encoder") or {}) if source else {}
    if encoder and trained and trained["hash"] != encoder.hash:
        raise UsageError(
            f"{source} was trained with the text encoder {trained['name']} ({trained['hash']}), and {encoder.name} is "
            f"{encoder.hash}; name the same encoder, or give another --out"
        )


def check_actions(used: bool, actions: ActionSchema | None, source: Path | None) -> None:
    """Refuse a run with actions whose clips have none, and a start model or checkpoint of other actions."""
    if used and actions is None:
        raise UsageError(
            "the clips have no actions, and this model learns them; record or render clips with actions, for example "
            "chronotope world crafter --count 500 --out data/crafter, or set actions.use=false"
        )
    if source is None:
        return
    trained = checkpoint.read_description(source).get("actions")
    if trained != (to_dict(actions) if actions else None):
        raise UsageError(
            f"{source} was trained {'on other' if trained else 'without'} actions, and this run has "
            f"{'those of its clips' if actions else 'none'}; give clips of the same environment, or another --out"
        )


def check_actions_of_folders(actions: ActionSchema | None, folders: Sequence[Path]) -> list[str]:
    """Refuse latents, held-out ones included, of other actions than a run learns; name those that have none, and
    several environments, whose actions may differ in meaning where their numbers are equal.
    """
    if actions is None:
        return []
    found = {folder: read_header(folder).get("actions") for folder in folders}
    if other := [folder for folder, schema in found.items() if schema and schema != to_dict(actions)]:
        raise UsageError(
            f"the actions of the clips in {other[0]} differ in number or meaning from those that this run learns; give "
            "clips of the same environment, or set actions.use=false"
        )
    names = sorted({str(name) for folder in folders for name in read_header(folder).get("environments", ())})
    several = (
        f"the actions are of several environments ({', '.join(names)}) and are learned as one; train on the clips of "
        "one, unless each number means the same in all"
    )
    notes = [several] if len(names) > 1 else []
    without = [str(folder) for folder, schema in found.items() if not schema]
    told = "without actions, which this run learns: their clips are shown as clips whose actions are not known"
    return [*notes, *([f"{', '.join(without)}: {told}"] if without else [])]
