"""Sealed kits: prompts that stay secret until outputs are committed, and runs that anybody checks."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from benchmarks.sealed_kit import PROMPTS, TAMPERINGS, NumberedModel, all_made_anew, make_run, refused
from chronotope.cli.check import find_problems
from chronotope.errors import FileProblem, UsageError
from chronotope.evaluate.ledger import Ledger
from chronotope.evaluate.sealed import standalone
from chronotope.evaluate.sealed.adapter import FolderAdapter, NoOutputError, ServiceAdapter, find_adapter
from chronotope.evaluate.sealed.kit import read_key, read_kit, sign
from chronotope.evaluate.sealed.run import check_run, run_kit
from chronotope.evaluate.suite import make_suite, truth_of, write_cases
from chronotope.media import video
from chronotope.storage import read_json, write_json
from tests.cli.models import answer, run
from tests.cli.models import refused as refused_by_program

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of a kit and of a run of it."""
    return make_run(tmp_path_factory.mktemp("sealed"))


def _checked_alone(kit: Path, folder: Path, *published: str) -> subprocess.CompletedProcess[str]:
    """What the kit's own script says, run where this program cannot be imported."""
    command = [sys.executable, "-I", kit / "check.py", kit, folder, *published]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_the_script_of_a_kit_checks_a_run_alone(made: tuple[Path, Path]) -> None:
    kit, folder = made
    assert not re.search(r"^\s*(from|import) chronotope", (kit / "check.py").read_text(), re.MULTILINE)
    found = _checked_alone(kit, folder, read_kit(kit).fingerprint, Ledger(folder / "ledger.jsonl").head)
    assert found.returncode == 0, found.stderr
    assert [line.rpartition("  ")[2] for line in found.stdout.splitlines()] == list(PROMPTS)
    assert "failed, it has no trees" in found.stdout and "no published hash" not in found.stdout
    wrong = _checked_alone(kit, folder, "0" * 64)
    assert wrong.returncode == 1 and "neither the kit nor the run has the hash" in wrong.stderr


def test_the_script_follows_the_order_of_the_kit_beyond_ids_of_four_digits(tmp_path: Path) -> None:
    items = [{"id": name, "commitment": "0"} for name in ("9999", "10000")]
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write({"kind": "began", "case": "", "kit": "k"})
    ledger.write(*({"kind": "planned", "case": one["id"], "prompt": "sealed 0"} for one in items))
    for one in items:
        ledger.write({"kind": "started", "case": one["id"]}, {"kind": "done", "case": one["id"]})
    assert list(standalone._ledger(ledger.path, items, "k", ledger.head)) == ["9999", "10000"]
    with pytest.raises(standalone.DoesNotFitError):
        standalone._ledger(ledger.path, items[::-1], "k", ledger.head)


def test_the_script_says_that_an_empty_ledger_was_cut(made: tuple[Path, Path], tmp_path: Path) -> None:
    kit, folder = (Path(shutil.copytree(source, tmp_path / source.name)) for source in made)
    (folder / "ledger.jsonl").write_text("")
    commitment = read_json(folder / "commitment.json")
    for rewrite in (False, True):
        if rewrite:  # signed anew, as by an organiser who cuts all of it
            key = read_key(made[0].parent / "kit.key", read_kit(kit))
            write_json(folder / "commitment.json", sign(commitment | {"ledger": "0" * 64}, key.signer))
        found = _checked_alone(kit, folder)
        assert found.returncode == 1 and "does not fit: the ledger was cut" in found.stderr


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_the_script_of_a_kit_refuses_every_tampering(
    tamper: Callable[..., None], made: tuple[Path, Path], tmp_path: Path
) -> None:
    kit, folder = (Path(shutil.copytree(source, tmp_path / source.name)) for source in made)
    published = [read_kit(kit).fingerprint] if tamper is all_made_anew else []
    assert len(standalone.check(kit, folder, published)) == len(PROMPTS)
    tamper(random.Random(0), kit, folder)
    with pytest.raises((standalone.DoesNotFitError, KeyError, ValueError, OSError)):
        standalone.check(kit, folder, published)


