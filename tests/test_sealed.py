"""A value that was edited in any of the program's own JSON documents is noticed by all that reads it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chronotope import checkpoint
from chronotope.cli.check import find_problems
from chronotope.cli.train import latents as training_data
from chronotope.cli.train import networks
from chronotope.data.clips import scan_folder
from chronotope.data.encode import encode_dataset
from chronotope.data.latents import LatentDataset
from chronotope.data.rendered import changes_since_rendering, find_worlds
from chronotope.errors import FileProblem, UsageError
from chronotope.evaluate.report import read_report, write_report
from chronotope.geometry import Geometry
from chronotope.models.autoencoder import Autoencoder
from chronotope.presets import find_preset
from chronotope.sealed import check_seal, has_seal, read_sealed, seal, write_sealed
from chronotope.storage import file_sha256, read_json, write_json
from chronotope.worlds.write import DatasetRequest, write_dataset
from tests.cli.models import AUTOENCODER, SMALL_DIT, run, save_clips, save_run

SAVED = Path(__file__).parent / "evaluate/saved/stage"
REQUEST = DatasetRequest("stage", "shapes", "train", 1, 1, size=(32, 32), pictures=1.0)


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = read_json(path)
    change(content)
    write_json(path, content)


@pytest.mark.parametrize("name", ["seal", "checksum"])
def test_a_seal_holds_until_a_value_changes(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.json"
    write_sealed(path, {"b": (1, 2.5), "a": {10: "x", 9: None}}, name)
    content = read_sealed(path, "mend it")
    assert content["b"] == [1, 2.5] and content["a"] == {"10": "x", "9": None} and has_seal(content)
    write_json(path, dict(reversed(content.items())))  # another order of keys says the same
    assert read_sealed(path, "mend it") == content
    edit(path, lambda content: content.update(b=[1, 2]))
    with pytest.raises(FileProblem, match=rf"x\.json is damaged or was edited.*{name}; mend it"):
        read_sealed(path, "mend it")
    with pytest.raises(FileProblem, match="not a JSON object; mend it"):
        check_seal([], path, "mend it")
    assert check_seal({"b": 3}, path, "") == {"b": 3} and not has_seal({"b": 3})
    assert seal(seal({"b": 3})) == seal({"b": 3})  # a seal is no part of what it seals


def test_a_report_that_was_edited_is_refused_and_a_strangers_is_named(tmp_path: Path) -> None:
    shutil.copy(SAVED / "report.json", tmp_path)
    theirs = read_report(tmp_path)  # without a seal
    ours = tmp_path / "ours"
    write_report(theirs, ours)
    assert read_report(ours) == theirs
    kind, findings = find_problems(ours)
    assert kind == "report" and not any("no seal" in finding.what for finding in findings)
    assert [finding.serious for finding in find_problems(tmp_path)[1] if "no seal" in finding.what] == [False]
    edit(ours / "report.json", lambda report: report["cases"][0].update(seed=77))
    with pytest.raises(FileProblem, match=r"report\.json is damaged or was edited.*chronotope evaluate"):
        read_report(ours)
    assert any(finding.serious and "was edited" in finding.what for finding in find_problems(ours)[1])


def test_a_dataset_that_was_edited_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "d", REQUEST, program="chronotope 7")
    about = tmp_path / "d" / "dataset.json"
    assert read_json(about)["program"] == "chronotope 7" and has_seal(read_json(about))
    assert find_problems(tmp_path / "d")[1] == []
    edit(about, lambda content: content.update(seed=2))
    for read in (lambda: scan_folder(tmp_path / "d"), lambda: write_dataset(tmp_path / "d", REQUEST)):
        with pytest.raises(FileProblem, match=r"dataset\.json is damaged or was edited.*in another folder"):
            read()
    assert any("was edited" in finding.what for finding in find_problems(tmp_path / "d")[1])
    edit(about, lambda content: (content.pop("seal"), content.update(seed=1)))  # as earlier versions wrote it
    assert write_dataset(tmp_path / "d", REQUEST) == 1
    assert [(finding.serious, "no seal" in finding.what) for finding in find_problems(tmp_path / "d")[1]] == [
        (False, True)
    ]


def test_the_advice_for_a_lost_dataset_json_is_what_the_command_accepts(tmp_path: Path) -> None:
    write_dataset(tmp_path / "d", REQUEST)
    (tmp_path / "d" / "dataset.json").unlink()
    (finding,) = (finding for finding in find_problems(tmp_path / "d")[1] if finding.serious)
    assert "dataset.json is missing" in str(finding) and "another folder" in finding.mend
    with pytest.raises(FileProblem, match=r"dataset\.json is missing.*another folder"):
        write_dataset(tmp_path / "d", REQUEST)


def test_latents_without_their_header_are_no_clips(tmp_path: Path) -> None:
    (tmp_path / "latents-00000.safetensors").write_bytes(b"x")
    kind, (finding,) = find_problems(tmp_path)
    assert kind == "latents" and "make them with: chronotope encode" in finding.what


def test_what_was_changed_since_the_rendering_is_not_replaced(tmp_path: Path) -> None:
    """A corrected caption may be somebody's work: the same command names it, and renders only what is missing."""
    out = tmp_path / "d"
    write_dataset(out, REQUEST)
    (caption,) = out.glob("0000/*.json")
    rendered = caption.read_bytes()
    for corrected in (rendered.replace(b"a ", b"A "), rendered + b" "):
        caption.write_bytes(corrected)
        with pytest.raises(FileProblem, match=rf"1 files of .* were changed since .*{caption.name}.*delete them"):
            write_dataset(out, replace(REQUEST, count=2))
        assert caption.read_bytes() == corrected and len(list(out.glob("0000/*.json"))) == 1
    caption.unlink()
    assert write_dataset(out, REQUEST) == 1 and caption.read_bytes() == rendered


