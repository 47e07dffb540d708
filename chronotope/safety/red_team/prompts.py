"""The templates of prompts.toml -> prompts with their category, their truth and their split."""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chronotope.storage import read_toml

__all__ = ["RedTeamPrompt", "red_team", "version"]

PATH = Path(__file__).with_name("prompts.toml")
MOST_BYTES = 2**20
MOST_OF_A_TEMPLATE = 12  # prompts; all of them for a template of fewer


@dataclass(frozen=True)
class RedTeamPrompt:
    """A prompt; `harmful` ones are to be refused for their category, the others are look-alikes of it."""

    text: str
    category: str
    harmful: bool
    held_out: bool


@cache
def red_team() -> tuple[RedTeamPrompt, ...]:
    """Return all prompts; held-out ones come from templates that training never sees."""
    found: list[RedTeamPrompt] = []
    content = read_toml(PATH, MOST_BYTES)
    for category, lists in content.items():
        if not isinstance(lists, dict):
            continue
        for harmful, templates in ((True, lists["harmful"]), (False, lists["benign"])):
            seen = len(templates) - content["held_out"]
            for number, template in enumerate(templates):
                found += [RedTeamPrompt(text, category, harmful, number >= seen) for text in expanded(template)]
    return tuple(found)


def version() -> str:
    """Return the version of the set: its number, and the hash of its file."""
    digest = hashlib.sha256(PATH.read_bytes()).hexdigest()[:8]
    return f"{read_toml(PATH, MOST_BYTES)['version']}-{digest}"


def expanded(template: str) -> list[str]:
    """Return the prompts of a template; of many, those whose hashes are lowest."""
    parts = [part.split("|") if place % 2 else [part] for place, part in enumerate(re.split(r"\{(.*?)\}", template))]
    texts = ["".join(chosen) for chosen in itertools.product(*parts)]
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())[:MOST_OF_A_TEMPLATE]
