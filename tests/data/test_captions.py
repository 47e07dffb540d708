"""Captions as people and programs save them: the meant text, or one sentence that names the file."""

from __future__ import annotations

import codecs
import json
import os
from pathlib import Path

import pytest

from chronotope.data.captions import CaptionNote, captions_of, read_captions
from chronotope.data.doubtful import doubts
from chronotope.errors import FileProblem
from chronotope.prompt import read_story

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
    notes: list[CaptionNote] = []
    (tmp_path / "a.txt").write_bytes("caf\u00e9".encode("cp1252"))
    (tmp_path / "b.txt").write_bytes("caf\u00e9".encode())
    assert read_captions(tmp_path / "a.mp4", notes.append) == {"sentence": ("caf\u00e9",)}
    read_captions(tmp_path / "b.mp4", notes.append)
    assert len(notes) == 1 and notes[0].file == tmp_path / "a.txt" and "Windows-1252" in notes[0].reason


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
        (
            "a.json",
            b'{"text": %s}' % (b"9" * 10_000),
            "a whole number of more than 4300 digits",
        ),
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


@pytest.mark.parametrize(
    "data",
    [
        {"prompt": TEXT},
        {"Caption": TEXT},
        {" TEXT ": [TEXT]},
        {"Captions": {"sentence": TEXT}},
        {"caption": "", "text": TEXT},
    ],
)
def test_keys_of_other_programs_are_read(tmp_path: Path, data: dict[str, object]) -> None:
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert read_captions(tmp_path / "a.mp4") == {"sentence": (TEXT,)}


@pytest.mark.parametrize("name", ["a.TXT", "a.mp4.TXT", "a.mp4.txt", "a.JSON", "a.mp4.json"])
def test_endings_in_capitals_and_after_the_whole_name_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(TEXT) if "json" in name.lower() else TEXT, encoding="utf-8")
    assert read_captions(tmp_path / "a.mp4") == {"sentence": (TEXT,)}


def test_a_second_file_with_other_captions_is_named(tmp_path: Path) -> None:
    notes: list[CaptionNote] = []
    (tmp_path / "a.json").write_text('{"caption": "a red ball"}')
    (tmp_path / "a.txt").write_text("a red ball")
    read_captions(tmp_path / "a.mp4", notes.append)
    assert notes == []
    (tmp_path / "a.txt").write_text("a blue ball")
    assert read_captions(tmp_path / "a.mp4", notes.append) == {"sentence": ("a red ball",)}
    reason = "not used, because the .json of the same clip holds other captions"
    assert notes == [CaptionNote(tmp_path / "a.txt", reason)]
    (tmp_path / "a.mp4.txt").write_text("a green ball")
    (tmp_path / "a.json").unlink()
    notes.clear()
    read_captions(tmp_path / "a.mp4", notes.append)
    assert [str(note) for note in notes] == [
        f"{tmp_path / 'a.txt'}: not used, because the .mp4.txt of the same clip holds other captions"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"title": "a", "url": "b"}', "holds no caption ('title', 'url')"),
        ("{}", "holds no caption (it is empty)"),
        ('{"caption": "x", "caption": "y"}', "the key 'caption' is there more than once"),
        ('{"text": "x", "caption": "y"}', "'caption' is read, and 'text', which holds others, is not"),
        ('{"Caption": "x", "caption": "y"}', "'Caption' is read, and 'caption', which holds others, is not"),
        ('{"captions": ["x"], "prompt": {"a": 1}}', "'captions' is read, and 'prompt', which holds others, is not"),
    ],
)
def test_what_is_strange_about_an_object_is_said(tmp_path: Path, text: str, expected: str) -> None:
    notes: list[CaptionNote] = []
    (tmp_path / "a.json").write_text(text)
    read_captions(tmp_path / "a.mp4", notes.append)
    assert len(notes) == 1
    assert expected in notes[0].reason
    assert notes[0].file == tmp_path / "a.json"


def test_a_key_without_a_text_hides_no_other_key(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"captions": {"sentence": []}, "caption": "x", "prompt": ["x"]}')
    notes: list[CaptionNote] = []
    assert read_captions(tmp_path / "a.mp4", notes.append) == {"sentence": ("x",)}
    assert notes == []


