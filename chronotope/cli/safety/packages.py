"""The packages that the program is made of -> their licences as SPDX expressions, and a CycloneDX bill of materials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from license_expression import ExpressionError, get_spdx_licensing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["Package", "bill_of_materials", "packages"]

UNKNOWN = "NOASSERTION"  # of SPDX: nothing is claimed
_spdx = cache(get_spdx_licensing)  # it reads a large index
# Names that metadata of packages use, and SPDX does not.
NAMES = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "bsd license": "BSD-3-Clause",
    "bsd": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}


@dataclass(frozen=True)
class Package:
    """An installed package: its licence as far as its metadata state it, and the names of what it needs."""

    name: str
    version: str
    licence: str
    needs: tuple[str, ...]


def packages(root: str = "chronotope") -> list[Package]:
    """Return a package and all that it needs and is installed, extras left out, in the order of their names."""
    found: dict[str, Package] = {}
    waiting = [root]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        found[name] = _described(name, installed)
        waiting += found[name].needs
    return [found[name] for name in sorted(found)]


def bill_of_materials(found: Sequence[Package]) -> dict[str, Any]:
    """Return a bill of materials in the form of CycloneDX 1.6."""
    root = next(one for one in found if one.name == "chronotope")
    names = {one.name for one in found}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _component(root, "application")},
        "components": [_component(one, "library") for one in found if one is not root],
        "dependencies": [{"ref": one.name, "dependsOn": sorted(set(one.needs) & names)} for one in found],
    }


def _component(one: Package, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": one.name,
        "name": one.name,
        "version": one.version,
        "purl": f"pkg:pypi/{one.name}@{one.version}",
        "licenses": [] if one.licence == UNKNOWN else [{"expression": one.licence}],
    }


def _described(name: str, installed: Distribution) -> Package:
    stated = map(Requirement, installed.requires or ())
    needs = [one.name for one in stated if one.marker is None or one.marker.evaluate({"extra": ""})]
    return Package(name, installed.version, _licence(installed), tuple(map(canonicalize_name, needs)))


def _licence(installed: Distribution) -> str:
    """Return the licence of a package; a field of free text counts where it is a known name or an expression."""
    metadata = installed.metadata
    classifiers = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or [] if "License ::" in text]
    fields = [text for name in ("License-Expression", "License") for text in metadata.get_all(name) or []]
    for text in (*fields, *classifiers):
        stated = NAMES.get(text.strip().lower(), text.strip())
        if stated and len(stated) < 200:
            try:
                _spdx().parse(stated, validate=True, strict=True)
            except ExpressionError:
                continue
            return stated
    return UNKNOWN
