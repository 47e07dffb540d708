"""The documentation is true: examples run, links hold, generated parts and the order of stages agree with the code."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

import chronotope
from chronotope.checkpoint import weights_hash
from chronotope.cli.commands import chronotope as command_line
from chronotope.generate.pipeline import Generator
from chronotope.generate.stored.folders import WEIGHTS
from chronotope.worlds.stage.scope import SCOPES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
STAGES = ("world", "encode", "train", "generate", "evaluate")
PAGES = [README, *(page for page in sorted(DOCS.rglob("*.md")) if page.name not in ("log.md", "command-line.md"))]
EXAMPLES = [DOCS / "quickstart.md", DOCS / "worlds.md", *sorted((DOCS / "tasks").glob("*.md")), README]


@pytest.fixture(scope="module")
def quick_generator() -> Generator:
    """The shipped model with two sampling steps: whether an example runs does not depend on their number."""
    generator = Generator.load("small")
    generator.defaults = replace(generator.defaults, num_steps=2)
    return generator


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.stem)
def test_examples_run(page: Path, quick_generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python examples of a page run one after the other, as they are printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Generator, "load", lambda name: quick_generator)
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"{page.name}, example {number}", "exec"), names)


def commands_in(page: Path) -> Iterator[list[str]]:
    """The words of every `chronotope` command that a page shows in a code block or in a table."""
    text = page.read_text(encoding="utf-8")
    shown = [
        line for block in re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for line in block.splitlines()
    ]
    shown += re.findall(r"`(chronotope [^`]+)`", text)
    for line in shown:
        if line.startswith("chronotope ") and "COMMAND" not in line:
            yield shlex.split(line)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_parse(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the README and of the pages has a name and options that exist."""
    monkeypatch.chdir(tmp_path)
    for words in commands_in(page):
        command: click.Command = command_line
        context = click.Context(command, info_name="chronotope")
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            assert words[0] in command.commands, f"{page.name}: {words}"
            command, words = command.commands[words[0]], words[1:]
            context = click.Context(command, info_name=command.name, parent=context)
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
        unknown = [word for word in words if word.startswith("-") and word not in known]
        assert not unknown, f"{page.name}: chronotope {command.name} has no option {unknown}"


def test_readme_is_short_and_its_links_hold() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count("\n") <= 200
    for name in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        assert (ROOT / name).exists(), f"README.md names {name}, which is missing"
    table = text.split("begin results")[1].split("end results")[0]
    assert 3 <= table.count("\n|") - 2 <= 10, "one table of at most ten rows"


def test_readme_counts_what_the_model_knows() -> None:
    scope = SCOPES["small"]
    for count, words in ((5, scope.shapes), (6, scope.colours), (12, scope.nouns), (6, scope.backdrops)):
        assert len(words) == count
    limits = " ".join(README.read_text(encoding="utf-8").split("## Limits")[1].split())
    assert (
        f"5 shapes ({', '.join(scope.shapes)}) in 6 colours, 12 nouns ({', '.join(scope.nouns)}) and 6 places" in limits
    )


def stages_in(text: str, pattern: str) -> list[str]:
    """The stages in the order in which a text first names them."""
    return list(dict.fromkeys(re.findall(pattern, text)))


@pytest.mark.parametrize("page", [README, DOCS / "index.md", DOCS / "architecture.md"], ids=lambda page: page.stem)
def test_pages_tell_the_stages_in_order(page: Path) -> None:
    assert f"**{', '.join(STAGES)}**" in page.read_text(encoding="utf-8")


def test_package_help_and_scripts_follow_the_order_of_the_stages() -> None:
    assert f"The stages in order: {', '.join(STAGES)}." in " ".join((chronotope.__doc__ or "").split())
    assert [name for name in command_line.commands if name in STAGES] == list(STAGES)
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\w+): ", index, re.MULTILINE) == list(STAGES)
    for script in ("tiny.sh", "small.sh", "longer.sh"):
        # the autoencoder is trained before there is anything to encode with, so only the transformer's training counts
        found = stages_in(
            (ROOT / "runs" / script).read_text(), r"chronotope (world|encode|train dit|generate|evaluate)\b"
        )
        found = [name.split()[0] for name in found]
        assert len(found) >= 3 and found == sorted(found, key=STAGES.index), f"{script}: {found}"


