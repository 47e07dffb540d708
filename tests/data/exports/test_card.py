"""The data card tells the figures of the manifest, and texts of others in it are text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import markdown
import pytest

from chronotope.data.exports.about import Creator, Statement
from chronotope.data.exports.card import card_of, write_card
from chronotope.data.exports.dataset import Dataset, read_dataset
from chronotope.data.recaptions import Recaptions
from chronotope.data.reviews import Reviews
from chronotope.manifest import read_curation
from chronotope.worlds.write import DatasetRequest, write_dataset
from tests.data.exports.conftest import HOSTILE

PROGRAM = "chronotope 1.2.3"


class Page(HTMLParser):
    """The elements and the words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.words: list[str] = []
        self.feed(markdown.markdown(text, extensions=["tables"]))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def card(dataset: Dataset, statement: Statement | None = None) -> str:
    return card_of(dataset, statement or Statement(), PROGRAM)


def test_texts_of_others_are_shown_and_not_followed(curated: Path) -> None:
    said = Statement(
        name="<script>x</script>", description="# no | heading\n- no list", biases=("[a](javascript:b)",),
        creators=(Creator("<img src=x>", "https://example.org"),),
    )  # fmt: skip
    for statement in (Statement(), said):
        page = Page(card(read_dataset(curated), statement))
        assert page.elements <= {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "ol", "li"}
        for name, text in HOSTILE.items():
            assert name == "plain" or " ".join(text.split()) in page.text
        assert "Jane <b>Doe</b>" in page.text and "all persons shown have agreed | in writing" in page.text
    assert page.text.count("<script>x</script>") == 1 and "[a](javascript:b)" in page.text


def test_figures_are_those_of_the_manifest(curated: Path) -> None:
    header, rows = read_curation(curated)
    page = Page(card(read_dataset(curated))).text
    kept = [row for row in rows if row["state"] == "kept"]
    pictures = sum(row["picture"] for row in kept)
    assert pictures == 1 and f"clips {len(kept)}: {len(kept) - 1} videos, 1 picture" in page
    for split in ("train", "heldout"):
        assert f"{split} {sum(row['split'] == split for row in kept)}" in page
    seconds = sorted(row["seconds"] for row in kept if not row["picture"])
    assert f"{seconds[0]:.3g} to {seconds[-1]:.3g} seconds" in page
    assert f"{sum((curated / row['clip']).stat().st_size for row in kept) / 1e6:,.1f} MB" in page
    assert f"{sum(bool(row['captions']) for row in kept)} of {len(kept)} clips have captions" in page
    assert any(row["state"] != "kept" and row["file"] not in {one["file"] for one in kept} for row in rows)
    assert f"From {len({row['file'] for row in kept})} source files" in page
    assert header["merkle_root"] in page and "made with chronotope test" in page and PROGRAM in page
    unknown = sum("licence" not in row["rights"] for row in kept)
    assert f"unknown not named not named not named {unknown}" in page
    for reason in {row["reason"] for row in rows if row["reason"]}:
        assert re.search(rf"{reason} [\w ,-]+ {sum(row['reason'] == reason for row in rows)}", page)
    assert "Biases" not in page and "Intended uses" not in page and "Makers" not in page


def test_what_the_makers_say_has_its_place(curated: Path) -> None:
    said = Statement(
        description="Streets.", biases=("daylight alone",), use_cases=("teaching",), version="1.0.0",
        personal_information=("faces",), creators=(Creator("Jane Doe"),), limitations=("one town",),
    )  # fmt: skip
    text = card(read_dataset(curated), said)
    order = ["Streets.", "## Known limits", "one town", "## Biases", "## Personal", "## Intended uses", "Jane Doe"]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)


def test_captions_of_a_program_are_called_so(curated: Path) -> None:
    item = read_dataset(curated).items[0]
    author = {"kind": "endpoint", "model": "some/captioner_7b"}
    Recaptions(curated).add(item.file, item.sha256, "detailed", author, "a disc on a carpet, in detail")
    dataset = read_dataset(curated)
    assert dataset.items[0].captions["descriptive"] == ("a disc on a carpet, in detail",)
    assert dataset.captioners == {"some/captioner_7b": 1}
    assert "Written by a program, some/captioner_7b: 1 caption." in Page(card(dataset)).text
    row = Recaptions(curated).rows[item.file, "detailed"]
    Reviews(curated).add(row, "reject", "Jane")
    assert not read_dataset(curated).captioners and read_dataset(curated).items[0].captions == item.captions


def test_a_rendered_dataset_has_a_card(tmp_path: Path) -> None:
    write_dataset(
        tmp_path / "stage", DatasetRequest("stage", "shapes", "train", 7, 3, (32, 32)), program="chronotope 1"
    )
    dataset = read_dataset(tmp_path / "stage")
    write_card(dataset, Statement(), tmp_path / "card.md", PROGRAM)
    page = Page((tmp_path / "card.md").read_text()).text
    about = json.loads((tmp_path / "stage" / "dataset.json").read_text())
    assert "seed 7" in page and about["manifest"] in page and about["licence"] in page
    assert "What was left out" not in page and "simulated world and nothing else" in page


@pytest.mark.parametrize("text", ["a\u202eb", "a\x1b[31mb", "a\u2028# b"])
def test_characters_that_deceive_are_escaped(curated: Path, text: str) -> None:
    shown = card(read_dataset(curated), Statement(name=text))
    assert not set("\u202e\x1b\u2028") & set(shown)
