"""A dataset -> `croissant.json`, its description for search engines and loaders, and the table that it describes.

Croissant 1.1 with the Responsible AI vocabulary, as JSON-LD (https://docs.mlcommons.org/croissant). It holds what the
manifest knows and what the makers say in a `Statement`; what neither says is left out. Both files lie in the folder of
the dataset, to which their paths are relative.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from chronotope.data.clips import PICTURES
from chronotope.data.exports.about import Statement
from chronotope.data.exports.dataset import Dataset
from chronotope.data.exports.facts import Facts, counted, describe_clips, facts_of, limitations_of, process_of
from chronotope.data.exports.table import COLUMNS, Column, clip_rows
from chronotope.storage import file_sha256, json_text, write_atomically

__all__ = ["CROISSANT", "TABLE", "croissant_of", "missing_properties", "records_of", "write_croissant"]

CROISSANT, TABLE = "croissant.json", "croissant.jsonl"
TYPES = {"text": "sc:Text", "texts": "sc:Text", "integer": "sc:Integer", "float": "sc:Float"}
SPLITS = {"train": "cr:TrainingSplit", "heldout": "cr:TestSplit"}
_SPDX = re.compile(r"[A-Za-z0-9.+-]+")
_LINES = "application/jsonlines"
REQUIRED = {  # properties, by their names in a statement
    "license": "licence",
    "creator": "creators",
    "datePublished": "published",
    "url": "url",
    "version": "version",
    "citeAs": "citation",
}
Json = dict[str, Any]


def write_croissant(dataset: Dataset, statement: Statement) -> Json:
    """Write the table of the clips, then its description, into the folder of the dataset; return the description."""
    table = records_of(dataset)
    write_atomically(dataset.folder / TABLE, table)
    description = croissant_of(dataset, statement, table)
    write_atomically(dataset.folder / CROISSANT, json_text(description))
    return description


def records_of(dataset: Dataset) -> str:
    """Return the content of TABLE: a line for each clip."""
    return "".join(json.dumps(row) + "\n" for row in clip_rows(dataset))


def missing_properties(description: Json) -> list[str]:
    """Return what Croissant requires or recommends and nobody said, by the names of the entries of a statement."""
    return [entry for name, entry in REQUIRED.items() if name not in description]


def croissant_of(dataset: Dataset, statement: Statement, table: str) -> Json:
    """Return the description of a dataset whose clips are listed in `table`, the content of TABLE."""
    facts = facts_of(dataset)
    head = json.loads(resources.files(__package__).joinpath(CROISSANT).read_text(encoding="utf-8"))
    listing = head.pop("licences")
    found = {
        **head,
        "name": statement.name or dataset.name,
        "description": statement.description or describe_clips(facts),
        "identifier": next(f"{name}:{value}" for name, value in reversed(dataset.identity.items())),
        "version": statement.version,
        "datePublished": statement.published,
        "url": statement.url,
        "citeAs": statement.citation,
        "license": [statement.licence] if statement.licence else _licences(facts, listing),
        "copyrightNotice": "; ".join(dict.fromkeys(one.holder for one in facts.rights if one.holder)),
        "creator": [
            {"@type": f"sc:{one.kind.capitalize()}", "name": one.name} | ({"url": one.url} if one.url else {})
            for one in statement.creators
        ],
        "keywords": list(statement.keywords),
        "inLanguage": list(statement.languages),
        **_responsibility(dataset, facts, statement),
        "distribution": _distribution(dataset, table),
        "recordSet": [_splits(dataset), _clips()],
    }
    return {name: value for name, value in found.items() if value not in ("", [], None)}


def _licences(facts: Facts, listing: str) -> list[str]:
    """Return the licences of the clips: the address of one that SPDX lists below `listing`, else its expression."""
    names = dict.fromkeys(one.licence for one in facts.rights if one.licence)
    listed = {name for name in names if _SPDX.fullmatch(name) and not name.startswith("LicenseRef-")}
    return [f"{listing}{name}" if name in listed else name for name in names]


def _responsibility(dataset: Dataset, facts: Facts, statement: Statement) -> Json:
    """Return the fields of the Responsible AI vocabulary."""
    steps = process_of(dataset)
    collected = f"The clips were made of {counted(facts.files, 'file')}." if facts.files else ""
    left_out = "; ".join(f"{one.count} {one.reason} ({one.meaning})" for one in facts.left_out)
    consents = Counter[str]()
    for one in facts.rights:
        if one.consent:
            consents[one.consent] += one.clips
    measured = dataset.kind == "curated"
    return {
        "rai:dataCollection": statement.collection or collected,
        "rai:dataCollectionType": ["Software Collection"] if dataset.kind == "rendered" else [],
        "rai:dataCollectionMissingData": f"Left out: {left_out}." if left_out else "",
        "rai:dataPreprocessingProtocol": steps,
        "rai:dataAnnotationProtocol": list(statement.annotation),
        "rai:machineAnnotationTools": [
            *([f"{dataset.about.get('made_with')} (scores of the clips)"] if measured else []),
            *(f"{name} ({counted(count, 'caption')})" for name, count in dataset.captioners.items()),
        ],
        "rai:dataLimitations": [*statement.limitations, *limitations_of(dataset, facts)],
        "rai:dataBiases": list(statement.biases),
        "rai:personalSensitiveInformation": [
            *statement.personal_information,
            *(f"Consent, of {counted(clips, 'clip')}: {consent}" for consent, clips in consents.items()),
        ],
        "rai:dataUseCases": list(statement.use_cases),
        "rai:dataSocialImpact": statement.social_impact,
        "rai:dataReleaseMaintenancePlan": statement.maintenance,
    }


def _distribution(dataset: Dataset, table: str) -> list[Json]:
    encoded = table.encode()
    found = [_file(TABLE, hashlib.sha256(encoded).hexdigest(), len(encoded), "One line for each clip.")]
    if dataset.kind == "curated":
        manifest = dataset.folder / "curation.jsonl"
        about = "The manifest: one line for each shot and file, used or not, with the reason."
        found.append(_file(manifest.name, file_sha256(manifest), manifest.stat().st_size, about))
    for pictures in (False, True):
        suffixes = sorted({PurePosixPath(item.file).suffix for item in dataset.items})
        chosen = [suffix for suffix in suffixes if (suffix.lower() in PICTURES) == pictures]
        if chosen:
            found.append(_file_set("pictures" if pictures else "videos", dataset, chosen))
    return found


def _file(name: str, sha256: str, size: int, about: str) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": about,
        "contentUrl": name,
        "contentSize": f"{size} B",
        "encodingFormat": _LINES,
        "sha256": sha256,
    }


def _file_set(name: str, dataset: Dataset, suffixes: Sequence[str]) -> Json:
    places = [f"{split}/" for split in dataset.splits] if dataset.kind == "curated" else [""]
    known = mimetypes.MimeTypes()  # not those of this machine, which differ
    formats = {known.guess_type(f"clip{suffix.lower()}")[0] or "application/octet-stream" for suffix in suffixes}
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": f"The files of the {name}; their hashes are in {TABLE}.",
        "encodingFormat": sorted(formats),
        "includes": [f"{place}{deep}*{suffix}" for place in places for suffix in suffixes for deep in ("", "**/")],
    }


def _splits(dataset: Dataset) -> Json:
    data = [
        {"splits/name": split} | ({"splits/url": SPLITS[split]} if split in SPLITS else {}) for split in dataset.splits
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "description": "No source file has clips in two splits." if dataset.kind == "curated" else "The splits.",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": "sc:URL"},
        ],
        "data": data,
    }


def _clips() -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": "clips",
        "name": "clips",
        "description": "One record for each clip that is used.",
        "key": {"@id": "clips/file_name"},
        "field": [_field(column) for column in COLUMNS],
    }


def _field(column: Column) -> Json:
    found: Json = {
        "@type": "cr:Field",
        "@id": f"clips/{column.name}",
        "name": column.name,
        "description": column.about,
        "dataType": TYPES[column.kind],
        "source": {"fileObject": {"@id": TABLE}, "extract": {"column": column.name}},
    }
    if column.kind == "texts":
        found |= {"isArray": True, "arrayShape": "-1"}
    if column.name == "split":
        found["references"] = {"field": {"@id": "splits/name"}}
    return found