def test_the_documentation_quotes_the_page_of_a_kit(made: tuple[Path, Path]) -> None:
    page = (ROOT / "docs" / "evaluation" / "sealed.md").read_text(encoding="utf-8")
    text = (made[0] / "README.md").read_text(encoding="utf-8")
    assert text.partition("\n")[2].strip() in page, "stale: run `make docs`"


def test_every_tampering_is_refused(tmp_path: Path) -> None:
    found = refused(len(TAMPERINGS), tmp_path, seed=1)
    assert found["refused"] == len(TAMPERINGS), found["not refused"]


def test_a_run_of_words_alone_is_whole_and_an_output_that_was_added_is_refused(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    kit, folder = made[0], Path(shutil.copytree(made[1], tmp_path / "run"))
    kind, findings = find_problems(folder)
    assert kind == "run of a sealed kit" and not [one for one in findings if one.serious]
    words = ("evaluate", "--sealed", kit, "--videos", folder, "--expect", read_kit(kit).fingerprint)
    assert "note: only the hash of the kit was expected" in run(*words).stderr
    assert "only the hash" not in run(*words, Ledger(folder / "ledger.jsonl").head).stderr
    output = next((folder / "outputs").glob("*.mp4"))
    output.with_name("0099.mp4").write_bytes(output.read_bytes())
    assert "0099.mp4 was added" in refused_by_program(*words, status=1)
    with pytest.raises(standalone.DoesNotFitError, match=r"0099\.mp4"):
        standalone.check(kit, folder, [])
    output.unlink()
    assert [one for one in find_problems(folder)[1] if one.serious]


def test_a_kit_shows_no_prompt_and_lengths_say_little(made: tuple[Path, Path]) -> None:
    kit, _ = made
    text = (kit / "kit.json").read_text()
    found = json.loads(text)
    for prompt in PROMPTS:
        assert prompt not in text and prompt.encode().hex() not in text
    assert len({len(item["sealed"]) for item in found["items"]}) == 1
    assert sorted(path.name for path in kit.iterdir()) == ["README.md", "check.py", "kit.json"]
    assert (kit.parent / "kit.key").stat().st_mode & 0o077 == 0


def test_prompts_are_revealed_one_by_one_after_the_last_output_is_committed(tmp_path: Path) -> None:
    class Curious(NumberedModel):
        def make(self, request: Mapping[str, Any]) -> bytes:
            rows = Ledger(tmp_path / "run/ledger.jsonl").rows
            ended = [row["case"] for row in rows if row["kind"] in ("done", "failed")]
            assert ended == [f"{number:04d}" for number in range(1, len(self.asked) + 1)]
            visible = "".join(path.read_text() for path in (tmp_path / "run").glob("*.json*"))
            assert not any(prompt in visible for prompt in PROMPTS)
            assert not (tmp_path / "run/reveal.json").exists()
            return super().make(request)

    model = Curious()
    _, folder = make_run(tmp_path, model)
    assert [request["prompt"] for request in model.asked] == list(PROMPTS)
    assert [json.loads(line)["prompt"] for line in (folder / "prompts.jsonl").read_text().splitlines()] == list(PROMPTS)
    assert model.receipts[-1]["ledger"] == Ledger(folder / "ledger.jsonl").head
    done = {row["case"]: row["sha256"] for row in model.receipts if row["kind"] == "done"}
    assert done == {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "outputs").iterdir()}


