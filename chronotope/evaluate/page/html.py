"""Write a report as one HTML page: plots, tables, and under every number a link to the videos that it counts.

The first and the worst videos are inside the page; all others are played from the folder of the report. The templates
beside this module escape everything that comes from a report: prompts, file names, names of models and worlds.
"""

from __future__ import annotations

import base64
import hashlib
import json
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

__all__ = ["TEMPLATES", "is_page", "is_page_of", "write_page"]

GALLERY_SIZE = 12  # videos
MAX_EMBEDDED = 2**26  # bytes of one video
NAME = "<!-- page of the report "  # its hash follows, at the end of the page
MARK = b'<script type="application/json" id=cases>'  # every page of a report holds it

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["percent"] = lambda share, digits=1: f"{share:.{digits}%}"
TEMPLATES.globals["plots"] = plots


def write_page(report: dict[str, Any], videos: Path, out: Path) -> list[str]:
    """Write the page of a report to the file `out`; the videos that it shows are in the folder `videos`.

    Files that are named in the report but do not lie in that folder are neither embedded nor linked; returns their
    names.
    """
    root = videos.resolve()
    outside = {case["file"] for case in report["cases"] if not _lies_in(root, case["file"])}
    cases = [{**case, "file": ""} if case["file"] in outside else case for case in report["cases"]]
    folder = quote(Path(os.path.relpath(root, out.resolve().parent)).as_posix())
    page = TEMPLATES.get_template("report.html.jinja").render(
        report=report,
        first=[case for case in cases if case["run"] == cases[0]["run"]][:GALLERY_SIZE],
        worst=sorted(cases, key=lambda case: (case["graded"], case["index"]))[:GALLERY_SIZE],
        folder=folder,
        files={case["id"]: case["file"] for case in cases},
        listing={"folder": folder, **_listing(cases)},
        lengths=_lengths(report["summary"]),
        drift=_drift_by_measure(report["summary"], cases),
        classes=FAILURES,
        embed=lambda file: _data_url(root / file) if file else "",
        describe=_describe,
    )
    page += f"{_name_of(report, page)}\n"
    write_atomically(out, page)
    return sorted(outside)


def is_page(path: Path) -> bool:
    """Return whether a file is a page that `write_page` wrote."""
    return path.is_file() and MARK in path.read_bytes()


def is_page_of(path: Path, report: Mapping[str, Any]) -> bool:
    """Return whether a page is that of a report, and as it was written.

    Pages of earlier versions are known by their end without a hash of the page, or by their list of videos.
    """
    page = path.read_text(encoding="utf-8", errors="replace")
    if NAME in page:
        body, name, end = page.rpartition(NAME)
        return f"{name}{end}".rstrip() in (_name_of(report, body), _name_of(report))
    found = page.partition(MARK.decode())[2].partition("</script>")[0]
    try:
        return bool(json.loads(found)["rows"] == json.loads(json.dumps(_listing(report["cases"])["rows"])))
    except (ValueError, KeyError, TypeError):
        return False


def _name_of(report: Mapping[str, Any], page: str = "") -> str:
    """Return the comment that names a report in its page, with the hash of what stands before it in the page."""
    plain = json.loads(json.dumps(report))  # as it is read again
    content = f", content {hashlib.sha256(page.encode()).hexdigest()}" if page else ""
    return f"{NAME}{hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()}{content} -->"


def _lies_in(folder: Path, file: str) -> bool:
    """Whether a name is of one file of this folder, which no link leads elsewhere; the file may be missing.

    `folder` is resolved.
    """
    if file in ("", ".", "..") or any(character in file for character in "/\\\0"):
        return False
    try:
        return (folder / file).resolve().parent == folder
    except (OSError, RuntimeError):  # a circle of links
        return False


def _data_url(path: Path) -> str:
    """A picture or video as a data URL; empty if there is no such file, or a very large one."""
    if not path.is_file() or path.stat().st_size > MAX_EMBEDDED:
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
    """What page.js needs to list and filter all videos; of joined plans not every case has every stratum."""
    strata = list(dict.fromkeys(name for case in cases for name in case["strata"]))
    rows = []
    for case in cases:
        codes = list(dict.fromkeys(failure["code"] for failure in case["failures"]))
        levels = [case["strata"].get(name, "") for name in strata]
        rows.append([case["id"], case["index"], case["file"], case["prompt"], case["success"], codes, levels])
    return {"strata": strata, "rows": rows}


def _lengths(summary: Mapping[str, Any]) -> list[str]:
    """The columns of the two-way table, in the order of the report."""
    columns = dict.fromkeys(summary["strata"].get("length", ()))
    for row in summary["cube"].values():
        columns |= dict.fromkeys(row)
    return list(columns)


def _drift_by_measure(
    summary: Mapping[str, Any], cases: Sequence[Mapping[str, Any]]
) -> dict[str, list[tuple[plots.Number, str]]]:
    """Per measure of drift, the change in each long video and the file of that video.

    In a report of several worlds the name of a measure begins with that of its world.
    """
    measures = summary.get("long_range", {}).get("measures", {})
    found: dict[str, list[tuple[plots.Number, str]]] = {name: [] for name in measures}
    for case in cases:
        prefix = f"{case.get('world', '')}: "
        names = [name for name in found if name.startswith(prefix)] or list(found)
        for values in case.get("measured", {}).values():
            if not {name.removeprefix(prefix) for name in names} <= values.keys():
                continue  # the numbers of another check
            for name in names:
                found[name].append((values[name.removeprefix(prefix)], case["file"]))
    return found
