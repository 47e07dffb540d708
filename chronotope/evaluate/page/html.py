"""The report as one HTML page that needs nothing else: plots, and under every number a link to the videos that it counts.

The first and the worst videos are inside the page; all others are played from the folder of the report.
"""

from __future__ import annotations

import base64
import html
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from chronotope.evaluate.page.plots import (
    DARK,
    GREY,
    ORANGE,
    bars,
    heat_map,
    link,
    quantiles,
    shares,
    strips,
    survival_curve,
)
from chronotope.storage import write_atomically
from chronotope.worlds.stage.checks.drift import ALIKE
from chronotope.worlds.taxonomy import FAILURES

__all__ = ["write_page"]

SHOWN = 12  # videos of each gallery
FAULTS = {"transformer": DARK, "decoder": ORANGE, "checks": GREY}  # who can be at fault
_STYLE, _SCRIPT = (Path(__file__).with_name(name).read_text() for name in ("page.css", "page.js"))


def write_page(report: dict[str, Any], videos: Path, out: Path) -> None:
    """index.html of a report; the videos it shows are read from `videos`."""
    folder = quote(Path(os.path.relpath(videos.resolve(), out.resolve().parent)).as_posix())
    sections = list(_sections(report, videos, folder))
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in sections)
    bodies = (f"<h2 id={name}>{title}</h2>{body}" for name, title, body in sections)
    page = [_head(report), f"<nav>{links}</nav>", *bodies, f"<script>{_SCRIPT}</script></body></html>"]
    write_atomically(out, "\n".join(page) + "\n")


def _head(report: dict[str, Any]) -> str:
    about, success = report["about"], report["summary"]["success"]
    low, high = success["interval_over_specs"]
    facts = "".join(
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(str(value))}</td></tr>" for name, value in about.items()
    )
    name = html.escape(str(about.get("model", "this")))
    what = (
        f"What {name} can do, and how it fails"
        if about.get("layer", "model") == "model"
        else f"The ceiling: {about['layer']}"
    )
    tries = ", one try each" if "ledger" in about and str(about.get("selection", "none")).startswith("none") else ""
    good = link(f"{success['right']} of {success['of']} videos", success="true")
    return (
        '<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{name}</title><style>{_STYLE}</style></head><body><h1>{what}</h1><p><span class=big>{success['share']:.1%}</span></p>"
        f"<p>{good} pass every check that matters{tries}: between {low:.1%} and {high:.1%}, with 95 % confidence, over all such prompts. "
        f"{report['summary']['graded']:.1%} of all checks hold.</p>"
        f"<details><summary>What was judged</summary><div class=wide><table class=lines>{facts}</table></div></details>"
    )


def _sections(report: dict[str, Any], videos: Path, folder: str) -> Iterable[tuple[str, str, str]]:
    """Name, title and body of each."""
    summary, cases = report["summary"], report["cases"]
    first = [case for case in cases if case["run"] == cases[0]["run"]][:SHOWN]
    yield (
        "first",
        f"The first {len(first)}",
        "<p>By index, in the first run: nobody chose them.</p>" + _gallery(first, videos),
    )
    kinds = (f"<h3>{html.escape(name)}</h3>{bars(levels, name)}" for name, levels in summary["strata"].items())
    table = heat_map(summary["cube"], list(summary["strata"]["length"]))
    yield "cube", "Length against deeds", f"<p>Share of videos that succeed; a cell opens its videos.</p>{table}"
    if summary["survival"]:
        yield "survival", "How long videos go well", _survival(summary["survival"])
    if summary.get("long_range"):
        yield "ends", "From the first to the last seconds", _ends(summary["long_range"], cases, folder)
    if summary.get("permanence"):
        yield "permanence", "Out of sight, and back", _permanence(summary["permanence"])
    yield "failures", "How they fail", _failures(summary["failures"])
    if "layers" in report:
        yield "layers", "Whose fault it is", _layers(report["layers"])
    if "memorisation" in report:
        yield "memorisation", "Are they copies?", _memorisation(report["memorisation"], cases, folder)
    yield "strata", "Success by kind of case", "".join(kinds)
    yield (
        "checks",
        "Checks",
        "<p>The share of each that holds, the weakest first; intervals over scenes.</p>" + bars(summary["checks"]),
    )
    worst = sorted(cases, key=lambda case: (case["graded"], case["index"]))[:SHOWN]
    yield "worst", f"The worst {len(worst)}", "<p>By the share of checks that hold.</p>" + _gallery(worst, videos)
    yield "all", "All videos", _all(cases, folder)


