"""Pictures and clips of users: what their manifests forbid, what they carry, what they show, and consent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope import Generator
from chronotope.errors import UsageError
from chronotope.media import video
from chronotope.request import InputFile, Inputs
from chronotope.safety import uploads
from chronotope.safety.audit import audit_path
from chronotope.safety.credentials import read_credentials
from chronotope.safety.deliver import deliver
from chronotope.safety.policy.decide import NO_POLICY, Policy, RefusedError, default_policy, read_policy
from chronotope.safety.uploads import check_files, check_uploads
from tests.cli.models import answer, refused, save_run
from tests.safety.manifests import GENERATED, picture_with_manifest
from tests.safety.onnx_models import brightness_model

CONSENT = '[uploads]\nconsent = "needed"\n'
WHITE = np.full((64, 96, 3), 255, np.uint8)
GREY = np.full((64, 96, 3), 90, np.uint8)


@pytest.fixture(autouse=True)
def keys(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path_factory.mktemp("keys")))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


def policy_of(folder: Path, text: str) -> Policy:
    (folder / "policy.toml").write_text(text)
    return read_policy(folder / "policy.toml")


def glare(folder: Path) -> Policy:
    brightness_model(folder / "bright.onnx")
    rule = 'id = "glare"\nmodel = "bright.onnx"\ninput = "unit-rgb"\nthreshold = 0.9\n'
    return policy_of(folder, f"[[output.classifier]]\n{rule}")


def judged(policy: Policy, path: Path, consent: str | None = "") -> dict[str, Any]:
    (row,) = check_files(policy, [InputFile("picture", path)], consent)
    return row


def log() -> list[dict[str, Any]]:
    return [json.loads(line) for line in audit_path().read_text().splitlines()] if audit_path().exists() else []


# Manifests


@pytest.mark.parametrize("label", ["c2pa", "cawg"])
@pytest.mark.parametrize(
    ("uses", "action"),
    [
        ({"ai_inference": "notAllowed"}, "refuse"),
        ({"ai_inference": "constrained"}, "refuse"),
        ({"ai_training": "notAllowed", "ai_inference": "allowed"}, "note"),
        ({"ai_generative_training": "notAllowed"}, "note"),
        ({"ai_training": "allowed", "data_mining": "allowed"}, "allow"),
    ],
)
def test_what_a_manifest_forbids_is_refused_or_noted(
    uses: dict[str, str], action: str, label: str, tmp_path: Path
) -> None:
    path = picture_with_manifest(tmp_path / "photo.jpg", uses, label=label)
    if action == "refuse":
        with pytest.raises(RefusedError, match=r"photo\.jpg is refused by the rule 'uploads.forbidden_use'.*inference"):
            judged(default_policy(), path)
        assert [row["rule"] for row in log()] == ["uploads.forbidden_use"] and "photo" in log()[0]["text"]
    else:
        row = judged(default_policy(), path)
        assert (row["action"], bool(row["note"])) == (action, action == "note")


def test_a_policy_can_refuse_what_forbids_training(tmp_path: Path) -> None:
    path = picture_with_manifest(tmp_path / "photo.jpg", {"ai_training": "notAllowed"})
    policy = policy_of(tmp_path, '[uploads]\nforbidden_training = "refuse"\n')
    with pytest.raises(RefusedError, match="forbidden_training"):
        judged(policy, path)


def test_a_manifest_that_no_longer_fits_still_forbids(tmp_path: Path) -> None:
    path = picture_with_manifest(tmp_path / "photo.jpg", {"ai_inference": "notAllowed"})
    path.write_bytes(path.read_bytes()[:-40] + bytes(40))
    assert read_credentials(path).state == "invalid"
    with pytest.raises(RefusedError, match="forbidden_use"):
        judged(default_policy(), path)


@pytest.mark.parametrize("carrier", ["manifest", "tags"])
def test_texts_that_a_file_carries_are_judged(carrier: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    if carrier == "manifest":
        picture_with_manifest(path, text="make a pipe bomb")
    else:
        video.write_image(path, GREY, {"program": "another 1", "prompt": "make a pipe bomb"})
    with pytest.raises(RefusedError, match=r"text 1 in photo\.jpg is refused for dangerous"):
        judged(default_policy(), path)


# Consent


def test_a_camera_file_needs_a_statement_where_the_policy_says_so(tmp_path: Path) -> None:
    path = picture_with_manifest(tmp_path / "photo.jpg")
    policy = policy_of(tmp_path, CONSENT)
    for statement in ("", "   "):
        with pytest.raises(RefusedError, match="--consent TEXT"):
            judged(policy, path, statement)
    assert judged(policy, path, "It shows me.")["generated"] is False
    assert judged(default_policy(), path)["generated"] is False


def test_what_a_trusted_manifest_says_was_generated_needs_none(tmp_path: Path) -> None:
    deliver(tmp_path / "made.png", [GREY], 1, {"program": "chronotope 0.1.0", "prompt": "a fox"})
    assert judged(policy_of(tmp_path, CONSENT), tmp_path / "made.png")["generated"] is True


def test_stripped_composite_and_strange_files_need_a_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stripped file, one with given parts, tags alone, and a manifest of a stranger prove no generation."""
    origin = {"program": "chronotope 0.1.0", "prompt": "a fox", "generated_by_ai": True}
    deliver(tmp_path / "part.png", [GREY], 1, origin, composite=True)
    deliver(tmp_path / "whole.png", [GREY], 1, origin)
    video.write_image(tmp_path / "stripped.png", video.read_image(tmp_path / "whole.png"))
    video.write_image(tmp_path / "tags.png", GREY, origin)
    picture_with_manifest(tmp_path / "strange.jpg", source=GENERATED)
    policy = policy_of(tmp_path, CONSENT)
    assert judged(policy, tmp_path / "strange.jpg")["generated"] is True  # its key is ours
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path / "others"))
    for name in ("part.png", "stripped.png", "tags.png", "strange.jpg", "whole.png"):
        with pytest.raises(RefusedError, match="consent"):
            judged(policy, tmp_path / name)


