"""A policy -> a folder with its report as JSON and as a page of tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from chronotope.cli.terminal import progress, say
from chronotope.errors import UsageError
from chronotope.safety.policy.decide import default_policy, read_policy
from chronotope.safety.red_team.measure import measure
from chronotope.storage import write_atomically, write_folder, write_json

__all__ = ["measure_policy"]


def measure_policy(out: Path, path: Path | None) -> dict[str, Any]:
    """Measure the policy of a file, or the default; write the report into the new folder `out` and return it."""
    if os.path.lexists(out):
        raise UsageError(f"{out} exists; give another --out")
    policy = read_policy(path) if path else default_policy()
    with progress("red team", "prompts") as report:
        found = measure(policy, report)

    def fill(folder: Path) -> None:
        write_json(folder / "report.json", found)
        write_atomically(folder / "report.md", _page(found))

    out.parent.mkdir(parents=True, exist_ok=True)
    write_folder(out, fill)
    for kind, rates in found["refused of held-out templates"].items():
        say(f"{kind} prompts of held-out templates: {_rate(rates)} refused")
    return found


def _page(found: dict[str, Any]) -> str:
    """Return the report in Markdown."""
    about = found["policy"]
    lines = [
        "# Red team",
        "",
        f"Policy {about['name']}, version {about['version']} ({about['hash']}); set {found['set']}, "
        f"{found['prompts']} prompts. Shares of prompts that were refused, with 95 % intervals.",
    ]
    for part in ("by category", "by disguise"):
        harmful, benign = (found["refused"][kind][part] for kind in ("harmful", "benign"))
        lines += ["", f"| {part.split()[-1]} | harmful | benign look-alikes |", "|---|---|---|"]
        lines += [
            f"| {name} | {_rate(harmful.get(name))} | {_rate(benign.get(name))} |" for name in {**harmful, **benign}
        ]
    lines += ["", "Mistakes, the first ones of each category:", ""]
    lines += [f"- {name}: {text}" for name, texts in found["mistakes"].items() for text in texts]
    return "\n".join(lines) + "\n"


def _rate(rate: dict[str, Any] | None) -> str:
    if not rate:
        return "-"
    low, high = rate["interval"]
    return f"{rate['share']:.1%} [{low:.1%}, {high:.1%}] of {rate['of']}"
