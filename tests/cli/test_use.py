"""The commands generate and reconstruct: their files, notes and refusals."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from chronotope import checkpoint
from chronotope.generate.pipeline import Generator
from chronotope.generate.stored import folders
from chronotope.media import video
from chronotope.models.costs import SampleSize, dit_flops
from chronotope.storage import read_json, write_json
from tests.cli.models import answer, files_in, program, refused, reseal, run, save_run

PROMPT = "a red ball"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with memory that other programs do not take away: what is refused first depends on it."""
    monkeypatch.chdir(tmp_path)
    for module in ("generate.memory", "generate.layout", "generate.files"):
        monkeypatch.setattr(f"chronotope.{module}.available_bytes", lambda: 24 << 30)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture that is wider than the model's shape."""
    frame = np.zeros((40, 120, 3), np.uint8)
    frame[:, 50:70] = (250, 200, 30)
    video.write_image(tmp_path / "photo.jpg", frame)
    return tmp_path / "photo.jpg"


# generate


def test_a_prompt_becomes_a_video(model: Path) -> None:
    result = run("generate", PROMPT, "--model", model, "-o", "ball.mp4")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "ball.mp4\n"
    assert "8 frames of 48x32 at 8 fps" in result.stderr
    assert files_in(Path()) == {"ball.mp4", "ball.mp4.json"}
    info = video.probe("ball.mp4")
    assert (info.num_frames, info.width, info.height, info.fps) == (8, 48, 32, 8.0)
    origin = video.read_origin("ball.mp4")
    beside = json.loads(Path("ball.mp4.json").read_text())
    assert origin == beside and set(beside["seconds"]) == {"sampling", "decoding"}
    Path("ball.mp4.json").unlink()
    tags = {name: value for name, value in beside.items() if name not in ("seconds", "signed")}
    assert video.read_origin("ball.mp4") == tags
    assert (origin["prompt"], origin["seed"], origin["num_steps"], origin["task"]) == (PROMPT, 0, 2, "text to video")


def test_every_option_arrives(model: Path) -> None:
    options = (
        "--size 40x24 --seconds 0.6 --fps 10 --seed 7 --steps 3 --guidance 2.5 --solver heun --negative blue".split()
    )
    (made,) = answer("generate", PROMPT, "--model", model, "-o", "ball.webm", *options)["files"]
    expected = dict(
        path="ball.webm", width=40, height=24, num_frames=6, fps=10.0, seed=7, num_steps=3, guidance_scale=2.5
    )
    expected |= dict(solver="heun", negative_prompt="blue", generated_by_ai=True)
    assert {name: made[name] for name in expected} == expected
    assert video.probe("ball.webm").num_frames == 6


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_said_before_any_work(model: Path) -> None:
    said = refused("generate", PROMPT, "--model", model, "-o", "none.png", "--device", "cuda", status=2)
    assert "torch finds no GPU on this machine; give --device cpu" in said
    result = run("generate", PROMPT, "--model", model, "-o", "here.png", "--seconds", 0, "--device", "cpu")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("fast", [False, True])
