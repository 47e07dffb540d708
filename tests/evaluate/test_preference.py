"""Blind preference: what the page holds, and what answers are worth, against raters whose habits are known."""

from __future__ import annotations

import base64
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope.evaluate.preference.answers import Rater, binomial_tail, read_answers, summarise
from chronotope.evaluate.preference.study import Item, Study, broken, choose_items, read_key
from chronotope.media import video
from chronotope.metrics.statistics import Rate
from tests.cli.models import answer, refused, run

NAMES = [f"{number:02d}.mp4" for number in range(40)]
Habit = Callable[[Item, random.Random], str]


def study(files: list[str] = NAMES, checks: int = 4, seed: int = 0) -> Study:
    return Study("0" * 64, "a", "b", seed, tuple(choose_items(files, checks, seed)))


def answered(of: Study, folder: Path, habits: dict[str, Habit]) -> list[Rater]:
    """The raters whose files of answers have these habits."""
    paths = []
    for number, (name, habit) in enumerate(habits.items()):
        rng = random.Random(number)
        answers = [{"item": item.item, "choice": habit(item, rng), "seconds": 2.0} for item in of.items]
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(json.dumps({"study": of.study, "rater": name, "answers": answers}))
    return read_answers(of, paths)


def likes(share: float, ties: float = 0.0) -> Habit:
    """Somebody who watches, and prefers `a` in a share of the pairs that are decided."""

    def choose(item: Item, rng: random.Random) -> str:
        if item.kind == "same":
            return "tie"
        if item.kind == "broken":
            return "right" if item.left == "broken" else "left"
        if rng.random() < ties:
            return "tie"
        wanted = "a" if rng.random() < share else "b"
        return "left" if item.left == wanted else "right"

    return choose


def at_random(item: Item, rng: random.Random) -> str:
    return rng.choice(["left", "right", "tie"])


def always(choice: str) -> Habit:
    return lambda item, rng: choice


def test_sides_are_balanced_and_follow_the_seed() -> None:
    items = choose_items(NAMES, 4, 7)
    assert items == choose_items(NAMES, 4, 7) != choose_items(NAMES, 4, 8)
    assert Counter(item.kind for item in items) == {"pair": 40, "same": 4, "broken": 4}
    pairs = [item for item in items if item.kind == "pair"]
    assert sorted(item.file for item in pairs) == NAMES and [item.file for item in pairs] != NAMES
    assert Counter(item.left for item in pairs) == {"a": 20, "b": 20}
    assert all({item.left, item.right} == {"a", "b"} for item in pairs)
    assert Counter(item.left == "broken" for item in items if item.kind == "broken") == {True: 2, False: 2}
    assert all(item.left == item.right for item in items if item.kind == "same")


def test_known_raters_are_measured(tmp_path: Path) -> None:
    raters = answered(study(), tmp_path, {"ada": likes(1.0), "ben": likes(1.0), "eve": likes(0.0)})
    assert not any(rater.random or rater.one_sided for rater in raters)
    found, agreements = summarise(raters[:2])
    assert (found.share("a"), found.share("b"), found.share("tie")) == (1.0, 0.0, 0.0)
    assert found.p_value < 0.001 and found.pairs == 40
    low, high = found.intervals["a"]
    assert (low, high) == (pytest.approx(Rate(40, 40).interval[0]), 1.0)  # two who agree are worth one
    (one,) = agreements
    assert np.isnan(one.kappa)  # a single answer throughout: chance alone makes them agree
    split, (two,) = summarise([raters[0], raters[2]])
    assert split.share("a") == 0.5 and split.p_value > 0.9 and two.kappa <= 0


def test_the_interval_covers_the_true_share(tmp_path: Path) -> None:
    """95 % intervals of 60 raters whose true share is 0.7 contain it about as often."""
    covered = 0
    for seed in range(60):
        rng = random.Random(seed)
        choices = {str(number): ("a" if rng.random() < 0.7 else "b") for number in range(40)}
        found, _ = summarise([Rater("x", choices, Rate(8, 8), Rate(20, 40), 0)])  # type: ignore[arg-type]
        low, high = found.intervals["a"]
        covered += low <= 0.7 <= high
    assert covered >= 53