def test_frames_in_memory_need_a_statement(tmp_path: Path) -> None:
    policy, inputs = policy_of(tmp_path, CONSENT), Inputs(images=((0.0, GREY),))
    with pytest.raises(RefusedError, match="consent"):
        check_uploads(policy, inputs, (), "", 8)
    found = check_uploads(policy, inputs, (), " It shows me. ", 8)
    assert found["consent"] == "It shows me."
    (refusal, statement) = log()
    assert (refusal["event"], statement["event"]) == ("refused", "consent")
    assert "shows me" not in json.dumps(statement) and statement["policy"] == policy.hash


def test_no_inputs_and_no_policy_ask_nothing(tmp_path: Path) -> None:
    assert check_uploads(policy_of(tmp_path, CONSENT), Inputs(), (), "", 8) == {}
    assert check_uploads(NO_POLICY, Inputs(images=((0.0, GREY),)), (), "", 8) == {}
    path = picture_with_manifest(tmp_path / "photo.jpg", {"ai_inference": "notAllowed"})
    assert check_files(NO_POLICY, [InputFile("picture", path)], "") == []


# Files of other tools


def test_an_expired_certificate_proves_no_generation(tmp_path: Path) -> None:
    expired = Path(__file__).with_name("expired") / "one.png"
    row = judged(default_policy(), expired)
    assert (row["manifest"], row["generated"], row["action"]) == ("expired", False, "allow")
    with pytest.raises(RefusedError, match="consent"):
        judged(policy_of(tmp_path, CONSENT), expired)


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("parameters", "a castle\nNegative prompt: rain\nSteps: 20, Sampler: Euler a, Seed: 1"),
        ("prompt", '{"3": {"class_type": "KSampler", "inputs": {"seed": 1}}}'),
        ("comment", '{"program": 3, "prompt": {"a": 1}, "typed_prompt": [[0], "x", []]}'),
        ("comment", "\udcff not JSON"),
    ],
)
def test_tags_of_other_tools_are_no_error(tag: str, text: str, tmp_path: Path) -> None:
    from PIL import Image, PngImagePlugin

    tags = PngImagePlugin.PngInfo()
    tags.add_text(tag, text.encode("utf-8", "replace").decode())
    Image.fromarray(GREY).save(tmp_path / "theirs.png", pnginfo=tags)
    (tmp_path / "theirs.png.json").write_text('["no", "settings"]')
    row = judged(default_policy(), tmp_path / "theirs.png")
    assert (row["manifest"], row["action"], row["generated"]) == ("none", "allow", False)


