"""The tables of the documentation, made from `benchmarks/*.json` and the presets."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from chronotope.metrics.statistics import Rate

ROOT = Path(__file__).resolve().parent.parent


def presets() -> str:
    """One row a preset, parameters counted on modules without memory."""
    import torch

    from chronotope.models.autoencoder import Autoencoder
    from chronotope.models.dit import DiT
    from chronotope.presets import PRESETS

    lines = [
        "| preset | autoencoder | transformer | width x depth | steps | tokens a step | generates | what it takes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, preset in PRESETS.items():
        with torch.device("meta"):
            sizes = [
                sum(p.numel() for p in model.parameters())
                for model in (Autoencoder(preset.autoencoder.model), DiT(preset.dit.model))
            ]
        train, made, model = preset.dit.train, preset.dit.defaults, preset.dit.model
        counts = " | ".join(f"{size / 1e6:,.1f} M" for size in sizes)
        shape = f"{made.width}x{made.height}, {made.num_frames} frames at {made.fps:g}"
        lines.append(
            f"| `{name}` | {counts} | {model.width} x {model.depth} | {train.steps:,} | {train.batch_tokens:,} | {shape} | {preset.about} |"
        )
    return "\n".join(lines)


def folded(title: str, body: str) -> str:
    """Shown when its title is clicked."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def results(name: str, shown: int | None = None) -> str:
    """The tables of a benchmark, without its headline: the first ones `shown`, the others folded."""
    found = ROOT / "benchmarks" / f"{name}.json"
    if not found.exists():
        return "Not measured yet: `make bench`."
    from benchmarks.harness import table

    page = importlib.import_module(f"benchmarks.{name}").PAGE
    sections = table(page, json.loads(found.read_text(encoding="utf-8"))).strip().split("\n## ")[1:]
    titled = [section.split("\n", 1) for section in sections]
    whole = [f"### {title}\n{body.rstrip()}" for title, body in titled[:shown]]
    return "\n\n".join([*whole, *(folded(title, body.strip()) for title, body in titled[len(whole) :])])


def worlds(name: str = "worlds.json") -> str:
    """How far a world can be trusted, by default the shipped one, beside baselines and the game itself."""
    return _of_worlds(name, places=False)


def places() -> str:
    """What comes back in the shipped world after a walk away and back, with its map and without."""
    return _of_worlds("worlds.json", places=True)


def _of_worlds(name: str, places: bool) -> str:
    from benchmarks.worlds.rows import Row, table

    found = json.loads((ROOT / "benchmarks" / name).read_text(encoding="utf-8"))
    rows = map(Row.read, found["rows"])
    return table(row for row in rows if row.measure.endswith("away and back") == places)


def standard() -> str:
    """What the standard suite says of the shipped model: success, by kind of case, and how it fails."""
    found = ROOT / "benchmarks" / "standard.json"
    if not found.exists():
        return (
            "Not measured yet: `chronotope evaluate small --suite standard --workers 2 --out out/standard`, "
            "then `python tools/keep_standard.py`."
        )
    from chronotope.worlds.taxonomy import FAILURES

    reports = json.loads(found.read_text(encoding="utf-8"))
    about, summary = reports["model"]["about"], reports["model"]["summary"]
    low, high = summary["success"]["interval_over_specs"]
    runs = summary["runs"]
    rate, each = summary["success"], ", ".join(f"{share:.1%}" for share in runs["shares"])
    lines = [
        f"**{rate['share']:.1%}** [{low:.1%}, {high:.1%}] of {rate['of']:,} videos pass every check that matters "
        f"({runs['count']} runs: {each}); {summary['graded']:.1%} of all checks hold."
    ]
    for layer, words in (
        ("autoencoder", "The ceiling, true clips after the autoencoder"),
        ("truth", "What the checks lose on true clips"),
    ):
        if layer in reports:
            rate = reports[layer]["summary"]["success"]
            lines.append(
                f"{words}: {rate['share']:.1%} of {rate['of']:,} (four alike of each spec) succeed, "
                f"{reports[layer]['summary']['graded']:.2%} of checks hold."
            )
    strata = ["| kind of case | level | succeed |", "|---|---|---|"]
    for name, levels in summary["strata"].items():
        for level, rate in levels.items():
            bounds = f"[{rate['interval'][0]:.1%}, {rate['interval'][1]:.1%}]"
            strata.append(f"| {name} | {level} | {rate['share']:.1%} {bounds} of {rate['of']:,} |")
    failures = ["| failure | | videos |", "|---|---|---|"]
    for code, rate in sorted(summary["failures"].items(), key=lambda item: -item[1]["share"]):
        if rate["right"]:
            failures.append(
                f"| {code} | {FAILURES[code].name} (severity {FAILURES[code].severity}) | {rate['share']:.1%} |"
            )
    lines += ["", folded("By kind of case", "\n".join(strata)), "", folded("How they fail", "\n".join(failures))]
    return "\n".join(
        [
            *lines,
            "",
            f"Weights {about['weights']}; {about['selection']}; ledger {about['ledger'][:16]}; intervals over specs, 95 %.",
        ]
    )


