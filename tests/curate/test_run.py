"""A whole curation: every file is accounted for, and the result does not depend on how it was reached."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope.cli.datasets.sources import raw_files
from chronotope.curate.decide import Filters, keys_of
from chronotope.curate.removal import remove_source
from chronotope.curate.rights import own_footage, read_policy
from chronotope.data.captions import read_captions
from chronotope.data.clips import scan_folder
from chronotope.data.rendered import changes_since_curation, find_splits, find_worlds
from chronotope.errors import FileProblem, UsageError
from chronotope.jsonl import write_jsonl
from chronotope.manifest import merkle_root, read_curation, read_manifest, seal
from chronotope.media import video
from tests.curate.films import captions, film, run, scene, small


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films with cuts, a clip with a caption, a copy of it at half the size, a still one, a picture, a wreck."""
    folder = tmp_path_factory.mktemp("footage")
    rng = np.random.default_rng(0)
    for number in range(2):
        video.write(folder / f"film{number}.mp4", np.stack(film(number, 3)[0]), 12)
    clip = np.stack(scene(rng, 30))
    (folder / "phone").mkdir()
    video.write(folder / "phone" / "dog.mp4", clip, 12)
    (folder / "phone" / "dog.txt").write_text("a dog crosses the yard")
    video.write(folder / "small.mp4", np.stack([video.resize(frame, 50, 88) for frame in clip]), 12)
    video.write(folder / "still.mp4", np.stack([clip[0]] * 20), 12)
    video.write(folder / "black.mp4", np.zeros((20, 64, 96, 3), np.uint8), 12)
    video.write_image(folder / "photo.png", clip[5])
    (folder / "wreck.mp4").write_bytes((folder / "film0.mp4").read_bytes()[:600])
    (folder / "notes.docx").write_bytes(b"?")
    return folder


def test_every_file_is_accounted_for(footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = run(footage, out)
    header, rows = read_curation(out)
    assert {row["file"] for row in rows} == {clip.file for clip in scan_folder(footage).clips}
    reasons = {row["key"]: row["reason"] for row in rows}
    assert reasons["small"] == "duplicate" and reasons["still"] in ("repeated", "still")
    assert reasons["black"] == "dark" and reasons["wreck.mp4"] == "unreadable"
    kept = [row for row in rows if row["state"] == "kept"]
    assert found.kept == header["clips"] == len(kept) == 8 and found.files == 8
    assert header["merkle_root"] == merkle_root([row["seal"] for row in kept])
    assert {row["clip"] for row in kept} == {
        path.relative_to(out).as_posix()
        for split in ("train", "heldout")
        for path in (out / split).rglob("*.*")
        if path.suffix != ".json"
    }
    assert all(row["rights"]["holder"] == "My Lab" for row in rows)
    splits = {}
    for row in rows:
        if "split" in row:
            splits.setdefault("phone/dog.mp4" if row["file"] == "small.mp4" else row["file"], set()).add(row["split"])
    assert all(len(split) == 1 for split in splits.values()) and found.heldout > 0
    (dog,) = [row for row in kept if row["file"] == "phone/dog.mp4"]
    assert os.path.samefile(out / dog["clip"], footage / "phone" / "dog.mp4")  # linked, not written anew
    assert read_captions(out / dog["clip"]) == {"sentence": ("a dog crosses the yard",)}


def test_a_shot_has_the_frames_between_its_cuts(footage: Path, tmp_path: Path) -> None:
    run(footage, tmp_path / "out")
    _, rows = read_curation(tmp_path / "out")
    for number in range(2):
        whole = video.read(footage / f"film{number}.mp4").frames
        _, starts = film(number, 3)
        shots = [row for row in rows if row["file"] == f"film{number}.mp4"]
        assert [round(12 * row["start"]) for row in shots] == starts
        for row, first in zip(shots, starts, strict=True):
            clip = video.read(tmp_path / "out" / row["clip"])
            assert clip.num_frames == row["frames"] and clip.fps == 12
            expected = whole[first : first + row["frames"]].astype(int)
            assert np.abs(clip.frames - expected).mean() < 3


def content(out: Path) -> str:
    """Return a hash of all that a curation wrote, but for where the sources lie and when."""
    found = hashlib.sha256()
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.name not in ("sources.jsonl", "clips.jsonl") and not path.name.startswith("."):
            found.update(str(path.relative_to(out)).encode() + path.read_bytes())
    return found.hexdigest()


SCRIPT = """
import sys
from pathlib import Path
from chronotope.cli.datasets.sources import raw_files
from chronotope.curate.decide import Filters, keys_of
from chronotope.curate.rights import own_footage
from chronotope.curate.run import curate
from chronotope.data.captions import read_captions
folder, out = map(Path, sys.argv[1:])
curate(raw_files([folder], out), out, Filters(), own_footage("My Lab"), read_captions, "test")
"""


@pytest.mark.parametrize("attempts", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_result_is_the_same(footage: Path, tmp_path: Path, attempts: int) -> None:
    run(footage, tmp_path / "whole")
    generator = random.Random(0)
    for attempt in range(attempts):
        out = tmp_path / str(attempt)
        for _ in range(2):
            process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(footage), str(out)], stderr=subprocess.DEVNULL
            )
            time.sleep(generator.uniform(0.5, 3.0))
            process.send_signal(signal.SIGKILL)
            process.wait()
        run(footage, out)
        assert content(out) == content(tmp_path / "whole")
        assert not [path for path in out.rglob("*") if ".part" in path.name]


