"""On-screen text: the share against what was drawn, and the flow of a curation with a finder that is known."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from chronotope.cli.datasets.inspection import write_inspection
from chronotope.curate import text
from chronotope.curate.decide import Filters
from chronotope.curate.look import look
from chronotope.manifest import read_curation
from chronotope.media import video
from tests.cli.models import refused
from tests.curate.films import scene
from tests.curate.test_run import content, run

Frame = np.ndarray
LINE = slice(60, 66)  # rows of the white line that the known finder takes for text


def subtitled(frame: Frame, size: int, words: str = "I never said that it was mine.") -> tuple[Frame, float]:
    """Draw a subtitle of `size` pixels; return the share of the frame within its box, too."""
    height, width = frame.shape[:2]
    picture = Image.fromarray(frame)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    place: Any = dict(xy=(width / 2, 0.9 * height), text=words, font=font, anchor="mm", stroke_width=1)
    draw.text(**place, fill=(255, 255, 255), stroke_fill=(0, 0, 0))
    left, top, right, bottom = draw.textbbox(**place)
    return np.asarray(picture), (right - left) * (bottom - top) / (height * width)


@pytest.mark.parametrize("size", [15, 20, 30])
def test_the_share_is_that_of_the_line_that_was_drawn(
    size: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rapidocr")
    pytest.importorskip("onnxruntime")

    def offline(*_: Any) -> NoReturn:
        raise AssertionError("the detector of text reaches for the network")

    monkeypatch.setattr(socket.socket, "connect", offline)
    text._finder.cache_clear()
    plain = scene(np.random.default_rng(0), 1, 288, 512)[0]
    drawn, share = subtitled(plain, size)
    assert text.text_share(plain) < Filters().max_text < share
    found = text.text_share(drawn) - text.text_share(plain)
    assert share < found < 2 * share  # there is a margin around a line
    assert capfd.readouterr() == ("", "")


def rectangle(left: float, top: float, right: float, bottom: float) -> Frame:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)


def test_lines_count_once_and_high_things_are_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [rectangle(0, 0, 49, 9), rectangle(25, 0, 49, 9), rectangle(0, 40, 99, 99)]
    monkeypatch.setattr(text, "_finder", lambda: lambda _: np.stack(lines))
    assert text.text_share(np.zeros((100, 100, 3), np.uint8)) == 500 / 10_000


def white_lines(frame: Frame) -> Frame:
    """Return a line where the rows of `LINE` are white."""
    width = frame.shape[1]
    there = frame[LINE].mean() > 240
    return rectangle(0, LINE.start, width - 1, LINE.stop - 1)[None] if there else np.zeros((0, 4, 2), np.float32)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_finder", lambda: white_lines)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of two seconds, 128x72; in the second half of one, and in a picture, there is a white line."""
    folder = tmp_path_factory.mktemp("footage")
    for number in range(3):
        frames = np.stack(scene(np.random.default_rng(number), 24))
        if number == 1:
            frames[12:, LINE] = 255
        video.write(folder / f"c{number}.mp4", frames, 12)
    frames[0, LINE] = 255
    video.write_image(folder / "photo.png", frames[0])
    return folder


def reasons(out: Path) -> dict[str, str]:
    return {row["file"]: row["reason"] for row in read_curation(out)[1]}


def test_shots_with_text_are_left_out_where_it_is_looked_for(footage: Path, tmp_path: Path, known: None) -> None:
    out = tmp_path / "out"
    run(footage, out)
    without = content(out)
    header, rows = read_curation(out)
    assert set(reasons(out).values()) == {""} and not header["filters"]["text"]
    assert not any("text" in row["scores"] for row in rows)
    write_inspection(out, tmp_path / "page.html")
    assert "On-screen text was not looked for" in (tmp_path / "page.html").read_text()

    assert run(footage, out, Filters(text=True)).looked_at == 4  # they are looked at again
    assert run(footage, out, Filters(text=True)).looked_at == 0
    assert reasons(out) == {"c0.mp4": "", "c1.mp4": "text", "c2.mp4": "", "photo.png": "text"}
    _, rows = read_curation(out)
    shares = {row["file"]: row["scores"]["text"] for row in rows}
    covered = pytest.approx(6 / 72, abs=2e-5)
    assert shares == {"c0.mp4": 0, "c1.mp4": covered, "c2.mp4": 0, "photo.png": covered}
    assert "text covers 8.3%" in {row["why"] for row in rows}
    write_inspection(out, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<h3>text: 2</h3>" in page and "was not looked for" not in page

    run(footage, out, Filters(text=True, keep=("text",)))
    assert set(reasons(out).values()) == {""}
    run(footage, out)
    assert content(out) == without


def test_interrupted_the_result_is_the_same(
    footage: Path, tmp_path: Path, known: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(footage, tmp_path / "whole", Filters(text=True))
    for calls in (1, 3, 6):
        out = tmp_path / str(calls)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(text, "_finder", lambda calls=calls: stopping(calls))
            run(footage, out, Filters(text=True))
        run(footage, out, Filters(text=True))
        assert content(out) == content(tmp_path / "whole")


CALLS: list[int] = []


def stopping(after: int) -> Callable[[Frame], Frame]:
    """Return a finder that is interrupted at a call."""

    def find(frame: Frame) -> Frame:
        CALLS.append(after)
        if CALLS.count(after) > after:
            raise KeyboardInterrupt
        return white_lines(frame)

    return find


def test_text_is_searched_in_larger_frames_and_all_else_is_the_same(tmp_path: Path, known: None) -> None:
    video.write(tmp_path / "a.mp4", np.stack(scene(np.random.default_rng(5), 24, 288, 512)), 12)
    (plain,), (searched,) = look(tmp_path / "a.mp4", 60).shots, look(tmp_path / "a.mp4", 60, text=True).shots
    assert plain.scores.text is None and searched.scores.text == 0.0
    assert searched.scores.motion == pytest.approx(plain.scores.motion, rel=0.01)
    assert searched.scores.sharpness == pytest.approx(plain.scores.sharpness, rel=0.05)
    bits = [(int(a, 16) ^ int(b, 16)).bit_count() for a, b in zip(plain.hashes, searched.hashes, strict=True)]
    assert max(bits) <= 16


def test_without_the_package_one_sentence_says_what_to_install(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text._finder.cache_clear()
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    words = (footage, "--out", tmp_path / "out", "--holder", "x", "--text")
    for command in ("curate", "teach"):
        said = refused(command, *words, status=2)
        assert said == "--text needs rapidocr and onnxruntime: pip install 'chronotope[ocr]'"
    assert not (tmp_path / "out" / "sources.jsonl").exists()
