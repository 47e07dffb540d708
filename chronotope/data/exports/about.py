"""What only its makers can say of a dataset, in a TOML file of theirs: who made it, what for, what is wrong with it.

    name = "Streets of Basel"
    description = "Street scenes, filmed by hand from the pavement."
    published = 2026-11-30
    limitations = ["daylight alone", "one town"]
    [[creators]]
    name = "Jane Doe"
    url = "https://example.org"

Nothing of this is guessed: what is not said here, and is not in the manifest, is left out.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chronotope.config import from_dict
from chronotope.errors import UsageError
from chronotope.storage import read_toml

__all__ = ["Creator", "Statement", "read_statement"]

MAX_BYTES = 2**20  # of the file


@dataclass(frozen=True)
class Creator:
    """A maker of the dataset."""

    name: str
    url: str = ""
    kind: Literal["person", "organization"] = "person"


@dataclass(frozen=True)
class Statement:
    """What the makers say; "" and () where they say nothing. `published` is an ISO date, `version` such as "1.0.0".

    The texts from `collection` on are those of the Responsible AI vocabulary of Croissant.
    """

    name: str = ""
    description: str = ""
    version: str = ""
    published: str = ""
    url: str = ""
    citation: str = ""
    licence: str = ""
    keywords: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    creators: tuple[Creator, ...] = ()
    collection: str = ""
    annotation: tuple[str, ...] = ()
    biases: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    personal_information: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()
    social_impact: str = ""
    maintenance: str = ""

    def __post_init__(self) -> None:
        if self.published:
            try:
                datetime.date.fromisoformat(self.published)
            except ValueError:
                raise UsageError(f"published = '{self.published}' is no date; write it as 2026-11-30") from None
        if self.version and not re.fullmatch(r"\d+(\.\d+){0,2}([-+][\w.+-]+)?", self.version):
            raise UsageError(f"version = '{self.version}' is no version; write it as 1.0.0")


def read_statement(path: Path) -> Statement:
    """Read the statement of a TOML file; raise FileProblem where it cannot be read, UsageError for unknown entries."""
    said = read_toml(path, MAX_BYTES)
    try:
        return from_dict(Statement, _with_texts(said))
    except UsageError as problem:
        raise UsageError(f"{path}: {problem}") from problem


def _with_texts(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries with dates as texts, and one text where a list of them is expected as a list."""
    lists = {name for name, value in vars(Statement()).items() if isinstance(value, tuple) and name != "creators"}
    texts = {name: value.isoformat() if isinstance(value, datetime.date) else value for name, value in said.items()}
    return {name: [value] if name in lists and isinstance(value, str) else value for name, value in texts.items()}