# Frames

CLIP = np.stack([GREY] * 8)
BRIGHT_END = np.concatenate([CLIP, WHITE[None]])
INPUTS = {
    "picture": Inputs(images=((0.0, GREY), (1.0, WHITE))),
    "clip": Inputs("extend", video=BRIGHT_END),
    "second clip": Inputs("connect", video=CLIP, into=BRIGHT_END),
}


@pytest.mark.parametrize("part", INPUTS)
def test_every_given_frame_goes_through_the_check_of_outputs(part: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(RefusedError, match=f"the given {part}.* is refused by the rule 'glare'"):
        check_uploads(glare(tmp_path), INPUTS[part], (), "", 8)
    assert [row["rule"] for row in log()] == ["glare"]


def test_the_file_of_a_mask_is_judged(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    video.write_image(tmp_path / "mask.png", WHITE)
    inputs = Inputs("retake", video=CLIP, mask=np.ones((1, 64, 96), bool))
    with pytest.raises(RefusedError, match=r"given mask mask\.png is refused"):
        check_uploads(glare(tmp_path), inputs, [InputFile("mask", tmp_path / "mask.png")], "", 8)


@pytest.mark.parametrize("part", ["file_sha256", "read_credentials", "trusted_certificates", "OutputCheck"])
@pytest.mark.parametrize("slow", [False, True])
def test_a_check_that_fails_or_hangs_refuses(
    part: str, slow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    import threading

    def fails(*_: Any) -> Any:
        if slow:
            threading.Event().wait(2)
        raise RuntimeError("it crashed")

    policy, path = glare(tmp_path), picture_with_manifest(tmp_path / "photo.jpg")
    monkeypatch.setattr(uploads, part, fails)
    if slow:
        monkeypatch.setattr(uploads, "LAYER_SECONDS", 0.05)
    with pytest.raises(RefusedError, match="took more than" if slow else "it crashed"):
        check_uploads(policy, Inputs(images=((0.0, GREY),)), [InputFile("picture", path)], "", 8)
    assert [row["rule"] for row in log()] == ["uploads: a check that fails refuses"]


# Ways in


def test_the_command_line_and_python_ask_alike(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture_with_manifest(tmp_path / "photo.jpg", {"ai_training": "notAllowed"})
    generator = Generator.load(model)
    generator.policy = policy_of(tmp_path, CONSENT)
    asked: dict[str, Any] = {"image": GREY, "num_frames": 4, "num_inference_steps": 1}
    with pytest.raises(RefusedError, match="consent"):
        generator.generate("a red ball", **asked)
    made = generator.generate("a red ball", consent="It shows me.", **asked)
    assert made.origin["policy"]["uploads"]["consent"] == "It shows me."
    words = ("generate", "a red ball", "--image", "photo.jpg", "--model", model, "--steps", 1, "--seconds", 0.5)
    words = (*words, "--policy", "policy.toml", "-o", "made.mp4")
    assert "uploads.consent" in refused(*words, status=2)
    assert not list(tmp_path.glob("made*"))
    (row,) = answer(*words, "--consent", "It shows me.")["files"]
    assert row["policy"]["uploads"]["consent"] == "It shows me."
    assert row["policy"]["uploads"]["files"][0]["note"] == "its C2PA manifest does not allow ai_training"
    layers = answer("info", "made.mp4")["layers"]
    assert layers["policy"]["uploads"]["consent"] == "It shows me."
    assert layers["output"].startswith("not checked")


def test_consent_goes_with_inputs(model: Path, tmp_path: Path) -> None:
    words = ("generate", "a red ball", "--model", model, "-o", tmp_path / "made.mp4", "--consent", "yes")
    assert "--consent goes with a picture or a clip" in refused(*words, status=2)
    with pytest.raises(UsageError, match="at most 2000 characters"):
        Generator.load(model).generate("a red ball", image=GREY, consent="y" * 2001)


def test_a_file_is_reconstructed_only_where_its_manifest_allows_use(model: Path, tmp_path: Path) -> None:
    path = picture_with_manifest(tmp_path / "photo.jpg", {"ai_inference": "notAllowed"})
    assert "forbidden_use" in refused("reconstruct", path, "--model", model, "-o", tmp_path / "made.png", status=2)
    assert not list(tmp_path.glob("made*"))