def test_an_outsider_checks_a_run_as_the_readme_says(made: tuple[Path, Path]) -> None:
    """Follow the five steps of README.md with none of our code."""
    kit_folder, folder = made

    def canonical(value: Any) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    def unsigned(document: dict[str, Any]) -> bytes:
        return canonical({name: value for name, value in document.items() if name != "signature"})

    kit = json.loads((kit_folder / "kit.json").read_text())
    commitment = json.loads((folder / "commitment.json").read_text())
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(kit["public_key"]))
    for document in (kit, commitment):
        public.verify(bytes.fromhex(document["signature"]), unsigned(document))
    assert commitment["kit"] == hashlib.sha256(unsigned(kit)).hexdigest()
    last, ended = "0" * 64, []
    for line in (folder / "ledger.jsonl").read_text().splitlines():
        row = json.loads(line)
        chained = row.pop("hash")
        last = hashlib.sha256((last + json.dumps(row, sort_keys=True)).encode()).hexdigest()
        assert chained == last
        ended += [row["case"]] if row["kind"] in ("done", "failed") else []
    assert last == commitment["ledger"] and ended == [item["id"] for item in kit["items"]]
    secret = bytes.fromhex(json.loads((folder / "reveal.json").read_text())["secret"])
    prompts = []
    for item in kit["items"]:
        info = f"chronotope sealed kit 1, item {item['id']}".encode()
        key = HKDF(SHA256(), 32, salt=None, info=info).derive(secret)
        plain = AESGCM(key).decrypt(bytes.fromhex(item["nonce"]), bytes.fromhex(item["sealed"]), item["id"].encode())
        assert hashlib.sha256(plain).hexdigest() == item["commitment"]
        prompts.append(json.loads(plain)["row"])
    assert prompts == [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    files = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "outputs").iterdir()}
    assert commitment["outputs"] == {item["id"]: files.get(item["id"]) for item in kit["items"]}
    assert None in commitment["outputs"].values()  # the model failed once


def test_a_run_continues_where_the_model_was_gone(tmp_path: Path, made: tuple[Path, Path]) -> None:
    kit = read_kit(made[0])
    key = read_key(made[0].parent / "kit.key", kit)

    class Gone(NumberedModel):
        def make(self, request: Mapping[str, Any]) -> bytes:
            if len(self.asked) == 2:
                raise FileProblem("it is gone")
            return super().make(request)

    first, second = Gone(), NumberedModel()
    with pytest.raises(FileProblem, match="it is gone"):
        run_kit(kit, key, first, tmp_path / "run", "a program", lambda done, total: None)
    assert not (tmp_path / "run/reveal.json").exists()
    run_kit(kit, key, second, tmp_path / "run", "a program", lambda done, total: None)
    assert [one["prompt"] for one in [*first.asked, *second.asked]] == list(PROMPTS)
    assert sum(one is None for one in check_run(kit, tmp_path / "run").outputs) == 1
    second.name = "another"
    with pytest.raises(FileProblem, match="another"):
        run_kit(kit, key, second, tmp_path / "run", "a program", lambda done, total: None)


def test_a_holder_who_reveals_two_prompts_at_once_is_found(tmp_path: Path) -> None:
    """The ledger and its signature are right, and prompt 2 was shown before output 1 was committed."""
    folder, done = make_run(tmp_path)
    kit = read_kit(folder)
    rows = Ledger(done / "ledger.jsonl").rows
    place = next(number for number, row in enumerate(rows) if row["kind"] == "done")
    rows[place], rows[place + 1] = rows[place + 1], rows[place]
    for path in done.glob("ledger*"):
        path.unlink()
    ledger = Ledger(done / "ledger.jsonl")
    ledger.write(*rows)
    commitment = {**read_json(done / "commitment.json"), "ledger": ledger.head}
    write_json(done / "commitment.json", sign(commitment, read_key(tmp_path / "kit.key", kit).signer))
    with pytest.raises(FileProblem, match="before the last output was committed"):
        check_run(kit, done)


# Adapters


