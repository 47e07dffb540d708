"""Who owns a file, under which licence it is used, and whether somebody has asked that no model is trained on it.

A `rights.toml` names licences by patterns of file names, and what is allowed:

    allow = ["CC0-1.0", "CC-BY-4.0", "LicenseRef-own"]    # without it: every licence that is named
    [[files]]
    match = "holiday/*.mp4"
    licence = "CC-BY-4.0"                                  # SPDX, https://spdx.org/licenses
    holder = "Jane Doe"
    source = "https://example.org/holiday"
    consent = "all persons shown have agreed in writing"

Signals against training are read from the file (C2PA `training-mining` assertions, tags) and from beside it
(`tdmrep.json`, `ai.txt`, `robots.txt`).
"""

from __future__ import annotations

import codecs
import fnmatch
import functools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from chronotope.errors import UsageError, suggest
from chronotope.media.rights import NO_RIGHTS, UNLISTED, Rights, check_licence, described_rights
from chronotope.parsing import parse_json, unique_keys
from chronotope.prompt import composed
from chronotope.storage import read_toml

__all__ = ["OWN", "Policy", "opt_out_signals", "own_footage", "read_policy"]

# in place of a consent; "no people are shown" is none
DENIAL = re.compile(
    r"\s*(no|false)\s*($|[:,;.(])|\s*(denied|refused|declined|withdrawn|revoked|rejected)\b", re.IGNORECASE
)
OWN = "LicenseRef-own"  # the licence of footage that its holder declares as their own
EDGE_BYTES = 2**21  # at both ends of a file that are searched for signals
MAX_RULES_BYTES = 2**22  # of a rights.toml
_FIELDS = ("match", "licence", "holder", "source", "consent")
_TRAINING = re.compile(rb"(?:c2pa|cawg)\.(?:training-mining|ai_generative_training|ai_training)")
_RULES = ("ai.txt", "robots.txt", "tdmrep.json")
_NOT_ALLOWED = re.compile(rb"not\W?allowed", re.IGNORECASE)
_TAG_SIGNALS = re.compile(
    r"\bno[ -]?ai\b|tdm-?reservation\W{0,4}1|do not train|no (?:ai|machine) training", re.IGNORECASE
)
_AI_AGENTS = re.compile(
    r"\*$|.*(gpt|oai-|ccbot|google-extended|anthropic|claude|bytespider|applebot-extended|meta-external|cohere|"
    r"perplexity|diffbot|img2dataset|\bai\b|ai2bot)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Policy:
    """What may be used: rules by file name, the allowed licences (None: all that are named), unknown ones or not."""

    rules: tuple[Mapping[str, str], ...] = ()
    allow: frozenset[str] | None = None
    own: str = ""  # the holder of files that no rule names
    allow_unknown: bool = False
    path: Path | None = field(default=None, compare=False)

    def rights(self, file: str, signals: Sequence[str] = (), recorded: Rights = NO_RIGHTS) -> Rights:
        """Return the rights in a file, by its POSIX path below its folder; raise UsageError where rules disagree.

        What no rule says of it is as its dataset has `recorded` it. A file with a recorded licence, or of another
        holder, is not taken for footage of `own`.
        """
        found = [rule for rule in self.rules if _is_called(file, rule["match"])]
        merged: dict[str, str] = {}
        for rule in found:
            for name in _FIELDS[1:]:
                if rule.get(name) and merged.setdefault(name, rule[name]) != rule[name]:
                    raise UsageError(
                        f"{self.path} contradicts itself: {file} has the {name} '{merged[name]}' by "
                        f"'{found[0]['match']}' and '{rule[name]}' by '{rule['match']}'; make the patterns narrower"
                    )
        merged = {**described_rights(recorded), **merged}
        if not merged.get("licence") and self.own and merged.get("holder", self.own) == self.own:
            merged = {"holder": self.own, "consent": "declared by the holder", **merged, "licence": OWN}
        return Rights(**merged, signals=tuple(signals))

    def refusal(self, rights: Rights) -> str:
        """Return why a file of these rights is not used; "" where it may be."""
        if rights.signals:
            return f"its owner asks not to train on it ({rights.signals[0]})"
        if DENIAL.match(rights.consent):
            return f"its consent is recorded as '{rights.consent}'"
        if not rights.licence:
            return "" if self.allow_unknown else "its licence is unknown"
        if self._is_unlisted(rights.licence):
            return (
                f"its licence {rights.licence} is recorded and is none of the SPDX list; allow it in a rights.toml, or "
                "name the licence of the file there"
            )
        if self.allow is not None and not self._allowed(rights.licence):
            return f"its licence {rights.licence} is not among the allowed ones"
        return ""

    def _is_unlisted(self, licence: str) -> bool:
        """Return whether a table alone named a licence, and nobody has said that it may be used."""
        named = {*(self.allow or ()), *(rule["licence"] for rule in self.rules)}
        return licence.startswith(UNLISTED) and not self.allow_unknown and licence not in named

    def _allowed(self, licence: str) -> bool:
        """Return whether a licence, or one choice of an expression such as "MIT OR CC0-1.0", is allowed.

        A sentence, as of the clips of a world, is no expression and not allowed.
        """
        from license_expression import ExpressionError, Licensing

        try:
            return _holds(Licensing().parse(licence), self.allow or frozenset())
        except ExpressionError:
            return False

    def unmatched(self, files: Collection[str]) -> list[str]:
        """Return the patterns of rules that match no file, as by a wrong letter case."""
        return [rule["match"] for rule in self.rules if not any(_is_called(file, rule["match"]) for file in files)]


def _is_called(file: str, pattern: str) -> bool:
    """Return whether a pattern matches a path; an accent is the same whether it is a character of its own or not."""
    return fnmatch.fnmatchcase(composed(file), composed(pattern))


def _holds(expression: Any, allowed: Collection[str]) -> bool:
    """Return whether an expression can be met by allowed licences alone: one part of an OR, all parts of an AND."""
    parts = [_holds(part, allowed) for part in expression.args]
    if not parts:
        return str(expression) in allowed
    return any(parts) if type(expression).__name__ == "OR" else all(parts)


def own_footage(holder: str, allow_unknown: bool = False) -> Policy:
    """Return the policy for files that all belong to one holder; "" where nobody says so."""
    return Policy(own=holder.strip(), allow_unknown=allow_unknown)


def read_policy(path: Path, holder: str = "", allow_unknown: bool = False) -> Policy:
    """Read a `rights.toml`; raise FileProblem where it cannot be read, UsageError for what it does not say right."""
    told = read_toml(path, MAX_RULES_BYTES)
    for name in told:
        if name not in ("allow", "files"):
            raise UsageError(f"{path} has an unknown entry '{name}'. {suggest(name, ('allow', 'files'))}")
    files = told.get("files", [])
    if not isinstance(files, list) or not all(isinstance(rule, dict) for rule in files):
        raise UsageError(f"{path}: files must be tables, [[files]] with match and licence")
    allow = told.get("allow")
    if allow is not None and not (isinstance(allow, list) and all(isinstance(name, str) for name in allow)):
        raise UsageError(f'{path}: allow must be a list of licences, such as ["CC0-1.0"]')
    allowed = None if allow is None else frozenset(check_licence(name, f"{path}: allow") for name in allow)
    rules = tuple(_checked_rule(rule, number, path) for number, rule in enumerate(files, start=1))
    return Policy(rules, allowed, holder.strip(), allow_unknown, path)


def _checked_rule(rule: Mapping[str, Any], number: int, path: Path) -> Mapping[str, str]:
    where = f"{path}: [[files]] number {number}"
    for name, value in rule.items():
        if name not in _FIELDS:
            raise UsageError(f"{where} has an unknown entry '{name}'. {suggest(name, _FIELDS)}")
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{where}: {name} must be a text, got {value!r}")
    if missing := [name for name in ("match", "licence") if name not in rule]:
        raise UsageError(f"{where} has no {missing[0]}")
    return {**rule, "licence": check_licence(rule["licence"], where)}


# Signals against training


def opt_out_signals(folder: Path, file: str, metadata: Mapping[str, str]) -> list[str]:
    """Return the requests not to train on a file: in it, in its tags, in files beside it and above, up to `folder`."""
    path = folder / file
    found = [f"tag {key}: {value[:80]}" for key, value in metadata.items() if _TAG_SIGNALS.search(f"{key}={value}")]
    if _forbids_training(path):
        found.append("a C2PA assertion in the file")
    place = path.parent
    while True:
        found += _signals_beside(place, path, folder)
        if place == folder or place.parent == place:
            return found
        place = place.parent


def _forbids_training(path: Path) -> bool:
    """Return whether the ends of a file hold a C2PA assertion that training is not allowed."""
    if not path.is_file():  # a pipe would block
        return False
    try:
        with path.open("rb") as file:
            data = file.read(EDGE_BYTES)
            file.seek(max(0, path.stat().st_size - EDGE_BYTES))
            data += file.read(EDGE_BYTES)
    except OSError:
        return False  # said where the file is read
    return any(_NOT_ALLOWED.search(data, place.end(), place.end() + 200) for place in _TRAINING.finditer(data))


def _signals_beside(place: Path, path: Path, folder: Path) -> list[str]:
    """Return the requests in one folder; they name its files as they lie in `folder`, since manifests are handed on."""
    inner = "/" + path.relative_to(place).as_posix()
    found = []
    for rules in (*_rules_in(place), *_rules_in(place / ".well-known")):
        name = rules.name.lower()
        if _text(rules) is None and (name == "tdmrep.json" or rules.parent == place):
            found.append(f"{rules.relative_to(folder)} cannot be read, which may say so")
            continue
        if name == "tdmrep.json" and _reserved(_text(rules) or "", inner):
            found.append(f"{rules.relative_to(folder)} reserves its rights (TDMRep)")
        elif name != "tdmrep.json" and rules.parent == place and _disallowed(_text(rules) or "", inner):
            found.append(f"{rules.relative_to(folder)} disallows it")
    return found


def _rules_in(place: Path) -> tuple[Path, ...]:
    """Return the files of rules in a folder, in any letter case, as some systems store them."""
    try:
        return _listed_rules(place, place.stat().st_mtime_ns)
    except OSError:
        return ()


@functools.lru_cache(maxsize=256)
def _listed_rules(place: Path, changed: int) -> tuple[Path, ...]:
    del changed  # a folder that was changed is listed again
    return tuple(sorted(path for path in place.iterdir() if path.name.lower() in _RULES))


def _text(path: Path) -> str | None:
    """Return a text with or without a byte order mark; "" for a folder, None where nobody can read it."""
    try:
        if not path.is_file():
            return "" if path.exists() else None  # a folder says nothing, a broken link did
        data = path.read_bytes() if path.stat().st_size < MAX_RULES_BYTES else None
    except OSError:
        return None
    if data is None:
        return None
    wide = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return data.decode("utf-16" if wide else "utf-8-sig", errors="replace")


def _reserved(text: str, file: str) -> bool:
    """Return whether a TDMRep file (W3C, 2024) reserves the rights in a file: the most specific location decides.

    One that cannot be parsed or understood is taken for an objection: somebody meant to say something.
    """
    if not text.strip():
        return False
    try:
        found: Any = parse_json(text, unique_keys)
    except ValueError:
        return True
    rules = found if isinstance(found, list) else [found]
    if not all(isinstance(rule, dict) for rule in rules):
        return True
    named = [{key.lower(): value for key, value in rule.items()} for rule in rules]
    places = [(str(rule.get("location", "/")), rule.get("tdm-reservation")) for rule in named]
    matching = [(len(place), value) for place, value in places if _matches(place, file)]
    return bool(matching) and max(matching, key=lambda rule: rule[0])[1] not in (0, "0")


def _matches(pattern: str, file: str) -> bool:
    """Return whether a pattern of robots.txt (RFC 9309) matches a path: `*` is anything, `$` the end, %20 a space."""
    start = "/" + pattern.removeprefix("/").removesuffix("$")
    parts = [".*" if part == "*" else re.escape(composed(unquote(part))) for part in re.split(r"(\*)", start)]
    return re.match("".join(parts) + ("$" if pattern.endswith("$") else ""), composed(unquote(file))) is not None


def _disallowed(text: str, file: str) -> bool:
    """Return whether a robots.txt disallows a file for every agent, or for one of those that gather training data.

    Each agent follows the rules of its own groups alone (RFC 9309), of which the longest that matches decides. Rules
    before any agent is named are for all.
    """
    agents = ["*"]
    rules: dict[str, list[tuple[int, bool]]] = {}
    reading = True
    for line in text.splitlines():
        name, _, value = (part.strip() for part in line.split("#")[0].partition(":"))
        if name.lower() == "user-agent":
            agents = [value.lower()] if reading else [*agents, value.lower()]
            reading = False
        elif name.lower() in ("disallow", "allow"):
            reading = True
            if value and _matches(value, file):
                for agent in agents:
                    rules.setdefault(agent, []).append((len(value), name.lower() == "allow"))
    return any(_AI_AGENTS.match(agent) and not max(found)[1] for agent, found in rules.items())