def test_the_settings_beside_a_generated_story_are_a_story(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"prompt": [[0.0, "a fox\\nwalks in"], [2.5, "it eats"]], "seed": 3}')
    captions = read_captions(tmp_path / "a.mp4")
    assert captions == {"story": ("0.0: a fox walks in\n2.5: it eats",)}
    assert read_story(captions["story"][0].splitlines()) == ((0.0, "a fox walks in"), (2.5, "it eats"))


def test_what_is_no_regular_file_is_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    (tmp_path / "b.json").mkdir()
    (tmp_path / "c.txt").symlink_to(tmp_path / "missing")
    for name in ("a", "b", "c"):
        with pytest.raises(FileProblem, match=rf"{name}\.(txt|json)"):
            read_captions(tmp_path / f"{name}.mp4")


@pytest.mark.parametrize("ending", [".mp4", ".png"])
def test_a_clip_with_the_longest_name_has_no_caption_or_a_short_one(tmp_path: Path, ending: str) -> None:
    """NAME.mp4.txt would be too long a name; that stops nothing."""
    clip = tmp_path / ("n" * (255 - len(ending)) + ending)
    clip.write_bytes(b"")
    assert read_captions(clip) == {}
    clip.with_suffix(".txt").write_text("a red ball")
    assert read_captions(clip) == {"sentence": ("a red ball",)}


def test_one_zero_byte_makes_no_utf_16(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a red\0 ball rolls")
    with pytest.raises(FileProblem, match=r"a\.txt holds zero bytes"):
        read_captions(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("text", "expected", "said"),
    [
        ('{"caption": "a red ball"}', {"sentence": ("a red ball",)}, ""),
        (' ["a red ball", "a ball"]\n', {"sentence": ("a red ball", "a ball")}, ""),
        ('"a red ball"', {"sentence": ("a red ball",)}, ""),
        ('"A ball!" she said', {"sentence": ('"A ball!" she said',)}, ""),
        ("{a red ball}", {"sentence": ("{a red ball}",)}, "begins like JSON"),
        ('{"fps": 8}', {}, "holds no caption"),
        ("a red ball\na blue ball\n", {"sentence": ("a red ball a blue ball",)}, "several lines are read as one"),
        ("a red ball\r\n", {"sentence": ("a red ball",)}, ""),
        ("a red\rball", {"sentence": ("a red ball",)}, "several lines are read as one"),
        ("a \x1b[31mred\x07  ball", {"sentence": ("a [31mred ball",)}, "control characters"),
        ('{"caption": "a \\ud800ball"}', {"sentence": ("a ball",)}, "halves of characters"),
        ("a \u202ered\u200b ball", {"sentence": ("a red ball",)}, "unseen characters"),
        ('[[0, "a \\u0000red ball"]]', {"story": ("0: a red ball",)}, "control characters"),
    ],
)
def test_a_text_file_holds_one_text_or_json(tmp_path: Path, text: str, expected: object, said: str) -> None:
    """What is read otherwise than it stands is said; what is read as it stands is not."""
    (tmp_path / "a.txt").write_bytes(text.encode())
    notes: list[CaptionNote] = []
    assert read_captions(tmp_path / "a.mp4", notes.append) == expected
    assert [said in note.reason for note in notes] == [True] * bool(said)


def test_the_lines_of_a_story_stay(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"captions": {"story": "0: a\n1:  b", "sentence": "a\nb"}}))
    assert read_captions(tmp_path / "a.mp4") == {"story": ("0: a\n1: b",), "sentence": ("a b",)}


@pytest.mark.parametrize("story", ["5: a\n0.5: b", "-1: a", "nan: a", "no times"])
def test_a_story_without_rising_times_is_said(tmp_path: Path, story: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"captions": {"story": [story]}}))
    notes: list[CaptionNote] = []
    read_captions(tmp_path / "a.mp4", notes.append)
    assert len(notes) == 1 and "read as one text" in notes[0].reason


