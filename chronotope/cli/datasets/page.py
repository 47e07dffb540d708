"""The page of a model that was taught: samples beside the clips that they are meant to be like, the loss, what next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from chronotope.data.clips import PICTURES
from chronotope.jsonl import read_jsonl
from chronotope.storage import write_atomically

__all__ = ["TEMPLATES", "write_lesson"]

POINTS = 200  # of the curve
TEMPLATES = Environment(
    loader=PackageLoader("chronotope.cli.datasets", "."), autoescape=True, undefined=StrictUndefined
)


def write_lesson(out: Path, done: Mapping[str, Any]) -> Path:
    """Write `index.html` of a taught model; samples and clips are shown from the folder."""
    log = [row for row in read_jsonl(out / "dit" / "log.jsonl") if "loss" in row]
    samples = [{**one, "picture": PurePosixPath(one["clip"]).suffix in PICTURES} for one in done["samples"]]
    page = TEMPLATES.get_template("lesson.html.jinja").render(
        name=out.resolve().name,
        folder=out,
        done=done,
        samples=samples,
        curve=_curve([(row["step"], row["loss"]) for row in log]),
        minutes=f"{log[-1]['seconds'] / 60:.0f}" if log else "0",
        example=samples[0]["text"] if samples else "what your captions say",
    )
    write_atomically(out / "index.html", page)
    return out / "index.html"


def _curve(values: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """Return the points of a curve in a box of 640 x 160."""
    values = values[:: -(-len(values) // POINTS) or 1]
    if not values:
        return {"points": "", "low": "", "high": "", "last": 0}
    losses, last = [loss for _, loss in values], values[-1][0]
    low, high = min(losses), max(losses)
    span = high - low or 1.0
    points = " ".join(f"{640 * step / last:.1f},{160 - 150 * (loss - low) / span:.1f}" for step, loss in values)
    return {"points": points, "low": f"{low:.3f}", "high": f"{high:.3f}", "last": last}