def test_an_older_record_is_read_unless_there_are_borders(tmp_path: Path) -> None:
    """Earlier versions hashed black borders with the picture, and knew no `text`."""
    folder, out = small(tmp_path / "f", 3), tmp_path / "out"
    frames = np.stack(scene(np.random.default_rng(8), 20))
    video.write(folder / "wide.mp4", np.pad(frames, ((0, 0), (20, 20), (0, 0), (0, 0))), 12)
    run(folder, out)
    before, listing = content(out), out / "sources.jsonl"
    older = []
    for row in read_manifest(listing):
        del row["seal"], row["text"]
        older.append(seal(row))
    write_jsonl(listing, older)
    assert run(folder, out).looked_at == 1 and content(out) == before
    assert run(folder, out).looked_at == 0


def test_again_looks_at_what_changed_alone(footage: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "f", tmp_path / "out"
    folder.mkdir()
    for name in ("film0.mp4", "film1.mp4"):
        (folder / name).write_bytes((footage / name).read_bytes())
    assert run(folder, out).looked_at == 2
    before = content(out)
    assert run(folder, out).looked_at == 0 and content(out) == before
    (folder / "new.mp4").write_bytes((footage / "phone" / "dog.mp4").read_bytes())
    found = run(folder, out)
    assert (found.looked_at, found.files, found.kept) == (1, 3, 7)
    (folder / "new.mp4").unlink()
    assert run(folder, out).gone == 1 and content(out) == before


def test_what_the_user_changed_stays(footage: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "f", tmp_path / "out"
    folder.mkdir()
    for name in ("film0.mp4", "film1.mp4"):
        (folder / name).write_bytes((footage / name).read_bytes())
    run(folder, out)
    clip = next(iter(sorted((out / "train").glob("*.mp4"))))
    clip.with_suffix(".json").write_text('{"caption": "mine"}')
    run(folder, out)
    assert read_captions(clip)["sentence"] == ("mine",)
    stranger = out / "train" / "film2.mp4"
    stranger.write_bytes(b"x")
    (folder / "film2.mp4").write_bytes((footage / "phone" / "dog.mp4").read_bytes())
    with pytest.raises(FileProblem, match=r"film2.mp4 is there and was not written by"):
        run(folder, out, Filters(heldout=0))


def test_rights_are_asked_before_anything_is_decoded(footage: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none of the 8 files may be used: .* its licence is unknown. Say --holder"):
        run(footage, tmp_path / "out", policy=own_footage(""))
    (tmp_path / "rights.toml").write_text('[[files]]\nmatch = "film0.mp4"\nlicence = "CC0-1.0"\n')
    found = run(footage, tmp_path / "out", policy=read_policy(tmp_path / "rights.toml"))
    assert len(found.unusable) == 7 and found.kept == 3
    _, rows = read_curation(tmp_path / "out")
    assert {row["state"] for row in rows if row["file"] != "film0.mp4"} == {"refused"}


def test_the_training_split_alone_is_a_dataset(footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(footage, out)
    folder = scan_folder(out)
    assert folder.clips and all(clip.file.startswith("train/") for clip in folder.clips)
    assert sum(map(len, folder.left_out.values())) == len(list((out / "heldout").rglob("*.*")))


def test_held_out_clips_are_not_trained_on_by_way_of_another_folder(footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "all" / "mine"
    run(footage, out)
    above = scan_folder(tmp_path / "all")
    assert above.clips and all(clip.file.startswith("mine/train/") for clip in above.clips)
    assert "mine/heldout/" in next(iter(above.left_out["held out for tests"]))
    said: list[str] = []
    find_worlds(out / "heldout", said.append)
    assert said == [f"{out / 'heldout'} is of split heldout, whose clips are meant for evaluation, not for training"]
    assert (find_splits(out / "heldout"), find_splits(out)) == (["heldout"], [])
    (out / "train" / "strange.mp4").write_bytes(b"?")
    assert "1 from elsewhere (such as train/strange.mp4)" in changes_since_curation(tmp_path / "all")[0]


def test_a_changed_manifest_is_noticed(footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(footage, out)
    listing = out / "curation.jsonl"
    listing.write_text(listing.read_text().replace("My Lab", "My Club", 1))
    with pytest.raises(FileProblem, match=r"line 1, was changed or damaged"):
        read_curation(out)
    listing.write_text("".join(listing.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(FileProblem, match=r"is not the one that curation\.json describes"):
        read_curation(out)


def test_captions_follow_their_source_until_somebody_edits_them(tmp_path: Path) -> None:
    folder, out = small(tmp_path / "f", 4), tmp_path / "out"
    notes: list[str] = []
    run(folder, out)
    assert captions(out) == {f"c0{number}": f"words {number}" for number in range(4)}
    (folder / "c01.txt").write_text("corrected")
    (folder / "c02.txt").unlink()
    shutil.copy(small(tmp_path / "g", 1, 7) / "c07.mp4", folder / "c03.mp4")
    (folder / "c03.txt").write_text("another clip")
    run(folder, out)
    assert captions(out) == {"c00": "words 0", "c01": "corrected", "c03": "another clip"}
    (edited,) = out.rglob("c00.json")
    edited.write_text('{"caption": "mine"}')
    run(folder, out, Filters(max_seconds=0.6))  # other clips, and back
    run(folder, out, note=notes.append)
    assert captions(out)["c00"] == "mine"
    (folder / "c00.mp4").unlink()
    run(folder, out, note=notes.append)
    assert edited.exists() and "1 caption files that were written by hand stay" in " ".join(notes)


def test_an_edited_caption_does_not_stand_beside_another_shot(footage: Path, tmp_path: Path) -> None:
    """The second shot is another one where films are cut at other places, and where the film is another one."""
    out, said = tmp_path / "out", list[str]()
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(footage / "film0.mp4", films / "a.mp4")
    run(films, out, Filters(heldout=0))
    second = sorted((out / "train").glob("*.mp4"))[1]
    second.with_suffix(".json").write_text('{"captions": {"sentence": ["a fox"]}}')
    run(films, out, Filters(heldout=0), note=said.append)
    assert read_captions(second) == {"sentence": ("a fox",)} and not said
    run(films, out, Filters(heldout=0, max_seconds=1), note=said.append)
    kept = second.with_suffix(".json.old")
    assert not read_captions(second) and "a fox" in kept.read_text()
    assert f"kept as {kept.name}; write them again where they still hold" in said[0]


def test_a_film_gives_its_caption_to_every_shot(footage: Path, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    shutil.copy(footage / "film0.mp4", folder / "film0.mp4")
    (folder / "film0.json").write_text(json.dumps({"captions": {"sentence": ["a film"], "story": ["0: a\n1: b"]}}))
    notes: list[str] = []
    run(folder, tmp_path / "out", note=notes.append)
    clips = sorted((tmp_path / "out").rglob("*.mp4"))
    assert len(clips) == 3 and all(read_captions(clip)["sentence"] == ("a film",) for clip in clips)
    assert any("the captions of 1 file that was cut are given to each" in sentence for sentence in notes)


def test_sources_within_the_output_are_refused(tmp_path: Path) -> None:
    folder, out = small(tmp_path / "f", 3), tmp_path / "out"
    run(folder, out, copy=True)
    before = content(out)
    with pytest.raises(UsageError, match="the folder to fill; name the folder of the original files"):
        raw_files([out / "train"], out)
    assert content(out) == before


def test_what_was_shown_is_never_held_out_later(tmp_path: Path) -> None:
    folder, out = small(tmp_path / "f", 5), tmp_path / "out"
    run(folder, out)
    train = {path.name for path in (out / "train").glob("*.mp4")}
    for path in (out / "heldout").glob("*.mp4"):
        (folder / path.name).unlink()
    small(folder, 4, start=5)
    run(folder, out)
    assert not train & {path.name for path in (out / "heldout").glob("*.mp4")}
    many = tmp_path / "many"
    found = run(folder, many, Filters(heldout=0.9))
    assert found.heldout == found.kept - len(list((many / "train").glob("*.mp4"))) < found.kept


def test_an_interrupted_curation_is_no_dataset(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(small(tmp_path / "f", 3), out)
    (out / "curation.json").unlink()
    with pytest.raises(UsageError, match="whose curation was interrupted; run the same `chronotope curate`"):
        scan_folder(out)
    with pytest.raises(UsageError, match="whose curation was interrupted"):
        scan_folder(tmp_path)  # a folder around it


def test_a_story_is_cut_with_its_film(tmp_path: Path) -> None:
    """The beats of each shot, with times of the shot."""
    folder, out = tmp_path / "f", tmp_path / "out"
    folder.mkdir()
    frames, starts = film(0, 2)
    video.write(folder / "film.mp4", np.stack(frames), 12)
    first = starts[1] / 12
    story = f"0: one\n{first / 2:g}: two\n{first:g}: three"
    (folder / "film.json").write_text(json.dumps({"captions": {"story": [story], "tags": ["film"]}}))
    run(folder, out)
    rows = [row for row in read_curation(out)[1] if row["state"] == "kept"]
    assert [row["captions"] for row in rows] == [
        {"story": [f"0: one\n{first / 2:g}: two"], "tags": ["film"]},
        {"story": ["0: three"], "tags": ["film"]},
    ]


def test_held_frames_are_motion_and_no_cuts(tmp_path: Path) -> None:
    """A film of 12 frames a second in a file of 48."""
    folder = tmp_path / "f"
    folder.mkdir()
    frames = np.stack(scene(np.random.default_rng(3), 24))
    video.write(folder / "smooth.mp4", frames, 12)
    video.write(folder / "held.mkv", frames.repeat(4, axis=0), 48)
    run(folder, tmp_path / "out", Filters(keep=("duplicate",)))
    _, rows = read_curation(tmp_path / "out")
    assert [row["state"] for row in rows] == ["kept", "kept"]
    held, smooth = (row["scores"]["motion"] for row in rows)
    assert held == pytest.approx(smooth, rel=0.3)


def test_links_and_wrecks_stop_nothing(tmp_path: Path) -> None:
    store, folder = small(tmp_path / "store", 3), tmp_path / "f"
    folder.mkdir()
    for path in store.glob("*.mp4"):
        (folder / path.name).symlink_to(Path("..") / "store" / path.name)  # as the cache of a model hub has them
    (folder / "gone.mp4").symlink_to("nowhere.mp4")
    os.mkfifo(folder / "pipe.mp4")
    found = run(folder, tmp_path / "out")
    assert found.kept == 3 and sorted(name for name, _ in found.unusable) == ["gone.mp4", "pipe.mp4"]
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_clips_that_are_not_those_of_the_manifest_are_said(tmp_path: Path) -> None:
    """One edited through the link that it shares with its source, one put there, one removed."""
    out = tmp_path / "out"
    run(small(tmp_path / "f", 4), out, Filters(heldout=0))
    assert changes_since_curation(out) == changes_since_curation(tmp_path / "f") == []
    clips = sorted((out / "train").glob("*.mp4"))
    data = clips[1].read_bytes()
    with (tmp_path / "f" / clips[0].name).open("r+b") as file:  # in place
        file.truncate()
        file.write(data)
    clips[2].unlink()
    (out / "train" / "mine.mp4").write_bytes(data)
    (said,) = changes_since_curation(out)
    assert "1 changed (such as train/c00.mp4), 1 missing (such as train/c02.mp4), 1 from elsewhere" in said
    (out / "train" / "mine.mp4").unlink()
    run(tmp_path / "f", out, Filters(heldout=0))
    assert changes_since_curation(out) == []
    listing = out / "curation.jsonl"
    listing.write_text(listing.read_text().replace("My Lab", "My Club", 1))
    assert "was changed or damaged" in changes_since_curation(out)[0]


@pytest.mark.parametrize("copy", [False, True])
def test_a_file_that_is_replaced_before_its_clips_are_written_is_left_out(
    footage: Path, tmp_path: Path, copy: bool
) -> None:
    """Else the manifest would list the hash, scores and rights of a content that no clip has."""
    folder, out = tmp_path / "f", tmp_path / "out"
    shutil.copytree(footage, folder)
    replaced = {"film0.mp4": "film1.mp4", "phone/dog.mp4": "still.mp4"}  # one is cut, the other is placed whole

    def swap(number: int, total: int) -> None:
        if number == total == 8 and not out.joinpath("train").exists():  # all are looked at, none is written
            for name, other in replaced.items():
                (folder / name).unlink()
                shutil.copyfile(footage / other, folder / name)

    found = run(folder, out, copy=copy, progress=swap)
    again = "it was changed while it was read; run the same command again"
    assert {name.removeprefix("f/") for name, why in found.unusable if why == again} == set(replaced)
    rows = read_curation(out)[1]
    assert {row["state"] for row in rows if row["file"].removeprefix("f/") in replaced} == {"unreadable"}
    assert not list(out.rglob("dog.*")) and not list(out.rglob("film0*"))
    assert changes_since_curation(out) == []
    run(folder, out, copy=copy)
    run(folder, tmp_path / "fresh", copy=copy)
    assert read_curation(out)[1] == read_curation(tmp_path / "fresh")[1]


def test_an_interrupted_update_keeps_the_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else clips that a model was trained on could be held out after a crash."""
    folder, out = small(tmp_path / "f", 5), tmp_path / "out"
    run(folder, out)
    train = {path.name for path in (out / "train").glob("*.mp4")}
    for path in (out / "heldout").glob("*.mp4"):
        (folder / path.name).unlink()

    def crash(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("chronotope.curate.run.write_clips", crash)
        run(folder, out)
    with pytest.raises(UsageError, match="was interrupted"):
        scan_folder(out)
    run(folder, out)
    assert train == {path.name for path in (out / "train").glob("*.mp4")}
    assert not (out / "curation.before.json").exists()


def test_options_that_leave_nothing_change_nothing(tmp_path: Path) -> None:
    folder, out = small(tmp_path / "f", 3), tmp_path / "out"
    run(folder, out)
    before = content(out)
    with pytest.raises(FileProblem, match=r"no clip would be left of 3 files .* stays as it was"):
        run(folder, out, Filters(min_seconds=30))
    assert content(out) == before


def test_a_manifest_names_no_path_of_the_machine_and_nobody_who_was_removed(tmp_path: Path) -> None:
    """Manifests are handed on with shards and tables."""
    folder, out = small(tmp_path / "of jane", 3), tmp_path / "out"
    (folder / "wreck.mp4").write_bytes(b"?")
    (folder / "no").mkdir()
    shutil.copy(next(folder.glob("*.mp4")), folder / "no" / "asked.mp4")
    (folder / "no" / "robots.txt").write_text("User-agent: *\nDisallow: /\n")
    first = sorted(path.name for path in folder.glob("*.mp4") if path.name != "wreck.mp4")[0]
    (folder / first).with_suffix(".txt").write_text("Jane Roe of Basel")
    run(folder, out, Filters(heldout=0, keep=("duplicate",)), policy=own_footage("Jane Roe"))
    text = (out / "curation.jsonl").read_text()
    assert str(tmp_path) not in text and "no/robots.txt disallows it" in text and "Jane Roe of Basel" in text
    remove_source(out, first)
    gone = [row for row in read_curation(out)[1] if row["file"] == first]
    assert gone and "Jane" not in json.dumps(gone)


def test_no_two_clips_share_a_name() -> None:
    files = {"a.mp4": 3, "a_0001.mp4": 1, "a_.mkv": 2, "b.mp4": 1, "b.png": 1, "b_mp4.mov": 1, "b_png_.mov": 1}
    keys = keys_of(list(files), files)
    names = [name for file in files for name in keys[file]]
    assert {file: len(named) for file, named in keys.items()} == files and len(set(names)) == len(names) == 10
    assert keys["a_0001.mp4"] == ["a_0001"] and keys == keys_of(list(files), files)
    assert keys_of(["a.mp4"], {"a.mp4": 2}) == {"a.mp4": ["a_0001", "a_0002"]}


def test_damage_of_a_film_that_is_cut_is_said(footage: Path, tmp_path: Path) -> None:
    folder, said = tmp_path / "f", list[str]()
    folder.mkdir()
    whole = (footage / "film0.mp4").read_bytes()
    start = whole.index(b"mdat") + 4 + len(whole) // 5
    for seed in range(20):  # until a decoder conceals what is wrong, and does not stop
        data = bytearray(whole)
        for place in np.random.default_rng(seed).integers(start, len(data) // 2, 10):
            data[place] ^= 0xFF
        (folder / "film.mp4").write_bytes(bytes(data))
        with contextlib.suppress(FileProblem):
            if video.read(folder / "film.mp4").damage:
                break
    assert video.read(folder / "film.mp4").damage
    assert run(folder, tmp_path / "out", note=said.append).kept > 1
    assert any(sentence.startswith("film.mp4: its h264 video seems damaged") for sentence in said)
    run(folder, tmp_path / "out", note=(again := []).append)  # type: ignore[var-annotated]
    assert any("seems damaged" in sentence for sentence in again)