def test_levels_that_no_training_knows_are_said(tmp_path: Path) -> None:
    """As a file of another program has them, in which not every text is a caption."""
    notes: list[CaptionNote] = []
    (tmp_path / "a.json").write_text(json.dumps({"captions": {"sentence": [TEXT], "license": ["CC0"], "url": ["x"]}}))
    found = read_captions(tmp_path / "a.mp4", notes.append)
    assert found == {"sentence": (TEXT,), "license": ("CC0",), "url": ("x",)}
    (note,) = notes
    assert "its levels 'license', 'url' will be captions too" in note.reason and "paragraph" in note.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *[(text, "says nothing") for text in ("nan", "None", "null", "#N/A", "#NAME?", "-", "...")],
        ("????", "question marks"),
        ("a ???? walks", "question marks"),
        ("a caf\ufffd at night", "U+FFFD"),
        ("a caf\u00c3\u00a9 at night", "another encoding"),
        ("a dog\u00e2\u20ac\u2122s tail", "another encoding"),
        ("<html><head><title>404 Not Found</title></head></html>", "HTML"),
        ("Error: 429 Too Many Requests", "message of an error"),
        ("I'm sorry, but I can't assist with that.", "refusal"),
        ("I\u2019m unable to view this video.", "refusal"),
        ("As an AI language model, I see no videos.", "refusal"),
        ("1 00:00:01,000 --> 00:00:04,000 a fox", "subtitles"),
        ("a fox &amp; a hen &lt;outside&gt;", "codes of HTML"),
        ('=CONCAT("a", "fox")', "formula of a spreadsheet"),
        ("Caption: a fox walks", "begins with a label"),
    ],
)
def test_texts_that_are_hardly_descriptions_are_used_and_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"caption": [text, "a red ball", text]}))
    notes: list[CaptionNote] = []
    assert read_captions(tmp_path / "a.mp4", notes.append) == {"sentence": (text, "a red ball", text)}
    assert any(reason in note.reason for note in notes) and all(note.common for note in notes)
    assert len({note.reason for note in notes}) == len(notes)


@pytest.mark.parametrize(
    "text",
    """a red ball|Is it a dog?|a caf\u00e9 in S\u00e3o Paulo, na\u00efve|\u72d7\u5728\u8dd1
    |a family \U0001f468\u200d\U0001f469
    |nobody, none of them, walks|an error page on a screen|I see a dog that cannot walk|sorry sight: a wet dog
    |\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645|a < b and c > d
    |two men, 3 balls, at 10:30|black & white; a hen|a caption: text on a screen|x = 3|\u00c3 la carte|a null island
    """.split("|"),
)
def test_ordinary_texts_are_not_doubted(text: str) -> None:
    assert doubts(text.strip()) == []


@pytest.mark.parametrize("key", ["story", "stories", "long_caption", "Description"])
def test_keys_of_texts_that_are_not_read_are_named(key: str) -> None:
    notes: list[str] = []
    captions_of({"prompt": "a ball", key: ["0: a fox"], "fps": 8, "seed": 3, "prompt_tokens": 7}, "x", notes.append)
    assert len(notes) == 1 and f"'{key}', which holds others, is not" in notes[0]
    captions_of({"prompt": "a ball", key: "a ball", "model": {"name": "small"}}, "x", notes.append)
    captions_of({"prompt": "a ball", "negative_prompt": "blur", "program": "chronotope 1"}, "x", notes.append)
    assert len(notes) == 1


def test_a_list_of_beats_is_one_story(tmp_path: Path) -> None:
    """As on the command line, --story "0: ..." "0.5: ..."; two stories of a beat each stay two."""
    clip = tmp_path / "a.mp4"
    for beats, expected in (
        (["0: a fox walks in", "0.5: it stops"], ("0: a fox walks in\n0.5: it stops",)),
        (["0: a fox walks in", "0: it runs in"], ("0: a fox walks in", "0: it runs in")),
        (["0: a fox\n1: a cat", "0: a dog\n1: a hen"], ("0: a fox\n1: a cat", "0: a dog\n1: a hen")),
    ):
        clip.with_suffix(".json").write_text(json.dumps({"captions": {"story": beats, "sentence": ["a fox"]}}))
        assert read_captions(clip)["story"] == expected