ABOUT = {
    "lengths": ("Lengths", "the clip lasts"),
    "sizes": ("Sizes", "the frame"),
    "prompts": ("What prompts ask for", "asked for"),
    "tasks": ("Tasks of the canvas", "task"),
    "table": ("The table", "physics"),
}


def share(rate: dict[str, Any], words: bool = True) -> str:
    """'78.2 % [70.1, 85.0] of 120', or the share alone with its count."""
    low, high = (f"{100 * bound:.0f}" for bound in rate["interval"])
    right = 100 * rate["right"] / rate["of"]
    return f"{right:.0f} % [{low}, {high}] of {rate['of']}" if words else f"{right:.0f} % of {rate['of']}"


def suites() -> str:
    """What the suites by length, size, prompt and task say of the shipped model, beside the truth."""
    found = ROOT / "benchmarks" / "suites.json"
    if not found.exists():
        return "Not measured yet: see tools/keep_suites.py."
    data = json.loads(found.read_text(encoding="utf-8"))
    lines: list[str] = []
    for name, (title, level) in ABOUT.items():
        layers = data.get(name, {})
        if not layers:
            continue
        lines += [f"### {title}", ""]
        for layer, words in (("model", "The model"), ("truth", "The truth")):
            if layer in layers:
                kept = layers[layer]
                checks, about = kept["checks"], kept["about"]
                held = f"{checks['right']:,} of {checks['of']:,} checks hold ({checks['right'] / checks['of']:.2%})"
                lines.append(f"{words}, {about['suite']}: {share(kept['all'])} succeed; {held}.")
        lines += ["", *suite_table(layers, level), ""]
    return "\n".join(lines).rstrip()


FEW_SCENES = 10  # fewer are a direction, whatever the number of clips