def test_the_sidecar_names_the_precision_that_was_computed_in(
    model: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    for module in ("models.precision", "cli.costs"):
        monkeypatch.setattr(f"chronotope.{module}.multiplies_bfloat16", lambda device: fast)
    used = {"auto": "bf16" if fast else "fp32", "fp32": "fp32", "bf16": "bf16"}
    for asked in used:
        result = run("generate", PROMPT, "--model", model, "-o", f"{asked}.png", "--seconds", 0, "--precision", asked)
        assert result.exit_code == 0, result.stderr
        assert ("--precision bf16 takes several times longer" in result.stderr) == (asked == "bf16" and not fast)
    assert {asked: video.read_origin(f"{asked}.png")["precision"] for asked in used} == used
    pixels = {asked: video.read_image(f"{asked}.png").tobytes() for asked in used}
    assert pixels["auto"] == pixels[used["auto"]] and pixels["fp32"] != pixels["bf16"]
    (plan,) = (answer("generate", PROMPT, "--model", model, "--dry-run", "--precision", "bf16"),)
    assert plan["precision"] == "bf16"
    for asked in ("fp32", "bf16"):
        told = answer("reconstruct", "fp32.png", "--model", model, "-o", f"{asked}-pair.png", "--precision", asked)
        assert told["psnr"] > 10 and video.read_origin(f"{asked}-pair.png")["precision"] == asked


def test_zero_seconds_are_a_picture(model: Path) -> None:
    for words in (["--seconds", "0", "-o", "ball.png"], ["-o", "ball.png"], ["--seconds", "0", "-o", "ball.mp4"]):
        (made,) = answer("generate", PROMPT, "--model", model, *words)["files"]
        assert (made["num_frames"], made["task"]) == (1, "text to picture")
        assert video.probe(words[-1]).num_frames == 1
    assert video.read_origin("ball.png")["prompt"] == PROMPT
    assert "--seconds 0" in refused("generate", PROMPT, "--model", model, "--seconds", "1", "-o", "other.png", status=2)
    assert not Path("other.png").exists()


def test_a_new_rate_keeps_the_length(model: Path) -> None:
    assert answer("generate", PROMPT, "--model", model, "--fps", "4", "--dry-run")["num_frames"] == 4
    assert (
        answer("generate", PROMPT, "--model", model, "--fps", "4", "--seconds", "0.1", "--dry-run")["num_frames"] == 1
    )


def test_count_names_files_by_seed_and_videos_are_independent(model: Path) -> None:
    result = run("generate", PROMPT, "--model", model, "--seed", 7, "--count", 3, "-o", "ball.mp4")
    assert result.stdout.split() == ["ball-7.mp4", "ball-8.mp4", "ball-9.mp4"]
    run("generate", PROMPT, "--model", model, "--seed", 8, "-o", "again.mp4")
    frames = [video.read(name).frames for name in ("ball-7.mp4", "ball-8.mp4", "again.mp4")]
    assert np.array_equal(frames[1], frames[2])
    assert not np.array_equal(frames[0], frames[1])
    assert video.read_origin("ball-9.mp4")["seed"] == 9


def test_a_picture_is_fitted_with_a_note(model: Path, photo: Path) -> None:
    result = run("generate", PROMPT, "--model", model, "--image", photo, "-o", "moves.mp4")
    assert result.exit_code == 0, result.stderr
    assert "note: 120x40 scaled to 96x32 and its middle 48x32 kept (50% cut off)" in result.stderr
    origin = video.read_origin("moves.mp4")
    assert (origin["task"], origin["given"]) == ("animate a picture", [str(photo)])
    assert video.probe("moves.mp4").num_frames == origin["num_frames"] == 9  # the picture, and two slices of four
    assert run("generate", PROMPT, "--model", model, "--image", "moves.mp4", "-o", "on.mp4").exit_code == 0


def test_a_size_between_tokens_is_kept_with_a_note(model: Path) -> None:
    result = run("generate", PROMPT, "--model", model, "--size", "50x30", "-o", "odd.mp4")
    assert "note: generated at 64x32 and cut to 50x30" in result.stderr
    info = video.probe("odd.mp4")
    assert (info.width, info.height) == (50, 30)


def test_dry_run_counts_and_writes_nothing(model: Path, photo: Path) -> None:
    words = ["--seconds", "1.5", "--size", "50x30", "--count", "2", "-o", "x.mp4", "--dry-run"]
    plan = answer("generate", PROMPT, "--model", model, *words)
    assert plan["files"] == ["x-0.mp4", "x-1.mp4"]
    assert (plan["num_frames"], plan["generated_size"]) == (12, "64x32")
    window, whole = plan["largest_window"], plan["whole_video"]
    assert (window["tokens"], window["grid"]) == (16, "2 slices x 2 rows x 4 columns")
    assert (whole["slices"], whole["windows"], whole["tokens"]) == ("0 still + 3 moving", 2, 24)
    generator = Generator.load(model)
    assert plan["parameters"]["transformer"] == sum(p.numel() for p in generator.dit.parameters())
    assert plan["parameters"]["autoencoder"] == sum(p.numel() for p in generator.autoencoder.parameters())
    texts = window["text_tokens"], 1
    first, negative = (dit_flops(generator.dit.config, SampleSize(16, text, 2)) for text in texts)
    assert window["flops_per_velocity"] == first + negative
    assert whole["flops_sampling"] == 2 * (first + negative + first)  # steps; the second window is not guided
    words = ["--guidance", "1", "--seconds", "1.5", "--size", "50x30", "--solver", "heun", "--dry-run"]
    plain = answer("generate", PROMPT, "--model", model, *words)["whole_video"]
    assert plain["flops_sampling"] == 3 * 2 * dit_flops(generator.dit.config, SampleSize(16, texts[0], 2))
    with_picture = answer("generate", PROMPT, "--model", model, "--image", photo, "--dry-run")["whole_video"]
    assert with_picture["slices"] == "1 still + 2 moving"
    printed = run("generate", PROMPT, "--model", model, "--dry-run").stdout
    assert re.search(r"^largest window\n  tokens +12$", printed, re.MULTILINE)
    assert re.search(r"^whole video\n  slices +0 still \+ 2 moving$", printed, re.MULTILINE)
    assert files_in(Path()) == {"photo.jpg"}


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["", "-o", "x.mp4"], 2, "the prompt is empty"),
        (["  ", "-o", "x.mp4"], 2, "the prompt is empty"),
        (["ball " * 40, "-o", "x.mp4"], 2, "this model reads at most 24"),
        ([PROMPT], 2, "name the file to write"),
        ([PROMPT, "-o", "x"], 2, "has no suffix"),
        ([PROMPT, "-o", "x.mp5"], 2, "Did you mean '.mp4'?"),
        ([PROMPT, "-o", "nowhere/x.mp4"], 1, "the folder nowhere does not exist"),
        ([PROMPT, "-o", "folder.mp4"], 1, "is a folder"),
        ([PROMPT, "-o", "x.mp4", "--size", "100000x64"], 2, "each 1 to 8192 pixels"),
        ([PROMPT, "-o", "x.mp4", "--size", "0x64"], 2, "each 1 to 8192 pixels"),
        (
            [PROMPT, "-o", "x.mp4", "--size", "8192x8192", "--seconds", "3600", "--loop"],
            2,
            "ask for a smaller --size, or a shorter loop",
        ),
        ([PROMPT, "-o", "x.mp4", "--seconds", "1e9"], 2, "1 to 1000000 frames"),
        ([PROMPT, "-o", "x.gif", "--fps", "100"], 2, "at most 50 frames"),
        ([PROMPT, "-o", "x.mp4", "--image", "missing.jpg"], 1, "missing.jpg does not exist"),
        ([PROMPT, "-o", "x.mp4", "--image", "words.txt"], 1, "words.txt cannot be opened"),
        ([PROMPT, "-o", "x.mp4", "--image", "cut.jpg"], 1, "cut.jpg cannot be read"),
        ([PROMPT, "-o", "photo.jpg", "--image", "photo.jpg"], 2, "photo.jpg is the file to read"),
        ([PROMPT, "-o", "x.png", "--image", "photo.jpg"], 2, "--seconds above 0"),
        ([PROMPT, "-o", "x.mp4", "--image", "photo.jpg", "--seconds", "0"], 2, "--seconds above 0"),
    ],
    ids=str,
)
def test_generate_refuses(words: list[str], status: int, message: str, model: Path, photo: Path) -> None:
    Path("folder.mp4").mkdir()
    Path("words.txt").write_text("no picture at all")
    Path("cut.jpg").write_bytes(photo.read_bytes()[:300])
    before = files_in(Path())
    assert message in refused("generate", *words, "--model", model, status=status)
    assert files_in(Path()) == before


