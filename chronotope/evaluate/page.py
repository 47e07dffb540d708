"""The report as one HTML page that needs nothing else: plots drawn as SVG, the first and the worst videos inside it."""

from __future__ import annotations

import base64
import html
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chronotope.evaluate.suite import LENGTHS
from chronotope.evaluate.taxonomy import FAILURES

__all__ = ["write_page"]

SHOWN = 12  # videos of each gallery
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2.2em;border-bottom:1px solid #ddd}table{border-collapse:collapse}
td,th{padding:.25em .7em;text-align:left;vertical-align:top}th{font-weight:600}tr:nth-child(even){background:#f6f6f6}.n{text-align:right}
.code{white-space:nowrap}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(180px,1fr));gap:14px}figure{margin:0}
figure video,figure img{width:100%;image-rendering:auto;border-radius:4px;background:#eee}figcaption{font-size:12.5px;line-height:1.35}
.ok{color:#16793b}.no{color:#b3261e}.big{font-size:2.6em;font-weight:700}.grey{color:#777}svg text{font:12px system-ui,sans-serif;fill:#333}
"""


def write_page(report: dict[str, Any], videos: Path, out: Path) -> None:
    """index.html of a report; the videos it shows are read from `videos`."""
    links = os.path.relpath(videos.resolve(), out.resolve().parent)
    parts = [_head(report), *_body(report, videos, links)]
    beside = out.with_name(out.name + ".part")
    beside.write_text("\n".join(parts) + "\n</body></html>\n")
    beside.replace(out)


def _head(report: dict[str, Any]) -> str:
    about, success = report["about"], report["summary"]["success"]
    low, high = success["interval_over_specs"]
    facts = "".join(f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(str(value))}</td></tr>" for name, value in about.items())
    name = html.escape(str(about.get("model", "this")))
    what = f"What {name} can do, and how it fails" if about.get("layer", "model") == "model" else f"The ceiling: {about['layer']}"
    tries = ", one try each" if "ledger" in about else ""
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{html.escape(str(about.get('model', 'report')))}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{what}</h1>"
        f"<p><span class=big>{success['share']:.1%}</span> of {success['of']} videos pass every check that matters "
        f"[{low:.1%}, {high:.1%}]{tries}. {report['summary']['graded']:.1%} of all checks hold.</p><table>{facts}</table>"
    )


def _body(report: dict[str, Any], videos: Path, links: str) -> Iterable[str]:
    summary, cases = report["summary"], report["cases"]
    yield "<h2>Success by kind of case</h2>"
    for name, levels in summary["strata"].items():
        yield f"<h3>{html.escape(name)}</h3>{_bars(levels)}"
    yield "<h2>Length against deeds</h2>" + _heat_map(summary["cube"])
    if summary["survival"]:
        yield "<h2>How long videos go well</h2>" + _curve(summary["survival"])
    yield "<h2>How they fail</h2>" + _failures(summary["failures"], cases, links)
    yield "<h2>Checks</h2><p>The share of each that holds, the weakest first.</p>" + _bars(summary["checks"])
    yield f"<h2>The first {SHOWN}</h2><p>By index: nobody chose them.</p>" + _gallery(cases[:SHOWN], videos)
    worst = sorted(cases, key=lambda case: (case["graded"], case["index"]))[:SHOWN]
    yield f"<h2>The worst {SHOWN}</h2>" + _gallery(worst, videos)


def _bars(levels: dict[str, Any]) -> str:
    """A bar a level with its 95 % interval."""
    left, width, step = 230, 480, 24
    rows = []
    for place, (name, rate) in enumerate(levels.items()):
        y = place * step + 4
        low, high = (left + width * bound for bound in rate["interval"])
        rows.append(
            f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{html.escape(name)}</text>'
            f'<rect x="{left}" y="{y}" width="{width}" height="16" fill="#eee"/>'
            f'<rect x="{left}" y="{y}" width="{width * rate["share"]:.1f}" height="16" fill="#5b8def"/>'
            f'<path d="M{low:.1f} {y + 8}H{high:.1f}M{low:.1f} {y + 4}v8M{high:.1f} {y + 4}v8" stroke="#222" fill="none"/>'
            f'<text x="{left + width + 10}" y="{y + 12}">{rate["share"]:.1%} of {rate["of"]}</text>'
        )
    return f'<svg width="860" height="{len(levels) * step + 8}" role="img">{"".join(rows)}</svg>'


def _heat_map(cube: dict[str, dict[str, Any]]) -> str:
    columns = [length for length in LENGTHS if any(length in row for row in cube.values())]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    lines = []
    for deeds, row in cube.items():
        cells = "".join(_cell(row.get(length)) for length in columns)
        lines.append(f"<tr><th>{html.escape(deeds)}</th>{cells}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(lines)}</table>"


def _cell(rate: dict[str, Any] | None) -> str:
    if rate is None:
        return "<td class=grey>-</td>"
    hue = 120 * rate["share"]
    return f'<td style="background:hsl({hue:.0f},65%,82%)">{rate["share"]:.0%} <span class=grey>of {rate["of"]}</span></td>'


def _curve(data: dict[str, Any]) -> str:
    """Kaplan-Meier: steps down where videos fail, the band is 95 %."""
    left, top, width, height = 50, 10, 640, 220
    last = data["longest"]

    def steps(values: Sequence[float]) -> list[str]:
        points, before = [], values[0]
        for time, value in zip(data["times"], values, strict=True):
            x = left + width * time / last
            points += [f"{x:.1f},{top + height * (1 - before):.1f}", f"{x:.1f},{top + height * (1 - value):.1f}"]
            before = value
        return [*points, f"{left + width},{top + height * (1 - before):.1f}"]

    band = " ".join(steps(data["low"]) + steps(data["high"])[::-1])
    ticks = "".join(f'<text x="4" y="{top + height * (1 - share) + 4:.0f}">{share:.0%}</text>' for share in (0, 0.25, 0.5, 0.75, 1))
    seconds = "".join(
        f'<text x="{left + width * k / 4:.0f}" y="{top + height + 16}" text-anchor="middle">{last * k / 4:.1f} s</text>' for k in range(5)
    )
    median = "never in these lengths" if data["median"] is None else f"after {data['median']:.2f} s"
    return (
        f"<p>Share of {data['videos']} videos in which nobody has yet vanished, appeared from nothing, doubled, changed colour, jumped or "
        f"shaken; half have {median}.</p>"
        f'<svg width="720" height="{height + 40}" role="img"><rect x="{left}" y="{top}" width="{width}" height="{height}" fill="#f7f7f7"/>'
        f'<polygon points="{band}" fill="#5b8def" opacity="0.25"/>'
        f'<polyline points="{" ".join(steps(data["alive"]))}" fill="none" stroke="#2456b5" stroke-width="2"/>{ticks}{seconds}</svg>'
    )


def _failures(rates: dict[str, Any], cases: Sequence[dict[str, Any]], folder: str) -> str:
    lines = []
    for code, rate in sorted(rates.items(), key=lambda item: -item[1]["share"]):
        row = FAILURES[code]
        examples = [case for case in cases if any(fault["code"] == code for fault in case["failures"])][:5]
        links = ", ".join(f'<a href="{html.escape(folder)}/{html.escape(case["file"])}">{case["index"]}</a>' for case in examples)
        low, high = rate["interval"]
        lines.append(
            f"<tr><td class=code>{code}</td><td>{html.escape(row.name)}<br><span class=grey>{html.escape(row.rule)}</span></td>"
            f"<td class=n>{row.severity}</td>"
            f"<td class=n>{rate['share']:.1%}</td><td class=grey>[{low:.1%}, {high:.1%}]</td><td>{links}</td></tr>"
        )
    head = "<tr><th>code</th><th>what</th><th>severity</th><th>videos</th><th>95 %</th><th>first cases</th></tr>"
    return f"<p>Severity 3 and 4 block success.</p><table>{head}{''.join(lines)}</table>"


def _gallery(cases: Sequence[dict[str, Any]], videos: Path) -> str:
    return f"<div class=gallery>{''.join(_figure(case, videos / case['file']) for case in cases)}</div>"


def _figure(case: dict[str, Any], path: Path) -> str:
    faults = _faults(case["failures"])
    verdict = (
        "<span class=ok>all right</span>"
        if not faults
        else f'<span class="{"ok" if case["success"] else "no"}">{html.escape(faults)}</span>'
    )
    return f"<figure>{_media(path)}<figcaption>{case['index']}: {html.escape(case['prompt'])}<br>{verdict}</figcaption></figure>"


def _faults(failures: Sequence[dict[str, Any]]) -> str:
    """Each once, with how often it is there; whatever else was asked of somebody who is missing fails for that one reason."""
    texts = ((fault, "is there" if fault["code"] == "TXT-CNT" else fault["check"]) for fault in failures)
    counts = Counter(f"{fault['code']} {check} ({fault['second']:g} s)" for fault, check in texts)
    return "; ".join(text if count == 1 else f"{text} x {count}" for text, count in counts.items())


def _media(path: Path) -> str:
    if not path.is_file():
        return "<p class=no>no video</p>"
    data = base64.b64encode(path.read_bytes()).decode()
    if path.suffix == ".png":
        return f'<img src="data:image/png;base64,{data}" alt="">'
    return f'<video src="data:video/mp4;base64,{data}" autoplay loop muted playsinline></video>'
