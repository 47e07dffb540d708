"""Measure what the expansion of prompts does to the success of videos: the same scenes and seeds, with and without it.

The scenes are those of the suite `prompts`, in the order of the suite, each in the form that a user types (`short`), in
other words (`paraphrased`), in a paragraph, and as a caption (`rewritten`), which is what an expansion aims at. Every
video is a first try. `python -m benchmarks.expansion --first 108` writes expansion.json; an interrupted run goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import HERE, say
from chronotope.caption.expand import Expansion, expand
from chronotope.data.record import read_record
from chronotope.evaluate.suite import make_suite
from chronotope.generate.pipeline import Generator, find_model
from chronotope.generate.stored.folders import weights_of
from chronotope.jsonl import append_jsonl, read_jsonl
from chronotope.metrics.statistics import Rate, mcnemar
from chronotope.storage import read_json, write_json
from chronotope.worlds.case import PROMPT_FORMS, Case
from chronotope.worlds.catalogue import find_world

ARMS = ("typed", "expanded")


def main() -> None:
    """Sample, judge and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small")
    parser.add_argument("--first", type=int, default=108, help="scenes of the suite")
    parser.add_argument("--rows", type=Path, default=Path("out/expansion.jsonl"), help="a line a video")
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = Generator.load(options.model)
    record = read_record(read_json(find_model(options.model) / "dit" / "model.json"))
    if record is None:
        raise SystemExit(f"{options.model} has no record of the words it was taught")
    cases = [case for case in make_suite("prompts") if case.index < options.first]
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    rows = read_jsonl(options.rows) if options.rows.is_file() else []
    done = {(row["case"], row["arm"], row.get("prompt", "")) for row in rows}
    for case in sorted(cases, key=lambda case: case.index):
        expansion = expand(case.prompt, record.words)
        for arm in ARMS if expansion.changed else ARMS[:1]:
            told = expansion.prompt if arm == "expanded" else case.prompt
            if (case.id, arm, told) not in done:
                row = {"case": case.id, "form": case.form, "kind": case.kind, "arm": arm, "prompt": told}
                row["success"] = succeeds(generator, case, expansion if arm == "expanded" else None)
                append_jsonl(options.rows, row)
                rows.append(row)
    table = summary(rows)
    weights = weights_of(find_model(options.model))
    about = {"model": options.model, "weights": weights, "scenes": options.first}
    write_json(HERE / "expansion.json", {**about, "forms": table})
    for form, found in table.items():
        say(f"{form:12} {found}")


def succeeds(generator: Generator, case: Case, expansion: Expansion | None) -> bool:
    spec = case.spec
    made = generator.generate(
        expansion.prompt if expansion else case.prompt,
        negative_prompt=expansion.negative if expansion else "",
        height=spec.height,
        width=spec.width,
        num_frames=spec.num_frames,
        fps=spec.fps,
        seed=case.seed,
    )
    checks = find_world(case.world).check(case, made.frames[: spec.num_frames])
    return all(check.holds for check in checks)


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return by form the rates of both arms; a prompt that the expansion does not change has one video for both."""
    found: dict[str, Any] = {}
    for form in PROMPT_FORMS:
        typed = {row["case"]: row["success"] for row in rows if row["form"] == form and row["arm"] == "typed"}
        changed = {row["case"]: row["success"] for row in rows if row["form"] == form and row["arm"] == "expanded"}
        expanded = {**typed, **changed}
        worse = sum(typed[case] and not expanded[case] for case in typed)
        better = sum(expanded[case] and not typed[case] for case in typed)
        found[form] = {
            "typed": _rate(typed),
            "expanded": _rate(expanded),
            "changed": len(changed),
            "better": better,
            "worse": worse,
            "p": mcnemar(worse, better),
        }
    return found


def _rate(outcomes: dict[str, bool]) -> list[float]:
    rate = Rate(sum(outcomes.values()), len(outcomes))
    return [round(rate.share, 4), *(round(bound, 4) for bound in rate.interval)]


if __name__ == "__main__":
    main()
