"""Compare models that were trained on different captions, from short and from descriptive prompts of the same specs.

python runs/recaptioning.py out/recaptioning/descriptive-* out/recaptioning/true-95 --out out/recaptioning
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaling import judgeable_specs

from chronotope.generate.pipeline import Generator
from chronotope.metrics.statistics import Rate, sign_flip
from chronotope.storage import write_json
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.checks.attributes import Verdict, judge
from chronotope.worlds.stage.checks.detector import Detector, load_detector
from chronotope.worlds.stage.spec import Spec

STYLES = ("tags", "paragraph")  # of the prompts: short and descriptive


def share_right(verdicts: Sequence[Verdict]) -> float:
    """Return the share of what the spec requires of its actors (who, colour, direction) that is right."""
    held = [value for one in verdicts for value in (one.who, one.colour, one.direction) if value is not None]
    return sum(held) / len(held)


def shares(folder: Path, specs: list[Spec], detector: Detector, out: Path) -> dict[str, list[float]]:
    """Generate and judge a video of every spec and style, seeded with its index; or read what was judged before."""
    path = out / f"{folder.name}.json"
    found: dict[str, list[float]] = json.loads(path.read_text()) if path.is_file() else {}
    generator = Generator.load(folder)
    for style in STYLES:
        judged = found.setdefault(style, [])
        for place, spec in enumerate(specs[len(judged) :], start=len(judged)):
            made = generator.generate(
                captions(spec)[style][0],
                seed=place,
                height=spec.height,
                width=spec.width,
                num_frames=spec.num_frames,
                fps=spec.fps,
            )
            judged.append(round(share_right(judge(detector, spec, made.frames)), 4))
            write_json(path, found)
    return {style: judged[: len(specs)] for style, judged in found.items()}


def table(found: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Return the means of every model and style, how many are all right, and the paired comparison with the first."""
    rows: dict[str, Any] = {}
    base = next(iter(found.values()))
    for name, by_style in found.items():
        for style, right in by_style.items():
            differences = [now - before for now, before in zip(right, base[style], strict=True)]
            rows[f"{name}, prompts: {style}"] = {
                "of what is required": round(statistics.fmean(right), 3),
                "all right": str(Rate(sum(share == 1 for share in right), len(right))),
                "difference": round(statistics.fmean(differences), 3),
                "p": round(sign_flip(differences, range(len(differences))), 4),
            }
    return rows


def main() -> None:
    """Read the command line, judge every model, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="run folders; the first is what others are compared with")
    parser.add_argument("--count", type=int, default=120, help="held-out specs")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    specs, detector = judgeable_specs(asked.count), load_detector()
    rows = table({folder.name: shares(folder, specs, detector, asked.out) for folder in asked.models})
    write_json(asked.out / "table.json", rows)
    for name, row in rows.items():
        print(f"{name:40} {row['of what is required']} {row['all right']} {row['difference']} p {row['p']}")


if __name__ == "__main__":
    main()
