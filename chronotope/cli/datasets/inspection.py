"""What `chronotope inspect` does: one HTML page about a curated dataset, what is used, what is not, and why."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from chronotope.cli.datasets.page import TEMPLATES
from chronotope.curate.listing import Row, source_paths
from chronotope.data.captions import read_captions
from chronotope.data.exports.facts import MEANINGS, duration
from chronotope.data.record import words_of
from chronotope.errors import ChronotopeError
from chronotope.geometry import Geometry
from chronotope.manifest import read_curation
from chronotope.media import video
from chronotope.storage import write_atomically

__all__ = ["write_inspection"]

EXAMPLES, FIRST = 6, 12  # of a reason, and of the clips that are used
SIDE = 160  # pixels of a frame of an example
BINS = 16
CPU_SPEED = 2_300  # tokens a second of preset small on one bfloat16 core, of docs/log.md, entries 77 and 81
ENCODINGS = ((64, 8.0, 4.0), (96, 8.0, 4.0), (128, 8.0, 8.0), (256, 24.0, 8.0))  # max side, fps, seconds


def write_inspection(data: Path, out: Path) -> None:
    """Write the page of a curated dataset to the file `out`; pictures are inside of it."""
    header, rows = read_curation(data)
    paths = source_paths(data)
    kept = [row for row in rows if row["state"] == "kept"]
    captions = {row["clip"]: _captions(data / row["clip"]) for row in kept}
    words = Counter(word for texts in captions.values() for text in texts for word in words_of(text))
    train = [row for row in kept if row["split"] == "train"]
    page = TEMPLATES.get_template("inspection.html.jinja").render(
        name=data.resolve().name,
        header=header,
        files=len({row["file"] for row in rows}),
        shots=sum("split" in row for row in rows),
        kept=len(kept),
        seconds=duration(sum(row["seconds"] for row in kept if not row["picture"])),
        heldout=sum(row["split"] == "heldout" for row in kept),
        text=header["filters"].get("text", False),
        left_out=sum(row["state"] == "left out" for row in rows),
        unusable=sum(row["state"] in ("refused", "unreadable") for row in rows),
        captioned=sum(bool(texts) for texts in captions.values()),
        rights=Counter(
            (row["rights"].get("licence", ""), row["rights"].get("holder", "")) for row in kept
        ).most_common(),
        reasons=[_reason(reason, rows, paths) for reason in MEANINGS if any(row["reason"] == reason for row in rows)],
        plots=_plots(kept),
        sizes=Counter(f"{row['width']}x{row['height']}" for row in kept).most_common(20),
        words=words.most_common(60),
        first=[_example(row, data / row["clip"], 0.0, next(iter(captions[row["clip"]]), "")) for row in kept[:FIRST]],
        costs=[_cost(train, *encoding) for encoding in ENCODINGS],
        speed=f"{CPU_SPEED:,}",
    )
    write_atomically(out, page)


def _captions(clip: Path) -> list[str]:
    try:
        return [text for texts in read_captions(clip).values() for text in texts]
    except ChronotopeError:
        return []  # `check` says what is wrong with the file


# Examples


def _reason(name: str, rows: Sequence[Row], paths: Mapping[str, Path]) -> dict[str, Any]:
    found = [row for row in rows if row["reason"] == name]
    examples = [
        _example(row, paths.get(row["file"]), row.get("start", 0.0), row["why"], row.get("start"))
        for row in found[:EXAMPLES]
    ]
    return {"name": name, "count": len(found), "meaning": MEANINGS[name], "examples": examples}


def _example(row: Row, path: Path | None, start: float, why: str, shown: float | None = None) -> dict[str, Any]:
    picture = _three_frames(path, start, row.get("seconds", 0.0)) if path and "seconds" in row else ""
    return {"file": row.get("clip") or row["file"], "start": shown, "why": why, "picture": picture}


def _three_frames(path: Path, start: float, seconds: float) -> str:
    """Return the beginning, the middle and the end of a part of a file, side by side, as a data URL; "" without it."""
    frames = []
    for share in (0.02, 0.5, 0.95):
        try:
            stream = video.stream(path, start=start + share * seconds, seconds=max(seconds, 0.1), max_side=SIDE)
            frames.append(next(stream))
            stream.close()
        except (ChronotopeError, StopIteration):
            continue
    if not frames:
        return ""
    height = min(frame.shape[0] for frame in frames)
    row = np.concatenate([frame[:height] for frame in frames], axis=1)
    done, data = cv2.imencode(".jpg", row[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode() if done else ""


# Plots and costs


@dataclass(frozen=True)
class _Bar:
    x: float
    y: float
    width: float
    height: float
    label: str
    count: int


def _plots(kept: Sequence[Row]) -> list[dict[str, Any]]:
    moving = [row for row in kept if not row["picture"]]
    values: tuple[tuple[str, Sequence[Row], Callable[[Row], float]], ...] = (
        ("seconds of a clip", moving, lambda row: row["seconds"]),
        ("frames a second", moving, lambda row: row["fps"]),
        ("motion, widths a second", moving, lambda row: row["scores"]["motion"]),
        ("sharpness", kept, lambda row: row["scores"]["sharpness"]),
        ("mean light, 0 to 1", kept, lambda row: row["scores"]["brightness"]),
        ("width over height", kept, lambda row: row["width"] / row["height"]),
    )
    return [_histogram(title, [value(row) for row in rows]) for title, rows, value in values if rows]


def _histogram(title: str, values: Sequence[float]) -> dict[str, Any]:
    """Return the bars of a histogram, 320 x 110 units large."""
    low, high = min(values), max(values)
    counts, edges = np.histogram(values, BINS, (low, high if high > low else low + 1))
    most, width = max(1, int(counts.max())), 320 / BINS
    bars = [
        _Bar(
            round(number * width + 1, 1),
            round(112 - 96 * count / most, 1),
            round(width - 2, 1),
            round(96 * count / most, 1),
            f"{edges[number]:.3g} to {edges[number + 1]:.3g}",
            int(count),
        )
        for number, count in enumerate(counts)
    ]
    ticks = [
        {"x": 0, "label": f"{edges[0]:.3g}", "anchor": "start"},
        {"x": 320, "label": f"{edges[-1]:.3g}", "anchor": "end"},
    ]
    return {"title": title, "bars": bars, "ticks": ticks, "most": f"{most} clips"}


def _cost(rows: Sequence[Row], max_side: int, fps: float, seconds: float) -> dict[str, Any]:
    """Return how many tokens the clips have at a size, a rate and a length, and how long one pass over them takes."""
    geometry = Geometry()
    tokens = 0
    for row in rows:
        scale = min(1.0, max_side / max(row["width"], row["height"]))
        sides = [max(16, 16 * round(row[name] * scale / 16)) for name in ("height", "width")]
        rows_, columns = geometry.token_grid(*sides)
        if row["picture"]:
            tokens += rows_ * columns
            continue
        frames = max(1, round(row["seconds"] * min(fps, row["fps"])))
        parts = math.ceil(row["seconds"] / seconds)
        slices = parts * len(geometry.slices(max(1, frames // parts)))
        tokens += slices * rows_ * columns
    options = f"--max-side {max_side} --fps {fps:g} --max-seconds {seconds:g}"
    return {"options": options, "tokens": tokens, "minutes": tokens / CPU_SPEED / 60}