def test_a_folder_that_knows_outputs_before_prompts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/0001.mp4").write_bytes(b"early")
    adapter = FolderAdapter(tmp_path, 1.0)
    with pytest.raises(FileProblem, match="before its prompt was revealed"):
        adapter.make({"id": "0001", "file": "0001.mp4"})
    (tmp_path / "outputs/0002.failed").write_text("no weights")
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests/0002.json").write_text('{"id": "0002", "file": "0002.mp4", "run": "old"}')
    with pytest.raises(FileProblem, match="another run"):
        adapter.make({"id": "0002", "file": "0002.mp4"})
    with pytest.raises(NoOutputError, match="no weights"):
        adapter.make({"id": "0002", "file": "0002.mp4", "run": "old"})
    with pytest.raises(NoOutputError, match=r"within 0\.01 s"):
        FolderAdapter(tmp_path, 0.01).make({"id": "0003", "file": "0003.mp4"})


class _Wire(BaseHTTPRequestHandler):
    """Two calls until a video is there; prompts with `forbidden` are refused."""

    asked: list[dict[str, Any]]

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        fields = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append({**fields, "token": self.headers["Authorization"]})
        if "forbidden" in fields["prompt"]:
            self._send(400, b'{"error": {"message": "policy"}}')
            return
        if self.path == "/v1/images/generations":
            self._send(
                200, b'{"data": []}' if "nothing" in fields["prompt"] else b'{"data": [{"b64_json": "cGljdHVyZQ=="}]}'
            )
            return
        self._send(200, b'{"id": "video_1", "status": "queued"}')

    def do_GET(self) -> None:
        done = self.path == "/v1/videos/video_1/content"
        self._send(200, b"film" if done else b'{"id": "video_1", "status": "completed"}')

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def wire() -> Iterator[str]:
    _Wire.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Wire) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_service_is_asked_in_the_words_of_the_video_wire(wire: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOTOPE_ADAPTER_TOKEN", "secret")
    adapter = find_adapter(wire, 10.0)
    asked = {"prompt": "a ball", "width": 64, "height": 48, "num_frames": 16, "fps": 8.0, "seed": 3, "run": "r"}
    assert adapter.make({**asked, "file": "0001.mp4"}) == b"film"
    expected = {"prompt": "a ball", "size": "64x48", "seconds": "2", "fps": 8.0, "seed": 3, "token": "Bearer secret"}
    assert _Wire.asked == [expected]
    with pytest.raises(NoOutputError, match="refused with status 400"):
        adapter.make({"prompt": "forbidden", "file": "0001.mp4"})
    picture = {"prompt": "a ball", "file": "0002.png", "width": 64, "height": 48, "num_frames": 1, "fps": 8, "seed": 3}
    assert adapter.make(picture) == b"picture"
    asked = {name: value for name, value in _Wire.asked[-1].items() if name != "token"}
    assert asked == {"prompt": "a ball", "size": "64x48", "seed": 3}
    with pytest.raises(NoOutputError, match="without a picture"):
        adapter.make({**picture, "prompt": "nothing"})
    with pytest.raises(FileProblem, match="no service answers"):
        ServiceAdapter("http://127.0.0.1:9", 1.0).make({"prompt": "a ball", "file": "0001.mp4"})
    with pytest.raises(UsageError, match="looks like"):
        find_adapter("http:", 1.0)


# The program


def _maker(folder: Path, outputs: Mapping[str, bytes | None]) -> None:
    """Answer every request as a maker does; None is a failure."""
    for identity, content in outputs.items():
        until = time.monotonic() + 60
        while not (folder / f"requests/{identity}.json").exists() and time.monotonic() < until:
            time.sleep(0.02)
        request = json.loads((folder / f"requests/{identity}.json").read_text())
        target = folder / "outputs" / request["file"]
        if content is None:
            target.with_suffix(".failed").write_text("out of memory")
        else:
            target.with_suffix(".part").write_bytes(content)
            target.with_suffix(".part").rename(target)


def test_true_clips_behind_a_folder_succeed_and_others_fail(tmp_path: Path) -> None:
    """A sealed plan: the true clip succeeds; a clip of the wrong size and a missing one fail."""
    cases = [case for case in make_suite("smoke") if case.spec.num_frames > 1][:3]
    write_cases(cases, tmp_path / "specs.jsonl")
    video.write(tmp_path / "true.mp4", truth_of(cases[0]), cases[0].spec.fps)
    video.write(tmp_path / "small.mp4", np.zeros((4, 16, 16, 3), np.uint8), 8)
    outputs = {"0001": (tmp_path / "true.mp4").read_bytes(), "0002": (tmp_path / "small.mp4").read_bytes()}
    sealed = answer("seal", tmp_path / "specs.jsonl", "--out", tmp_path / "kit")
    maker = threading.Thread(target=_maker, args=(tmp_path / "shared", {**outputs, "0003": None}), daemon=True)
    maker.start()
    words = ("evaluate", "--sealed", tmp_path / "kit", "--expect", sealed["hash of the kit"])
    found = answer(*words, "--adapter", tmp_path / "shared", "--out", tmp_path / "run")
    maker.join(60)
    assert found["outputs"] == "2 of 3" and found["success"]["share"] == pytest.approx(1 / 3, abs=1e-4)
    assert json.loads((tmp_path / "shared/receipts/0003.json").read_text())["ledger"]
    again = answer(*words, found["run"], "--videos", tmp_path / "run", "--out", tmp_path / "checked")
    assert again == found
    report = json.loads((tmp_path / "checked/judged/report.json").read_text())
    assert [case["success"] for case in report["cases"]] == [True, False, False]
    assert report["about"]["ledger"] == found["run"]
    other = (*words, "0" * 64, "--videos", tmp_path / "run", "--out", tmp_path / "other")
    assert "was published" in refused_by_program(*other, status=1)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no prompts"),
        (["{}"], "lacks 'prompt'"),
        (['{"prompt": ""}'], "0 characters"),
        (['{"prompt": "a", "inputs": {}}'], "has inputs beside its words"),
        (['{"prompt": "a"}', '{"prompt": "b", "spec": {}}'], "specs in 1 of 2 lines"),
        (['{"prompt": "a", "seed": -1}'], "seed"),
        (['{"prompt": "a", "sede": 4}'], "unknown field 'sede'. Did you mean 'seed'?"),
    ],
)
def test_what_is_no_prompt_is_not_sealed(tmp_path: Path, lines: list[str], message: str) -> None:
    (tmp_path / "p.jsonl").write_text("".join(f"{line}\n" for line in lines))
    assert message in refused_by_program("seal", tmp_path / "p.jsonl", "--out", tmp_path / "kit", status=1)
    assert not (tmp_path / "kit").exists() and not (tmp_path / "kit.key").exists()


