"""Measure stories: does each action happen in its time?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.canvas.cases import Case, cases, keep, settings, simple
from benchmarks.harness import Options, Row, say
from chronotope.generate.pipeline import Generator
from chronotope.metrics.statistics import Rate
from chronotope.worlds.stage.checks.attributes import judge
from chronotope.worlds.stage.checks.detector import load_detector
from chronotope.worlds.stage.spec import Event

TITLE = "Stories of two actions"
THREADS = 1
BEAT = 16  # frames


def beats(case: Case) -> tuple[Case, Case]:
    """Return two cases: the actor moves to the right, then back to the left."""
    (actor,) = case.spec.actors
    seconds = BEAT / case.spec.fps
    parts = []
    for x, direction in ((0.3, "right"), (0.7, "left")):
        event = Event("move", actor.id, 0.0, seconds, direction, amount=0.4)  # type: ignore[arg-type]
        spec = replace(
            case.spec, num_frames=BEAT, actors=(replace(actor, x=x, y=0.5, facing=direction),), events=(event,)
        )
        parts.append(replace(case, spec=spec))
    return parts[0], parts[1]


def measure(options: Options) -> dict[str, Any]:
    """Generate stories of two prompts of two seconds; judge the frames of each against its own spec."""
    generator, detector, found, results = Generator.load(options.model), load_detector(), cases(options, simple), []
    for number, case in enumerate(found):
        first, second = beats(case)
        story = [(0.0, first.prompt), (BEAT / case.spec.fps, second.prompt)]
        made = generator.generate(story, num_frames=2 * BEAT, seed=case.index, **case.size)
        keep(options, "story", case, made)
        halves = made.frames[:BEAT], made.frames[BEAT:]
        verdicts = [judge(detector, part.spec, frames)[0] for part, frames in zip((first, second), halves, strict=True)]
        results.append(
            {"seed": case.index, "who": [v.who for v in verdicts], "direction": [bool(v.direction) for v in verdicts]}
        )
        if (number + 1) % 20 == 0:
            say(f"  {number + 1}/{len(found)}")
    return {"settings": settings(options, found, beats=f"2 of {BEAT} frames"), "results": results}


def rows(section: dict[str, Any]) -> list[Row]:
    """Return rates."""
    found = section["results"]
    count = len(found)
    return [
        Row(
            "both actions happen in their time",
            str(Rate(sum(all(one["direction"]) for one in found), count)),
            ">= 80 %",
        ),
        Row("the first action", str(Rate(sum(one["direction"][0] for one in found), count))),
        Row("the second action", str(Rate(sum(one["direction"][1] for one in found), count))),
        Row("the right actor in both", str(Rate(sum(all(one["who"]) for one in found), count))),
    ]
