"""Clips with actions: they are encoded, learned under both masks, and the trained model is stepped."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from chronotope.actions import Actions, ActionSchema
from chronotope.caption.subwords import Tokenizer
from chronotope.checkpoint import read_description
from chronotope.config import override, to_dict
from chronotope.data.audit import audit_freshness
from chronotope.data.encode import Encoded, encode_dataset
from chronotope.data.latents import LatentDataset, read_header, read_index
from chronotope.data.limits import Limits
from chronotope.errors import UsageError
from chronotope.generate.pipeline import load_autoencoder
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.models.packing import action_values, action_width
from chronotope.presets import PRESETS
from chronotope.simulate.model import WorldModel
from chronotope.train.autoencoder import train_autoencoder
from chronotope.train.dit import describe, prepare_run, train_dit
from chronotope.train.fit import check_actions_of_folders
from chronotope.train.samples import make_samples

WALK = ActionSchema("discrete", ("action",), (("noop", "left", "right"),), neutral=(0.0,))
AUTOENCODER = override(
    PRESETS["world"].autoencoder,
    [
        "model.widths=[8,8]", "model.channels=4", "model.encoder_blocks=[0,0]", "model.decoder_blocks=[0,0]",
        "pool.shapes=[[2,32,32]]", "pool.batch_pixels=8000", "train.steps=2", "train.warmup=1",
        "train.freeze_encoder_from=1",
    ],
)  # fmt: skip
WORLD = override(
    PRESETS["world"].dit,
    [
        "model.width=32", "model.depth=1", "model.head_dim=16", "model.channels=4", "model.text_depth=1",
        "model.memory=2", "train.steps=2", "train.warmup=1", "train.batch_tokens=60", "train.max_sample_tokens=24",
        "defaults.height=32", "defaults.width=32", "defaults.num_frames=6", "defaults.num_steps=1",
    ],
)  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A square that walks as the actions say, in clips of 8 frames; the last one has no file of actions."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    (folder / "dataset.json").write_text(json.dumps({"environment": "walk", "actions": to_dict(WALK)}))
    for number in range(4):
        values, known = rng.integers(0, 3, (8, 1)), np.arange(8) > 0
        places = 12 + np.cumsum(np.where(known, np.array([0, -2, 2])[values[:, 0]], 0))
        frames = np.full((8, 32, 32, 3), 90, np.uint8)
        for t, x in enumerate(places):
            frames[t, 12:20, max(0, x) : x + 8] = 230
        video.write(folder / f"{number}.mp4", frames, 8.0)
        if number < 3:
            np.savez(folder / f"{number}.actions.npz", **Actions(values, known, np.zeros(8, np.float32)).arrays())
    return folder


@pytest.fixture(scope="module")
def run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train_autoencoder(AUTOENCODER, [clips], folder / "autoencoder", quiet=True)
    encode_dataset(clips, folder / "latents", load_autoencoder(folder), Geometry((1, 8, 8)))
    train_dit(WORLD, [folder / "latents"], folder / "dit", quiet=True)
    return folder


def test_what_stands_for_actions() -> None:
    known = np.array([False, True, True])
    found = action_values(WALK, 1, [1, 1, 1], np.array([[2], [0], [1]]), known)
    assert found.tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]]
    stick = ActionSchema("continuous", ("x", "y"), low=(-1.0, 0.0), high=(1.0, 4.0))
    found = action_values(stick, 2, [1, 2], np.array([[0.5, 4], [0, 0], [-1, 3]]), np.ones(3, bool))
    assert found.tolist() == [[0, 0, 0, 1, 0.5, 1], [1, 0, -1, 1, -1, 0.5]]  # a still slice lacks its first frame
    two = ActionSchema("multi-discrete", ("walk", "look"), (("no", "yes"), ("a", "b", "c")))
    assert action_values(two, 1, [1], np.array([[1, 2]]), np.ones(1, bool)).tolist() == [[1, 0, 1, 0, 0, 1]]
    assert [action_width(schema, 2) for schema in (WALK, stick, two)] == [8, 6, 12]


def test_actions_are_stored_with_the_latents(clips: Path, run: Path) -> None:
    dataset = LatentDataset([run / "latents"])
    assert dataset.action_schema == WALK
    stored = [clip.actions for clip in dataset.clips]
    assert stored[3] is None
    with np.load(clips / "1.actions.npz") as found:
        assert stored[1] is not None and stored[1].values == found["values"].tolist()
        assert stored[1].known == found["known"].tolist()


def changed(path: Path) -> None:
    """Add 1 to every action of a file, in circles."""
    with np.load(path) as found:
        arrays = dict(found)
    np.savez(path, **{**arrays, "values": (arrays["values"] + 1) % 3})


@pytest.mark.parametrize("max_seconds", [None, 0.5])
def test_latents_follow_the_actions_beside_the_clips(
    clips: Path, run: Path, tmp_path: Path, max_seconds: float | None
) -> None:
    """Changed, removed and new actions reach latents that are kept, in whole clips and in parts."""
    data, notes = shutil.copytree(clips, tmp_path / "clips"), list[str]()

    def encode() -> Encoded:
        notes.clear()
        limits = Limits(max_seconds=max_seconds)
        model = load_autoencoder(run)
        return encode_dataset(data, tmp_path / "out", model, Geometry((1, 8, 8)), note=notes.append, limits=limits)

    def findings() -> list[str]:
        folder = tmp_path / "out"
        return [str(found) for found in audit_freshness(folder, read_header(folder), read_index(folder))]

    def stored(name: str) -> list[list[float]]:
        found = [clip.actions for clip in LatentDataset([tmp_path / "out"]).clips if f"/{name}" in clip.key]
        return [values for actions in found if actions for values in actions.values]

    assert encode().in_words().endswith(": 4 new") and "1 of 4 clips, such as 3.mp4, have no actions" in str(notes)
    hashes = [clip.sha256 for clip in LatentDataset([tmp_path / "out"]).clips]
    changed(data / "1.actions.npz")
    (data / "2.actions.npz").unlink()
    shutil.copy(data / "0.actions.npz", data / "3.actions.npz")
    (stale,) = findings()
    assert stale.startswith(f"the clips in {data} are not those that were encoded: 3 with other actions;")
    assert encode().in_words().endswith(": 3 with other actions") and "such as 2.mp4, have no actions" in str(notes)
    for name in "013":
        with np.load(data / f"{name}.actions.npz") as found:
            assert stored(name) == found["values"].tolist()
    assert stored("2") == [] and [clip.sha256 for clip in LatentDataset([tmp_path / "out"]).clips] == hashes
    assert encode().in_words().endswith("nothing has changed") and findings() == []
    about = json.loads((data / "dataset.json").read_text())
    turned = {**about["actions"], "choices": [["noop", "right", "left"]]}
    for other in ({**about, "actions": turned}, {"environment": "walk"}):
        (data / "dataset.json").write_text(json.dumps(other))
        assert findings()[0].startswith(f"the actions that a dataset.json in {data} describes have changed")
    (data / "dataset.json").write_text(json.dumps(about))
    (data / "1.actions.npz").write_bytes(b"?")
    assert findings()[0].startswith(f"{data / '1.actions.npz'}")
    assert [item.key.rpartition("/")[2] for item in encode().left_out] == ["1"]


def test_actions_that_nothing_describes_are_named(clips: Path, run: Path, tmp_path: Path) -> None:
    data, notes = shutil.copytree(clips, tmp_path / "clips"), list[str]()
    (data / "dataset.json").unlink()
    encode_dataset(data, tmp_path / "out", load_autoencoder(run), Geometry((1, 8, 8)), note=notes.append)
    assert any("3 of 4 clips, such as 0.mp4, have actions beside them that are not used" in note for note in notes)


def test_other_actions_are_refused_also_of_clips_that_are_held_out(clips: Path, run: Path, tmp_path: Path) -> None:
    other, plain = (shutil.copytree(clips, tmp_path / name) for name in ("other", "plain"))
    turned = replace(WALK, choices=(("noop", "right", "left"),))
    (other / "dataset.json").write_text(json.dumps({"name": "walk", "actions": to_dict(turned)}))
    (plain / "dataset.json").unlink()
    for data in (other, plain):
        encode_dataset(data, data.with_suffix(".latents"), load_autoencoder(run), Geometry((1, 8, 8)))
    heldout = [tmp_path / "other.latents"]
    with pytest.raises(UsageError, match=r"other\.latents differ in number or meaning"):
        train_dit(WORLD, [run / "latents"], tmp_path / "dit", quiet=True, heldout=heldout)
    notes = check_actions_of_folders(WALK, (run / "latents", tmp_path / "plain.latents"))
    assert len(notes) == 1 and notes[0].startswith(f"{tmp_path / 'plain.latents'}: without actions")
    shutil.copytree(clips, tmp_path / "run")  # as many actions, which may mean something else
    (tmp_path / "run" / "dataset.json").write_text(json.dumps({"environment": "run", "actions": to_dict(WALK)}))
    for name in ("walk", "run"):
        data = clips if name == "walk" else tmp_path / "run"
        encode_dataset(data, tmp_path / f"{name}.latents", load_autoencoder(run), Geometry((1, 8, 8)))
    assert check_actions_of_folders(WALK, [tmp_path / "run.latents"]) == []
    (said,) = check_actions_of_folders(WALK, [tmp_path / "walk.latents", tmp_path / "run.latents"])
    assert said.startswith("the actions are of several environments (run, walk) and are learned as one")


def test_a_causal_sample_has_its_slices_twice_and_their_actions(run: Path) -> None:
    dataset = LatentDataset([run / "latents"])
    always = replace(WORLD, noise_levels=replace(WORLD.noise_levels, forcing=0.0, context=0.0, causal=1.0))
    config = replace(always, model=replace(always.model, action_width=4), actions=replace(always.actions, dropout=0.0))
    noised = make_samples(config, dataset, Tokenizer(()), [(0, 1), (1, 3)], step=0)
    for sample in noised.samples:
        assert sample.grid == (12, 2, 2, False, "teacher") and sample.actions is not None
        first, second = sample.actions.chunk(2)
        assert torch.equal(first, second)
        assert torch.equal(sample.positions[:24], sample.positions[24:])
    (with_actions,) = (one.actions for one in noised.samples if one.actions is not None and one.actions.any())
    clip = dataset.clips[1].actions
    assert clip is not None
    chosen = [row.argmax().item() for row in with_actions[1:6, 1:]]  # of five slices, some window of the clip
    assert chosen in [[int(v[0]) for v in clip.values[s + 1 : s + 6]] for s in range(3)]
    unknown = noised.scale[:, 0] > 0
    assert unknown.reshape(2, 2, 24).all(dim=2).tolist() == [[False, True], [False, True]]  # the loss is of the copies
    none = replace(config, actions=replace(config.actions, dropout=1.0, use=False))
    assert not any(one.actions.any() for one in make_samples(none, dataset, Tokenizer(()), [(0, 1)], 0).samples)


def test_a_trained_model_is_stepped(run: Path) -> None:
    described = read_description(run / "dit")
    assert described["actions"] == to_dict(WALK) and described["config"]["action_width"] == 4
    world = WorldModel.load(run)
    assert world.schema == WALK and world.size == (32, 32)
    state, frame = world.begin(0, picture=np.full((32, 32, 3), 90, np.uint8))
    state, frames = world.step(state, np.array([[1]]))
    assert frame.shape == frames[0].shape == (32, 32, 3) and len(state.past.slices) == 2


def test_other_actions_are_refused(run: Path, clips: Path, tmp_path: Path) -> None:
    other = to_dict(replace(WALK, choices=(("noop", "up", "down"),)))
    (tmp_path / "data").mkdir()
    for file in clips.iterdir():
        (tmp_path / "data" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "data" / "dataset.json").write_text(json.dumps({"actions": other}))
    encode_dataset(tmp_path / "data", tmp_path / "latents", load_autoencoder(run), Geometry((1, 8, 8)))
    both = LatentDataset([run / "latents", tmp_path / "latents"])
    with pytest.raises(UsageError, match="actions differ"):
        prepare_run(WORLD, both, tmp_path / "new", None)
    with pytest.raises(UsageError, match="was trained on other actions"):
        prepare_run(WORLD, LatentDataset([tmp_path / "latents"]), tmp_path / "new", run / "dit")
    without = override(WORLD, ["actions.use=false"])
    prepared = prepare_run(without, both, tmp_path / "new", None)
    assert prepared.config.model.action_width == 0
    assert "the clips have actions, and this model does not learn them" in prepared.notes[0]
    (tmp_path / "data" / "dataset.json").write_text("{}")
    with pytest.raises(UsageError, match="clips with other actions"):
        encode_dataset(tmp_path / "data", tmp_path / "latents", load_autoencoder(run), Geometry((1, 8, 8)))
    encode_dataset(tmp_path / "data", tmp_path / "bare", load_autoencoder(run), Geometry((1, 8, 8)))
    with pytest.raises(UsageError, match="the clips have no actions"):
        prepare_run(WORLD, LatentDataset([tmp_path / "bare"]), tmp_path / "new", None)


def test_what_moves_with_the_view_is_measured_on_the_clips(clips: Path, run: Path, tmp_path: Path) -> None:
    """A land of random cells of 8 pixels, which moves over the upper three rows of a frame; nothing else scrolls."""
    data, rng = tmp_path / "clips", np.random.default_rng(0)
    data.mkdir()
    shutil.copy(clips / "dataset.json", data)
    for number in range(3):
        land, places = rng.integers(0, 256, (30, 30, 3), np.uint8), [12]
        for step in rng.integers(-1, 2, 19):
            places.append(places[-1] + int(step))
        cells = np.stack([land[x : x + 4, x // 2 : x // 2 + 4] for x in places])
        cells[:, 3] = 40
        video.write(data / f"{number}.mp4", cells.repeat(8, axis=1).repeat(8, axis=2), 8.0)
        values = np.ones((len(places), 1), int)
        actions = Actions(values, np.arange(len(places)) > 0, np.zeros(len(places), np.float32))
        np.savez(data / f"{number}.actions.npz", **actions.arrays())
    encode_dataset(data, tmp_path / "latents", load_autoencoder(run), Geometry((1, 8, 8)))
    prepared = prepare_run(WORLD, LatentDataset([tmp_path / "latents"]), tmp_path / "new", None)
    assert prepared.scrolling == ("1111", "1111", "1111", "0000")
    assert any("12 of 16 latents" in note for note in prepared.notes)
    described = describe(prepared, LatentDataset([tmp_path / "latents"]), None)
    assert described["scrolling"] == list(prepared.scrolling)
    other = override(WORLD, ["defaults.width=64"])  # no clip has the size that is played
    assert prepare_run(other, LatentDataset([tmp_path / "latents"]), tmp_path / "new", None).scrolling == ()
