"""What `chronotope prefer` does: make the page of a study, and say what its answers are worth."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chronotope.cli.terminal import say
from chronotope.data.clips import first_names
from chronotope.errors import FileProblem, UsageError
from chronotope.evaluate.documents import read_rows
from chronotope.evaluate.preference.answers import CHANCE, Preference, Rater, binomial_tail, read_answers, summarise
from chronotope.evaluate.preference.study import KINDS, read_key, shared_files, write_study
from chronotope.evaluate.told import case_of, num_tries, other_words, read_origins
from chronotope.sealed import unsealed

__all__ = ["make_study", "read_study", "study_text"]


def make_study(
    a: Path, b: Path, out: Path, prompts: Path | None, first: int | None, checks: int, seed: int
) -> dict[str, Any]:
    """Write the page and the key of a study; return what to print."""
    if os.path.lexists(out):
        raise UsageError(f"{out} exists; give another --out")
    files, alone, others = shared_files(a, b)
    if others:
        kinds = f"{', '.join(KINDS)} of the folders themselves"
        say(f"note: {len(others)} are not shown, such as {first_names(others)}: a page shows {kinds}")
    if alone:
        say(f"note: {alone} files are in one of the folders alone and are left out")
    if first is not None and first > len(files):
        raise UsageError(f"--first {first} is too many: {a} and {b} have {len(files)} pairs; leave it out to show all")
    if first is not None:
        files = sorted(random.Random(seed).sample(files, first))
    shown = _prompts(prompts, files) if prompts else None
    _compare_origins(a, b, files, shown or {})
    study = write_study(a, b, out, files, checks, seed, shown)
    page = out / "page.html"
    say(f"send {page} to raters, and keep {out / 'key.json'} to yourself")
    return {"page": str(page), "pairs": len(files), "attention checks": len(study.items) - len(files)}


def _compare_origins(a: Path, b: Path, files: Sequence[str], prompts: Mapping[str, str]) -> None:
    """Refuse pairs whose sides were made for two cases, as their tags say; say which were made from other words or are
    selected.
    """
    found = {folder: read_origins(folder, files) for folder in (a, b)}
    for name in files:
        cases = [case_of(found[folder][name]) for folder in (a, b)]
        if all(cases) and cases[0] != cases[1]:
            raise FileProblem(
                f"{name} was made for the case {cases[0]} in {a} and for {cases[1]} in {b}, as their tags say; "
                "give the outputs of both systems for one prompt the same name"
            )
    for folder, origins in found.items():
        if selected := [name for name in files if num_tries(origins[name]) > 1]:
            say(f"note: {len(selected)} of {len(files)} videos of {folder} were selected from several tries")
        if others := [name for name in files if name in prompts and other_words(origins[name], prompts[name])]:
            some = f"{len(others)} of {len(files)} videos of {folder} were made from other words than raters see"
            say(f"note: {some}, by their tags, first {others[0]}: {origins[others[0]]['prompt']}")
    told = [[found[folder][name].get("prompt") for folder in (a, b)] for name in files if name not in prompts]
    if differing := sum(all(pair) and pair[0] != pair[1] for pair in told):
        say(f"note: {differing} of {len(files)} pairs were made from different prompts, by their tags")


def _prompts(path: Path, files: Sequence[str]) -> dict[str, str]:
    """Return the prompts of files from JSON lines."""
    found: dict[str, str] = {}
    for where, row in read_rows(path, "prompt of a file"):
        if not isinstance(row.get("file"), str) or not isinstance(row.get("prompt"), str):
            raise FileProblem(f'{where} lacks a text "file" or a text "prompt"')
        if found.setdefault(row["file"], row["prompt"]) != row["prompt"]:
            raise FileProblem(f"{where} gives {row['file']} another prompt than a line before; give each file one")
    if missing := [name for name in files if name not in found]:
        raise FileProblem(f"{path} has no prompt for {len(missing)} of {len(files)} files, first {missing[0]}")
    return found


def read_study(folder: Path, answers: Sequence[Path]) -> dict[str, Any]:
    """Return what the raters of a study prefer; those who may have answered at random are named and left out."""
    study = read_key(folder)
    for sentence in unsealed(folder / "key.json"):
        say(f"note: {sentence}")
    raters = read_answers(study, answers)
    kept = [rater for rater in raters if not rater.random]
    found, agreements = summarise(kept)
    all_counted, _ = summarise(raters)
    pairs = sum(item.kind == "pair" for item in study.items)
    return {
        "study": study.study,
        "a": study.a,
        "b": study.b,
        "raters": [_described(rater, pairs) for rater in raters],
        "left out": [rater.name for rater in raters if rater.random],
        "preferred": _shares(found),
        "preferred, by all raters": _shares(all_counted),
        "agreement": [{**vars(one), "kappa": None if math.isnan(one.kappa) else one.kappa} for one in agreements],
    }


def _described(rater: Rater, pairs: int) -> dict[str, Any]:
    chance = binomial_tail(rater.checks.successes, rater.checks.trials, CHANCE)
    return {
        "name": rater.name,
        "answered": len(rater.choices),
        "pairs": pairs,
        "unplayable": rater.unplayable,
        "checks passed": rater.checks.successes,
        "checks": rater.checks.trials,
        "probability by chance": chance,
        "may be random": rater.random,
        "left": rater.left.successes,
        "decided": rater.left.trials,
        "one side": rater.one_sided,
    }


def _shares(found: Preference) -> dict[str, Any]:
    total = sum(found.answers.values())
    shares = {
        name: {"count": found.answers[name], "of": total, "share": found.share(name), "interval": found.intervals[name]}
        for name in ("a", "b", "tie")
        if total
    }
    return {"answers": total, "pairs": found.pairs, **shares, "p_value": found.p_value}


def study_text(found: dict[str, Any]) -> str:
    """Write the result of a study in lines."""
    lines = [f"a is {found['a']}, b is {found['b']}"]
    for one in found["raters"]:
        lines.append(
            f"rater {one['name']}: {one['answered']} of {one['pairs']} pairs, "
            f"{one['checks passed']} of {one['checks']} attention checks"
        )
        if one["may be random"]:
            lines.append(
                f"  LEFT OUT: answers at random pass as many checks with probability {one['probability by chance']:.2g}"
            )
        if one["one side"]:
            lines.append(f"  NOTE: chose the left side in {one['left']} of {one['decided']} decided pairs")
        if one["unplayable"]:
            lines.append(f"  {one['unplayable']} items did not play")
    lines += _preferred("preferred", found["preferred"])
    if found["left out"]:
        lines += _preferred("preferred, with the raters that are left out", found["preferred, by all raters"])
    for one in found["agreement"]:
        kappa = "not defined: both gave one answer throughout" if one["kappa"] is None else f"{one['kappa']:.2f}"
        lines.append(f"agreement of {one['first']} and {one['second']}: kappa {kappa}, {one['pairs']} pairs")
    if not found["agreement"]:
        lines.append("agreement: unknown, it needs two attentive raters of the same pairs")
    return "\n".join(lines)


def _preferred(title: str, found: dict[str, Any]) -> list[str]:
    if not found["answers"]:
        return [f"{title}: no answers by attentive raters, so nothing is known"]
    lines = [f"{title}, {found['answers']} answers to {found['pairs']} pairs:"]
    for name, words in (("a", "a"), ("b", "b"), ("tie", "no difference")):
        low, high = found[name]["interval"]
        lines.append(f"  {words:13} {found[name]['share']:6.1%} [{low:.1%}, {high:.1%}]")
    verdict = "differ" if found["p_value"] < 0.05 else "are not told apart"
    return [*lines, f"  a and b {verdict}: p {found['p_value']:.3g} (sign flips of pairs)"]
