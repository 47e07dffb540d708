"""The settings of a run now -> how they differ from those of its checkpoints, and whether it can go on with them.

What says how long or how fast a training is may change between two starts. The seed, the sizes of the model and what
its weights mean may not: such a checkpoint is of another run.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronotope import checkpoint
from chronotope.config import to_dict
from chronotope.data.record import data_behind
from chronotope.errors import ChronotopeError, FileProblem, UsageError

__all__ = ["changes_in_settings", "check_same_run", "settings_of_run", "strange_checkpoints", "strange_model"]

FIXED = (
    "seed",
    "model.",
    "adapter.",
    "geometry.",
    "flow.",
    "student.steps",
)  # settings, or tables of them, that a run keeps from its first step
FREE = ("flow.shift",)  # the exception: it is of sampling
MEASURED = ("model.vocabulary_size", "flow.deviation")  # earlier versions saved what was found, not what was asked


def changes_in_settings(run: Path, config: Any) -> list[str]:
    """Name the settings that differ from those of the newest checkpoint, or of the finished model."""
    old = settings_of_run(run)
    if old is None:
        return [
            f"{run / 'config.toml'} is missing or damaged, so nothing tells whether the settings are those of before"
        ]
    return [f"{name} was {before} and is now {now}" for name, before, now in _differences(old, _flat(to_dict(config)))]


def check_same_run(run: Path, config: Any) -> None:
    """Raise UsageError where a run has a checkpoint of another seed or model, or one after the last step."""
    latest = checkpoint.latest_checkpoint(run)
    if latest is None:
        return
    if int(latest.name) > config.train.steps:
        raise UsageError(
            f"{latest} is after the last step (train.steps = {config.train.steps}); set train.steps to "
            f"{int(latest.name)} or more, or delete the checkpoint"
        )
    old = _settings(checkpoint.read_description(latest)) or {}
    if changed := [each for each in _differences(old, _flat(to_dict(config))) if _is_fixed(each[0])]:
        said = ", ".join(f"{name} {before} and not {now}" for name, before, now in changed)
        raise UsageError(
            f"{latest} is of a run with {said}, so this training cannot go on from it; give the settings of before or "
            "another --out, or delete the checkpoint if it was copied from another run"
        )


def settings_of_run(run: Path) -> dict[str, Any] | None:
    """Return the settings that a run had last, by its checkpoint, or by config.toml where an older version wrote it."""
    latest = checkpoint.latest_checkpoint(run)
    if latest and (settings := _settings(checkpoint.read_description(latest))):
        return settings
    with contextlib.suppress(FileProblem, AttributeError):
        if settings := checkpoint.read_description(run).get("training", {}).get("run"):
            return _without_measured(_flat(settings))
    return _settings_in_toml(run)


def strange_checkpoints(run: Path) -> list[str]:
    """Say, of each checkpoint and of config.toml, where it is of another run than the oldest whole checkpoint."""
    found: list[str] = []
    first: tuple[Path, dict[str, Any]] | None = None
    for folder in checkpoint.checkpoints(run):
        with contextlib.suppress(FileProblem):  # said of each file on its own
            description = checkpoint.read_description(folder)
            settings = _settings(description)
            if settings is None:
                continue
            about = {**settings, **{name: description.get(name) for name in ("autoencoder", "started_from")}}
            first = first or (folder, about)
            found += _strange(folder, about, *first)
    if first and (settings := _settings_in_toml(run)):
        found += _strange(run / "config.toml", settings, *first)
    return found


def strange_model(run: Path) -> str:
    """Say where a finished model is not that of the checkpoints beside it; "" where it is, or nothing tells."""
    saved = {int(path.name): path for path in checkpoint.checkpoints(run)}
    if not saved or not (run / "model.json").is_file():
        return ""
    with contextlib.suppress(ChronotopeError):  # said of each file on its own
        training = checkpoint.read_description(run).get("training", {})
        steps = int(training.get("run", {}).get("train", {}).get("steps", 0))
        other = f"{run / 'model.json'} is not the model of the checkpoints beside it: it is of another run, or newer"
        if steps > max(saved):
            return f"{other} ones were lost (a model of {steps} steps, checkpoints up to {max(saved)})"
        if steps in saved and not checkpoint.same_weights(saved[steps], run):
            return f"{other} ones were lost (both are of {steps} steps)"
        seen = {about.get("manifest") for about in data_behind(checkpoint.read_description(saved[max(saved)]))}
        data = [about for about in checkpoint.read_description(run).get("data") or () if "manifest" in about]
        if any(about["manifest"] not in seen for about in data):
            return (
                f"{run / 'model.json'} is of another run than the checkpoints beside it: {saved[max(saved)]} was not "
                "trained on its data"
            )
    return ""


def _strange(path: Path, about: Mapping[str, Any], first: Path, expected: Mapping[str, Any]) -> list[str]:
    names = ("autoencoder", "started_from")
    changed = [each for each in _differences(expected, about) if _is_fixed(each[0]) or each[0] in names]
    said = ", ".join(f"{name} is {now} and not {before}" for name, before, now in changed)
    return [f"{path} is of another run than {first}: {said}"] if changed else []


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return the name, the old and the new value of all settings in both that differ."""
    return [(name, old[name], new[name]) for name in new if name in old and old[name] != new[name]]


def _is_fixed(name: str) -> bool:
    return name.startswith(FIXED) and name not in FREE


def _settings(description: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the settings in the description of a checkpoint; None where an older version wrote none."""
    settings = description.get("settings")
    if not settings:
        return None
    flat = _flat(settings)
    measured = (description.get("flow") or {}).get("deviation")
    return _without_measured(flat) if measured is not None and flat.get("flow.deviation") == measured else flat


def _settings_in_toml(run: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        return _without_measured(_flat(tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))))
    return None


def _without_measured(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in MEASURED}


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
