"""The Python examples of the documentation run as they stand, one after the other."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.mark.parametrize("page", ["generate.md"])
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 8
    known: dict[str, object] = {}
    for number, block in enumerate(blocks):
        # fewer steps: whether an example runs does not depend on them
        exec(compile(block, f"{page}, example {number + 1}", "exec"), known)
        generator = known["generator"]
        generator.defaults = type(generator.defaults)(**{**vars(generator.defaults), "num_steps": 2})
    assert (tmp_path / "circle.mp4").exists() and (tmp_path / "longer.mp4").exists()


def test_pictures_of_the_pages_are_there():
    for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md"]:
        for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / name).is_file(), f"{page.name} shows {name}, which is missing"
