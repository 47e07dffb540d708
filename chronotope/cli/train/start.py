"""What a training takes from the model that it starts from, and its default size from the clips that it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from chronotope.config import from_dict, names_of
from chronotope.data.latents import LatentClip, LatentDataset
from chronotope.data.record import frames_shown
from chronotope.errors import UsageError
from chronotope.flow.path import FlowConfig
from chronotope.generate.pipeline import model_description
from chronotope.geometry import Geometry
from chronotope.models.dit import DiTConfig
from chronotope.presets import PRESETS
from chronotope.request import FPS, Defaults
from chronotope.train.config import DiTRun, read_run

Value = TypeVar("Value", float, tuple[int, int])

__all__ = ["inferred_run", "own_clips", "with_defaults_of_clips"]


def inferred_run(start: Path) -> tuple[DiTRun, str]:
    """Return the run of a transformer that is trained on, with a sentence on what was inferred.

    Model, geometry, flow and defaults are those of the `model.json` in `start`. The recipe is that of the preset with
    these sizes, else that of the model's own training, as far as this version knows it.
    """
    about = model_description(start, "dit")
    # the vocabulary and the actions are those of the clips, which are looked at when it is trained
    unmeasured = DiTConfig().vocabulary_size
    model = replace(from_dict(DiTConfig, about["config"]), vocabulary_size=unmeasured, action_width=0)
    flow = replace(from_dict(FlowConfig, about["flow"]), deviation=FlowConfig().deviation)
    geometry = from_dict(Geometry, about["geometry"])
    defaults = from_dict(Defaults, about["defaults"])
    recipe, named = _recipe(model, geometry, flow, about.get("training"))
    sizes = f"width {model.width}, depth {model.depth}, {model.channels} channels"
    stride = "x".join(map(str, geometry.stride))
    said = f"from {start}: {sizes} at stride {stride}, {flow.path} path, {flow.prediction} prediction; {named}"
    encoder = about["text_encoder"]["name"] if "text_encoder" in about else ""
    recipe = replace(recipe, actions=replace(recipe.actions, use="actions" in about))
    return replace(recipe, text_encoder=encoder, model=model, geometry=geometry, flow=flow, defaults=defaults), said


def _recipe(model: DiTConfig, geometry: Geometry, flow: FlowConfig, training: object) -> tuple[DiTRun, str]:
    """Return a run whose steps, rates and shares fit a model, and where they come from."""
    for name, preset in PRESETS.items():
        run = preset.dit
        same_flow = (run.flow.path, run.flow.prediction) == (flow.path, flow.prediction)
        if run.model == model and run.geometry == geometry and same_flow:
            return run, f"the recipe is that of preset {name}"
    try:
        own = read_run(training["run"])  # type: ignore[index]
    except (KeyError, TypeError, AttributeError, UsageError):
        return DiTRun(), "the recipe is the default one, because model.json holds none"
    # what depends on the machine is left out
    run = DiTRun(train=replace(own.train, workers=0, compile=False), captions=own.captions, actions=own.actions)
    return replace(run, noise_levels=own.noise_levels), "the recipe is that of its own training"


def with_defaults_of_clips(
    config: DiTRun, dataset: LatentDataset, settings: Sequence[str], rendered: bool = False
) -> tuple[DiTRun, str]:
    """Return a run whose samples have the size, rate and length of the user's clips, and a sentence where that is new.

    That is the most frequent size, the most frequent rate of videos of that size, and the median length of these, as
    far as a step shows it. What `settings` set changes nothing, nor do clips that worlds rendered, unless `rendered`
    says that they count.
    """
    fixed = {name.removeprefix("defaults.") for name in names_of(settings)}
    clips = list(dataset.clips) if rendered else own_clips(dataset)
    if not clips:
        return config, ""
    width, height = _most_frequent([(clip.width, clip.height) for clip in clips])
    most, geometry = config.train.max_sample_tokens, config.geometry
    if (tokens := geometry.num_tokens(1, height, width)) > most:
        return config, (
            f"note: most clips are {width}x{height}, {tokens} tokens a slice, more than train.max_sample_tokens="
            f"{most}; samples stay {config.defaults.width}x{config.defaults.height}; encode the clips with --max-side"
        )
    found: dict[str, float] = {"width": width, "height": height} if not fixed & {"width", "height"} else {}
    alike = [clip for clip in clips if (clip.width, clip.height) == (width, height)]
    if videos := [clip for clip in alike if sum(clip.slices) > 1]:
        fps = _most_frequent([clip.fps for clip in videos])
        lengths = sorted(frames_shown(clip, geometry, most) for clip in videos if clip.fps == fps)
        found |= {"fps": fps, "num_frames": lengths[(len(lengths) - 1) // 2]}
    else:
        found["num_frames"] = 1
    if not FPS[0] <= found.get("fps", config.defaults.fps) <= FPS[1]:
        del found["fps"]
    found = {name: value for name, value in found.items() if name not in fixed}
    defaults = replace(config.defaults, **found)  # type: ignore[arg-type]
    if defaults == config.defaults:
        return config, ""
    said = (
        f"samples follow the clips: {defaults.width}x{defaults.height}, {defaults.num_frames} frames at "
        f"{defaults.fps:g} fps; to change it: --set defaults.num_frames={config.defaults.num_frames}"
    )
    return replace(config, defaults=defaults), said


def own_clips(dataset: LatentDataset) -> list[LatentClip]:
    """Return the clips that no world rendered."""
    rendered = [bool(about.get("worlds")) for about in dataset.about]
    of_world = (world for world, count in zip(rendered, dataset.counts, strict=True) for _ in range(count))
    return [clip for clip, world in zip(dataset.clips, of_world, strict=True) if not world]


def _most_frequent(values: Sequence[Value]) -> Value:
    """Return the most frequent value, of several the smallest."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))