def _survival(data: Mapping[str, Any]) -> str:
    median = (
        "most never have, in these lengths" if data["median"] is None else f"half have after {data['median']:.2f} s"
    )
    return (
        f"<p>Share of {data['videos']} videos in which nobody has yet vanished, appeared from nothing, doubled, changed colour, jumped or "
        f"shaken; {median}.</p>{survival_curve(data)}"
    )


def _ends(found: Mapping[str, Any], cases: Sequence[Mapping[str, Any]], folder: str) -> str:
    """The last 15 % beside the first, a dot a video."""
    rows = [case for case in cases if ALIKE in case.get("measured", {})]
    dots = {
        name: (one["spread"], [(case["measured"][ALIKE][name], f"{folder}/{quote(case['file'])}") for case in rows])
        for name, one in found["measures"].items()
    }
    lines = "".join(
        _line(name, f"{one['median']:+.2f}", f"{one['slope']:+.3f}", f"{one['within']['share']:.1%}")
        for name, one in found["measures"].items()
    )
    drifting = link(f"{found['drifting']['right']} of {found['videos']}", code="LNG-DRF")
    head = "<tr><th>measure</th><th>median change</th><th>a second</th><th>as alike as truth</th></tr>"
    return (
        "<p>Of the videos of four seconds and more, the last 15 % of the frames less the first 15 %. True clips stay well within the blue "
        f"band; {drifting} videos leave it where their truth does not. In levels of 255; sharpness in doublings.</p>{strips(dots)}"
        f"<div class=wide><table class=lines>{head}{lines}</table></div>"
    )


RATES = {
    "gate": "is seen to go out of sight, as asked",
    "success_given_gate": "of these, comes back right",
    "success_and_gate": "does both, of all who should",
}


def _permanence(found: Mapping[str, Any]) -> str:
    """The gate, what passes it and comes back right, and both."""
    lines = "".join(
        _line(
            RATES[name],
            f"{rate['right']} of {rate['of']}",
            f"{rate['share']:.1%}",
            "{:.1%} to {:.1%}".format(*rate["interval"]),
        )
        for name, rate in found.items()
    )
    return (
        "<p>Who goes behind something or leaves the frame, and should come back: the same one, once, at its place, in its time.</p>"
        f"<table class=lines>{lines}</table>"
    )


def _failures(rates: Mapping[str, Any]) -> str:
    """Those that were found, the most frequent first, and those that were not."""
    ordered = sorted(rates.items(), key=lambda item: -item[1]["share"])
    found, absent = (
        "".join(_failure(code, rate) for code, rate in ordered if bool(rate["right"]) is seen) for seen in (True, False)
    )
    head = "<tr><th>code</th><th>what</th><th>severity</th><th>where</th><th>share</th></tr>"
    why = "<p>Not each of them can be in every suite: some are asked of certain deeds, tasks, long clips or the table only.</p>"
    others = (
        f"<details><summary>Not raised</summary>{why}<table class=lines>{head}{absent}</table></details>"
        if absent
        else ""
    )
    words = "Severity 3 and 4 block success. Of several videos of a scene, intervals are over scenes."
    return f"<p>{words}</p><div class=wide><table class=lines>{head}{found}</table>{others}</div>"


def _failure(code: str, rate: Mapping[str, Any]) -> str:
    row, (low, high) = FAILURES[code], rate["interval"]
    count = link(f"{rate['right']} videos", code=code) if rate["right"] else "none"
    return (
        f"<tr><td class=code>{code}</td><td>{html.escape(row.name)}<br><small class=grey>{html.escape(row.rule)}</small></td>"
        f"<td class=n>{row.severity}</td><td class=n>{count}</td>"
        f"<td class=n>{rate['share']:.1%}<br><small class=grey>{low:.1%} to {high:.1%}</small></td></tr>"
    )


