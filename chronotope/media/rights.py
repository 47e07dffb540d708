"""The rights in a clip that records beside it, and in the folders around it, name: what is known stays known.

NAME.json                          a text beside a clip that names a licence or a holder
curation.json, curation.jsonl      of a curated dataset
imported.jsonl                     of an imported one, whose tables or shards name licences
dataset.json, manifest.jsonl       of a world, a recording, or an import of LeRobot
meta/chronotope.json               of an export to LeRobot
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem, UsageError
from chronotope.manifest import LOST, read_curation, read_manifest, source_of
from chronotope.sealed import check_seal
from chronotope.storage import read_json

__all__ = [
    "NO_RIGHTS",
    "RIGHTS_COLUMNS",
    "RIGHTS_OF_LEROBOT",
    "UNLISTED",
    "RecordedRights",
    "Rights",
    "check_licence",
    "described_rights",
    "read_rights",
    "rights_from",
    "rights_of_card",
]

RIGHTS_OF_LEROBOT = "meta/chronotope.json"
UNLISTED = "LicenseRef-unlisted-"  # begins a licence that a table names and the list of SPDX does not
RIGHTS_COLUMNS = {  # of each field, in the order in which they are looked for
    "licence": "licence license licence_id license_id spdx spdx_id license_spdx licence_name license_name licence_type "
    "license_type rights usage_rights licence_url license_url copyright".split(),
    "holder": "holder rights_holder copyright_holder license_holder licence_holder owner creator author artist credit "
    "attribution photographer".split(),
    "source": "source source_url origin_url page_url webpage_url original_url landing_url".split(),
    "consent": ["consent"],
}
# kind, version, and the country to whose law a version of it is ported
_CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org/(?:licenses|publicdomain)/([a-z-]+)/(\d\.\d)(?:/([a-z]{2,3})(?![a-z]))?", re.IGNORECASE
)
_MAX_BESIDE = 2**22  # bytes of a NAME.json


@dataclass(frozen=True)
class Rights:
    """What is known of the rights in a file; "" where it is not. `signals` are requests not to train on it."""

    licence: str = ""
    holder: str = ""
    source: str = ""
    consent: str = ""
    signals: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Return whether anything is named."""
        return self.licensed or bool(self.source or self.consent)

    @property
    def licensed(self) -> bool:
        """Return whether a licence or a holder is named."""
        return bool(self.licence or self.holder)

    def completed(self, other: Rights) -> Rights:
        """Return these rights; those of a record further away where these name neither a licence nor a holder."""
        if self.licensed:
            return self
        return replace(other, source=self.source or other.source, consent=self.consent or other.consent)

    def __str__(self) -> str:
        return ", ".join((self.licence or "licence unknown", *([self.holder] if self.holder else [])))


NO_RIGHTS = Rights()


def described_rights(rights: Rights) -> dict[str, Any]:
    """Return what is known of the rights as plain values."""
    named = {name: getattr(rights, name) for name in RIGHTS_COLUMNS if getattr(rights, name)}
    return {**named, **({"signals": list(rights.signals)} if rights.signals else {})}


def rights_from(row: Any) -> Rights:
    """Return the rights that plain values describe, as `described_rights` writes them, without signals."""
    named = row if isinstance(row, Mapping) else {}
    return Rights(**{name: named[name] for name in RIGHTS_COLUMNS if isinstance(named.get(name), str)})


def read_rights(row: Mapping[str, Any]) -> tuple[Rights, dict[str, str]]:
    """Return the rights that a row of anybody's table names, and the columns that they were read from, by field.

    Licences are spelled as SPDX spells them; one that SPDX does not list gets a name that begins with UNLISTED.
    """
    columns: dict[str, str] = {}
    for name in row:
        columns.setdefault(re.sub(r"[\s.-]+", "_", str(name).strip().lower()), name)
    inner = columns.get("rights")
    if inner is not None and isinstance(row[inner], Mapping):
        found, _ = read_rights(row[inner])
        return found, {"licence": inner} if found.known else {}
    if isinstance(row.get(columns.get("consent", "")), bool):
        row = {**row, columns["consent"]: "yes" if row[columns["consent"]] else "no"}
    used: dict[str, str] = {}
    for kind, names in RIGHTS_COLUMNS.items():
        for name in names:
            if name in columns and _is_text(row[columns[name]]):
                used[kind] = columns[name]
                break
    values = {kind: row[name].strip() for kind, name in used.items()}
    if "licence" in values:
        values["licence"] = _spelled(values["licence"])
    return Rights(**values), used


def rights_of_card(text: str) -> Rights:
    """Return the licence that the header of a dataset card of Hugging Face names, such as "license: cc-by-4.0"."""
    header = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*(\n|$)", text, re.DOTALL)
    named = re.search(r"^licen[sc]e:[ \t]*(?:\n[ \t]*-[ \t]*)?(\S[^\n#]*)", header[1], re.MULTILINE) if header else None
    return read_rights({"licence": named[1].strip(" \t\"'[]")})[0] if named else NO_RIGHTS


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() not in ("", "nan", "none", "null", "n/a", "unknown")


