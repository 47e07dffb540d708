"""Write a report as one HTML page: plots, tables, and under every number a link to the videos that it counts.

The first and the worst videos are inside the page; all others are played from the folder of the report. The templates
beside this module escape everything that comes from a report: prompts, file names, names of models and worlds.
"""

from __future__ import annotations

import base64
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chronotope.evaluate.page import plots
from chronotope.storage import write_atomically
from chronotope.worlds.taxonomy import FAILURES

__all__ = ["TEMPLATES", "write_page"]

GALLERY_SIZE = 12  # videos

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["percent"] = lambda share, digits=1: f"{share:.{digits}%}"
TEMPLATES.globals["plots"] = plots


def write_page(report: dict[str, Any], videos: Path, out: Path) -> None:
    """Write the page of a report to the file `out`; the videos that it shows are in the folder `videos`."""
    cases = report["cases"]
    folder = quote(Path(os.path.relpath(videos.resolve(), out.resolve().parent)).as_posix())
    page = TEMPLATES.get_template("report.html.jinja").render(
        report=report,
        first=[case for case in cases if case["run"] == cases[0]["run"]][:GALLERY_SIZE],
        worst=sorted(cases, key=lambda case: (case["graded"], case["index"]))[:GALLERY_SIZE],
        folder=folder,
        files={case["id"]: case["file"] for case in cases},
        listing={"folder": folder, **_listing(cases)},
        drift=_drift_by_measure(report),
        classes=FAILURES,
        embed=lambda file: _data_url(videos / file),
        describe=_describe,
    )
    write_atomically(out, page)


def _data_url(path: Path) -> str:
    """A picture or video as a data URL; empty if there is no such file."""
    if not path.is_file():
        return ""
    kind = "image/png" if path.suffix == ".png" else "video/mp4"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _describe(failures: Sequence[Mapping[str, Any]]) -> str:
    """Each failure once, with its count. Every check of a missing actor fails with TXT-CNT: that is one failure."""
    counts = Counter[str]()
    for failure in failures:
        check = "is there" if failure["code"] == "TXT-CNT" else failure["check"]
        counts[f"{failure['code']} {check} ({failure['second']:g} s)"] += 1
    return "; ".join(text if count == 1 else f"{text} x {count}" for text, count in counts.items())


def _listing(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What page.js needs to list and filter all videos."""
    strata = list(cases[0]["strata"]) if cases else []
    rows = []
    for case in cases:
        codes = list(dict.fromkeys(failure["code"] for failure in case["failures"]))
        levels = [case["strata"][name] for name in strata]
        rows.append([case["id"], case["index"], case["file"], case["prompt"], case["success"], codes, levels])
    return {"strata": strata, "rows": rows}


def _drift_by_measure(report: dict[str, Any]) -> dict[str, list[tuple[float, str]]]:
    """Per measure of drift, the change in each long video and the file of that video."""
    measures = report["summary"].get("long_range", {}).get("measures", {})
    found: dict[str, list[tuple[float, str]]] = {name: [] for name in measures}
    for case in report["cases"]:
        for values in case.get("measured", {}).values():
            if not found.keys() <= values.keys():
                continue  # the numbers of another check
            for name, changes in found.items():
                changes.append((values[name], case["file"]))
    return found
