"""Adapters from training to generation: what they hold, how they resume, what they do to a model, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chronotope import checkpoint
from chronotope.checkpoint import load_tensors
from chronotope.cli.train.networks import adapter_config, dit_config
from chronotope.config import override
from chronotope.data.latents import fingerprint
from chronotope.errors import UsageError
from chronotope.evaluate import make
from chronotope.generate.pipeline import Generator
from chronotope.generate.stored.adapters import load_adapters
from chronotope.media import video
from chronotope.models.adapter import PREFIX, adapted_modules, merge_adapter
from chronotope.models.dit import DiT
from chronotope.sealed import write_sealed
from chronotope.storage import read_json
from chronotope.train.adapter import AdapterState, begin_adapter
from chronotope.train.config import DiTRun
from chronotope.train.dit import train_dit
from tests.cli.models import answer, files_in, refused, reseal, run, save_clips, save_run
from tests.cli.test_train import STEPS, interrupt_at

SETTINGS = (*STEPS, "train.batch_tokens=60")


def save_base(folder: Path, seed: int = 0) -> Path:
    """A model whose blocks have an effect, unlike those of `save_run`, whose gates are zero."""
    dit, saved = Generator.load(save_run(folder, seed)).dit, folder / "dit"
    torch.nn.init.normal_(dit.modulation.weight, std=0.1)
    checkpoint.save_model(saved, dit, read_json(saved / "model.json"), torch.float16)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and latents of four clips."""
    folder = tmp_path_factory.mktemp("data")
    model, clips = save_base(folder / "model"), save_clips(folder / "clips")
    assert run("encode", clips, "--model", model, "--out", folder / "latents").exit_code == 0
    return folder


@pytest.fixture(scope="module")
def trained(data: Path) -> Path:
    """A run folder with a finished adapter of four steps."""
    assert fit(data, data / "mine").exit_code == 0
    return data / "mine"


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def command(data: Path, out: Path, *more: Any, rank: int = 4) -> list[Any]:
    base = ["train", "dit", "--from", data / "model", "--adapter", "--rank", rank, "--data", data / "latents"]
    changed = {str(word).partition("=")[0] for word in more}
    settings = [setting for setting in SETTINGS if setting.partition("=")[0] not in changed]
    return [*base, "--out", out, "--set", *settings, *more]


def fit(data: Path, out: Path, *more: Any) -> Any:
    return run(*command(data, out, *more))


def base_weights(data: Path) -> dict[str, torch.Tensor]:
    return Generator.load(data / "model").dit.state_dict()


# Training


def test_a_run_holds_the_adapter_and_not_its_base(data: Path, trained: Path) -> None:
    assert {"adapter_model.safetensors", "adapter_config.json", "model.json"} <= files_in(trained / "dit")
    assert not any(Path(name).name == "model.safetensors" for name in files_in(trained / "dit"))
    tensors = load_tensors(trained / "dit" / "adapter_model.safetensors")
    paths = set(adapted_modules(DiT(Generator.load(data / "model").dit.config)))
    assert set(tensors) == {f"{PREFIX}{path}.lora_{which}.weight" for path in paths for which in "AB"}
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert all(tensor.any() for tensor in tensors.values())  # every B has left zero
    about = checkpoint.verify_model(trained / "dit")
    assert about["kind"] == "adapter" and about["adapter"] == {"rank": 4, "alpha": 16.0}
    assert about["base"] == about["started_from"] == fingerprint(Generator.load(data / "model").dit)
    assert about["vocabulary"] == read_json(data / "model" / "dit" / "model.json")["vocabulary"]
    assert set(about["files"]) == {"adapter_model.safetensors", "adapter_config.json"}
    peft = read_json(trained / "dit" / "adapter_config.json")
    assert (peft["peft_type"], peft["r"], peft["base_model_name_or_path"]) == ("LORA", 4, str(data / "model"))