def test_corrected_captions_are_kept_where_the_manifest_is_lost_too(tmp_path: Path) -> None:
    """Without a manifest, what a killed rendering left is known by what it holds; a correction is not replaced."""
    out = tmp_path / "d"
    write_dataset(out, REQUEST)
    (caption,) = out.glob("0000/*.json")
    rendered, whole = caption.read_bytes(), (out / "manifest.jsonl").read_bytes()
    (out / "manifest.jsonl").unlink()
    caption.write_bytes(rendered.replace(b"a ", b"A "))
    with pytest.raises(FileProblem, match=rf"{caption.name} is not as it was rendered, and no manifest lists it"):
        write_dataset(out, REQUEST)
    assert caption.read_bytes() != rendered
    caption.write_bytes(rendered)
    assert write_dataset(out, REQUEST) == 1 and (out / "manifest.jsonl").read_bytes() == whole


def test_a_dataset_that_lost_a_file_about_it_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    """Without its manifest nothing tells whether a clip was replaced, without dataset.json not of which split it is."""
    out = tmp_path / "d"
    write_dataset(out, REQUEST)
    notes: list[str] = []
    assert find_worlds(out, notes.append) == ["stage shapes"] and notes == []
    kept = (out / "manifest.jsonl").read_bytes()
    (out / "manifest.jsonl").unlink()
    (finding,) = find_problems(out)[1]
    assert finding.serious and "manifest.jsonl is missing" in finding.what
    (sentence,) = changes_since_rendering(out, [])
    assert "manifest.jsonl is missing" in sentence
    (out / "manifest.jsonl").write_bytes(kept)
    assert find_problems(out)[1] == [] and changes_since_rendering(out, []) != []  # the clip is among no rows
    (clip,) = out.rglob("*.png")
    row = {"source": {"file": clip.relative_to(out).as_posix(), "sha256": file_sha256(clip)}}
    assert changes_since_rendering(out, [row]) == []
    (out / "manifest.jsonl").write_bytes(kept + kept)
    (sentence,) = changes_since_rendering(out, [row])
    assert "is not the one that dataset.json describes" in sentence
    assert write_dataset(out, REQUEST) == 1 and (out / "manifest.jsonl").read_bytes() == kept  # as `check` advises
    assert find_problems(out)[1] == []
    (out / "dataset.json").unlink()
    assert find_worlds(out, notes.append) == []
    assert len(notes) == 1 and "dataset.json is missing" in notes[0]


def test_an_evaluation_without_its_report_is_no_dataset(tmp_path: Path) -> None:
    shutil.copy(SAVED / "ledger.jsonl", tmp_path)
    kind, findings = find_problems(tmp_path)
    assert kind == "evaluation without a report yet" and findings


# Folders that are taken for what they are