def test_output_is_checked_before_the_model() -> None:
    assert "nowhere" in refused("generate", PROMPT, "-o", "nowhere/x.mp4", "--model", "missing", status=1)


def test_interruption_leaves_nothing(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(video.VideoWriter, "_converted", interrupt)
    result = run("generate", PROMPT, "--model", model, "-o", "x.mp4")
    assert (result.exit_code, result.stdout) == (130, "")
    assert not files_in(Path())


# models that cannot be used


def broken_model(kind: str, model: Path, target: Path) -> Path:
    """A copy of the model with one thing wrong."""
    shutil.copytree(model, target)
    dit = target / "dit"
    if kind in ("shapes", "missing tensor", "not finite"):
        break_tensors(kind, dit)
    elif kind in ("edited", "config", "not a description", "json"):
        break_description(kind, dit / "model.json")
    elif kind == "swapped":
        dit.rename(target / "other")
        (target / "autoencoder").rename(dit)
        (target / "other").rename(target / "autoencoder")
    elif kind == "no dit":
        shutil.rmtree(dit)
    elif kind == "other autoencoder":
        shutil.copytree(save_run(target / "other", seed=1) / "autoencoder", target / "autoencoder", dirs_exist_ok=True)
    else:
        break_weights(kind, dit)
    return target


def break_weights(kind: str, folder: Path) -> None:
    """Damage the file of the weights."""
    weights = folder / "model.safetensors"
    if kind == "pickle":
        torch.save({"weight": torch.zeros(3)}, weights)
    else:
        weights.write_bytes(b"" if kind == "empty" else weights.read_bytes()[:1000])
    if kind == "old":  # of a version that wrote no checksums
        description = read_json(folder / "model.json")
        del description["checksum"], description["files"]
        write_json(folder / "model.json", description)


def break_tensors(kind: str, folder: Path) -> None:
    """Save wrong tensors, with right checksums."""
    tensors = checkpoint.load_tensors(folder / "model.safetensors")
    if kind == "shapes":
        tensors["patch_in.weight"] = torch.zeros(3, 3)
    elif kind == "missing tensor":
        del tensors["patch_in.weight"]
    else:
        tensors["patch_in.weight"][1, 2] = math.nan
    save_file(tensors, folder / "model.safetensors")
    reseal(folder)


def break_description(kind: str, file: Path) -> None:
    """Change a model.json; only of a misspelt setting the checksum is right."""
    description = read_json(file)
    match kind:
        case "edited":
            file.write_text(file.read_text().replace('"depth": 1', '"depth": 2'))
        case "config":
            reseal(file.parent, config={**description["config"], "widht": 3})
        case "not a description":
            write_json(file, {"kind": "dit"})
        case "json":
            file.write_text("{")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", "model.safetensors is damaged, cut off, or not the file that was saved with it"),
        ("empty", "model.safetensors is damaged, cut off, or not the file that was saved with it"),
        ("pickle", "model.safetensors is damaged, cut off, or not the file that was saved with it"),
        ("old", "not a whole safetensors file"),
        ("edited", "model.json is damaged or was edited"),
        ("not finite", "holds numbers that are not finite, in patch_in.weight"),
        ("shapes", "patch_in.weight has shape (3, 3), expected (64, 64)"),
        ("missing tensor", "patch_in.weight is missing"),
        ("swapped", "holds a model of kind 'dit', expected 'autoencoder'"),
        ("no dit", "chronotope train dit"),
        ("json", "not readable JSON"),
        ("config", "Did you mean 'width'?"),
        ("not a description", "lacks"),
        ("other autoencoder", "with the same autoencoder"),
    ],
)
def test_a_model_that_cannot_be_used(kind: str, message: str, model: Path) -> None:
    broken = broken_model(kind, model, Path("broken"))
    before = files_in(Path())
    result = run("generate", PROMPT, "--model", broken, "-o", "x.mp4")
    assert message in refused("generate", PROMPT, "--model", broken, "-o", "x.mp4", status=result.exit_code)
    assert result.exit_code in (1, 2)
    assert files_in(Path()) == before


