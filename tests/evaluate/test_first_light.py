"""The benchmark in miniature: every section that needs a model runs on a tiny untrained one, and the table tells what
was found.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import autoencoder, first_light, memory, packing, sampling, speed, words
from benchmarks.harness import Options, run
from chronotope.media import video
from chronotope.models.dit import DiTConfig


def test_sections_write_into_one_file_and_leave_each_other_alone(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for section in (words, sampling):
        monkeypatch.setattr(section, "THREADS", 1)
    common = ["--model", model, "--out", str(out), "--rounds", "1"]
    run(
        first_light.PAGE,
        [*common, "--only", "words", "--specs", "2", "--combination", "1", "--keep", str(tmp_path / "kept")],
    )
    before = json.loads((out / "first_light.json").read_text())["words"]
    run(first_light.PAGE, [*common, "--only", "sampling"])
    data = json.loads((out / "first_light.json").read_text())
    assert data["words"] == before
    assert list(data) == ["words", "sampling"]

    heldout = data["words"]["results"]["heldout"]
    assert heldout["rendered"]["rates"]["who"]["right"] == heldout["rendered"]["rates"]["who"]["of"]
    assert heldout["model"]["rates"]["whole clip"] == {
        "right": 0,
        "of": 2,
        "interval": [0.0, pytest.approx(0.6576, abs=1e-3)],
    }
    assert [failure["seed"] for failure in heldout["model"]["failures"]] == [0, 1]
    assert len(list((tmp_path / "kept").glob("*.*"))) >= 3
    assert data["sampling"]["results"][0]["calls"] > 0
    assert 0 < data["sampling"]["results"][0]["outside_share"] < 1

    page = (out / "first_light.md").read_text()
    assert "held out, generated: who | 0.0%" in page
    assert "share outside the networks" in page
    assert page in capsys.readouterr().out


def test_the_autoencoder_is_judged_on_stage_and_camera(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("street", "bbb"):
        video.write(
            clips / f"{name}.mp4", np.random.default_rng(0).integers(0, 256, (30, 26, 34, 3), dtype=np.uint8), 10
        )
    monkeypatch.setattr(autoencoder, "CLIPS", clips)
    options = Options(model, "small", specs=0, combination=0, clips=2, rounds=1, keep=None)
    found = autoencoder.measure(options)["results"]
    assert {name: len(scores) for name, scores in found.items()} == {
        "stage, small": 1,
        "stage, deeds": 1,
        "stage, full": 1,
        "camera": 1,
    }
    assert (found["camera"][0]["name"], found["camera"][0]["size"], found["camera"][0]["frames"]) == (
        "street.mp4",
        "34x26",
        20,
    )
    assert any("street.mp4" in row.claim for row in autoencoder.rows({"results": found}))


def test_memory_is_measured_from_where_decoding_starts(model: str) -> None:
    found = memory.decode(model, 1)
    assert found["frames"] == 24
    assert 0 < found["base"] <= found["peak"] < found["base"] + 500


def test_speed_is_compared_with_the_faster_of_the_others() -> None:
    names = ("Chronotope", "AutoencoderKLLTXVideo", "AutoencoderKLWan")
    speeds = {
        f"{what}, {name}": {"megapixels_per_second": v}
        for what in ("encode", "decode")
        for name, v in zip(names, (6.0, 2.0, 0.1), strict=True)
    }
    assert [row.measured for row in speed.rows({"results": speeds})][-2:] == ["3.0 x", "3.0 x"]


def test_an_unknown_section_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(first_light.PAGE, ["--only", "word"])
    assert "unknown section word" in capsys.readouterr().err


def test_packed_padded_and_separate_are_one_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is timed is the same thing three times."""
    monkeypatch.setattr(packing, "CONFIG", DiTConfig(width=64, depth=2))
    network = packing.make_model()
    samples = [packing.make_sample(i, *size) for i, size in enumerate(packing.MIX[:5])]
    with torch.no_grad():
        alone = [packing.run_packed(network, [sample])[0] for sample in samples]
        for run in (packing.run_packed, packing.run_padded):
            for one, other in zip(alone, run(network, samples), strict=True):
                assert torch.allclose(one, other, atol=1e-4)
    assert float(alone[0].abs().max()) > 0.1  # and not because all is zero
