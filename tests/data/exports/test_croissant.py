"""The Croissant description is valid for the library of its makers, and tells what the manifest knows, and no more."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from chronotope.data.clips import scan_folder
from chronotope.data.exports.about import Creator, Statement, read_statement
from chronotope.data.exports.croissant import write_croissant
from chronotope.data.exports.dataset import read_dataset
from chronotope.data.exports.table import COLUMNS, clip_rows
from chronotope.errors import FileProblem, UsageError
from chronotope.manifest import read_curation
from chronotope.worlds.write import DatasetRequest, write_dataset

RESPONSIBILITY = ("dataBiases", "dataUseCases", "dataSocialImpact", "dataReleaseMaintenancePlan")
SAID = Statement(
    name="Streets \u2014 </script>",
    description='He said "stop".',
    version="1.2.0",
    published="2026-11-30",
    url="https://example.org/streets",
    citation="@misc{streets}",
    licence="https://example.org/licence",
    creators=(Creator("Jane Doe", "https://example.org"), Creator("The House", kind="organization")),
    keywords=("street", "carpet"),
    languages=("en",),
    biases=("daylight alone",),
    personal_information=("faces can be seen",),
    use_cases=("teaching",),
    limitations=("one town",),
    collection="Filmed by hand.",
)


def described(folder: Path, statement: Statement | None = None) -> dict[str, Any]:
    write_croissant(read_dataset(folder), statement or Statement())
    found = json.loads((folder / "croissant.json").read_text())
    assert isinstance(found, dict)
    return found


def loaded(folder: Path) -> Any:
    """The dataset as `mlcroissant` reads it; it raises for a description that is not valid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies
        import mlcroissant

        return mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))


def text(value: Any) -> Any:
    """A value as it was before the library made bytes of its texts."""
    if isinstance(value, list):
        return [text(one) for one in value]
    return value.decode() if isinstance(value, bytes) else value


def test_mlcroissant_finds_no_error_and_reads_all_records(curated: Path) -> None:
    described(curated, SAID)
    dataset = loaded(curated)
    assert not dataset.metadata.issues.errors and not dataset.metadata.issues.warnings
    records = [
        {name.removeprefix("clips/"): text(value) for name, value in row.items()} for row in dataset.records("clips")
    ]
    expected = list(clip_rows(read_dataset(curated)))
    assert len(records) == len(expected) >= 9
    for found, row in zip(records, expected, strict=True):
        assert found.keys() == {column.name for column in COLUMNS}
        for name, value in row.items():
            assert found[name] == (pytest.approx(value) if isinstance(value, float) else value), name
    splits = [text(row["splits/name"]) for row in dataset.records("splits")]
    assert splits == ["train", "heldout"]


def test_without_a_statement_only_the_manifest_speaks(curated: Path) -> None:
    found = described(curated)
    assert not loaded(curated).metadata.issues.errors
    assert not {f"rai:{name}" for name in RESPONSIBILITY} & found.keys()
    assert not {"creator", "version", "datePublished", "citeAs", "url", "keywords", "inLanguage"} & found.keys()
    assert found["license"] == ["LicenseRef-house", "https://spdx.org/licenses/CC-BY-4.0"]
    assert found["copyrightNotice"] == "The House; Jane <b>Doe</b>"
    header, rows = read_curation(curated)
    assert found["identifier"] == f"merkle_root:{header['merkle_root']}"
    unknown = sum(row["state"] == "kept" and "licence" not in row["rights"] for row in rows)
    assert f"The licence of {unknown} of {header['clips']} clips is unknown." in found["rai:dataLimitations"]
    assert found["rai:personalSensitiveInformation"] == [
        "Consent, of 1 clip: all persons shown have agreed | in writing"
    ]
    assert "1 unreadable" in found["rai:dataCollectionMissingData"]