def test_paths_that_are_not_models(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("model.pt").write_bytes(b"\x80\x02}q\x00.")
    Path("empty").mkdir()
    assert "a pickle, which is never loaded" in refused(
        "generate", PROMPT, "--model", "model.pt", "-o", "x.mp4", status=2
    )
    assert "give the folder" in refused(
        "generate", PROMPT, "--model", model / "dit/model.json", "-o", "x.mp4", status=2
    )
    assert "bash runs/tiny.sh" in refused("generate", PROMPT, "--model", "missing", "-o", "x.mp4", status=1)
    assert "no trained model" in refused("generate", PROMPT, "--model", "empty", "-o", "x.mp4", status=1)
    weights = Path("weights")
    monkeypatch.setattr(folders, "WEIGHTS", weights)
    assert "(none yet)" in refused("generate", PROMPT, "-o", "x.mp4", status=1)
    shutil.copytree(model, weights / "small")
    assert run("generate", PROMPT, "-o", "x.mp4").exit_code == 0
    assert refused("generate", PROMPT, "--model", "smal", "-o", "x.mp4", status=1).endswith(
        "(small). Did you mean 'small'?"
    )
    assert "Did you mean 'small'?" in refused("info", "smal", status=1)
    assert "Did you mean" not in refused("generate", PROMPT, "--model", "runs/mine", "-o", "x.mp4", status=1)


# reconstruct


def test_reconstruct_writes_a_pair_and_measures_it(model: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (10, 30, 50, 3), dtype=np.uint8)
    video.write("any.mp4", frames, 12.5)
    result = run("reconstruct", "any.mp4", "-o", "pair.mp4", "--model", model)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("pair.mp4\nPSNR ")
    assert re.search(r"PSNR \d+\.\d\d dB   SSIM -?0\.\d{4}   PSNR of the motion", result.stdout)
    assert "note: encoded at 64x32" in result.stderr
    pair = video.read("pair.mp4")
    assert (pair.num_frames, pair.height, pair.width, pair.fps) == (10, 30, 100, 12.5)
    original = video.read("any.mp4").frames
    assert np.abs(pair.frames[:, :, :50].astype(int) - original).mean() < 12  # beside it, after another H.264
    assert video.read_origin("pair.mp4")["task"] == "reconstruct"

    scores = answer("reconstruct", "any.mp4", "-o", "short.mp4", "--seconds", "0.4", "--model", model / "autoencoder")
    assert (scores["num_frames"], scores["channels"], scores["size"]) == (5, 16, "50x30")
    assert video.probe("short.mp4").num_frames == 5


def test_reconstruct_takes_a_picture(model: Path, photo: Path) -> None:
    scores = answer("reconstruct", photo, "-o", "pair.png", "--model", model)
    assert (scores["num_frames"], scores["temporal_psnr"]) == (1, None)
    assert video.read_image("pair.png").shape == (40, 240, 3)
    assert run("reconstruct", photo, "-o", "pair.mp4", "--model", model).exit_code == 0


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["missing.mp4", "-o", "x.mp4"], 1, "missing.mp4 does not exist"),
        (["words.mp4", "-o", "x.mp4"], 1, "words.mp4 cannot be opened as a video"),
        (["empty.mp4", "-o", "x.mp4"], 1, "empty.mp4 is empty"),
        (["cut.mp4", "-o", "x.mp4"], 1, "cut.mp4"),
        (["huge.png", "-o", "x.png"], 1, "huge.png"),
        (["any.mp4", "-o", "x.png"], 2, "x.png holds one frame"),
        (["any.mp4", "-o", "x.txt"], 2, "names no format"),
        (["any.mp4", "-o", "any.mp4"], 2, "any.mp4 is the file to read"),
        (["any.mp4", "-o", "nowhere/x.mp4"], 1, "nowhere does not exist"),
        (["any.mp4", "-o", "x.mp4", "--model", "missing"], 1, "there is no model 'missing'"),
    ],
    ids=str,
)
def test_reconstruct_refuses(words: list[str], status: int, message: str, model: Path) -> None:
    video.write("any.mp4", np.zeros((30, 32, 32, 3), np.uint8), 8)
    Path("words.mp4").write_text("no video at all")
    Path("empty.mp4").touch()
    Path("cut.mp4").write_bytes(Path("any.mp4").read_bytes()[:-300])
    header = b"IHDR" + (100_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    Path("huge.png").write_bytes(
        b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + crc32(header).to_bytes(4, "big") + b"\0\0\0\x01IDAT\0\0\0\0\0"
    )
    before = files_in(Path())
    model_words = [] if "--model" in words else ["--model", model]
    assert message in refused("reconstruct", *words, *model_words, status=status)
    assert files_in(Path()) == before


def test_the_program_itself(model: Path) -> None:
    """In its own process: results on stdout, all else on stderr, and the exit status."""
    made = program("generate", PROMPT, "--model", model, "-o", "ball.mp4")
    assert (made.returncode, made.stdout) == (0, "ball.mp4\n"), made.stderr
    assert "\x1b" not in made.stderr
    wrong = program("generate", PROMPT, "--model", "missing", "-o", "x.mp4")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (1, "", 1)


def test_what_would_take_years_is_refused_before_work(tmp_path: Path) -> None:
    model = save_run(tmp_path / "model")
    asked = ("generate", "a fox", "--model", model, "--seconds", 2000, "--size", "8000x8000",
             "--steps", 1000, "-o", tmp_path / "a.mp4")  # fmt: skip
    said = refused(*asked, status=2)
    assert re.search(r"floating-point operations, which are at least [0-9,]+ days of \d+ processor cores", said)
    assert not (tmp_path / "a.mp4").exists()
    dry = run(*asked, "--dry-run")
    assert dry.exit_code == 0 and "this would be refused here" in dry.stderr
    long = run("generate", "a fox", "--model", model, "--seconds", 3600, "-o", tmp_path / "b.mp4", "--dry-run")
    assert "refused" not in long.stderr  # an hour of a small model is hours of work
