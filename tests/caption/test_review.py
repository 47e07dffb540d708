"""Captions judged by people: a real server, its page, its verdicts, and what becomes of them."""

from __future__ import annotations

import http.client
import io
import json
import math
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from chronotope.caption.captioners.builtin import BuiltIn
from chronotope.cli.language.review import Page, open_page
from chronotope.data.captions import read_captions
from chronotope.data.latents import LatentDataset
from chronotope.data.recaptions import RECAPTIONS, WRITTEN, Recaptions
from chronotope.data.reviews import REVIEWS, VERDICTS, Reviews
from chronotope.errors import FileProblem, UsageError
from chronotope.jsonl import write_jsonl
from chronotope.manifest import identify
from chronotope.metrics.statistics import cohen_kappa, sample_for
from tests.cli.models import answer, refused, run, save_clips, save_run

AUTHOR = {"kind": "endpoint", "model": "m"}


def no_captioner() -> BuiltIn:
    raise AssertionError("the captioner is loaded only when it is asked")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Four clips with captions by a captioner, one of them about a content that is there no more."""
    folder = save_clips(tmp_path / "clips")
    written = Recaptions(folder)
    for name in ("0.mp4", "1.mp4", "2.mp4"):
        sha256 = identify(folder / name, name).sha256
        written.add(name, sha256, "sentence", AUTHOR, f"caption <b>of</b> {name}")
    written.add("still.png", "0" * 64, "sentence", AUTHOR, "of an older picture")
    return folder


@pytest.fixture
def page(clips: Path) -> Iterator[Page]:
    with open_page(clips, "ada", no_captioner) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(
    page: Page, path: str, body: object = None, host: str | None = None, origin: str | None = None, token: bool = True
) -> tuple[int, dict[str, str], bytes]:
    """Send one request as a browser would; return status, headers and body."""
    parts = urlsplit(page.address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=20)
    headers = {"Host": host or parts.netloc} | ({"Origin": origin} if origin else {})
    data = None if body is None else json.dumps(body) if not isinstance(body, str) else body
    connection.request("GET" if body is None else "POST", (parts.path if token else "/") + path, data, headers)
    response = connection.getresponse()
    found = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return found


def judge(page: Page, file: str, verdict: str, mended: str = "") -> int:
    item = next(number for number, item in enumerate(page.items) if item["file"] == file)
    return ask(page, "verdict", {"item": item, "verdict": verdict, "mended": mended})[0]


def test_verdicts_decide_what_is_encoded(page: Page, clips: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in clips.iterdir() if path.is_file()}
    assert judge(page, "0.mp4", "keep") == 200
    assert judge(page, "1.mp4", "mend", "a  better\ncaption") == 200
    assert judge(page, "2.mp4", "reject") == 200
    after = {path.name: path.read_bytes() for path in clips.iterdir() if path.name in before}
    assert after == before  # nothing is overwritten
    model = save_run(tmp_path / "model")
    encode = ("encode", clips, "--model", model, "--out", tmp_path / "lat")
    assert run(*encode).exit_code == 0
    levels = {clip.key: clip.captions.get(WRITTEN) for clip in LatentDataset([tmp_path / "lat"]).clips}
    assert levels == {
        "clips/0": ["caption <b>of</b> 0.mp4"], "clips/1": ["a better caption"], "clips/2": None, "clips/still": None,
    }  # fmt: skip
    assert judge(page, "2.mp4", "keep") == 200  # on second thoughts
    assert "1 with new captions" in run(*encode).stderr
    facts = answer("review", clips, "--summary")
    assert (facts["judged"], facts["keep"], facts["mend"], facts["reject"]) == (3, 2, 1, 0)
    rows = [json.loads(line) for line in (clips / REVIEWS).read_text().splitlines()]
    assert len(rows) == 4 and {row["reviewer"] for row in rows} == {"ada"}
    assert "nothing is wrong" in run("check", clips).stdout or "not used" in run("check", clips).output


def test_the_page_holds_captions_as_text_and_shows_clips(page: Page) -> None:
    status, headers, body = ask(page, "")
    assert status == 200 and headers["Content-Security-Policy"].startswith("default-src 'none'")
    text = body.decode()
    assert "<b>of</b>" not in text and "of an older picture" not in text
    shown = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert {item["text"] for item in shown} == {f"caption <b>of</b> {name}.mp4" for name in range(3)}
    assert all(item["beside"] for item in shown)
    for number in range(3):
        status, headers, body = ask(page, f"clip/{number}.webp")
        picture = Image.open(io.BytesIO(body))
        assert status == 200 and headers["Content-Type"] == "image/webp"
        assert picture.n_frames == 9 and picture.size == (32, 32)  # type: ignore[attr-defined]
        assert np.asarray(picture.convert("RGB"))[14, 6, 0] > 200  # the red square at the left


def test_the_page_says_what_is_measured_and_what_is_not_true(tmp_path: Path) -> None:
    assert run("world", "stage", "--count", 1, "--scope", "small", "--seed", 3, "--out", tmp_path).exit_code == 0
    (clip,) = (path for path in tmp_path.rglob("*.mp4"))
    name = str(clip.relative_to(tmp_path))
    true = read_captions(clip)["sentence"][0]
    written, sha256 = Recaptions(tmp_path), identify(clip, name).sha256
    written.add(name, sha256, "sentence", AUTHOR, true, measured={"motion": 0.125, "camera": "still"})
    written.add(name, sha256, "tags", AUTHOR, f"{true} A yellow star spins.")
    with open_page(tmp_path, "ada", no_captioner) as server:
        facts = {item["detail"]: item["facts"] for item in server.items}
    said = re.match(
        r"(\d+) of (\d+) claims are true; measured: motion 0.12 widths a second, camera still$", facts["sentence"]
    )
    assert said and said[1] == said[2] and int(said[1]) > 0
    assert "not true: " in facts["tags"] and "measured" not in facts["tags"]


def test_a_clip_that_was_replaced_is_neither_shown_nor_judged(page: Page, clips: Path) -> None:
    item = next(number for number, item in enumerate(page.items) if item["file"] == "1.mp4")
    assert "none yet; a second one" in answer("review", clips, "--summary")["reviewers"]
    (clips / "1.mp4").write_bytes((clips / "0.mp4").read_bytes())
    assert ask(page, f"clip/{page.items[item]['clip']}.webp")[0] == 500
    status, _, said = ask(page, "verdict", {"item": item, "verdict": "keep", "mended": ""})
    assert status == 400 and b"1.mp4 was replaced since this page was opened" in said
    assert not (clips / REVIEWS).exists()
    assert answer("review", clips, "--summary")["captions"] == 2  # as the page would have


def test_requests_from_elsewhere_are_refused(page: Page, clips: Path) -> None:
    verdict = {"item": 0, "verdict": "reject"}
    assert ask(page, "", token=False)[0] == 403
    assert ask(page, "", host="evil.example")[0] == 403
    assert ask(page, "verdict", verdict, origin="http://evil.example")[0] == 403
    assert ask(page, "verdict", verdict, token=False)[0] == 403
    assert not (clips / REVIEWS).exists()
    for path in ("clip/9.webp", "clip/-1.webp", "clip/../0.webp", "clip/0.mp4", "../clips/0.txt", "nothing"):
        assert ask(page, path)[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "[]", "[" * 3000, {"item": 0}, {"item": 99, "verdict": "keep"}, {"item": -1, "verdict": "keep"},
        {"item": True, "verdict": "keep"}, {"item": 0, "verdict": "love"}, {"item": 0, "verdict": "mend"},
        {"item": 0, "verdict": "mend", "mended": " "}, {"item": 0, "verdict": "keep", "mended": "x"},
        {"item": 0, "verdict": "mend", "mended": "a\x1b[31mfox"},
        {"item": 0, "verdict": "mend", "mended": "x" * 5001}, {"item": 0, "verdict": "mend", "mended": 3},
        "x" * 70_000,
    ],
)  # fmt: skip
def test_what_is_no_verdict_is_refused(page: Page, clips: Path, body: object) -> None:
    status, _, said = ask(page, "verdict", body)
    assert status == 400 and said
    assert not (clips / REVIEWS).exists()


def test_reviewers_judge_the_same_sample_and_do_not_see_each_other(page: Page, clips: Path) -> None:
    assert judge(page, "0.mp4", "keep") == 200 and judge(page, "1.mp4", "reject") == 200
    with open_page(clips, "ben", no_captioner, 2, 5) as other, open_page(clips, "cleo", no_captioner, 2, 5) as third:
        assert [item["file"] for item in other.items] == [item["file"] for item in third.items]
        assert len(other.items) == 2 and all(not item["verdict"] for item in other.items)
    with open_page(clips, "ben", no_captioner) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        assert judge(other, "0.mp4", "keep") == 200 and judge(other, "1.mp4", "keep") == 200
        other.shutdown()
    facts = answer("review", clips, "--summary")
    assert facts["reviewers"] == {"ada and ben": "kappa 0.00 on 2 captions"}
    with open_page(clips, "ada", no_captioner) as again:  # own verdicts are shown again
        assert {item["file"]: item["verdict"] for item in again.items} == {
            "0.mp4": "keep", "1.mp4": "reject", "2.mp4": "",
        }  # fmt: skip


def test_damage_and_wrong_use_are_said(clips: Path, page: Page, tmp_path: Path) -> None:
    judge(page, "0.mp4", "reject")
    path = clips / REVIEWS
    path.write_text(path.read_text().replace("reject", "keep"))
    assert "was changed or damaged" in run("check", clips).stderr
    assert "say who judges" in run("review", clips).stderr
    (tmp_path / "none").mkdir()
    save_clips(tmp_path / "none" / "clips")
    assert "holds no captions to judge" in refused("review", tmp_path / "none", "--as", "ada", status=2)


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


@pytest.mark.parametrize("name", [REVIEWS, RECAPTIONS])
def test_a_line_that_is_gone_is_noticed(page: Page, clips: Path, tmp_path: Path, name: str) -> None:
    """The last one, one within, all of them, the file, and one that was moved: each by every reader."""
    for file, verdict in (("0.mp4", "keep"), ("1.mp4", "keep"), ("2.mp4", "reject")):
        assert judge(page, file, verdict) == 200
    path = clips / name
    lines = lines_of(path)
    model = save_run(tmp_path / "model")
    for less in (lines[:-1], lines[1:], [lines[0], *lines[2:]], [], None, [*lines[1::-1], *lines[2:]]):
        path.unlink() if less is None else path.write_text("".join(less))
        sentence = refused("encode", clips, "--model", model, "--out", tmp_path / "lat", status=1)
        assert name in sentence and "from a copy" in sentence
        assert name in run("check", clips).stderr
        refused("review", clips, "--summary", status=1)
        refused("caption", clips, status=1)
        path.write_text("".join(lines))
    assert not (tmp_path / "lat").exists()
    head = path.with_suffix(".head.json")
    head.unlink()
    assert f"{head.name} is missing" in run("check", clips).stderr
    rows = [{key: value for key, value in json.loads(line).items() if key != "chain"} for line in lines[:-1]]
    write_jsonl(path, rows)  # what the sentence says to do where the lines that are there are all that is wanted
    assert name not in run("check", clips).stderr.replace("recaptions.jsonl: 1 caption is of", "")


def test_what_was_cut_off_or_is_of_an_older_version_goes_on(clips: Path) -> None:
    row, path = next(iter(Recaptions(clips).rows.values())), clips / REVIEWS
    reviews = Reviews(clips)
    for verdict in VERDICTS:
        reviews.add(row, verdict, "ada", "x" if verdict == "mend" else "")
    lines = lines_of(path)
    path.write_text("".join(lines) + lines[0][:40])  # a writer was killed
    said: list[str] = []
    Reviews(clips, said.append).add(row, "keep", "ada")
    assert len(said) == 1 and len(lines_of(path)) == 4
    path.write_text("".join(lines))  # and now the last line is gone
    with pytest.raises(FileProblem, match=r"has 3 lines, and by reviews.head.json beside it 4 lines were written"):
        Reviews(clips)
    path.with_suffix(".head.json").unlink()
    plain = [{key: value for key, value in json.loads(line).items() if key != "chain"} for line in lines]
    write_jsonl(path, plain)
    Reviews(clips, said.append).add(row, "reject", "ada")
    assert len(said) == 1
    path.write_text("".join(lines_of(path)[1:]))
    with pytest.raises(FileProblem, match=r"does not follow|has 3 lines"):
        Reviews(clips)


def test_captions_of_a_folder_within_or_around_are_said(clips: Path, tmp_path: Path) -> None:
    model = save_run(tmp_path / "model")
    around = clips.rename(tmp_path / "around").parent / "all" / "clips"
    around.parent.mkdir()
    (tmp_path / "around").rename(around)
    said = run("encode", around.parent, "--model", model, "--out", tmp_path / "lat").stderr
    assert "clips/recaptions.jsonl" in said and "used where that folder is encoded by itself" in said
    shutil.move(around, clips)
    (clips / "sub").mkdir()
    (clips / "0.mp4").rename(clips / "sub" / "0.mp4")
    written = Recaptions(clips)
    row = dict(written.rows["0.mp4", "sentence"])
    written.add("sub/0.mp4", row["sha256"], "sentence", AUTHOR, "a text")
    said = run("encode", clips / "sub", "--model", model, "--out", tmp_path / "sub").stderr
    assert "clips/recaptions.jsonl holds captions of clips in sub/" in said
    assert "holds captions of clips in" not in run("encode", clips, "--model", model, "--out", tmp_path / "x").stderr


def test_options_without_effect_are_refused(clips: Path) -> None:
    assert "leave out --as, --sample" in refused("review", clips, "--summary", "--as", "a", "--sample", 2, status=2)
    assert "leave out --per-minute" in refused("caption", clips, "--per-minute", 3, status=2)


def test_a_damaged_verdict_is_judged_again(page: Page, clips: Path) -> None:
    judge(page, "0.mp4", "reject")
    judge(page, "1.mp4", "keep")
    path = clips / REVIEWS
    path.write_text(path.read_text().replace("reject", "keep"))
    assert "judge the caption again" in run("check", clips).stderr
    with open_page(clips, "ada", no_captioner) as again:
        assert {item["file"]: item["verdict"] for item in again.items} == {"0.mp4": "", "1.mp4": "keep", "2.mp4": ""}
    assert f"{REVIEWS}, line" not in run("check", clips).stderr and Path(f"{path}.damaged").is_file()


def test_spellings_of_a_name_are_one_reviewer(clips: Path) -> None:
    row = next(iter(Recaptions(clips).rows.values()))
    for name in ("Zo\u00eb", "zoe\u0308", " ZO\u00cb\u200b", "\uff3a\uff2f\u00cb"):
        Reviews(clips).add(row, "keep", name)
    Reviews(clips).add(row, "keep", "ben")
    facts = answer("review", clips, "--summary")
    assert facts["reviewers"] == {"Zo\u00eb and ben": "kappa nan on 1 captions"}
    with pytest.raises(UsageError, match="needs the name"):
        Reviews(clips).add(row, "keep", "\u200b")


def test_verdicts_on_captions_that_are_gone_are_counted_apart(page: Page, clips: Path) -> None:
    judge(page, "0.mp4", "keep")
    judge(page, "1.mp4", "keep")
    row = Recaptions(clips).rows["0.mp4", "sentence"]
    Recaptions(clips).add("0.mp4", row["sha256"], "sentence", AUTHOR, "another caption")
    facts = answer("review", clips, "--summary")
    assert (facts["captions"], facts["judged"], facts["keep"]) == (3, 1, 1)
    assert [value for name, value in facts.items() if name.startswith("judged, of captions")] == [1]


def test_kappa_and_sample_sizes() -> None:
    assert cohen_kappa("yynn", "yynn") == 1
    assert cohen_kappa("yynn", "ynyn") == 0
    # Cohen's own example: 20 and 15 agreed of 50, by chance 25
    one, two = "y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15
    assert cohen_kappa(one, two) == pytest.approx(0.4)
    assert math.isnan(cohen_kappa("yy", "yy"))
    with pytest.raises(ValueError, match="rate the same items"):
        cohen_kappa("y", "yy")
    assert (sample_for(0.05, 10**9), sample_for(0.05, 1000), sample_for(0.05, 3), sample_for(0.05, 0)) == (
        385,
        278,
        3,
        0,
    )


def test_a_rejected_caption_stays_rejected_under_another_name(clips: Path, tmp_path: Path) -> None:
    """Also where a copy of the clip had the same text, which nobody judged."""
    shutil.copy(clips / "1.mp4", clips / "copy.mp4")
    sha256 = identify(clips / "1.mp4", "1.mp4").sha256
    written = Recaptions(clips)
    written.add("copy.mp4", sha256, "sentence", AUTHOR, "caption <b>of</b> 1.mp4")
    written.reviews.add(written.rows["1.mp4", "sentence"], "reject", "ada")
    assert written.texts("1.mp4", sha256) == written.texts("renamed.mp4", sha256) == ()
    assert written.texts("copy.mp4", sha256) == ("caption <b>of</b> 1.mp4",)
    written.reviews.add(written.rows["1.mp4", "sentence"], "mend", "ada", "mended")
    assert written.texts("renamed.mp4", sha256) == ("mended",)