def test_wrong_usage_of_kits_is_refused(made: tuple[Path, Path], tmp_path: Path) -> None:
    kit, folder = made
    (tmp_path / "p.jsonl").write_text('{"prompt": "a ball"}\n')
    inside = ("seal", tmp_path / "p.jsonl", "--out", tmp_path / "kit", "--key", tmp_path / "kit/key")
    assert "would lie in the kit" in refused_by_program(*inside, status=2)
    assert "exists" in refused_by_program("seal", tmp_path / "p.jsonl", "--out", kit, status=2)
    words = ("evaluate", "--sealed", kit)
    assert "needs one --adapter" in refused_by_program(*words, status=2)
    assert "leave out --steps" in refused_by_program(*words, "--adapter", tmp_path, "--steps", 3, status=2)
    assert "leave it out" in refused_by_program(*words, "--videos", folder, "--key", kit, status=2)
    assert "those of a sealed kit" in refused_by_program("evaluate", "--key", kit, status=2)
    assert run("seal", tmp_path / "p.jsonl", "--out", tmp_path / "other").exit_code == 0
    foreign = ("--adapter", tmp_path / "shared", "--key", tmp_path / "other.key", "--out", tmp_path / "run")
    assert "is the key of the kit" in refused_by_program(*words, *foreign, status=1)
