"""What `chronotope disclose` writes of the shipped model, as it is kept in docs/disclosure/.

The packages are those of constraints.txt, so that a platform's own ones (CUDA, for example) make no difference.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "disclosure"


def pinned() -> dict[str, str]:
    """Return the versions of constraints.txt by the name of the package."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("#")[0].strip().partition("==") for line in lines]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, equals, version in pins if equals}


def disclosure() -> dict[str, str]:
    """Return the texts of docs/disclosure/ by the name of the file."""
    from chronotope.cli.safety.disclose import disclosed
    from chronotope.cli.safety.packages import packages

    pins = {"chronotope", *pinned()}
    installed = [replace(one, version=one.version.partition("+")[0]) for one in packages() if one.name in pins]
    return disclosed("small", installed)