def suite_table(layers: dict[str, Any], level: str) -> list[str]:
    """A row a level: the model with its most common failures, the truth; then the model by a second stratum."""
    model, truth = (layers.get(layer, {}) for layer in ("model", "truth"))
    names = list(dict.fromkeys([*truth.get("levels", {}), *model.get("levels", {})]))
    lines = [f"| {level} | the model succeeds | most common failures | the truth |", "|---|---|---|---|"]
    for name in names:
        one, other = model.get("levels", {}).get(name), truth.get("levels", {}).get(name)
        failures = ", ".join(f"{code} {count}" for code, count in one["failures"].items()) if one else ""
        lines.append(
            f"| {name} | {share(one) if one else '-'} | {failures} | {share(other, words=False) if other else '-'} |"
        )
    if "table" in model:
        columns = list(model["beside"])
        lines += ["", f"| {level} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for name, row in model["table"].items():
            lines.append(f"| {name} | {' | '.join(share(row[c], words=False) if c in row else '-' for c in columns)} |")
        lines.append(f"| all | {' | '.join(share(model['beside'][c]) for c in columns)} |")
    if "lasting" in model:
        lines += [
            "",
            "| nothing vanished, appeared, doubled, changed, jumped or shook until | share of clips (Kaplan-Meier) | still watched |",
        ]
        lines += ["|---|---|---|"]
        for second, (alive, low, high, at_risk) in model["lasting"].items():
            lines.append(f"| {second} s | {100 * alive:.0f} % [{100 * low:.0f}, {100 * high:.0f}] | {at_risk:.0f} |")
        scenes = max(rate["of"] for rate in model["levels"].values())  # each is there once a level
        if scenes < FEW_SCENES:
            lines += [
                "",
                f"These clips show {scenes} scenes only, and the intervals count each clip on its own: a direction, not a measurement.",
            ]
    return lines


def headline() -> str:
    """Return the main numbers of the shipped model in at most ten rows, each with the command that reproduces it."""
    standard_report = _kept("standard")
    suite = _kept("suites")
    standard_row = [standard_report[layer]["summary"]["success"] for layer in ("model", "truth")]
    standard_row = [{**rate, "interval": rate["interval_over_specs"]} for rate in standard_row]  # four runs a spec
    lengths, sizes, prompts = (suite[name] for name in ("lengths", "sizes", "prompts"))

    def level(layers: dict[str, Any], name: str) -> list[dict[str, Any]]:
        return [layers[layer]["levels"][name] for layer in ("model", "truth")]

    rows: list[tuple[str, list[dict[str, Any]], str]] = [
        ("standard suite: every check of a video passes", standard_row, "standard"),
        ("all 13 kinds of tasks", [suite["tasks"][layer]["all"] for layer in ("model", "truth")], "tasks"),
        ("a video of 1 to 2 s (trained)", level(lengths, "1 to 2 s"), "lengths"),
        ("a video of 16 to 32 s", level(lengths, "16 to 32 s"), "lengths"),
        ("128x128 (not trained)", level(sizes, "128x128"), "sizes"),
        ('a count: "three stars"', level(prompts, "count"), "prompts"),
        ("the `table` world (not trained)", [suite["table"][layer]["all"] for layer in ("model", "truth")], "table"),
    ]
    lines = ["| what is measured | shipped model | true clips | command |", "|---|---|---|---|"]
    for what, (model, truth), name in rows:
        lines.append(
            f"| {what} | {share(model)} | {share(truth, words=False)} | `chronotope evaluate small --suite {name}` |"
        )
    lines.insert(3, _accepted_by_viewers())
    first = _kept("first_light")
    psnr = [f"{_mean_psnr(first, clips):.1f} dB" for clips in ("stage, full", "camera")]
    seconds = sorted(run["seconds"] for run in first["sampling"]["results"])
    lines.append(f"| autoencoder, PSNR: rendered clips, camera clips | {', '.join(psnr)} | | `make bench` |")
    lines.append(f"| time of one default clip on two CPU cores | {seconds[len(seconds) // 2]:.2f} s | | `make bench` |")
    return "\n".join(lines)


def _accepted_by_viewers() -> str:
    """Return the row of what viewers accept of 200 scenes of the suite `standard`."""
    rows = _kept("viewers")["videos"]
    shares = []
    for name in ("A", "B"):
        rate = Rate(sum(row[name]["good"] for row in rows), len(rows))
        shares.append(share({"right": rate.successes, "of": rate.trials, "interval": rate.interval}))
    return f"| 200 of its scenes: a viewer accepts the video (two viewers) | {'; '.join(shares)} | | `python -m benchmarks.viewers` |"


def captions() -> str:
    """Return the table of what captions of the shipped captioner claim, by class of fact and set of clips."""
    found = _kept("captions")["sets"]
    head = ["| class of fact |", "|---|"]
    for name in found:
        head = [head[0] + f" {name}: true | found |", head[1] + "---|---|"]
    lines = []
    for kind in next(iter(found.values()))["paragraph"]["classes"]:
        line = f"| {kind} |"
        for details in found.values():
            rates = details["paragraph"]["classes"].get(kind, {"true": "", "found": ""})
            line += f" {rates['true'] or '-'} | {rates['found'] or '-'} |"
        lines.append(line)
    whole = "| **captions without a false claim** |"
    for details in found.values():
        whole += f" {details['paragraph']['without a false claim']} | |"
    return "\n".join([*head, *lines, whole])


def doubts() -> str:
    """Return the table of the injected errors that the captioner doubts."""
    found = _kept("captions")["agreement"]
    rows = [
        f"| {'none: the caption is true' if name == 'true' else name} | {rate} |"
        for name, rate in found.items()
        if name != "threshold"
    ]
    return "\n".join(["| injected error | doubted |", "|---|---|", *rows])


def bias() -> str:
    """Return, by kind of fact, what the captioner says most too often and most too seldom."""
    rows = ["| kind | said too often | said too seldom |", "|---|---|---|"]
    for kind, counts in _kept("captions")["bias"].items():
        ratios = sorted(counts.items(), key=lambda item: item[1][0] / max(1, item[1][1]))
        often = ", ".join(f"{name} ({said} for {true})" for name, (said, true) in reversed(ratios[-3:]) if said > true)
        seldom = ", ".join(f"{name} ({said} for {true})" for name, (said, true) in ratios[:3] if said < true)
        rows.append(f"| {kind} | {often or 'nothing'} | {seldom or 'nothing'} |")
    return "\n".join(rows)


def _kept(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _mean_psnr(first: dict[str, Any], clips: str) -> float:
    rows = first["autoencoder"]["results"][clips]
    return float(sum(row["psnr"] for row in rows) / len(rows))
