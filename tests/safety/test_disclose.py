"""What is disclosed of the program and of a model is made from them."""

from __future__ import annotations

import importlib
import json
import re
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest
import torch
from license_expression import get_spdx_licensing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from chronotope import checkpoint
from chronotope.cli.safety.packages import UNKNOWN, packages
from chronotope.generate.pipeline import Generator, find_model
from chronotope.safety.policy.decide import default_policy
from chronotope.storage import read_json
from tests.cli.models import refused, run, save_run

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("disclosed") / "site"
    result = run("disclose", "--out", out)
    assert result.exit_code == 0, result.stderr
    assert sorted(result.stdout.split()) == sorted(map(str, out.iterdir()))
    return out


def test_there_is_a_card_for_every_part_and_category(site: Path) -> None:
    names = {path.name for path in site.iterdir()}
    parts = {"autoencoder", "dit", "captioner", "expander", "policy"}
    assert {f"model-{part}.md" for part in parts} | {"system-card.md", "data-card.md"} <= names
    system = (site / "system-card.md").read_text()
    assert default_policy().hash in system
    assert all(default_policy().advice[name] in system for name in default_policy().actions if name != "own")
    for link in re.findall(r"\]\((.*?)\)", system):
        assert (site / link).is_file()


def test_cards_name_the_weights(site: Path) -> None:
    card = (site / "model-dit.md").read_text()
    assert "Apache-2.0" in card and checkpoint.weights_hash(find_model("small") / "dit") in card


def test_damaged_weights_are_said(tmp_path: Path) -> None:
    model = save_run(tmp_path / "run")
    assert "not verified" not in run("disclose", "--model", model, "--out", tmp_path / "whole").stderr
    weights = model / "dit" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    said = run("disclose", "--model", model, "--out", tmp_path / "site").stderr
    assert f"note: the card of {model / 'dit'} says that its weights are not verified: no" in said


def test_an_adapter_is_disclosed_with_its_base(tmp_path: Path) -> None:
    base, adapter = save_run(tmp_path / "base"), tmp_path / "adapter"
    weights = Generator.load(base).names["dit"]
    about = {"kind": "adapter", "adapter": {"rank": 4, "alpha": 16.0}, "base": weights, "base_name": str(base)}
    tensors = {"base_model.model.x.lora_A.weight": torch.zeros(4, 4)}
    checkpoint.save_adapter(adapter / "dit", tensors, about, {})
    assert run("disclose", "--model", adapter, "--out", tmp_path / "both").exit_code == 0
    card = (tmp_path / "both" / "model-base.md").read_text()
    assert checkpoint.weights_hash(base / "dit") in card
    assert "model-base.md" in (tmp_path / "both" / "system-card.md").read_text()
    save_run(base, seed=1)  # other weights under the same name
    said = run("disclose", "--model", adapter, "--out", tmp_path / "alone").stderr
    assert f"note: no card of the base of this adapter, {base} of the weights {weights}: it has the weights" in said
    assert not (tmp_path / "alone" / "model-base.md").exists()


def test_every_dependency_is_in_the_bill_with_its_version(site: Path) -> None:
    bill = read_json(site / "sbom.cdx.json")
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "chronotope")
    listed = {one["name"]: one for one in bill["components"]}
    for requirement in requires("chronotope") or ():
        if "extra ==" not in requirement:
            name = re.match(r"[\w.-]+", requirement)[0]  # type: ignore[index]
            assert listed[name.lower()]["version"] == version(name)
    refs = {one["bom-ref"] for one in bill["components"]} | {"chronotope"}
    assert {one["ref"] for one in bill["dependencies"]} == refs
    assert all(set(one["dependsOn"]) <= refs for one in bill["dependencies"])


def test_the_published_disclosure_is_current(site: Path) -> None:
    """docs/disclosure/ is what `chronotope disclose` writes: the cards to the byte, the packages as constraints.txt has
    them. Stale: `make docs`; an installed package of another version: `make setup`.
    """
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        docs = importlib.import_module("docs_disclosure")
    finally:
        sys.path.pop(0)
    published = {path.name: path.read_text(encoding="utf-8") for path in docs.FOLDER.iterdir()}
    assert published == docs.disclosure(), "stale: run `make docs`"
    cards = {path.name: path.read_text(encoding="utf-8") for path in site.glob("*.md")}
    assert {name: text for name, text in published.items() if name.endswith(".md")} == cards
    pins = docs.pinned()
    installed = {one.name: one.version.partition("+")[0] for one in packages() if one.name in pins}
    assert installed == {name: pins[name] for name in installed}, "not those of constraints.txt: run `make setup`"
    direct = {canonicalize_name(Requirement(one).name) for one in requires("chronotope") or () if "extra" not in one}
    assert direct <= installed.keys(), "every package that the program needs is pinned, so that it is published"


def test_packages_of_other_platforms_are_left_out() -> None:
    names = {one.name for one in packages()}
    assert "click" in names and ("colorama" in names) == (sys.platform == "win32")  # click needs it on Windows alone


def test_licences_are_spdx_expressions() -> None:
    found = {one.name: one.licence for one in packages()}
    assert found["numpy"].startswith("BSD-3-Clause") and found["safetensors"] == "Apache-2.0"
    spdx = get_spdx_licensing()
    for licence in found.values():
        if licence != UNKNOWN:
            spdx.parse(licence, validate=True)  # raises for what is none
    assert sum(licence == UNKNOWN for licence in found.values()) < 0.25 * len(found)


def test_the_same_installation_discloses_the_same(site: Path, tmp_path: Path) -> None:
    run("disclose", "--out", tmp_path / "again")
    assert {one.name: one.read_bytes() for one in site.iterdir()} == {
        one.name: one.read_bytes() for one in (tmp_path / "again").iterdir()
    }
    assert "give another --out" in refused("disclose", "--out", tmp_path / "again", status=2)
    assert json.loads((site / "licences.json").read_text())