def test_only_folders_of_clips_are_encoded_and_never_into_themselves(tmp_path: Path) -> None:
    clips = save_clips(tmp_path / "clips")
    before = sorted(path.name for path in clips.rglob("*"))
    autoencoder, geometry = Autoencoder(AUTOENCODER), Geometry()
    for out in (clips, clips / "latents"):
        with pytest.raises(UsageError, match=r"lies in .*clips, the folder of the clips"):
            encode_dataset(clips, out, autoencoder, geometry)
    preset = find_preset("tiny")
    with pytest.raises(UsageError, match=r"lies in .*clips, the folder of the clips"):
        networks.run_autoencoder(preset.autoencoder, [clips], clips)
    with pytest.raises(UsageError, match=r"lies in .*clips, the folder of the clips"):
        networks.run_dit(preset.dit, networks.Shown([clips]), clips / "run", "small", None)
    assert sorted(path.name for path in clips.rglob("*")) == before
    for what, name in (("latents", "latents.json"), ("a run", "dit/log.jsonl"), ("a model", "model.json")):
        folder = save_clips(tmp_path / what)
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
        with pytest.raises(UsageError, match=f"holds {what}, not clips"):
            encode_dataset(folder, tmp_path / "out", autoencoder, geometry)


def test_a_damaged_checkpoint_is_one_finding_with_one_mend(tmp_path: Path) -> None:
    saved = tmp_path / "checkpoints/0000003"
    checkpoint.save_model(saved, Autoencoder(AUTOENCODER), {"kind": "autoencoder"})
    checkpoint.save_state(saved, {}, {"step": 3, "clips": 1, "tokens": 1, "seconds": 1.0})
    (saved / "model.safetensors").write_bytes(b"cut off")
    (finding,) = (finding for finding in find_problems(tmp_path)[1] if finding.serious)
    assert "state.json" in finding.what and f"delete {saved}" in finding.mend and "copy it again" not in str(finding)


def test_latents_of_clips_that_changed_are_named(tmp_path: Path) -> None:
    clips, latents = save_clips(tmp_path / "clips"), tmp_path / "latents"
    encode_dataset(clips, latents, Autoencoder(AUTOENCODER), Geometry())
    caption = next(path for path in clips.iterdir() if path.suffix in (".txt", ".json"))

    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr(training_data, "say", said.append)
        training_data._say_changes([latents], LatentDataset([latents]).about)
        assert said == []
        caption.write_text('"another caption"' if caption.suffix == ".json" else "another caption")
        training_data._say_changes([latents], LatentDataset([latents]).about)
        assert len(said) == 1 and "1 changed" in said[0] and "chronotope encode" in said[0]
        shutil.rmtree(clips)
        training_data._say_changes([latents], LatentDataset([latents]).about)
        assert len(said) == 2 and "nothing tells whether they were changed" in said[1] and str(clips) in said[1]
        assert [(found.what, found.serious) for found in find_problems(latents)[1] if "caption" not in found.what] == [
            (said[1].removeprefix("note: "), False)
        ]
        said.clear()
        edit(latents / "latents.json", lambda content: (content.pop("seal"), content.update(worlds=["stage x"])))  # type: ignore[func-returns-value]
        training_data._say_changes([latents], LatentDataset([latents]).about)
        assert len(said) == 2 and "latents.json has no seal" in said[0]


def test_what_has_no_seal_is_said_by_all_that_uses_it(tmp_path: Path) -> None:
    """A seal that is deleted says "I edited it": all goes on, with a note."""
    model, clips = save_run(tmp_path / "model"), tmp_path / "clips"
    write_dataset(clips, REQUEST)
    for name in (model / "dit/model.json", model / "autoencoder/model.json"):
        edit(name, lambda content: content.pop("checksum"))
    edit(model / "dit/model.json", lambda content: content["vocabulary"].reverse())
    edit(clips / "dataset.json", lambda content: content.pop("seal"))
    kind, findings = find_problems(model)
    assert kind == "run" and [(found.serious, "has no seal" in found.what) for found in findings] == [(False, True)] * 2
    generated = run("generate", "a red ball", "--model", model, "-o", tmp_path / "x.mp4")
    encoded = run("encode", clips, "--model", model, "--out", tmp_path / "latents")
    words = ("--preset", "tiny", "--data", tmp_path / "latents", "--out", model, "--set", "train.steps=1")
    trained = run("train", "dit", *words, "--set", *SMALL_DIT)
    for result, names in (
        (generated, ("autoencoder/model.json", "dit/model.json")),
        (encoded, ("autoencoder/model.json", "dit/model.json", "dataset.json")),
        (trained, ("autoencoder/model.json", "dit/model.json")),
    ):
        said = [line for line in result.stderr.splitlines() if "has no seal" in line]
        assert result.exit_code == 0 and len(said) == len(names), result.stderr
        assert all(line.startswith("note: ") and name in line for line, name in zip(said, names, strict=True))
