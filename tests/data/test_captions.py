"""Captions as people and programs save them: the meant text, or one sentence that names the file."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from chronotope.data.captions import captions_of, read_captions
from chronotope.errors import FileProblem

TEXT = "a caf\u00e9 with a na\u00efve ball \u2013 moving"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode("utf-8"),
        codecs.BOM_UTF8 + TEXT.encode("utf-8"),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("cp1252"),
        TEXT.encode("utf-8") + b"\r\n",
    ],
)
@pytest.mark.parametrize("kind", ["txt", "json"])
def test_every_encoding_gives_the_meant_text(tmp_path: Path, data: bytes, kind: str) -> None:
    clip = tmp_path / "a.mp4"
    if kind == "json":
        start, end = (text.encode(_encoding(data)) for text in ('{"caption": "', '"}'))
        mark = _mark(data)
        data = mark + start + data[len(mark) :].rstrip(b"\r\n") + end
    clip.with_suffix(f".{kind}").write_bytes(data)
    assert read_captions(clip) == {"sentence": (TEXT,)}


def _mark(data: bytes) -> bytes:
    marks = (codecs.BOM_UTF32_LE, codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return next((mark for mark in marks if data.startswith(mark)), b"")


def _encoding(data: bytes) -> str:
    body = data[len(_mark(data)) :].rstrip(b"\r\n")
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "cp1252"):
        if TEXT.encode(encoding) == body:
            return encoding
    raise AssertionError(data)


def test_a_guessed_encoding_is_said(tmp_path: Path) -> None:
    notes: list[str] = []
    (tmp_path / "a.txt").write_bytes("caf\u00e9".encode("cp1252"))
    (tmp_path / "b.txt").write_bytes("caf\u00e9".encode())
    assert read_captions(tmp_path / "a.mp4", notes.append) == {"sentence": ("caf\u00e9",)}
    read_captions(tmp_path / "b.mp4", notes.append)
    assert len(notes) == 1 and "a.txt" in notes[0] and "Windows-1252" in notes[0]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"captions": {"sentence": ["one", "two"], "tags": ["x"]}}, {"sentence": ("one", "two"), "tags": ("x",)}),
        ({"captions": {"sentence": "one"}}, {"sentence": ("one",)}),
        ({"captions": ["one", "two"]}, {"sentence": ("one", "two")}),
        ({"captions": "one"}, {"sentence": ("one",)}),
        ({"caption": "one"}, {"sentence": ("one",)}),
        ({"caption": ["one", "two"]}, {"sentence": ("one", "two")}),
        ({"text": " one "}, {"sentence": ("one",)}),
        ({"caption": None, "text": "one"}, {"sentence": ("one",)}),
        (["one", "two"], {"sentence": ("one", "two")}),
        ("one", {"sentence": ("one",)}),
        (None, {}),
        ("", {}),
        ([], {}),
        ({"captions": {}}, {}),
        ({"captions": {"sentence": [" "], "tags": ["x"]}}, {"tags": ("x",)}),
        ({"fps": 8}, {}),
    ],
)
def test_every_form_of_json_gives_the_meant_texts(tmp_path: Path, data: object, expected: object) -> None:
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert read_captions(tmp_path / "a.mp4") == expected


@pytest.mark.parametrize(
    "data", [7, 1.5, True, [1], ["one", None], {"caption": 3}, {"captions": {"sentence": 3}}, {"text": {"a": 1}}]
)
def test_what_is_no_caption_is_named(tmp_path: Path, data: object) -> None:
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(FileProblem, match=r"a\.json.* where a text or a list of texts is expected"):
        read_captions(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json", b"{", "not readable JSON"),
        ("a.json", b"[" * 100_000, "not readable JSON"),
        ("a.json", b'{"caption": "\xff\xfe', "not readable JSON"),
        ("a.txt", b"\x81\x8d\x8f", "no text"),
        ("a.txt", b"a\0b\0\0", "no text"),
        ("a.txt", b"\0\0\0\0", "no text"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FileProblem, match=message) as problem:
        read_captions(tmp_path / "a.mp4")
    assert str(tmp_path / name) in str(problem.value)


def test_the_text_file_speaks_where_the_json_has_no_caption(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"captions": {}, "rights": "mine"}')
    (tmp_path / "a.txt").write_text("a fox walks")
    assert read_captions(tmp_path / "a.mp4") == {"sentence": ("a fox walks",)}
    (tmp_path / "a.mp4.txt").write_text("this one alone")  # tells a.mp4 from a.png
    assert read_captions(tmp_path / "a.mp4") == {"sentence": ("this one alone",)}
    assert read_captions(tmp_path / "a.png") == {"sentence": ("a fox walks",)}


def test_errors_begin_with_the_place() -> None:
    with pytest.raises(FileProblem, match=r"^row 3 holds 4"):
        captions_of(4, "row 3")