def _spelled(text: str) -> str:
    """Return a licence as SPDX spells it, from its name, "CC BY-NC 4.0" or its address; else a name with UNLISTED."""
    forms = [text, re.sub(r"\s+", "-", text)]
    if found := _CREATIVE_COMMONS.search(text):
        kind = {"zero": "CC0", "mark": "CC-PDM"}.get(found[1].lower(), f"CC-{found[1].upper()}")
        forms = ["-".join((kind, found[2], *([found[3].upper()] if found[3] else [])))]
    for form in forms:
        try:
            return check_licence(form, "")
        except UsageError:
            continue
    return f"{UNLISTED}{re.sub(r'[^A-Za-z0-9.]+', '-', text).strip('-')[:80] or 'text'}"


def check_licence(licence: str, where: str) -> str:
    """Return an SPDX expression as it is spelled in the list; raise UsageError where it is none."""
    from license_expression import ExpressionError

    own = re.sub(r"LicenseRef-[\w.-]+", "MIT", licence)
    with contextlib.suppress(ExpressionError):
        if (parsed := _licensing().parse(own, validate=True, strict=True)) is not None:
            return licence if own != licence else str(parsed)
    near = difflib.get_close_matches(licence, _licensing().known_symbols, 1, 0.7)
    meant = f"did you mean {near[0]}?" if near else "examples are CC0-1.0, CC-BY-4.0 and LicenseRef-NAME"
    raise UsageError(f"{where}: '{licence}' is no licence of the SPDX list (spdx.org/licenses); {meant}")


@functools.cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


# Records


@dataclass(frozen=True)
class _Record:
    """What a document says: the rights by POSIX path below its folder and by SHA-256, and those of all other files."""

    by_file: Mapping[str, Rights] = field(default_factory=dict)
    by_content: Mapping[str, Rights] = field(default_factory=dict)
    others: Rights = Rights()

    def of(self, file: str, sha256: str) -> Rights:
        return self.by_file.get(file) or self.by_content.get(sha256) or self.others


class RecordedRights:
    """The rights that records beside files and in the folders around them name; each document is read once."""

    def __init__(self) -> None:
        self._records: dict[Path, list[_Record]] = {}

    def of(self, path: Path, sha256: str = "") -> Rights:
        """Return the rights in a file by its path, else by its content: those of the nearest record that names any.

        Raises FileProblem where a record is damaged or was edited.
        """
        beside = _rights_beside(path)
        return beside if beside.licensed else beside.completed(self._around(path, sha256, by_name=True))

    def of_content(self, path: Path, sha256: str) -> Rights:
        """Return the rights in what once lay at a path, by its content: another file may lie there now."""
        return self._around(path, sha256, by_name=False)

    def _around(self, path: Path, sha256: str, by_name: bool) -> Rights:
        found = NO_RIGHTS
        for whole in dict.fromkeys((path.absolute(), path.resolve())):
            for folder in whole.parents:
                if folder not in self._records:
                    self._records[folder] = [record for read in _READERS if (record := read(folder)) is not None]
                for record in self._records[folder]:
                    file = whole.relative_to(folder).as_posix() if by_name else ""
                    found = found.completed(record.of(file, sha256))
                    if found.licensed:
                        return found
        return found


def _rights_beside(path: Path) -> Rights:
    """Return what the caption file of a clip names; one that cannot be read is said where captions are read."""
    for beside in (path.with_suffix(".json"), path.with_name(f"{path.name}.json")):
        try:
            if not beside.is_file() or beside.stat().st_size > _MAX_BESIDE:
                continue
            about = read_json(beside)
        except (FileProblem, OSError):
            continue
        if isinstance(about, dict) and (found := read_rights(about)[0]).known:
            return found
    return Rights()


def _curated(folder: Path) -> _Record | None:
    listing = folder / "curation.jsonl"
    if not listing.is_file():
        return None
    whole = (folder / "curation.json").is_file()  # else its curation goes on, or was interrupted
    rows = read_curation(folder)[1] if whole else read_manifest(listing)
    by_file = {row["clip"]: rights_from(row.get("rights")) for row in rows if row.get("clip")}
    written = folder / "clips.jsonl"
    sources = {row.get("clip"): source_of(row) for row in (read_manifest(written) if written.is_file() else ())}
    found = {clip: source.sha256 for clip, source in sources.items() if source is not None}
    return _Record(by_file, {found[clip]: rights for clip, rights in by_file.items() if clip in found})


def _imported(folder: Path) -> _Record | None:
    listing = folder / "imported.jsonl"
    if not listing.is_file():
        return None
    rows = [row for row in read_manifest(listing) if row.get("rights")]
    by_file = {row["key"]: rights_from(row["rights"]) for row in rows}
    return _Record(by_file, {row["media"]["sha256"]: by_file[row["key"]] for row in rows})


def _of_a_world(folder: Path) -> _Record | None:
    document, listing = folder / "dataset.json", folder / "manifest.jsonl"
    if not document.is_file():
        return None
    try:
        about = read_json(document)
    except FileProblem:
        if listing.is_file():  # of a world, and damaged
            raise
        return None
    if not isinstance(about, dict) or "world" not in about:  # of another program
        return None
    rights = rights_from(check_seal(about, document, LOST))
    if not listing.is_file():  # of an older version
        return _Record(others=rights)
    files = {name: facts["sha256"] for row in read_manifest(listing) for name, facts in row.get("files", {}).items()}
    return _Record(dict.fromkeys(files, rights), dict.fromkeys(files.values(), rights))


def _of_lerobot(folder: Path) -> _Record | None:
    document = folder / RIGHTS_OF_LEROBOT
    return _Record(others=rights_from(read_json(document))) if document.is_file() else None


_READERS: tuple[Callable[[Path], _Record | None], ...] = (_curated, _imported, _of_a_world, _of_lerobot)
