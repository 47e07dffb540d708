"""Who wrote a caption is known after export and import: programs with their weights, and verdicts of people."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chronotope.data.captions import read_captions
from chronotope.data.exports.about import Statement
from chronotope.data.exports.card import card_of
from chronotope.data.exports.croissant import write_croissant
from chronotope.data.exports.dataset import Dataset, read_dataset
from chronotope.data.exports.shards import EXPORT, export_shards
from chronotope.data.exports.table import write_parquet
from chronotope.data.layouts.write import import_dataset
from chronotope.data.recaptions import Recaptions, WrittenCaptions, written_from_json
from chronotope.data.reviews import Reviews
from chronotope.sealed import read_sealed, write_sealed
from chronotope.storage import file_sha256

OURS = {"kind": "trained", "weights": "0123abcd", "captioner": "small"}
THEIRS = {"kind": "endpoint", "model": "some/captioner_7b"}


@pytest.fixture
def captioned(curated: Path) -> Path:
    """A curated dataset with captions of two programs, of which people kept, mended and rejected some."""
    items = read_dataset(curated).items
    train = [item for item in items if item.split == "train"]
    held = next(item for item in items if item.split == "heldout")
    written = Recaptions(curated)
    for number, item in enumerate(train[:4]):
        written.add(item.file, item.sha256, "sentence", OURS, f"a disc {number}, in one sentence")
    written.add(train[0].file, train[0].sha256, "paragraph", THEIRS, "a disc on a carpet, in detail")
    written.add(train[4].file, train[4].sha256, "sentence", THEIRS, "", "the endpoint did not answer")
    reviews = Reviews(curated)
    for item, verdict, mended in ((train[1], "mend", "a red disc"), (train[2], "reject", ""), (train[3], "keep", "")):
        reviews.add(written.rows[item.file, "sentence"], verdict, "Jane", mended)  # type: ignore[arg-type]
    file = held.file.removeprefix("heldout/")
    Recaptions(curated / "heldout").add(file, held.sha256, "sentence", THEIRS, "a scene that is held out")
    return curated


def facts(dataset: Dataset) -> list[Any]:
    return [replace(item, path=Path()) for item in dataset.items]


def lines(card: str) -> list[str]:
    return [line for line in card.splitlines() if line.startswith("Written by a program")]


def test_shards_bring_authors_and_verdicts_back(captioned: Path, tmp_path: Path) -> None:
    export_shards(read_dataset(captioned), tmp_path / "out", 10**6)
    imported = import_dataset(tmp_path / "out", tmp_path / "back")
    assert not imported.left_out
    before, after = read_dataset(captioned), read_dataset(tmp_path / "back")
    assert facts(after) == facts(before)
    assert after.identity == before.identity and after.captioners == before.captioners
    assert after.captioners == {"some/captioner_7b": 2, "trained captioner, weights 0123abcd": 3}
    cards = [lines(card_of(dataset, Statement(), "chronotope")) for dataset in (before, after)]
    assert cards[0] == cards[1] and len(cards[0]) == 2
    for item in before.items:  # those of people alone stand beside the clips
        assert read_captions(tmp_path / "back" / item.file) == read_captions(item.path)
    first = before.in_split("train")[0]
    assert Recaptions(tmp_path / "back").has(first.file, first.sha256, "sentence", OURS)  # so it is not written again
    held = next(item for item in before.items if item.split == "heldout" and item.written)
    file = held.file.removeprefix("heldout/")
    assert Recaptions(tmp_path / "back" / "heldout").texts(file, held.sha256) == ("a scene that is held out",)
    contents = {item.sha256 for item in before.in_split("train")}
    assert not Recaptions(tmp_path / "back").unused(contents)
    found = {path: path.read_bytes() for path in (tmp_path / "back").rglob("*.jsonl")}
    assert import_dataset(tmp_path / "out", tmp_path / "back").in_words().endswith("nothing has changed")
    assert found == {path: path.read_bytes() for path in (tmp_path / "back").rglob("*.jsonl")}


def test_captions_that_were_written_in_the_new_dataset_stay(captioned: Path, tmp_path: Path) -> None:
    export_shards(read_dataset(captioned), tmp_path / "out", 10**6)
    back = tmp_path / "back"
    import_dataset(tmp_path / "out", back)
    one, two = [item for item in read_dataset(back).items if item.split == "train" and item.written][:2]
    own = {"kind": "endpoint", "model": "mine"}
    Recaptions(back).add(one.file, one.sha256, "sentence", own, "by my own program")
    shutil.rmtree(tmp_path / "out")  # and another state of the dataset is exported
    Recaptions(captioned).add(one.file, one.sha256, "sentence", THEIRS, "by another one")
    Recaptions(captioned).add(two.file, two.sha256, "sentence", THEIRS, "written once more")
    export_shards(read_dataset(captioned), tmp_path / "out", 10**6)
    import_dataset(tmp_path / "out", back)
    rows = Recaptions(back).rows
    assert rows[one.file, "sentence"]["text"] == "by my own program"
    assert rows[two.file, "sentence"]["text"] == "written once more"


def test_authors_that_are_no_longer_in_the_source_go(captioned: Path, tmp_path: Path) -> None:
    export_shards(read_dataset(captioned), tmp_path / "out", 10**6)
    import_dataset(tmp_path / "out", tmp_path / "back")
    for name in ("recaptions.jsonl", "reviews.jsonl", "heldout/recaptions.jsonl"):
        assert (tmp_path / "back" / name).is_file()
        (captioned / name).unlink()
        (captioned / name).with_suffix(".head.json").unlink()
    shutil.rmtree(tmp_path / "out")
    export_shards(read_dataset(captioned), tmp_path / "out", 10**6)
    import_dataset(tmp_path / "out", tmp_path / "back")
    assert facts(read_dataset(tmp_path / "back")) == facts(read_dataset(captioned))
    assert not [*(tmp_path / "back").rglob("re*s.jsonl"), *(tmp_path / "back").rglob("*.head.json")]


def test_an_export_of_other_authors_is_another_one(captioned: Path) -> None:
    train = read_dataset(captioned).in_split("train")
    item = next(item for item in train if item.written and not item.written[0].reviews)
    before = read_dataset(captioned).identity
    Recaptions(captioned).add(item.file, item.sha256, "sentence", THEIRS, item.written[0].text)
    assert read_dataset(captioned).identity != before


@pytest.mark.parametrize(
    "change", [{"written": 7}, {"written": [{"text": "x"}]}, {"written": [7]}, {"split": 7}], ids=repr
)
def test_a_record_of_a_stranger_is_not_trusted(captioned: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    out = tmp_path / "out"
    export_shards(read_dataset(captioned), out, 10**9)
    shard = out / "train-000000.tar"
    with tarfile.open(shard) as archive:
        found = {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]
    with tarfile.open(shard, "w") as archive:
        for number, (name, data) in enumerate(found.items()):
            changed = json.dumps(json.loads(data) | change).encode() if number == 1 else data
            info = tarfile.TarInfo(name)
            info.size = len(changed)
            archive.addfile(info, io.BytesIO(changed))
    about = read_sealed(out / EXPORT, "")
    about["shards"] = [one | {"sha256": file_sha256(out / one["file"])} for one in about["shards"]]
    write_sealed(out / EXPORT, about)
    (item,) = import_dataset(out, tmp_path / "back").left_out
    assert item.key == f"train-000000.tar/{list(found)[1]}" and "not as `chronotope export` writes it" in item.reason


def test_what_is_no_list_of_captions_with_authors() -> None:
    one = {"detail": "sentence", "text": "a", "author": {}}
    review = {"reviewer": "Jane", "verdict": "keep", "mended": ""}
    for wrong in (
        None,
        {},
        [{**one, "author": "x"}],
        [{**one, "text": ""}],
        [{**one, "reviews": [{**review, "verdict": "x"}]}],
    ):
        assert written_from_json(wrong) is None
    (found,) = written_from_json([{**one, "reviews": [review]}]) or ()
    assert found.as_json() == {**one, "reviews": [review]} and found.used == "a"


@pytest.mark.parametrize("kind", ["croissant", "parquet"])
def test_tables_name_authors_and_bring_them_back(captioned: Path, tmp_path: Path, kind: str) -> None:
    dataset, folder = read_dataset(captioned), tmp_path / "published"
    folder.mkdir()
    if kind == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        write_parquet(dataset, folder / "metadata.parquet")
        rows = [row for row in parquet.read_table(folder / "metadata.parquet").to_pylist() if row["state"] == "kept"]
    else:
        write_croissant(dataset, Statement())
        shutil.move(captioned / "croissant.jsonl", folder)
        rows = [json.loads(line) for line in (folder / "croissant.jsonl").read_text().splitlines()]
    for item, row in zip(dataset.items, rows, strict=True):
        shutil.copytree(item.path.parent, folder / Path(item.file).parent, dirs_exist_ok=True)
        named = dict(zip(row["captions"], row["authors"], strict=True))
        assert {text: name for text, name in named.items() if name} == item.author_of
    for path in [*folder.rglob("*.txt"), *folder.glob("*/*.json"), *folder.glob("*/*.jsonl")]:
        path.unlink()
    import_dataset(folder, tmp_path / "back")
    captions = WrittenCaptions(tmp_path / "back")
    captioned_items = [item for item in dataset.items if any(item.captions.values())]
    for item in captioned_items:
        assert captions.of(item.file, item.sha256) == item.written
    assert read_dataset(tmp_path / "back").captioners == dataset.captioners


def test_a_folder_of_clips_and_their_list_is_imported_with_authors(captioned: Path, tmp_path: Path) -> None:
    """`recaptions.jsonl` of a plain folder is no table of captions of people."""
    folder = tmp_path / "plain"
    shutil.copytree(captioned / "train", folder)
    written = Recaptions(folder)
    item = read_dataset(folder).items[0]
    written.add(item.file, item.sha256, "sentence", OURS, "a disc, in one sentence")
    Reviews(folder).add(written.rows[item.file, "sentence"], "mend", "Jane", "a red disc")
    assert import_dataset(folder, tmp_path / "back").layout == "pairs"
    before, after = read_dataset(folder), read_dataset(tmp_path / "back")
    captioned_items = [one for one in facts(before) if any(one.captions.values())]
    assert facts(after) == captioned_items and after.captioners == before.captioners


def test_a_verdict_of_the_new_dataset_stays_the_last_one(captioned: Path, tmp_path: Path) -> None:
    """Another reviewer's later verdict at the source does not undo the one that was given in the new dataset."""
    folder, out = tmp_path / "plain", tmp_path / "back"
    shutil.copytree(captioned / "train", folder)
    written = Recaptions(folder)
    item = read_dataset(folder).items[0]
    written.add(item.file, item.sha256, "sentence", OURS, "a disc, in one sentence")
    import_dataset(folder, out)
    row = next(row for row in Recaptions(out).rows.values() if row["text"] == "a disc, in one sentence")
    Reviews(out).add(row, "reject", "Ben")
    Reviews(folder).add(written.rows[item.file, "sentence"], "keep", "Jane")
    import_dataset(folder, out)
    verdicts = Reviews(out).of(row["file"], row["sha256"], "sentence", row["text"])
    assert [(one["reviewer"], one["verdict"]) for one in verdicts] == [("Jane", "keep"), ("Ben", "reject")]