def test_what_the_makers_say_is_told(curated: Path) -> None:
    found = described(curated, SAID)
    metadata = loaded(curated).metadata
    assert (metadata.name, metadata.version, metadata.license) == (SAID.name, "1.2.0", [SAID.licence])
    assert [one.name for one in metadata.creators] == ["Jane Doe", "The House"]
    assert metadata.data_biases == ["daylight alone"] and metadata.data_collection == "Filmed by hand."
    assert metadata.personal_sensitive_information[0] == "faces can be seen"
    assert found["rai:dataLimitations"][0] == "one town" and len(found["rai:dataLimitations"]) > 1


def test_files_and_hashes_are_those_of_the_folder(curated: Path) -> None:
    found = described(curated)
    files = {one["@id"]: one for one in found["distribution"] if one["@type"] == "cr:FileObject"}
    assert files.keys() == {"croissant.jsonl", "curation.jsonl"}
    for name, one in files.items():
        data = (curated / name).read_bytes()
        assert (one["sha256"], one["contentSize"]) == (hashlib.sha256(data).hexdigest(), f"{len(data)} B")
    patterns = {one["@id"]: one["includes"] for one in found["distribution"] if one["@type"] == "cr:FileSet"}
    below = [path.relative_to(curated).as_posix() for path in curated.rglob("*") if path.is_file()]
    matched = {
        kind: {file for file in below if any(fnmatch.fnmatchcase(file, pattern) for pattern in included)}
        for kind, included in patterns.items()
    }
    items = read_dataset(curated).items
    assert matched == {
        "videos": {item.file for item in items if not item.picture},
        "pictures": {item.file for item in items if item.picture},
    }


def test_the_same_dataset_gives_the_same_bytes_and_no_notes(curated: Path) -> None:
    names = ("croissant.json", "croissant.jsonl")
    described(curated)
    before = [(curated / name).read_bytes() for name in names]
    described(curated)
    assert [(curated / name).read_bytes() for name in names] == before
    assert scan_folder(curated).left_out.keys() == {"held out for tests"}  # its files are not taken for captions


def test_a_rendered_dataset_is_described_too(tmp_path: Path) -> None:
    write_dataset(
        tmp_path / "stage", DatasetRequest("stage", "shapes", "train", 0, 3, (32, 32)), program="chronotope 1"
    )
    found = described(tmp_path / "stage")
    dataset = loaded(tmp_path / "stage")
    assert not dataset.metadata.issues.errors
    assert len(list(dataset.records("clips"))) == 3
    assert found["rai:dataCollectionType"] == ["Software Collection"]
    assert "world stage, scope shapes" in found["rai:dataPreprocessingProtocol"][0]


def test_a_statement_is_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "about.toml"
    path.write_text(
        'name = "Streets"\npublished = 2026-11-30\nbiases = "daylight"\nlimitations = ["a", "b"]\n'
        '[[creators]]\nname = "Jane"\n[[creators]]\nname = "House"\nkind = "organization"\n'
    )
    assert read_statement(path) == Statement(
        name="Streets",
        published="2026-11-30",
        biases=("daylight",),
        limitations=("a", "b"),
        creators=(Creator("Jane"), Creator("House", kind="organization")),
    )


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ('nmae = "x"', UsageError, "Did you mean 'name'"),
        ("name = 7", UsageError, "expected str, got int"),
        ('published = "soon"', UsageError, "is no date"),
        ('version = "latest"', UsageError, "write it as 1.0.0"),
        ('[[creators]]\nurl = "x"', UsageError, "creators[0].name"),
        ("name = ", FileProblem, "is no TOML file"),
        (None, FileProblem, "cannot be read"),
    ],
)
def test_what_is_no_statement_is_refused(tmp_path: Path, text: str | None, error: type[Exception], words: str) -> None:
    path = tmp_path / "about.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error) as refused:
        read_statement(path)
    assert words in str(refused.value) and "about.toml" in str(refused.value)