def test_checkpoints_hold_the_adapter_its_average_and_its_moments_alone(data: Path, trained: Path) -> None:
    latest = checkpoint.latest_checkpoint(trained / "dit")
    assert latest is not None and latest.name == "0000004"
    state, _ = checkpoint.load_state(latest)
    adapter = load_tensors(trained / "dit" / "adapter_model.safetensors")
    count = sum(tensor.numel() for tensor in adapter.values())
    assert {name.removeprefix("model.") for name in state if name.startswith("model.")} == set(adapter)
    moments = [tensor for name, tensor in state.items() if name.startswith("optimizer.") and "exp_avg" in name]
    assert sum(tensor.numel() for tensor in moments) == 2 * count
    average = load_tensors(latest / "adapter_model.safetensors")  # what is kept in the end is the average, rounded
    assert all(torch.equal(average[name].half(), tensor) for name, tensor in adapter.items())
    assert not all(torch.equal(average[name], state[f"model.{name}"]) for name in average)


def test_a_stopped_run_goes_on_to_the_same_bits(
    data: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(3, patch)
        assert fit(data, tmp_path / "run").exit_code == 130
    assert (
        checkpoint.latest_checkpoint(tmp_path / "run" / "dit") == tmp_path / "run" / "dit" / "checkpoints" / "0000002"
    )
    result = fit(data, tmp_path / "run")
    assert result.exit_code == 0 and "after step 2 of 4" in result.stderr
    for name in ("adapter_model.safetensors", "checkpoints/0000004/state.safetensors"):
        assert (tmp_path / "run" / "dit" / name).read_bytes() == (trained / "dit" / name).read_bytes()
    assert "is trained already (4 steps)" in fit(data, tmp_path / "run").stderr


def test_frozen_weights_are_shared_and_cost_no_gradients_and_no_moments(data: Path, tmp_path: Path) -> None:
    model = Generator.load(data / "model").dit
    config = override(DiTRun(model=model.config), ["adapter.rank=4"])
    state = begin_adapter(model, "0", config, tmp_path)
    assert isinstance(state, AdapterState)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    in_optimizers = [each for one in state.optimizers for group in one.param_groups for each in group["params"]]
    assert {id(each) for each in in_optimizers} == {id(each) for each in trained}
    own = {each.data_ptr() for each in state.average.parameters()}
    assert {each.data_ptr() for each in frozen} <= own and not {each.data_ptr() for each in trained} & own
    sum(each.sum() for each in trained).backward()  # type: ignore[union-attr]
    assert all(each.grad is None for each in frozen)
    before = [each.clone() for each in frozen]
    assert state.optimizer_step(torch.tensor(1.0), 1.0, 1.0, "fp32")
    state.update_average(0.9)
    assert all(torch.equal(*pair) for pair in zip(before, frozen, strict=True))


def test_a_step_that_is_not_finite_changes_nothing(data: Path, tmp_path: Path) -> None:
    config = override(DiTRun(model=Generator.load(data / "model").dit.config), ["adapter.rank=4"])
    state = begin_adapter(Generator.load(data / "model").dit, "0", config, tmp_path)
    before = {name: tensor.clone() for name, tensor in state.weights(state.model).items()}
    sum(each.sum() * torch.inf for each in state.model.parameters() if each.requires_grad).backward()  # type: ignore[union-attr]
    assert not state.optimizer_step(torch.tensor(1.0), 1.0, 1.0, "fp32")
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.weights(state.model).items())


