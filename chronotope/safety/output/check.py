"""Frames one after the other -> findings by the rules of a policy, window by window of time.

Events are looked for in all that was seen up to the end of a window, so an order may be spread over many windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chronotope.geometry import AnyFrames, Picture
from chronotope.safety.action import Action
from chronotope.safety.output.classifier import FrameClassifier, load_classifier
from chronotope.safety.output.rules import ClassifierRule, EventRule, OutputRules
from chronotope.worlds.observe.order import in_order
from chronotope.worlds.observe.sightings import Observer

__all__ = ["Finding", "OutputCheck"]

VERSION = "1"  # of the observers of worlds: how sightings are made of detections


@dataclass(frozen=True)
class Finding:
    """What one rule found in all frames so far: the highest score, and what was seen from which second on."""

    rule: str
    by: str  # the classifier or the world
    version: str
    action: Action = "allow"
    score: float = 0.0
    seconds: float | None = None
    seen: str = ""

    def described(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found = {"rule": self.rule, "by": self.by, "version": self.version, "action": self.action}
        return {**found, "score": round(self.score, 4), "seconds": self.seconds, "seen": self.seen}


class OutputCheck:
    """Judges frames by all rules; its classifiers are loaded when it is made, and raise where they are missing."""

    def __init__(self, rules: OutputRules, fps: float) -> None:
        from chronotope.worlds.catalogue import find_world

        self.rules, self.fps = rules, float(fps)
        self._window = max(1, round(rules.window * self.fps))
        self._every = max(1, round(rules.every * self.fps))
        self._classifiers: list[tuple[ClassifierRule, FrameClassifier]] = [
            (rule, load_classifier(rule)) for rule in rules.classifiers
        ]
        self._observers: dict[str, Observer] = {
            world: find_world(world).observer(self.fps) for world in {rule.world for rule in rules.events}
        }
        self._found: dict[str, Finding] = {}
        self._frames: list[Picture] = []
        self._judged = 0  # frames of windows that have ended

    def add(self, frame: Picture) -> tuple[Finding, ...]:
        """Take the next frame; where it ends a window, judge it and return what is forbidden so far."""
        self._frames.append(frame)
        return self._judge() if len(self._frames) == self._window else ()

    def finish(self) -> tuple[Finding, ...]:
        """Judge the frames of the last, shorter window; return what is forbidden."""
        return self._judge() if self._frames else self.forbidden

    @property
    def forbidden(self) -> tuple[Finding, ...]:
        """The findings whose action is to refuse."""
        return tuple(one for one in self._found.values() if one.action == "refuse")

    def described(self) -> dict[str, Any]:
        """Return what the sidecar says: how many frames were judged in which windows, and the finding of each rule."""
        windows = -(-self._judged // self._window)
        found = [one.described() for one in self._found.values()]
        return {"frames": self._judged, "windows": windows, "decisions": found}

    def _judge(self) -> tuple[Finding, ...]:
        frames = np.stack(self._frames)
        for finding in (*self._classified(frames), *self._observed(frames)):
            before = self._found.get(finding.rule)
            if before is None or (finding.action != "allow", finding.score) > (before.action != "allow", before.score):
                self._found[finding.rule] = finding
        self._judged += len(frames)
        self._frames = []
        return self.forbidden

    def _classified(self, frames: AnyFrames) -> Iterator[Finding]:
        """Score a frame of every step, counted through the whole video, and the last of the window."""
        chosen = [n for n in range(len(frames)) if (self._judged + n) % self._every == 0]
        chosen = sorted({*chosen, len(frames) - 1})
        for rule, classifier in self._classifiers:
            scores = classifier.scores(frames[chosen])
            best = int(scores.argmax())
            score, seconds = float(scores[best]), (self._judged + chosen[best]) / self.fps
            hit = score >= rule.threshold
            seen = f"{classifier.name} gives the frame at {seconds:.2f} s the score {score:.2f}" if hit else ""
            action = rule.action if hit else "allow"
            yield Finding(rule.id, classifier.name, classifier.version, action, score, seconds, seen)

    def _observed(self, frames: AnyFrames) -> Iterator[Finding]:
        for observer in self._observers.values():
            observer.add(frames)
        seen = {world: observer.sightings() for world, observer in self._observers.items()}
        for rule in self.rules.events:
            yield _of_event(rule, seen)


def _of_event(rule: EventRule, seen: Mapping[str, Any]) -> Finding:
    found = in_order(rule.steps, seen[rule.world], rule.within)
    if found is None:
        return Finding(rule.id, rule.world, VERSION)
    shown = ", then ".join(map(str, found))
    return Finding(rule.id, rule.world, VERSION, rule.action, 1.0, round(found[-1].start, 3), shown)