def _layers(found: Mapping[str, Any]) -> str:
    failed, artefacts = found["failed"], found["decoder_artefacts"]
    parts = [
        f"<p>The same {found['cases']} cases by single layers. {failed['model']} videos of the model fail, {failed['autoencoder']} of "
        f"those in which the autoencoder only sends the truth there and back, {failed['truth']} of the truth itself. A failure that the "
        "truth shows too is the checks' fault, one that the truth shows after the autoencoder is the decoder's, the rest is the "
        f"transformer's and its sampler's. Artefacts of the decoder alone (DEC-ART) are in {artefacts['right']} of {artefacts['of']}.</p>"
    ]
    parts += [shares(found["classes"], FAULTS)] if found["classes"] else []
    return "".join([*parts, *map(_switched, found["switched"])])


def _switched(found: Mapping[str, Any]) -> str:
    """What one switch changed."""
    changed = {code: row for code, row in found["classes"].items() if row["model"] != row["switched"]}
    lines = "".join(_line(code, row["model"], row["switched"]) for code, row in changed.items())
    return (
        f"<h3>{html.escape(found['name'])}</h3><p>Success {found['success']['share']:.1%}; {found['only_second']} videos better, "
        f"{found['only_first']} worse, p = {found['p_value']:.2g}.</p>"
        f"<table class=lines><tr><th>failure</th><th>before</th><th>after</th></tr>{lines}</table>"
    )


def _line(name: str, *numbers: object) -> str:
    return f"<tr><td class=code>{name}</td>{''.join(f'<td class=n>{number}</td>' for number in numbers)}</tr>"


def _memorisation(found: Mapping[str, Any], cases: Sequence[Mapping[str, Any]], folder: str) -> str:
    below, files = found["below"], {case["id"]: case["file"] for case in cases}
    low, high = below["interval"]
    lines = ""
    for row in found["nearest"]:
        file, name = files.get(row["video"].rpartition("/")[2]), html.escape(row["video"])
        video = f'<a href="{folder}/{quote(file)}">{name}</a>' if file else name
        numbers = f"<td class=n>{row['distance']:.1f}</td><td class=n>{row['percentile']:.1%}</td>"
        lines += f"<tr><td>{video}</td><td>{html.escape(row['clip'])}</td>{numbers}</tr>"
    curves = {"held-out clips": found["baseline"], "videos": found["distances"]}
    return (
        f"<p>How far each video is from the nearest of {found['training_clips']} training clips, and how far {found['baseline_clips']} "
        f"true clips are that were held out from training. {below['right']} of {below['of']} videos ({below['share']:.1%}, {low:.1%} to "
        f"{high:.1%}) are nearer than the dashed line, as 1 % of the held-out clips are; {found['copies']['right']} are nearer "
        f"than half of that, where copies lie. Space: {html.escape(found['space'])}.</p>"
        f"{quantiles(curves, found['threshold'], 'levels')}<details><summary>The nearest</summary><div class=wide><table class=lines>"
        f"<tr><th>video</th><th>training clip</th><th>distance</th><th>held-out clips nearer</th></tr>{lines}</table></div></details>"
    )


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


def _all(cases: Sequence[dict[str, Any]], folder: str) -> str:
    """What the script lists; everybody else finds the files in the folder."""
    strata = list(cases[0]["strata"]) if cases else []
    rows = [
        [case["id"], case["index"], case["file"], case["prompt"], case["success"],
         list(dict.fromkeys(fault["code"] for fault in case["failures"])), [case["strata"][name] for name in strata]]
        for case in cases
    ]  # fmt: skip
    data = json.dumps({"folder": folder, "strata": strata, "rows": rows}).replace("<", "\\u003c")
    told = f'<span id=told>They lie in <a href="{folder}">{folder}</a>.</span>'
    return (
        f'<p>{told} <a href="#all">All of them</a></p><div class=gallery id=list></div>'
        f'<button id=more hidden>More</button><script type="application/json" id=cases>{data}</script>'
    )