def test_architecture_agrees_with_the_tree() -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        docs_tree = importlib.import_module("docs_tree")
    finally:
        sys.path.pop(0)
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    assert docs_tree.tree() in page, "stale: run `make docs`"
    assert docs_tree.walks() in page, "stale: run `make docs`"
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    for layer in layers:
        shown = " | ".join(name for name in layer.split(" | ") if not name.startswith("("))
        assert not shown or re.search(rf"^{re.escape(shown)} ", page, re.MULTILINE), f"the layers lack '{shown}'"


PARTS_OF_LAYER = {"model": ("autoencoder", "dit"), "autoencoder": ("autoencoder",), "truth": ()}
# measured before the weights were written beside the model; a new measurement of one of these pages writes them
WITHOUT_WEIGHTS = {"canvas", "captions", "descriptive", "expansion", "first_light", "gpu", "teaching"}


def test_published_numbers_are_of_the_shipped_weights() -> None:
    """A figure of a shipped model names the weights it was measured with, and they are those that ship."""
    found = 0
    for path in sorted((ROOT / "benchmarks").glob("*.json")):
        for about in _named_models(json.loads(path.read_text(encoding="utf-8"))):
            name, weights = about["model"], about.get("weights", "")
            if not (WEIGHTS / name).is_dir() or "log entry" in weights:
                continue
            assert weights or path.stem in WITHOUT_WEIGHTS, (path.name, about)
            parts = re.findall(r"(\w+) [0-9a-f]{16}", weights)
            for part in PARTS_OF_LAYER[about["layer"]] if "layer" in about else parts:
                assert f"{part} {weights_hash(WEIGHTS / name / part)}" in weights, (path.name, about)
                found += 1
    assert found > 10


def _named_models(content: object) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON document that name a model, at any depth."""
    if isinstance(content, dict):
        if isinstance(content.get("model"), str):
            yield content
        for value in content.values():
            yield from _named_models(value)


def test_walks_name_functions_that_exist() -> None:
    """A renamed file or function makes the walks stale: `python tools/walks.py --json benchmarks/walks.json`."""
    for walk, one in json.loads((ROOT / "benchmarks" / "walks.json").read_text()).items():
        for place in {end for _, *ends in one["hops"] for end in ends}:
            file, function = place.split(":")
            path = ROOT / "chronotope" / file
            assert path.is_file(), f"{walk}: {file} is gone"
            name = function.split(".")[-1]
            assert re.search(rf"^\s*(async )?def {re.escape(name)}\b", path.read_text(), re.MULTILINE), (
                f"{walk}: {place}"
            )


def test_sentences_are_not_cut_at_abbreviations(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        first_sentence = importlib.import_module("docs_tree").first_sentence
    finally:
        sys.path.pop(0)
    module = tmp_path / "muon.py"
    module.write_text('"""Muon (Jordan et al. 2024), e.g. for\nmatrices. A second sentence."""\n')
    assert first_sentence(module) == "Muon (Jordan et al. 2024), e.g. for matrices"


def test_site_builds_strictly(tmp_path: Path) -> None:
    """No dead link or anchor, no page outside the navigation; nothing is fetched."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    fetched = re.compile(r'<(?:script|link)[^>]+(?:src|href)="https?://(?!localhost)[^"]*"[^>]*>')
    for page in (tmp_path / "site").rglob("*.html"):
        outside = [tag for tag in fetched.findall(page.read_text(encoding="utf-8")) if "canonical" not in tag]
        assert not outside, f"{page.name} fetches {outside[:3]}"
