"""Characters that no reader sees are left out of texts; those that a script is written with stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronotope.data.captions import read_captions
from chronotope.prompt import Prompt, cleaned, is_clean, read_prompts
from chronotope.request import Request


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red\0 square \u202emoves\u200b right.", "A red square moves right."),
        ("A red square \ud800 moves", "A red square moves"),
        ("\ufeffa \x1b[31mred\x9b ball\u2066\u2069", "a [31mred ball"),
        ("a re\u200cd \u200dball", "a red ball"),
        ("\u061ca\u2060 b", "a b"),
    ],
)
def test_unseen_characters_are_left_out(text: str, expected: str) -> None:
    assert cleaned(text) == expected and not is_clean(text)
    assert is_clean(expected) and cleaned(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a caf\u00e9",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f468\u200d\U0001f469",
        "a\ufffdb",
        "\u00c3\u00adx",
    ],
)
def test_other_characters_stay(text: str) -> None:
    assert cleaned(text) == text and is_clean(text)


def test_equal_words_are_equal_texts_however_their_accents_are_stored(tmp_path: Path) -> None:
    """Some systems store the letter and its accent one after the other."""
    together, apart = "a caf\u00e9 at night", "a cafe\u0301 at night"
    assert cleaned(apart) == together and is_clean(apart)
    assert Prompt(apart) == Prompt(together)
    assert Request(read_prompts(together), negative_prompt=apart).negative_prompt == together
    (tmp_path / "a.txt").write_text(apart)
    assert read_captions(tmp_path / "a.mp4") == {"sentence": (together,)}


def test_line_ends_stay_where_they_are_meant() -> None:
    assert cleaned(" a\r\n b\u2028c\td ") == "a b c d" and is_clean("a\n\tb")
    assert cleaned(" a \r\n\n b\0 ", lines=True) == "a\n\nb"
