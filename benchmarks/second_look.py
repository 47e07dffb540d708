"""Compare the checks with human labels: draw a sample to label blindly, and measure the agreement.

python -m benchmarks.second_look --draw out/standard --out sheets  write sheets, prompts.tsv and verdicts (key.json)
python -m benchmarks.second_look                                   print the agreement of the labels in second_look.json

A label is {"id", "prompt", "passes" (verdict of the checks), "good" (verdict of the viewer), "sure" (1 unsure, 3
certain), "why"}. The labels in second_look.json are those of log entry 46.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from chronotope.evaluate.report import read_report
from chronotope.media import picture, video
from chronotope.metrics.statistics import Rate
from chronotope.storage import read_json, write_json

LABELS = Path(__file__).with_name("second_look.json")
OF_EACH, FRAMES, A_SHEET, LARGER = 30, 8, 4, 2.2


def drawn(cases: list[dict[str, Any]], seed: int = 0) -> list[dict[str, Any]]:
    """Draw as many cases that fail as cases that pass, at most one per spec, in random order."""
    rng, seen, found = random.Random(seed), set[int](), []
    for success in (False, True):
        pool = [case for case in cases if case["success"] is success]
        rng.shuffle(pool)
        enough = len(found) + OF_EACH
        for case in pool:
            if case["index"] not in seen and len(found) < enough:
                found.append(case)
                seen.add(case["index"])
    rng.shuffle(found)
    return found


def strip(path: Path) -> np.ndarray:
    """Arrange enlarged frames of a video side by side, in order."""
    frames = video.read(path).frames
    at = np.unique(np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(int))
    cells = [cv2.resize(frames[t], None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC) for t in at]
    return np.concatenate([np.pad(cell, ((2, 2), (2, 2), (0, 0)), constant_values=255) for cell in cells], axis=1)


def draw(report: Path, out: Path) -> None:
    """Write sheets of videos in the order of prompts.tsv, and the verdicts into key.json."""
    out.mkdir(parents=True, exist_ok=True)
    chosen = drawn(read_report(report)["cases"])
    for start in range(0, len(chosen), A_SHEET):
        strips = [strip(report / "videos" / case["file"]) for case in chosen[start : start + A_SHEET]]
        width = max(one.shape[1] for one in strips)
        rows = [np.pad(one, ((0, 12), (0, width - one.shape[1]), (0, 0)), constant_values=255) for one in strips]
        picture.write_image(out / f"sheet{start // A_SHEET + 1:02d}.png", np.concatenate(rows))
    (out / "prompts.tsv").write_text(
        "".join(f"{number}\t{case['prompt']}\n" for number, case in enumerate(chosen, start=1))
    )
    key = [{"id": case["id"], "prompt": case["prompt"], "passes": case["success"]} for case in chosen]
    write_json(out / "key.json", key)


def kappa(labels: list[dict[str, Any]]) -> float:
    """Return Cohen's kappa of the two verdicts: their agreement beyond that expected by chance."""
    passes, good = (np.array([row[name] for row in labels], bool) for name in ("passes", "good"))
    agree = float((passes == good).mean())
    chance = float(passes.mean() * good.mean() + (1 - passes.mean()) * (1 - good.mean()))
    return (agree - chance) / (1 - chance)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", type=Path, metavar="REPORT")
    parser.add_argument("--out", type=Path, default=Path("sheets"))
    options = parser.parse_args()
    if options.draw:
        draw(options.draw, options.out)
        return
    labels = read_json(LABELS)
    for passes, words in ((True, "pass"), (False, "fail")):
        rows = [row["good"] for row in labels if row["passes"] is passes]
        print(f"of the videos that {words} the checks, the viewer passes {Rate(sum(rows), len(rows))}")
    print(
        f"agreement {Rate(sum(row['passes'] == row['good'] for row in labels), len(labels))}, kappa {kappa(labels):.2f}"
    )


if __name__ == "__main__":
    main()
