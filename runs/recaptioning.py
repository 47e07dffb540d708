"""Compare models that were trained on different captions, from short and from descriptive prompts of the same specs.

python runs/recaptioning.py out/recaptioning/descriptive-* out/recaptioning/true-95 --out out/recaptioning
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from scaling import judgeable_specs

from chronotope.generate.pipeline import Generator
from chronotope.metrics.statistics import Rate, mcnemar
from chronotope.storage import write_json
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.checks.attributes import judge
from chronotope.worlds.stage.checks.detector import Detector, load_detector
from chronotope.worlds.stage.spec import Spec

STYLES = ("tags", "paragraph")  # of the prompts: short and descriptive


def verdicts(folder: Path, specs: list[Spec], detector: Detector, out: Path) -> dict[str, list[bool]]:
    """Generate and judge a video of every spec and style, seeded with its index; or read the verdicts again."""
    path = out / f"{folder.name}.json"
    found: dict[str, list[bool]] = json.loads(path.read_text()) if path.is_file() else {}
    generator = Generator.load(folder)
    for style in STYLES:
        right = found.setdefault(style, [])
        for place, spec in enumerate(specs[len(right) :], start=len(right)):
            made = generator.generate(
                captions(spec)[style][0],
                seed=place,
                height=spec.height,
                width=spec.width,
                num_frames=spec.num_frames,
                fps=spec.fps,
            )
            right.append(all(verdict.all_right for verdict in judge(detector, spec, made.frames)))
            write_json(path, found)
    return {style: right[: len(specs)] for style, right in found.items()}


def table(found: dict[str, dict[str, list[bool]]]) -> dict[str, Any]:
    """Return the rates of every model and style, and its paired comparison with the first model."""
    rows: dict[str, Any] = {}
    base = next(iter(found.values()))
    for name, by_style in found.items():
        for style, right in by_style.items():
            before = base[style]
            better = sum(now and not then for now, then in zip(right, before, strict=True))
            worse = sum(then and not now for now, then in zip(right, before, strict=True))
            rows[f"{name}, prompts: {style}"] = {
                "right": str(Rate(sum(right), len(right))),
                "better": better,
                "worse": worse,
                "p": round(mcnemar(better, worse), 4),
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
    rows = table({folder.name: verdicts(folder, specs, detector, asked.out) for folder in asked.models})
    write_json(asked.out / "table.json", rows)
    for name, row in rows.items():
        print(f"{name:40} {row['right']:34} better {row['better']}, worse {row['worse']}, p {row['p']}")


if __name__ == "__main__":
    main()
