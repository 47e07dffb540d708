"""The page of a model that was taught: samples beside the clips that they are meant to be like, the loss, what next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from chronotope.data.clips import PICTURES
from chronotope.jsonl import read_sealed_rows
from chronotope.media import video
from chronotope.storage import write_atomically
from chronotope.train.log import LOG

__all__ = ["FEWEST_STEPS", "TEMPLATES", "write_lesson"]

POINTS = 200  # of a curve
SHOWN = 5  # samples on the way
FEWEST_STEPS = 100  # of a training whose samples can be like the clips
HELDOUT = "heldout/"  # begins the names of the losses of clips that are held out
Point = tuple[int, float]  # step and loss
TEMPLATES = Environment(
    loader=PackageLoader("chronotope.cli.datasets", "."), autoescape=True, undefined=StrictUndefined
)


def write_lesson(out: Path, done: Mapping[str, Any]) -> Path:
    """Write `index.html` of a model that is or was taught; samples and clips are shown from the folder."""
    rows = read_sealed_rows(out / "dit" / LOG).rows
    trained = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    heldout = [(row["step"], loss) for row in rows for name, loss in row.items() if name.startswith(HELDOUT)]
    samples = [
        {"shown": f"data/{one['clip']}", **one, "picture": PurePosixPath(one["clip"]).suffix in PICTURES}
        for one in done["samples"]  # older ones show the clip itself
    ]
    page = TEMPLATES.get_template("lesson.html.jinja").render(
        name=out.resolve().name,
        folder=out,
        done=done,
        replay=done.get("replay", {"folders": []}),  # older runs had none
        samples=samples,
        curves=_curves(trained, heldout),
        best=min(heldout, key=lambda point: point[1]) if heldout else None,
        way=_on_the_way(out),
        minutes=f"{max(row.get('seconds', 0) for row in rows) / 60:.0f}" if rows else "0",
        reached=max((row["step"] for row in rows), default=0),
        fewest=FEWEST_STEPS,
        example=samples[0]["text"] if samples else "what your captions say",
    )
    write_atomically(out / "index.html", page)
    return out / "index.html"


def _curves(trained: Sequence[Point], heldout: Sequence[Point]) -> dict[str, Any]:
    """Return the points of both curves in one box of 640 x 160."""
    trained = trained[:: -(-len(trained) // POINTS) or 1]
    losses = [loss for _, loss in (*trained, *heldout)]
    if not losses:
        return {"trained": "", "heldout": "", "low": "", "high": "", "last": 0}
    low, high, last = min(losses), max(losses), max(step for step, _ in (*trained, *heldout)) or 1
    span = high - low or 1.0

    def line(points: Sequence[Point]) -> str:
        return " ".join(f"{640 * step / last:.1f},{160 - 150 * (loss - low) / span:.1f}" for step, loss in points)

    return {
        "trained": line(trained),
        "heldout": line(heldout),
        "low": f"{low:.3f}",
        "high": f"{high:.3f}",
        "last": last,
    }


def _on_the_way(out: Path) -> list[dict[str, Any]]:
    """Return the samples that were made during the training, a row for each prompt, at most `SHOWN` steps each."""
    folders = sorted(folder for folder in (out / "dit" / "samples").glob("*") if folder.is_dir())
    folders = [folders[round(i * (len(folders) - 1) / (SHOWN - 1))] for i in range(SHOWN)] if folders else []
    rows: dict[str, dict[str, str]] = {}
    for folder in dict.fromkeys(folders):
        for file in sorted(folder.iterdir()):
            if file.suffix in (".mp4", ".png") and (origin := video.read_origin(file)):
                rows.setdefault(origin["prompt"], {})[str(int(folder.name))] = file.relative_to(out).as_posix()
    return [{"text": text, "files": files} for text, files in rows.items()]
