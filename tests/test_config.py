"""Settings survive conversion to dicts, JSON and TOML and back; an error names the setting that is wrong."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.caption.subwords import MIN_VOCABULARY
from chronotope.config import from_dict, names_of, override, to_dict
from chronotope.errors import ChronotopeError, FileProblem, UsageError, suggest
from chronotope.presets import PRESETS, find_preset
from chronotope.train.autoencoder import AutoencoderRun
from chronotope.train.config import DiTRun
from chronotope.train.log import write_toml


@dataclass(frozen=True)
class Ball:
    kind: Literal["ball"]
    radius: float


@dataclass(frozen=True)
class Box:
    kind: Literal["box"]
    size: tuple[int, int]
    lid: bool = False


@dataclass(frozen=True)
class Train:
    steps: int = 100
    rate: float = 1e-3
    schedule: Literal["flat", "cosine"] = "cosine"
    warmup: int | None = None


@dataclass(frozen=True)
class Run:
    name: str
    seed: int | None
    train: Train = field(default_factory=Train)
    size: tuple[int, int] = (128, 72)
    weights: tuple[float, ...] = ()
    note: str | None = None
    compiled: bool = False
    folder: Path = Path("data")
    parts: dict[str, float] = field(default_factory=dict)
    things: tuple[Ball | Box, ...] = ()
    words: list[str] = field(default_factory=list)
    num_pixels: int = field(init=False, default=0)


RUN = Run(name="first", seed=7)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
number = st.floats(allow_nan=False, allow_infinity=False)
integer = st.integers(-(2**63), 2**63 - 1)
things = st.one_of(
    st.builds(Ball, kind=st.just("ball"), radius=number),
    st.builds(Box, kind=st.just("box"), size=st.tuples(integer, integer), lid=st.booleans()),
)
runs = st.builds(
    Run,
    name=text,
    seed=st.none() | integer,
    train=st.builds(
        Train, steps=integer, rate=number, schedule=st.sampled_from(["flat", "cosine"]), warmup=st.none() | integer
    ),
    size=st.tuples(integer, integer),
    weights=st.lists(number).map(tuple),
    note=st.none() | text,
    compiled=st.booleans(),
    folder=st.lists(st.sampled_from(["a", "b c", ".."])).map(lambda parts: Path(*parts)),
    parts=st.dictionaries(text, number, max_size=3),
    things=st.lists(things, max_size=3).map(tuple),
    words=st.lists(text, max_size=3),
)


@given(runs)
def test_dict_and_json_round_trip(run: Run) -> None:
    plain = to_dict(run)
    assert from_dict(Run, plain) == run
    assert from_dict(Run, json.loads(json.dumps(plain))) == run


@given(run=runs)
def test_toml_round_trip(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("toml") / "config.toml"
    write_toml(path, run)
    assert from_dict(Run, tomllib.loads(path.read_text(encoding="utf-8"))) == run
    assert [p.name for p in path.parent.iterdir()] == ["config.toml"]


@given(integer, number, st.tuples(integer, integer), text)
def test_override_equals_replace(steps: int, rate: float, size: tuple[int, int], name: str) -> None:
    settings = [
        f"train.steps={steps}",
        f"train.rate = {rate!r}",
        f"size={list(size)}",
        f"name={json.dumps(name, ensure_ascii=False)}",
    ]
    if "\x7f" in name or any(ord(c) < 32 for c in name):  # TOML wants these escaped in its own way
        settings.pop()
    changed = override(RUN, settings)
    expected = dataclasses.replace(RUN, train=dataclasses.replace(RUN.train, steps=steps, rate=rate), size=size)
    assert dataclasses.replace(changed, name=RUN.name) == expected
    assert len(settings) < 4 or changed.name == name


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("name=waves", "name", "waves"),
        ("name=7", "name", "7"),
        ("name=a=b", "name", "a=b"),
        ("name=", "name", ""),
        ("name=none", "name", "none"),
        ('name="7"', "name", "7"),
        ("note=true", "note", "true"),
        ("note=none", "note", None),
        ("seed=none", "seed", None),
        ("seed=1_000", "seed", 1000),
        ("compiled=true", "compiled", True),
        ("folder=a/b", "folder", Path("a/b")),
        ("folder=7", "folder", Path("7")),
        ("train.rate=1", "train.rate", 1.0),
        ("train.schedule=flat", "train.schedule", "flat"),
        ("weights=[1, 2.5]", "weights", (1.0, 2.5)),
        ("parts={red = 1}", "parts", {"red": 1.0}),
    ],
)
def test_override_types(setting: str, path: str, value: Any) -> None:
    changed: Any = override(RUN, [setting])
    for name in path.split("."):
        changed = getattr(changed, name)
    assert changed == value
    assert type(changed) is type(value)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.step=5", ["train.step", "Did you mean 'steps'"]),
        ("trian.steps=5", ["trian.steps", "Did you mean 'train'"]),
        ("num_pixels=5", ["num_pixels"]),
        ("name.first=5", ["name.first", "no parts"]),
        ("train=5", ["'train' is a table", "train.steps=..."]),
        ("train={steps = 5}", ["'train' is a table", "back to a default"]),  # rate and schedule would be too
        ("train.steps=5\nname='x'", ["train.steps", "expected one value, got several lines"]),
        ("train.steps", ["not a setting", "path=value"]),
        ("train.steps=1.5", ["train.steps = 1.5", "expected int", "float"]),
        ("train.steps=true", ["train.steps = True", "expected int", "bool"]),
        ("train.steps=none", ["train.steps = 'none'", "expected int"]),
        ("train.rate=true", ["train.rate = True", "expected float", "bool"]),
        ("train.schedule=cosin", ["train.schedule", "Did you mean 'cosine'"]),
        ("train.warmup=soon", ["train.warmup = 'soon'", "expected int"]),
        ("compiled=1", ["compiled = 1", "expected bool"]),
        ("size=[1, 2, 3]", ["size", "expected 2 values, got 3"]),
        ("size=128x72", ["size = '128x72'", "expected a list"]),
        ("weights=[1, 'a']", ["weights[1] = 'a'", "expected float"]),
        ("parts=5", ["parts = 5", "a table"]),
    ],
)
def test_override_says_what_is_wrong(setting: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        override(RUN, [setting])
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"seed": 1}, ["missing key 'name'", "Run"]),
        ({"name": "a", "sede": 1}, ["unknown key 'sede'", "Did you mean 'seed'"]),
        ({"name": "a", "train": {"stpes": 1}}, ["unknown key 'train.stpes'", "Did you mean 'steps'"]),
        ({"name": None}, ["name = None", "expected str"]),
        ({"name": "a", "folder": 3}, ["folder = 3", "expected a path"]),
        ({"name": "a", "num_pixels": 3}, ["unknown key 'num_pixels'"]),
        ({"name": "a", "things": [{"kind": "ball"}]}, ["missing key 'things[0].radius'", "Ball"]),
        ({"name": "a", "things": [{"kind": "box", "size": [1]}]}, ["things[0].size", "expected 2 values"]),
        ({"name": "a", "things": [{"kind": "box", "radius": 2.0}]}, ["unknown key 'things[0].radius'", "Box"]),
        ({"name": "a", "things": [5]}, ["things[0] = 5", "a table"]),
    ],
)
def test_from_dict_is_strict(data: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        from_dict(Run, data)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_field_without_default_may_be_none() -> None:
    assert from_dict(Run, {"name": "a"}).seed is None


def test_a_setting_is_given_once() -> None:
    assert names_of(["train.steps=1", " name = a=b"]) == {"train.steps", "name"}
    with pytest.raises(UsageError, match=r"train\.steps is set twice, to 1 and to 2; set it once"):
        override(RUN, ["train.steps=1", "name=x", "train.steps = 2"])


def test_override_leaves_the_original() -> None:
    assert override(RUN, ["train.steps=5"]).train.steps == 5
    assert RUN.train.steps == 100


@dataclass(frozen=True)
class Patience:
    epochs: int | None = 3


def test_none_is_kept_where_leaving_it_out_would_mean_something_else(tmp_path: Path) -> None:
    forever = Patience(epochs=None)
    assert from_dict(Patience, to_dict(forever)) == forever
    with pytest.raises(UsageError, match="TOML"):
        write_toml(tmp_path / "config.toml", forever)
    assert not list(tmp_path.iterdir())


def test_unwritable_toml_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in [tmp_path / "missing" / "config.toml", tmp_path / "file" / "config.toml", tmp_path / "folder"]:
        with pytest.raises(FileProblem, match="cannot be written"):
            write_toml(path, RUN)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_errors_know_their_exit_status() -> None:
    assert (ChronotopeError.exit_code, FileProblem.exit_code, UsageError.exit_code) == (1, 1, 2)


def test_suggest() -> None:
    assert suggest("tinny", ["tiny", "small"]) == "Did you mean 'tiny'?"
    assert suggest("vast", ["tiny", "small"]) == "Choose from: tiny, small."
    assert suggest("vast", []) == "There is nothing to choose from."


def numbers(cls: type, path: str = "") -> Iterator[tuple[str, type]]:
    """Yield the path and the type of every number of a configuration, without the places of a tuple."""
    for name, hint in get_type_hints(cls).items():
        kind = hint
        while get_args(kind) and get_origin(kind) is tuple:
            kind = get_args(kind)[0]
        if dataclasses.is_dataclass(kind):
            yield from numbers(kind, f"{path}{name}.")
        elif kind in (int, float):
            yield f"{path}{name}", kind
        else:
            assert not {int, float} & {kind, *get_args(kind)}, f"{path}{name}: extend this test to {hint}"


def setting(run: Any, path: str, value: str) -> str:
    """Write the setting of one number, or of all numbers of a tuple, however deep."""
    for name in path.split("."):
        run = getattr(run, name)

    def filled(current: Any) -> str:
        return f"[{','.join(map(filled, current))}]" if isinstance(current, tuple) else value

    return f"{path}={filled(run)}"


@pytest.mark.parametrize("run", [AutoencoderRun(), DiTRun()], ids=["autoencoder", "dit"])
def test_every_number_of_a_training_has_a_range(run: AutoencoderRun | DiTRun) -> None:
    paths = dict(numbers(type(run)))
    assert len(paths) > 20
    for path, kind in paths.items():
        for value in ("-1000000000000", "10000000000000000000000", *(("nan", "inf", "-inf") if kind is float else ())):
            with pytest.raises(UsageError, match=path.rpartition(".")[2]) as refused:
                override(run, [setting(run, path, value)])
            assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["captions.dropout=7"], "captions.dropout = 7: expected a number at least 0 and at most 1"),
        (["train.average_decay=1"], "train.average_decay = 1: expected a number at least 0 and below 1"),
        (["train.clip_norm=0"], "train.clip_norm = 0: expected a number above 0"),
        (["train.adam_rate=inf"], "train.adam_rate = inf: expected a finite number"),
        (["seed=-1"], "seed = -1: expected a number at least 0"),
        (
            ["seed=9223372036854775808"],
            "= 9,223,372,036,854,775,808: expected a number at least 0 and below 9,223,372,03",
        ),
        ([f"seed={10**400}"], "seed = a number of 1329 bits: expected a number at least 0"),
        (["seed=" + "1" * 5000], "expected int, got str"),
        (["model.width=1048577"], "model.width = 1,048,577: expected a number at least 1 and at most 1,048,576"),
        (["defaults.fps=0"], "defaults.fps = 0: expected a number at least 0.01 and at most 240"),
        (
            [f"captions.{level}=0" for level in ("tags", "sentence", "paragraph", "story", "descriptive")],
            "must be above 0",
        ),
        (["captions.dropout=1"], "captions.dropout = 1 leaves out every caption"),
        (["train.decay_from=1"], "train.decay_from = 1: expected a number at least 0 and below 1"),
        (["train.muon_rate=0", "train.adam_rate=1e-300"], "train.adam_rate = 1e-300 change no weight"),
        ([f"model.vocabulary_size={MIN_VOCABULARY - 1}"], f"expected at least {MIN_VOCABULARY}"),
        (["model.max_text_tokens=1"], "model.max_text_tokens = 1: expected a number at least 2"),
        (["model.patch_size=[1,4,4]"], "geometry.patch_size is [1, 2, 2] and model.patch_size [1, 4, 4]"),
        (["noise_levels.deviation=0", "noise_levels.flat=0"], "all t would be one number"),
    ],
)
def test_a_number_out_of_range_is_named_with_its_range(settings: list[str], expected: str) -> None:
    with pytest.raises(UsageError, match=re.escape(expected)):
        override(DiTRun(), settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["pool.batch_pixels=1"], r"pool\.batch_pixels = 1 must hold one window .* 32768 pixels"),
        (["pool.shapes=[]"], r"pool\.shapes needs a shape of 4 frames or more"),
        (["pool.shapes=[[1,64,64]]"], r"pool\.shapes needs a shape of 4 frames or more"),
        (["pool.shapes=[[4,64,64],[5,64,64]]"], r"pool\.shapes: \[5, 64, 64\] is no whole number of latents"),
        (["pool.shapes=[[4,60,64]]"], r"pool\.shapes: \[4, 60, 64\] is no whole number of latents"),
        (["pool.window_side=63"], r"at most 94\.5 pixels a side, and pool\.shapes has 96"),
        (["train.freeze_encoder_from=0"], r"train\.freeze_encoder_from = 0: expected a number at least 1"),
        (["train.muon_rate=0", "train.adam_rate=0"], r"change no weight"),
    ],
)
def test_an_autoencoder_that_would_learn_nothing_is_refused(settings: list[str], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        override(AutoencoderRun(), settings)
    override(AutoencoderRun(), ["pool.window_side=64", "train.muon_rate=0"])


def test_the_presets_are_in_range() -> None:
    for name in PRESETS:
        preset = find_preset(name)
        for run in (preset.autoencoder, preset.dit):
            assert from_dict(type(run), to_dict(run)) == run
