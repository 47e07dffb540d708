"""Compare models of different training compute on the same prompts and seeds, and fit a success curve through them.

python runs/scaling.py out/scaling/x1 out/scaling/x4 out/scaling/x32 --out out/scaling
"""

from __future__ import annotations

import argparse
import base64
import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from chronotope.cli.costs import dit_costs
from chronotope.generate.pipeline import Generator
from chronotope.media import picture, video
from chronotope.metrics.statistics import Rate, Trend, trend
from chronotope.storage import read_json
from chronotope.train.config import read_run
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.checks.attributes import judge
from chronotope.worlds.stage.checks.detector import Detector, load_detector
from chronotope.worlds.stage.checks.tracking import unsupported
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Spec

FIRST_SEED, SHOWN = 20_000, 6

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Success and training compute</title><style>
body{{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:60rem;margin:2rem auto;padding:0 1rem}}
td,th{{padding:.3rem .6rem;text-align:center}}th{{font-weight:600}}td.p{{text-align:left;max-width:16rem}}
video{{width:150px;image-rendering:pixelated;border-radius:4px}}
.no{{outline:3px solid #d66}}.ok{{outline:3px solid #6b6}}
svg text{{font:12px system-ui,sans-serif}}</style></head><body><h1>Success and training compute</h1><p>{about}</p>{plot}
<table><tr><th></th>{heads}</tr>{rows}</table>
<p>The first {shown} of {count} prompts, one seed each. Green: the video shows what the prompt says.</p></body></html>
"""


@dataclass(frozen=True)
class Outcome:
    """One model: its training operations and loss, the success on each spec, and its first videos."""

    name: str
    flops: float
    loss: float
    right: tuple[bool, ...]
    videos: tuple[Path, ...]


def judgeable_specs(count: int) -> list[Spec]:
    """Return held-out specs of scope `shapes` with motion that the checks can judge, in the order of their seeds."""
    specs, seed = [], FIRST_SEED
    while len(specs) < count:
        spec = sample_spec(seed, SCOPES["shapes"], "heldout")
        if spec.num_frames > 4 and spec.events and not unsupported(spec):
            specs.append(spec)
        seed += 1
    return specs


def outcome(folder: Path, specs: list[Spec], detector: Detector, out: Path) -> Outcome:
    """Generate and judge a video of every spec; the seed is the index of the spec."""
    generator, trained = Generator.load(folder), read_json(folder / "dit" / "model.json")["training"]
    right, kept = [], []
    for place, spec in enumerate(specs):
        made = generator.generate(
            captions(spec)["sentence"][0],
            seed=place,
            height=spec.height,
            width=spec.width,
            num_frames=spec.num_frames,
            fps=spec.fps,
        )
        right.append(all(verdict.all_right for verdict in judge(detector, spec, made.frames)))
        if place < SHOWN:
            kept.append(out / "videos" / f"{folder.name}-{place}.mp4")
            kept[-1].parent.mkdir(parents=True, exist_ok=True)
            video.write(kept[-1], made.frames, made.fps, metadata=made.origin)
    flops = dit_costs(read_run(trained["run"]))["flops_in_all"]
    return Outcome(folder.name, flops, trained["loss"], tuple(right), tuple(kept))


def plot(outcomes: list[Outcome], fitted: Trend) -> str:
    """Draw success against compute as SVG: points with Wilson intervals, the fitted curve and its confidence band."""
    left, top, width, height = 60, 10, 520, 240
    exponents = np.log10([found.flops for found in outcomes])
    low, high = exponents.min() - 0.2, exponents.max() + 0.2
    grid = np.linspace(low, high, 60)
    middle, bottom, upper = fitted.at(10**grid)

    def at(exponent: float, share: float) -> str:
        return f"{left + width * (exponent - low) / (high - low):.1f},{top + height * (1 - share):.1f}"

    band = " ".join(
        [at(x, y) for x, y in zip(grid, upper, strict=True)]
        + [at(x, y) for x, y in zip(grid[::-1], bottom[::-1], strict=True)]
    )
    line = " ".join(at(x, y) for x, y in zip(grid, middle, strict=True))
    marks = []
    for found, exponent in zip(outcomes, exponents, strict=True):
        rate = Rate(sum(found.right), len(found.right))
        (x, y), bounds = (
            at(exponent, rate.share).split(","),
            [at(exponent, bound).split(",")[1] for bound in rate.interval],
        )
        marks.append(f'<circle cx="{x}" cy="{y}" r="4"/><path d="M{x} {bounds[0]}V{bounds[1]}" stroke="#222"/>')
        marks.append(f'<text x="{x}" y="{top + height + 18}" text-anchor="middle">{found.flops:.2g}</text>')
    ticks = "".join(f'<text x="8" y="{top + height * (1 - s) + 4:.0f}">{s:.0%}</text>' for s in (0, 0.25, 0.5, 0.75, 1))
    return (
        f'<svg width="640" height="300"><rect x="{left}" y="{top}" width="{width}" height="{height}" fill="#f5f5f5"/>'
        f'<polygon points="{band}" fill="#5b8def" opacity=".25"/>'
        f'<polyline points="{line}" fill="none" stroke="#2456b5" stroke-width="2"/>'
        f'{"".join(marks)}{ticks}<text x="{left + width / 2}" y="{top + height + 36}" text-anchor="middle">'
        "operations of training</text></svg>"
    )


def triptych(outcomes: list[Outcome], side: int = 96, gap: int = 4) -> np.ndarray:
    """Make one picture of the first videos: one row per prompt; per model the first, middle and last frame."""
    rows = []
    for place in range(SHOWN):
        cells = []
        for found in outcomes:
            frames = video.read(found.videos[place]).frames
            scale = side / max(frames.shape[1:3])
            for frame in (frames[0], frames[len(frames) // 2], frames[-1]):
                small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
                cell = np.full((side + gap, side + gap, 3), 255, np.uint8)
                top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
                cell[top : top + small.shape[0], left : left + small.shape[1]] = small
                cells.append(cell)
            cells.append(np.full((side + gap, 4 * gap, 3), 255, np.uint8))
        rows.append(np.concatenate(cells[:-1], axis=1))
    return np.concatenate(rows)


def page(outcomes: list[Outcome], specs: list[Spec], fitted: Trend, about: str) -> str:
    """Make the page: the plot, then a table with one row per prompt and one column per model."""
    heads = ""
    for found in outcomes:
        rate = Rate(sum(found.right), len(found.right))
        heads += f"<th>{html.escape(found.name)}<br>{found.flops:.2g} operations<br>{rate}</th>"
    lines = []
    for place, spec in enumerate(specs[:SHOWN]):
        cells = ""
        for found in outcomes:
            data = base64.b64encode(found.videos[place].read_bytes()).decode()
            mark = "ok" if found.right[place] else "no"
            cells += f'<td><video class="{mark}" src="data:video/mp4;base64,{data}" autoplay loop muted playsinline>'
            cells += "</video></td>"
        lines.append(f'<tr><td class="p">{html.escape(captions(spec)["sentence"][0])}</td>{cells}</tr>')
    return PAGE.format(
        about=html.escape(about),
        plot=plot(outcomes, fitted),
        heads=heads,
        rows="".join(lines),
        shown=SHOWN,
        count=len(specs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--specs", type=int, default=100)
    options = parser.parse_args()
    if len(options.models) < 2:
        parser.error("give at least two models; a curve cannot be fitted to one")
    if (options.out / "index.html").exists() and not (options.out / "scaling.json").exists():
        parser.error(f"{options.out} holds a page that this program did not make; give another --out")
    specs, detector = judgeable_specs(options.specs), load_detector()
    outcomes = [outcome(folder, specs, detector, options.out) for folder in options.models]
    fitted = trend([found.flops for found in outcomes], [found.right for found in outcomes])
    low, high = fitted.odds_interval
    tenfold = f"odds of success times {fitted.odds:.1f} [{low:.1f}, {high:.1f}] for ten times the compute"
    about = (
        f"{options.specs} held-out specs of coloured shapes, one seed each, the same noise for every model; {tenfold}."
    )
    picture.write_image(options.out / "triptych.png", triptych(outcomes))
    (options.out / "index.html").write_text(page(outcomes, specs, fitted, about))
    rows: list[dict[str, Any]] = [
        {"model": found.name, "flops": found.flops, "loss": found.loss, "right": sum(found.right), "of": len(specs)}
        for found in outcomes
    ]
    (options.out / "scaling.json").write_text(
        json.dumps({"models": rows, "odds": fitted.odds, "interval": fitted.odds_interval}, indent=1) + "\n"
    )
    for found in outcomes:
        rate = Rate(sum(found.right), len(found.right))
        print(f"{found.name:>6}  {found.flops:.2e} operations  loss {found.loss:.3f}  right {rate}")
    print(f"{tenfold}\n{options.out / 'index.html'}")


if __name__ == "__main__":
    main()