def test_kappa_is_that_of_the_answers(tmp_path: Path) -> None:
    """Two raters, 50 pairs: 20 both a, 15 both b, 5 and 10 apart: Cohen's own kind of table, kappa 0.4."""
    table = [("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15
    raters = [
        Rater(name, {str(n): row[place] for n, row in enumerate(table)}, Rate(8, 8), Rate(25, 50), 0)  # type: ignore[misc]
        for place, name in enumerate(("one", "two"))
    ]
    _, (agreement,) = summarise(raters)
    assert agreement.kappa == pytest.approx(0.4) and agreement.pairs == 50


def test_raters_at_random_are_found(tmp_path: Path) -> None:
    """Of raters at random 2 % pass: 6 of 8 checks at chance 1/3 have 0.0197, 5 have 0.088. None who watch fail."""
    assert binomial_tail(6, 8, 1 / 3) == pytest.approx(0.01966, abs=1e-4)
    raters = answered(study(), tmp_path, {f"random {number}": at_random for number in range(200)})
    assert sum(rater.random for rater in raters) >= 188
    one_way = {"left": always("left"), "right": always("right"), "tie": always("tie")}
    assert all(rater.random for rater in answered(study(), tmp_path, one_way))
    assert [rater.one_sided for rater in answered(study(), tmp_path, one_way)] == [True, True, False]
    watching = {f"watching {number}": likes(number / 40) for number in range(40)}
    assert not any(rater.random for rater in answered(study(), tmp_path, watching))


def test_a_rater_who_saw_no_check_may_be_random() -> None:
    assert Rater("x", {}, Rate(0, 0), Rate(0, 0), 0).random


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `a` and `b` with six small clips each, one more in `a`, and prompts."""
    folder = tmp_path_factory.mktemp("preference")
    rng = np.random.default_rng(0)
    for name, count in (("a", 7), ("b", 6)):
        (folder / name).mkdir()
        for number in range(count):
            frames = np.full((4, 32, 32, 3), rng.integers(0, 255), np.uint8)
            video.write(folder / name / f"{number}.mp4", frames, 8)
    rows = [{"file": f"{number}.mp4", "prompt": f"a </script> {number}"} for number in range(7)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("prefer", folder / "a", folder / "b", "--prompts", folder / "prompts.jsonl", "--checks", 3)
    assert answer(*words, "--out", folder / "study")["attention checks"] == 6
    return folder


def data_of(page: Path) -> Any:
    text = page.read_text()
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_holds_the_videos_and_names_none(folders: Path) -> None:
    page, key = folders / "study/page.html", read_key(folders / "study")
    data = data_of(page)
    assert not re.search(r'(src|href)="?(http|file|/)', page.read_text())
    assert ".mp4" not in re.sub(r"base64,[^\"]*", "", page.read_text())
    for shown, item in zip(data["items"], key.items, strict=True):
        assert shown["item"] == item.item and shown["prompt"] == f"a </script> {item.file[0]}"
        for number, side in zip(shown["media"], (item.left, item.right), strict=True):
            content = base64.b64decode(data["media"][number].partition("base64,")[2])
            if side != "broken":
                assert content == (folders / side / item.file).read_bytes()
            else:
                assert content not in [path.read_bytes() for path in (folders / "a").iterdir()]


def test_pairs_are_of_what_their_tags_say(tmp_path: Path) -> None:
    """Sides made for two cases are refused; other words and selection are said."""
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    tried = {"by": "the detector", "tries": [{"seed": 1}, {"seed": 2}], "kept": 1}
    for folder, prompt, told in (("a", "a red ball", {}), ("b", "a blue ball", {"selected": tried})):
        (tmp_path / folder).mkdir()
        video.write(
            tmp_path / folder / "0.mp4", frames, 8, metadata={"case": "0000-0-00000000", "prompt": prompt} | told
        )
    (tmp_path / "prompts.jsonl").write_text('{"file": "0.mp4", "prompt": "a red ball"}\n')
    words = ("prefer", tmp_path / "a", tmp_path / "b", "--checks", 2, "--out")
    for folder in ("a", "b"):
        (tmp_path / folder / "1.mov").write_bytes(b"of a kind that browsers do not show")
        (tmp_path / folder / "within").mkdir()
        (tmp_path / folder / "within" / "2.mp4").write_bytes(b"not in the folder itself")
    assert "1 of 1 pairs were made from different prompts" in (said := run(*words, tmp_path / "one").stderr)
    assert "2 are not shown, such as 1.mov, within/2.mp4: a page shows .mp4, .webm, .png, .jpg, .webp" in said
    assert f"1 of 1 videos of {tmp_path / 'b'} were selected" in said
    said = run(*words, tmp_path / "two", "--prompts", tmp_path / "prompts.jsonl").stderr
    assert f"videos of {tmp_path / 'b'} were made from other words" in said and f"of {tmp_path / 'a'} were" not in said
    video.write(tmp_path / "b" / "0.mp4", frames, 8, metadata={"case": "0001-0-00000000", "prompt": "a red ball"})
    assert "was made for the case 0000-0-00000000 in" in refused(*words, tmp_path / "three", status=1)
    assert not (tmp_path / "three").exists()


def test_raters_are_shown_no_damaged_video(tmp_path: Path) -> None:
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        video.write(tmp_path / folder / "0.mp4", frames, 8)
    whole = (tmp_path / "b" / "0.mp4").read_bytes()
    words = ("prefer", tmp_path / "a", tmp_path / "b", "--checks", 2, "--out", tmp_path / "study")
    for content in (b"no video", whole[: len(whole) // 2]):
        (tmp_path / "b" / "0.mp4").write_bytes(content)
        assert str(tmp_path / "b" / "0.mp4") in refused(*words, status=1)
    assert not (tmp_path / "study").exists()


def test_a_broken_video_is_far_from_its_source() -> None:
    frames = np.zeros((6, 32, 48, 3), np.uint8)
    frames[:, 8:16, 8:16] = 255
    found = broken(frames, 1)
    assert found.shape == frames.shape and found.dtype == np.uint8
    assert np.abs(found.astype(int) - frames).mean() > 40


def test_the_program_reads_answers_and_names_who_is_random(folders: Path, tmp_path: Path) -> None:
    key = read_key(folders / "study")
    answered(key, tmp_path, {"ada": likes(1.0), "ben": likes(0.5), "mallory": always("left")})
    files = [tmp_path / f"{name}.json" for name in ("ada", "ben", "mallory")]
    words = ("prefer", "--out", folders / "study", "--read")
    found = answer(*words, *files)
    assert found["left out"] == ["mallory"] and found["preferred"]["answers"] == 12
    assert found["preferred, by all raters"]["answers"] == 18
    assert [one["first"] for one in found["agreement"]] == ["ada"]
    text = run(*words, *files).stdout
    assert "LEFT OUT: answers at random pass as many checks" in text and "kappa" in text
    alone = run(*words, files[2]).stdout
    assert "no answers by attentive raters, so nothing is known" in alone


def test_wrong_answers_are_refused(folders: Path, tmp_path: Path) -> None:
    key = read_key(folders / "study")
    good = {"study": key.study, "rater": "ada", "answers": [{"item": "001", "choice": "left"}]}
    words = ("prefer", "--out", folders / "study", "--read")
    for change, message in (
        ({"study": "0" * 64}, "answers the study 0000000000000000"),
        ({"answers": good["answers"] * 2}, "is answered twice"),  # type: ignore[operator]
        ({"answers": [{"item": "999", "choice": "left"}]}, "is not of this study"),
        ({"answers": [{"item": "001", "choice": "both"}]}, "expected one of"),
        ({"rater": ""}, "0 characters"),
    ):
        (tmp_path / "x.json").write_text(json.dumps({**good, **change}))  # type: ignore[dict-item]
        assert message in refused(*words, tmp_path / "x.json", status=1)
    (tmp_path / "x.json").write_text(json.dumps(good))
    (tmp_path / "y.json").write_text(json.dumps(good))
    for name in ("ada", "Ada", " ADA ", "\uff41da"):
        (tmp_path / "y.json").write_text(json.dumps({**good, "rater": name}))
        assert "second file of answers by '" in refused(*words, tmp_path / "x.json", tmp_path / "y.json", status=1)
    (tmp_path / "y.json").write_text(json.dumps({**good, "rater": " A\uff44a\u200b"}))
    assert "by 'A\uff44a', spelt 'ada' before" in refused(*words, tmp_path / "x.json", tmp_path / "y.json", status=1)
    for more in (("--first", 3), ("--seed", 1), ("--checks", 4), ("--prompts", folders / "prompts.jsonl")):
        assert f"leave out {more[0]}" in refused(*words, tmp_path / "x.json", *more, status=2)
    assert "are one folder" in refused("prefer", folders / "a", folders / "a", "--out", tmp_path / "s", status=2)
    assert "give two folders" in refused("prefer", folders / "a", "--out", tmp_path / "s", status=2)
    assert "leave out A and B" in refused("prefer", folders / "a", *words[1:], tmp_path / "x.json", status=2)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "in common" in refused("prefer", folders / "a", empty, "--out", tmp_path / "s", status=1)
    assert "exists" in refused("prefer", folders / "a", folders / "b", "--out", folders / "study", status=2)
    text = (folders / "study/key.json").read_text()
    (tmp_path / "key.json").write_text(text.replace('"left": "a"', '"left": "b"', 1))
    assert "was edited" in refused("prefer", "--out", tmp_path, "--read", tmp_path / "x.json", status=1)
    found = json.loads(text)
    del found["seal"]
    (tmp_path / "key.json").write_text(json.dumps(found))
    assert "has no seal" in run("prefer", "--out", tmp_path, "--read", tmp_path / "x.json").stderr


def test_answers_are_of_one_page(folders: Path, tmp_path: Path) -> None:
    """A page with other prompts, or the sides exchanged, is another study, whose key does not fit."""
    rows = [json.loads(line) for line in (folders / "prompts.jsonl").read_text().splitlines()]
    others = [{**row, "prompt": f"other {row['prompt']}"} for row in rows]
    (tmp_path / "others.jsonl").write_text("\n".join(map(json.dumps, others)) + "\n")
    made = {}
    for number, (a, b, prompts) in enumerate(
        (
            ("a", "b", folders / "prompts.jsonl"),
            ("b", "a", folders / "prompts.jsonl"),
            ("a", "b", tmp_path / "others.jsonl"),
        )
    ):
        answer("prefer", folders / a, folders / b, "--prompts", prompts, "--out", tmp_path / str(number))
        made[read_key(tmp_path / str(number)).study] = number
    assert len(made) == 3
    (tmp_path / "twice.jsonl").write_text("\n".join(map(json.dumps, [*rows, *others])) + "\n")
    words = "prefer", folders / "a", folders / "b", "--prompts", tmp_path / "twice.jsonl", "--out", tmp_path / "s"
    assert "another prompt than a line before" in refused(*words, status=1)
