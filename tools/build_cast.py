"""Rebuild `cast.json.xz` from npm: `python -m tools.build_cast` (only needed when the cast table changes)."""

from __future__ import annotations

import json
import lzma
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.storage import write_atomically
from chronotope.worlds.stage import sprites
from chronotope.worlds.stage.cast import CAST
from chronotope.worlds.stage.drawings import OWN
from chronotope.worlds.stage.sprites import SMALLEST_MASTER, sprite_master

PACKAGE = "@iconify-json/fluent-emoji@1.2.7"


def minify(body: str) -> str:
    """The SVG body with path coordinates cut to two decimals (the drawing is 32 units wide) and short ids."""
    body = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), body)
    for index, name in enumerate(dict.fromkeys(re.findall(r'id="([^"]+)"', body))):
        body = (
            body.replace(f'"{name}"', f'"i{index}"')
            .replace(f"#{name})", f"#i{index})")
            .replace(f'"#{name}"', f'"#i{index}"')
        )
    return body


def build(out: Path) -> int:
    """Fetch the package with npm, keep the drawings of the cast, write them compressed; returns the bytes written."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(["npm", "pack", PACKAGE], cwd=folder, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            raise FileProblem(f"{PACKAGE} could not be fetched with npm: {problem}") from problem
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            member = archive.extractfile("package/icons.json")
            assert member is not None
            icons = json.load(member)["icons"]
    bodies = {
        noun.icon: minify(icons[noun.icon]["body"])
        for noun in sorted(CAST.values(), key=lambda n: n.icon)
        if noun.icon not in OWN
    }
    note = {"source": PACKAGE, "licence": "MIT", "copyright": "Copyright (c) Microsoft Corporation", "view": 32}
    drawings = {"note": note, "icons": bodies, "extents": {}}
    _write(out, drawings)  # once without the extents, so that the sprites can be measured
    drawings["extents"] = {word: sprite_master(word, None, SMALLEST_MASTER).shape[1::-1] for word in CAST}
    return _write(out, drawings)


def _write(out: Path, drawings: dict[str, Any]) -> int:
    text = json.dumps(drawings, separators=(",", ":"))
    data = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
    write_atomically(out, data)
    return len(data)


if __name__ == "__main__":
    print(build(Path(sprites.__file__).with_name("cast.json.xz")), "bytes")