def test_settings_of_another_kind_of_training_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A rate of the optimizer of whole networks changes nothing of an adapter, and the other way round."""
    settings = ("train.muon_rate=0.1", "train.adapter_rate=0.1", "student.substeps=3")
    adapter_config(None, "small", 4, None, settings)
    said = " ".join(capsys.readouterr().err.split())
    assert "not used: train.muon_rate; the rate of an adapter is" in said and "train.adapter_rate; this" not in said
    dit_config("tiny", None, settings)
    said = " ".join(capsys.readouterr().err.split())
    assert "not used: train.adapter_rate; this training is of no adapter" in said and "muon" not in said
    assert "not used: student.substeps" in said


def test_new_words_are_said(data: Path, tmp_path: Path) -> None:
    words = ["ball", "red"]
    record = {"words": words, "sizes": [[32, 32]], "pictures": True, "num_frames": None, "fps": []}
    shutil.copytree(data / "model", tmp_path / "model")
    reseal(tmp_path / "model" / "dit", trained_on=record)
    changed = [tmp_path / "model" if word == data / "model" else word for word in command(data, tmp_path / "run")]
    result = run(*changed)
    assert result.exit_code == 0
    assert (
        "an adapter adds no words to the vocabulary of its base: a, at, fox, moves, night, past, right" in result.stderr
    )
    about = checkpoint.read_description(tmp_path / "run" / "dit")["trained_on"]
    assert {"ball", "red", "fox"} <= set(about["words"])  # the record of the base and of the adapter


# Use


def generated(model: Path, out: Path, *more: Any) -> tuple[np.ndarray, dict[str, Any]]:
    words = ["generate", "a red ball", "--model", model, "-o", out, "--seconds", "0", *more]
    words += ["--no-watermark", "--no-credentials"]  # the file then holds the pixels that Python gives
    assert run(*words, "--overwrite").exit_code == 0
    return video.read_image(out), json.loads(video.sidecar(out).read_text())


def test_an_adapter_changes_the_model_by_its_weight(data: Path, trained: Path, copied: Path, tmp_path: Path) -> None:
    model, out = data / "model", tmp_path / "a.png"
    plain, origin = generated(model, out)
    assert "adapters" not in origin
    none, _ = generated(model, out, "--adapter", f"{trained}=0")
    assert (
        "with the weight 0 it changes nothing"
        in run("merge", model, "--adapter", f"{trained}=0", "--out", tmp_path / "merged").output
    )
    assert np.array_equal(none, plain)
    strong, origin = generated(model, out, "--adapter", f"{trained}=90")
    assert not np.array_equal(strong, plain)
    base, digest = fingerprint(Generator.load(model).dit), checkpoint.weights_hash(trained / "dit")
    assert origin["adapters"] == [{"adapter": str(trained), "weight": 90.0, "hash": digest, "base": base}]
    made = Generator.load(model, {trained: 90}).generate("a red ball", num_frames=1)
    assert np.array_equal(made.frames[0], strong) and made.origin["model"] == origin["model"]
    assert fit(data, tmp_path / "other", "seed=3").exit_code == 0
    both = {trained: 2.0, tmp_path / "other": 3.0}
    one, two = (Generator.load(model, dict(order)) for order in (both.items(), reversed(both.items())))
    assert one.names == two.names and one.names != made.origin["model"]  # the order makes no difference


def test_a_merged_model_is_its_base_and_the_adapter(data: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    about = answer("merge", data / "model", "--adapter", f"{trained}=5", "--out", out)
    assert about["adapters"][0]["weight"] == 5.0
    applied = Generator.load(data / "model", {trained: 5.0})
    tensors = load_tensors(trained / "dit" / "adapter_model.safetensors")
    expected = merge_adapter(base_weights(data), tensors, 5.0 * 16 / 4)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in applied.dit.state_dict().items())
    merged = Generator.load(out)
    weights = merged.dit.state_dict()
    assert all(torch.equal(tensor, expected[name].half().float()) for name, tensor in weights.items())
    first, second = (each.generate("a red ball", seed=1) for each in (applied, merged))
    assert np.abs(first.frames.astype(int) - second.frames).max() <= 2
    description = checkpoint.verify_model(out / "dit")
    assert description["kind"] == "dit" and description["merged"] == about["adapters"]
    assert run("check", out).exit_code == 0
    assert "exists; give another --out" in refused(
        "merge", data / "model", "--adapter", trained, "--out", out, status=2
    )


def test_info_and_check_know_adapters(data: Path, trained: Path, copied: Path) -> None:
    text = run("info", trained).stdout
    assert f"chronotope generate PROMPT --model {data / 'model'} --adapter {trained}" in text
    facts = answer("info", trained / "dit")
    assert facts["kind"] == "model: adapter" and facts["adapter"]["rank"] == 4
    assert facts["verified"] == "yes, by SHA-256" and facts["precision"] == "F16"
    checked = run("check", trained)
    assert checked.exit_code == 0, checked.output
    damage(copied / "dit" / "adapter_model.safetensors")
    assert "its SHA-256 is not the one in" in run("check", copied).stderr
    assert answer("info", copied / "dit")["verified"].startswith("no: ")


def test_evaluate_names_the_adapter(data: Path, trained: Path, tmp_path: Path) -> None:
    words = ["evaluate", data / "model", "--suite", "smoke", "--first", "1", "--steps", "1"]
    adapted = ["--adapter", f"{trained}=90"]
    assert run(*words, *adapted, "--out", tmp_path / "one").exit_code == 0
    about = read_json(tmp_path / "one" / "report.json")["about"]
    assert about["adapters"] == f"{trained}=90 {checkpoint.weights_hash(trained / 'dit')}"
    assert f"adapters {about['adapters']}, now unsaid" in refused(*words, "--out", tmp_path / "one", status=1)
    assert "leave it out here" in refused(*words[:2], *adapted, "--layer", "truth", "--out", tmp_path / "no", status=2)
    assert answer("info", tmp_path / "one")["adapters"] == about["adapters"]


def test_workers_sample_the_adapted_model(data: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "die_with_parent", lambda parent: None)
    monkeypatch.setattr(make, "maker", lambda generator, layer, sampled: generator.names)
    monkeypatch.setattr(make, "_WORKER", {})
    make._start_worker(0, data / "model", "model", make.SAMPLED, {trained: 90.0}, "auto")
    assert make._WORKER["make"] == Generator.load(data / "model", {trained: 90.0}).names
    assert make._WORKER["make"] != Generator.load(data / "model").names


def test_an_adapter_of_an_earlier_version_is_read(data: Path, trained: Path, copied: Path) -> None:
    """Its weights had a name that peft does not read."""
    folder = copied / "dit"
    about = read_json(folder / "model.json")
    (folder / "adapter_model.safetensors").rename(folder / "adapter.safetensors")
    files = {name.replace("_model", ""): facts for name, facts in about["files"].items()}
    write_sealed(folder / "model.json", {**about, "files": files}, "checksum")
    old, new = (Generator.load(data / "model", {name: 1.0}) for name in (copied, trained))
    assert old.names == new.names and run("check", copied).exit_code in (0, 3)
    assert answer("info", folder)["verified"] == "yes, by SHA-256"


def test_peft_adds_the_same_update(data: Path, trained: Path) -> None:
    """The library for which the files are named; it is no dependency."""
    peft = pytest.importorskip("peft")
    model = peft.PeftModel.from_pretrained(Generator.load(data / "model").dit, str(trained / "dit"))
    expected = Generator.load(data / "model", {trained: 1.0}).dit.state_dict()
    found = model.merge_and_unload().state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], atol=1e-5) for name in expected)


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


# What is refused


def generate(*words: Any, status: int) -> str:
    return refused("generate", "a ball", "--seconds", "0", "-o", "a.png", *words, status=status)


def test_an_adapter_of_another_base_is_refused(trained: Path, tmp_path: Path) -> None:
    other = save_base(tmp_path / "other", seed=1)
    said = generate("--model", other, "--adapter", trained, status=2)
    base = checkpoint.read_description(trained / "dit")["base"]
    assert f"{trained} is an adapter of the weights {base}, and the model {other} has" in said


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_damaged_adapter_is_refused(data: Path, copied: Path, file: str) -> None:
    damage(copied / "dit" / file)
    assert f"{file} is damaged" in generate("--model", data / "model", "--adapter", copied, status=1)
    (copied / "dit" / file).unlink()
    assert f"{file} is missing" in generate("--model", data / "model", "--adapter", copied, status=1)


def test_models_and_adapters_are_not_mixed_up(data: Path, trained: Path, tmp_path: Path) -> None:
    model = data / "model"
    assert "of kind 'dit', expected 'adapter'" in generate("--model", model, "--adapter", model, status=1)
    said = generate("--model", trained, status=1)
    assert f"holds an adapter, not a whole model; give --model {model} --adapter {trained}" in said
    assert "holds no trained adapter" in generate("--model", model, "--adapter", tmp_path / "none", status=1)
    assert "expected 'adapter'" in generate("--model", model, "--adapter", model / "autoencoder", status=1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{0}=much"], "'much' is no weight"),
        (["{0}=nan"], "the weight of an adapter is a number from -100 to 100"),
        (["{0}=101"], "the weight of an adapter is a number from -100 to 100"),
        (["{0}", "{0}=2"], "more than once"),
        (["{0}", "{0}/dit"], "are the same adapter"),
    ],
)
def test_weights_that_make_no_sense_are_refused(data: Path, trained: Path, words: list[str], message: str) -> None:
    options = [each for word in words for each in ("--adapter", word.format(trained))]
    assert message in generate("--model", data / "model", *options, status=2)


@pytest.mark.parametrize("adapters", [["runs/mine"], {"": 1.0}, {3: 1.0}, {"a": "b"}, {"a": True}])
def test_python_refuses_what_names_no_adapter(adapters: Any) -> None:
    with pytest.raises(UsageError):
        load_adapters(adapters, "0", "small")


def test_training_refuses_what_is_no_adapter(data: Path, tmp_path: Path) -> None:
    train = ["train", "dit", "--data", data / "latents", "--out", tmp_path / "run"]
    assert "name the sizes and the recipe with --preset" in refused(*train, status=2)
    assert "name it, for example --from small" in refused(*train, "--adapter", status=2)
    assert "give --adapter as well" in refused(*train, "--preset", "tiny", "--rank", "3", status=2)
    said = refused(*train, "--preset", "tiny", "--set", "adapter.rank=4", "--autoencoder", data / "model", status=2)
    assert "name it, for example --from small" in said
    start = [*train, "--from", data / "model", "--adapter"]
    assert "adapter.rank = 65 is more than the smaller side" in refused(*start, "--rank", "65", status=2)
    said = refused(*start, "--set", "train.adapter_rate=0", status=2)
    assert "train.adapter_rate = 0 changes no weight" in said
    assert not (tmp_path / "run").exists()
    costs = answer(*start, "--dry-run")["costs"]
    assert costs["trained_parameters"] < costs["parameters"] and costs["memory"]["at the peak"] > 0


def test_a_run_keeps_its_rank_its_base_and_its_kind(data: Path, copied: Path, tmp_path: Path) -> None:
    said = refused(*command(data, copied, "train.steps=6", rank=5), status=2)
    assert "adapter.rank 4 and not 5" in said and "another --out" in said
    other, dit = tmp_path / "other", Generator.load(data / "model").dit
    shutil.copytree(data / "model", other)
    torch.nn.init.zeros_(dit.patch_out.weight)
    checkpoint.save_model(other / "dit", dit, read_json(other / "dit" / "model.json"))
    words = [other if word == data / "model" else word for word in command(data, copied, "train.steps=6")]
    assert "was begun from the weights" in refused(*words, status=2)
    full = ["train", "dit", "--preset", "tiny", "--data", data / "latents", "--out", copied, "--from", data / "model"]
    model = Generator.load(data / "model").dit.config
    sizes = [f"model.{name}={getattr(model, name)}" for name in ("width", "depth", "text_depth", "max_text_tokens")]
    said = refused(*full, "--set", *sizes, "train.steps=6", status=2)
    assert "adapter.rank 4 and not 0" in said
    latents, start = [data / "latents"], data / "model" / "dit"
    settings = ["train.batch_tokens=60", "train.warmup=1", "train.steps=1", "train.save_every=1"]
    config = override(DiTRun(model=model), settings)
    train_dit(config, latents, tmp_path / "full", start=start, quiet=True)
    description = read_json(tmp_path / "full" / "checkpoints" / "0000001" / "model.json")
    assert description["settings"]["adapter"]["rank"] == 0
    with pytest.raises(UsageError, match=r"adapter\.rank 0 and not 4"):
        train_dit(override(config, ["adapter.rank=4", "train.steps=2"]), latents, tmp_path / "full", start=start)
    with pytest.raises(UsageError, match="is of a training of all weights"):
        begin_adapter(DiT(model), "0", override(config, ["adapter.rank=4"]), tmp_path / "full")
    with pytest.raises(UsageError, match="is an adapter of the weights"):
        begin_adapter(DiT(model), "0", override(config, ["adapter.rank=4"]), copied / "dit")
