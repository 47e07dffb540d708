"""What videos are compared with: read once, kept, complete; the nearest clip, its film, what counts as new."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from chronotope.data.encode import encode_dataset
from chronotope.data.latents import read_folder, read_latents, shard_path
from chronotope.errors import UsageError
from chronotope.generate.pipeline import Generator, load_autoencoder
from chronotope.generate.training_clips import Comparison, frames_to_decode, latents_of_models, read_training_clips
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.metrics.near_copies import reduced
from chronotope.models.autoencoder import Autoencoder
from chronotope.prompt import read_prompts
from chronotope.request import Inputs, Request
from tests.cli.models import reseal, save_run
from tests.metrics.test_near_copies import moving

COUNT = 5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of a moving disc and a picture, in `clips` and in `latents`."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "clips").mkdir()
    for seed in range(COUNT):
        video.write(folder / "clips" / f"{seed}.mp4", moving(seed, 20, 8.0), 8.0)
    video.write_image(folder / "clips" / "still.png", moving(COUNT, 1, 8.0)[0])
    encode_dataset(folder / "clips", folder / "latents", load_autoencoder(model), Geometry())
    return folder


@pytest.fixture
def latents(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "latents", tmp_path / "latents")
    (tmp_path / "latents" / "moments.safetensors").unlink(missing_ok=True)
    return tmp_path / "latents"


def rows_of(frames: np.ndarray) -> np.ndarray:
    return np.stack([reduced(frame) for frame in frames])


def every(count: int) -> np.ndarray:
    return np.ones(count, bool)


def test_a_decoded_clip_is_nearest_to_itself(latents: Path, model: Path) -> None:
    autoencoder = load_autoencoder(model)
    comparison = Comparison((read_training_clips(latents, autoencoder),))
    for row in read_folder(latents)[1]:
        grids = read_latents(latents, row["shard"], row["key"], row["sha256"]).float()
        frames = autoencoder.decode(grids, Geometry().slices(sum(row["slices"]))).numpy()
        found = comparison.nearest(rows_of(frames[:, : row["height"], : row["width"]]), 8.0, every(len(frames)))
        assert found is not None and (found.clip, found.distance, found.is_copy) == (row["key"], 0.0, True)
        assert (found.compared, found.not_compared) == (COUNT + 1, 0)
        assert found.source == row["source"]["file"]


def test_clips_are_decoded_once(latents: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    autoencoder, first = load_autoencoder(model), 20 * COUNT + 1
    assert frames_to_decode(latents) == first
    before = read_training_clips(latents, autoencoder)
    assert frames_to_decode(latents) == 0
    kept = (latents / "moments.safetensors").read_bytes()
    with monkeypatch.context() as patch:
        patch.delattr(Autoencoder, "stream_decode")
        again = read_training_clips(latents, autoencoder)
    assert again.keys == before.keys and (again.moments.rows == before.moments.rows).all()
    (latents / "moments.safetensors").write_bytes(kept[: len(kept) // 2])
    assert frames_to_decode(latents) == first  # cut off, so it is made again
    assert (read_training_clips(latents, autoencoder).moments.rows == before.moments.rows).all()
    assert (latents / "moments.safetensors").read_bytes() == kept
    rows = load(kept)
    for edited in ({name: 255 - each for name, each in rows.items()}, {**rows, "seal": rows["seal"][::-1].copy()}):
        (latents / "moments.safetensors").write_bytes(save(edited))
        assert frames_to_decode(latents) == first  # edited, so it is made again
    rows.pop("seal")
    (latents / "moments.safetensors").write_bytes(save(rows))
    assert frames_to_decode(latents) == first


def test_a_clip_that_cannot_be_compared_is_counted(latents: Path, model: Path) -> None:
    path = shard_path(latents, read_folder(latents)[1][0]["shard"])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    clips = read_training_clips(latents, load_autoencoder(model))
    assert len(clips.left_out) == 1 and "damaged" in clips.left_out[0].reason
    found = Comparison((clips,), missing=7).nearest(rows_of(moving(1, 20, 8.0)), 8.0, every(20))
    assert found is not None and (found.compared, found.not_compared) == (COUNT, 8)


def test_latents_of_another_autoencoder_are_refused(latents: Path, tmp_path: Path) -> None:
    other = load_autoencoder(save_run(tmp_path / "other", seed=1))
    with pytest.raises(UsageError, match="holds latents of the autoencoder"):
        read_training_clips(latents, other)


def test_clips_are_read_as_they_are_and_copies_told_from_others(made: Path, model: Path, tmp_path: Path) -> None:
    comparison = Comparison((read_training_clips(made / "clips", load_autoencoder(model)),))
    for seed in range(COUNT):
        video.write(tmp_path / "copy.mp4", moving(seed, 20, 8.0)[4:, 1:-1, 2:-2], 8.0, crf=30)
        rows = rows_of(video.read(tmp_path / "copy.mp4").frames)
        found = comparison.nearest(rows, 8.0, every(len(rows)))
        assert found is not None and found.is_copy and found.source == f"{seed}.mp4"
        assert found.source_seconds - found.seconds == pytest.approx(0.5, abs=0.13)
    for seed in range(100, 110):
        found = comparison.nearest(rows_of(moving(seed, 20, 8.0)), 8.0, every(20))
        assert found is not None and not found.is_copy and found.distance > found.threshold
    picture = comparison.nearest(rows_of(moving(COUNT, 1, 8.0)), 8.0, every(1))
    assert picture is not None and picture.is_copy and picture.source == "still.png"


def test_given_frames_are_not_compared(made: Path, model: Path) -> None:
    clip = moving(0, 20, 8.0)[:, :32, :48]
    generator = Generator.load(model)
    plan = generator.plan(Request(read_prompts("a red ball"), inputs=Inputs("extend", video=clip), num_frames=8))
    new = plan.layout.new_frames
    assert len(new) == plan.num_frames == 28 and not new[:20].any() and new[20:].all()
    assert generator.plan(Request(read_prompts("a red ball"), num_frames=8)).layout.new_frames.tolist() == [True] * 8
    comparison = Comparison((read_training_clips(made / "clips", generator.autoencoder),))
    rows = np.concatenate([rows_of(moving(0, 20, 8.0)), rows_of(moving(300, 8, 8.0))])
    found = comparison.nearest(rows, 8.0, new)
    assert found is not None and not found.is_copy and found.seconds >= 2.5
    assert comparison.nearest(rows, 8.0, np.zeros(28, bool)) is None


def test_the_latents_that_trained_a_model_are_known_by_their_hash(made: Path, model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(model, run)
    header = read_folder(made / "latents")[0]
    mine = {"clips": header["clips"], "manifest": header["manifest"]}
    reseal(run / "dit", data=[mine, {"clips": 30, "manifest": "f" * 64}])
    assert latents_of_models([run / "dit"]) == ([], COUNT + 31)
    assert latents_of_models([run / "dit"], [made / "latents"]) == ([made / "latents"], 30)
    shutil.copytree(made / "latents", run / "latents" / "clips")
    assert latents_of_models([run / "dit"]) == ([run / "latents" / "clips"], 30)
    assert latents_of_models([model / "dit"]) == ([], 0)
