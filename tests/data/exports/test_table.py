"""The Parquet table holds the whole manifest."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from chronotope.cli.datasets.inspection import write_inspection
from chronotope.curate.removal import remove_source
from chronotope.data.exports.about import Statement
from chronotope.data.exports.croissant import write_croissant
from chronotope.data.exports.dataset import main_caption, read_dataset
from chronotope.data.exports.table import COLUMNS, clip_rows, write_parquet
from chronotope.data.exports.verify import EDITED, OTHERS, PAGE, stale_descriptions
from chronotope.errors import UsageError
from chronotope.manifest import merkle_root, read_curation
from tests.cli.models import run

parquet = pytest.importorskip("pyarrow.parquet")


def test_the_manifest_can_be_made_again_from_the_table(curated: Path, tmp_path: Path) -> None:
    header, rows = read_curation(curated)
    dataset = read_dataset(curated)
    assert write_parquet(dataset, tmp_path / "curation.parquet") == len(rows)
    table = parquet.read_table(tmp_path / "curation.parquet")
    found = table.to_pylist()
    by_key = {row["key"]: row for row in rows}
    assert {row["key"]: json.loads(row["record"]) for row in found} == by_key
    assert Counter(row["state"] for row in found) == Counter(row["state"] for row in rows)
    assert {"kept", "unreadable"} <= {row["state"] for row in rows}
    kept = {row["file_name"]: row for row in found if row["state"] == "kept"}
    for row in clip_rows(dataset):
        assert {column.name: kept[row["file_name"]][column.name] for column in COLUMNS} == row
    for item in dataset.items:
        assert dict(kept[item.file]["levels"]) == {level: list(texts) for level, texts in item.captions.items()}
    in_order = sorted(found, key=lambda row: rows.index(by_key[row["key"]]))
    seals = [row["seal"] for row in in_order if row["state"] == "kept"]
    assert merkle_root(seals) == header["merkle_root"] == table.schema.metadata[b"merkle_root"].decode()


def test_types_do_not_depend_on_the_content(curated: Path, tmp_path: Path) -> None:
    plain = read_dataset(curated).folder / "train"
    (curated / "curation.json").rename(tmp_path / "kept.json")
    (curated / "sources.jsonl").unlink()
    write_parquet(read_dataset(plain), tmp_path / "plain.parquet")
    (tmp_path / "kept.json").rename(curated / "curation.json")
    write_parquet(read_dataset(curated), tmp_path / "curated.parquet")
    assert parquet.read_schema(tmp_path / "plain.parquet").equals(parquet.read_schema(tmp_path / "curated.parquet"))


def test_a_table_of_other_clips_is_noticed(curated: Path) -> None:
    write_parquet(read_dataset(curated), curated / "curation.parquet")
    (curated / "card.md").write_text("a card of another state")
    assert stale_descriptions(curated) == {"card.md": OTHERS}


def test_tables_of_other_captions_or_edited_licences_are_noticed(curated: Path) -> None:
    write_parquet(read_dataset(curated), curated / "curation.parquet")
    write_croissant(read_dataset(curated), Statement())
    assert stale_descriptions(curated) == {}
    records, kept = curated / "croissant.jsonl", (curated / "croissant.jsonl").read_text()
    records.write_text(kept.replace("CC-BY-4.0", "CC0-1.0"))
    table = parquet.read_table(curated / "curation.parquet")
    place = table.schema.get_field_index("licence")
    other = table.set_column(place, table.schema.field(place), [["CC0-1.0"] * table.num_rows])
    parquet.write_table(other, curated / "curation.parquet")
    assert stale_descriptions(curated) == {"croissant.jsonl": EDITED, "curation.parquet": EDITED}
    records.unlink()
    assert "is missing" in stale_descriptions(curated)["croissant.jsonl"]
    records.write_text(kept)
    (curated / read_dataset(curated).items[0].file).with_suffix(".json").write_text('{"captions": ["another"]}')
    assert stale_descriptions(curated) == dict.fromkeys(
        ("croissant.json", "croissant.jsonl", "curation.parquet"), OTHERS
    )


def test_descriptions_of_a_folder_of_clips_are_compared_unless_they_are_of_another_program(
    curated: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    for name in ("plain.mp4", "plain.json"):
        shutil.copy(next(curated.rglob(name)), folder / name)
    (folder / "card.md").write_text("a card of somebody else")
    write_croissant(read_dataset(folder), Statement())
    assert stale_descriptions(folder) == {}
    (folder / "plain.json").write_text('{"captions": ["another"]}')
    assert stale_descriptions(folder) == {"croissant.json": OTHERS, "croissant.jsonl": OTHERS}


def test_without_its_library_it_says_what_to_install(
    curated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = read_dataset(curated)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'chronotope\[parquet\]'"):
        write_parquet(dataset, tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        ({}, ""),
        ({"tags": ("a, b",), "paragraph": ("long",), "sentence": ("one", "two")}, "one"),
        ({"story": ("0: a fox\n2: it sits",)}, "0: a fox 2: it sits"),
        ({"tags": ("a, b",), "mood": ("calm",)}, "calm"),
        ({"sentence": (), "descriptive": ("by a captioner",)}, "by a captioner"),
    ],
)
def test_the_caption_for_programs_that_take_one(captions: dict[str, tuple[str, ...]], expected: str) -> None:
    assert main_caption(captions) == expected


def test_a_page_of_another_manifest_is_stale(curated: Path) -> None:
    """It shows pictures of clips that were removed since."""
    write_inspection(curated, curated / PAGE)
    assert stale_descriptions(curated) == {}
    remove_source(curated, "plain.mp4")
    assert stale_descriptions(curated) == {PAGE: OTHERS}
    findings = run("check", str(curated)).stdout + run("check", str(curated)).stderr
    assert f"{PAGE} {OTHERS}; run `chronotope inspect` again" in findings
