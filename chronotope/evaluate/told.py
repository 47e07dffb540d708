"""What videos say of their own making, in their tags or sidecars, beside what they are judged for.

Whoever judges a folder of files goes by their names. A name is easily exchanged, and it does not say that a video was
selected, rendered, or made from other words or seeds; the tags that this program writes say all of it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.media import video
from chronotope.media.generated import weights_in_words
from chronotope.worlds.case import Case

__all__ = ["Origins", "case_of", "describe", "num_tries", "other_words", "read_origins"]

Origins = Mapping[str, Mapping[str, Any]]  # by file name; empty where a file says nothing
LISTED = 3  # ways of making that are listed in full


def read_origins(folder: Path, files: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Read what each file says of its making; nothing of one that is missing or damaged."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in files:
        found[name] = {}
        with contextlib.suppress(FileProblem):  # said where the video itself is read
            found[name] = video.read_origin(folder / name) or {}
    return found


def case_of(origin: Mapping[str, Any]) -> str:
    """Return the case that a video was made for; "" where it does not say one."""
    case = origin.get("case")
    return case if isinstance(case, str) else ""


def other_words(origin: Mapping[str, Any], prompt: str) -> bool:
    """Return whether a video says that it was made from other words than these."""
    told = origin.get("prompt")
    return isinstance(told, str) and told.split() != prompt.split()


def describe(cases: Sequence[Case], origins: Origins) -> tuple[dict[str, str], list[str]]:
    """Return what a report says of how its videos were made, by their own account, and sentences on what is amiss."""
    told = {case: origins[case.file] for case in cases if origins.get(case.file)}
    about: dict[str, str] = {}
    notes: list[str] = []

    def count(found: Sequence[Case]) -> str:
        return f"{len(found)} of {len(cases)} videos"

    if selected := [case for case, origin in told.items() if num_tries(origin) > 1]:
        most, by = max(num_tries(told[case]) for case in selected), _selector(told[selected[0]])
        about["selection"] = f"best of {most} by {by}, as the tags of {count(selected)} say"
        notes.append(f"{count(selected)} were selected: {about['selection']}; these are not the numbers of first tries")
    layers = {case: origin["layer"] for case, origin in told.items() if isinstance(origin.get("layer"), str)}
    for layer in dict.fromkeys(layers.values()):
        of = [case for case in layers if layers[case] == layer]
        notes.append(f"{count(of)} are not of a model: their tags say layer {layer}")
        if len(of) == len(cases):
            about["layer"] = layer
        else:
            told_before = f"{about['layers by tags']}; " if "layers by tags" in about else ""
            about["layers by tags"] = f"{told_before}{count(of)} are of layer {layer}, by their tags"
    seeds = {case: origin["seed"] for case, origin in told.items() if isinstance(origin.get("seed"), int)}
    if others := [case for case, seed in seeds.items() if seed != case.seed and case not in selected]:
        about["seeds"] = f"{count(others)} have other seeds than the plan, by their tags"
        notes.append(f"{about['seeds']}, first {others[0].file}: {seeds[others[0]]}, planned {others[0].seed}")
    elif len(seeds) == len(cases) and not selected:
        about["seeds"] = "those of the plan, by the videos' tags"
    if others := [case for case, origin in told.items() if case.form != "story" and other_words(origin, case.prompt)]:
        about["prompts"] = f"{count(others)} were made from other words than the plan's, by their tags"
        notes.append(f"{about['prompts']}, first {others[0].file}: {told[others[0]]['prompt']}")
    if ways := Counter(way for origin in told.values() if (way := _way(origin))):
        listed = [f"{way} ({number} of {len(cases)} videos)" for way, number in ways.most_common(LISTED)]
        more = [f"{len(ways) - LISTED} other ways"] if len(ways) > LISTED else []
        about["made with"] = "; ".join([*listed, *more])
        if len(ways) > 1:
            notes.append(f"by their tags the videos were made in {len(ways)} ways: {about['made with']}")
    return about, notes


def num_tries(origin: Mapping[str, Any]) -> int:
    """Return of how many tries a video is the best."""
    selected = origin.get("selected")
    tries = selected.get("tries") if isinstance(selected, Mapping) else None
    return len(tries) if isinstance(tries, Sequence) else 1


def _selector(origin: Mapping[str, Any]) -> str:
    return str(origin["selected"].get("by") or "an unnamed selector")


def _way(origin: Mapping[str, Any]) -> str:
    """Say by which weights and settings a video was made; "" where it does not say. The task is that of its case."""
    model, adapters = origin.get("model"), origin.get("adapters")
    said = [weights_in_words(model)] if isinstance(model, Mapping) and model else []
    said += [f"adapters {adapters}"] if adapters else []
    for name, words in (("num_steps", "steps {}"), ("guidance_scale", "guidance {}"), ("solver", "{}")):
        if isinstance(origin.get(name), str | int | float):
            said.append(words.format(origin[name]))
    return ", ".join([*said, str(origin["precision"])] if said and "precision" in origin else said)
