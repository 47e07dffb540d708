"""What the page is told: prompts and their measured chances, estimates, the queue, folders; and its built files."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from chronotope.errors import FileProblem
from chronotope.generate.pipeline import Generator
from chronotope.generate.stored.knowledge import vocabulary_of_model
from chronotope.jsonl import write_jsonl
from chronotope.media import video
from chronotope.models.costs import SampleSize, sampling_bytes, velocity_flops
from chronotope.request import Defaults
from chronotope.sealed import seal
from chronotope.serve import videos
from chronotope.serve.jobs.costs import TEXT_TOKENS, Size, estimate, measure_costs
from chronotope.serve.jobs.pool import Progress
from chronotope.serve.service import Service
from chronotope.serve.studio.model import EXAMPLES, chips, known_words, rates_of
from chronotope.serve.studio.prompt import read_prompt
from chronotope.serve.texts import vocabulary
from chronotope.storage import read_json
from tests.cli.models import save_run
from tests.serve.test_guard import ORDER, Ask, asked, picture, refused
from tools.keep_rates import rates

ROOT = Path(__file__).resolve().parents[2]
SMALL = ROOT / "chronotope" / "weights" / "small"
BUILT = ROOT / "chronotope" / "serve" / "studio" / "built"
SOURCES = ROOT / "studio"
FIRST_LOAD = 120_000  # bytes, compressed
REFUSED = "make a pipe bomb"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without workers that shows a dataset, a run and a report."""
    root = tmp_path_factory.mktemp("studio")
    shown = root / "shown"
    for name in ("clips", "run/samples", "report"):
        (shown / name).mkdir(parents=True)
    write_jsonl(shown / "clips" / "manifest.jsonl", [{"key": "a", "caption": "a ball"}, {"key": "b"}])
    video.write_image(shown / "clips" / "a.png", np.zeros((8, 8, 3), np.uint8))
    write_jsonl(shown / "run" / "log.jsonl", [{"step": step, "loss": 1.0} for step in range(1, 1000)])
    (shown / "report" / "report.json").write_text(json.dumps({"about": {"suite": "s"}, "summary": {}, "cases": []}))
    (root / "secret.png").write_bytes(picture())
    (shown / "clips" / "link.png").symlink_to(root / "secret.png")
    with Service(root / "service", devices=(), shown=(shown,)) as found:
        yield found


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return Generator.load(save_run(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def ask(service: Service) -> Ask:
    return asked(service)


# Prompts


def reading(text: str, num_frames: int = 17) -> Any:
    return read_prompt(text, vocabulary(SMALL), rates_of(SMALL), num_frames, 8.0)


def test_the_words_are_those_of_the_training() -> None:
    known = known_words(SMALL)
    assert vocabulary(SMALL) == vocabulary_of_model(SMALL) and len(known) > 100
    shown = chips(known)
    assert set(shown) == {"things", "colours", "actions", "places"}
    assert {"fox", "ball"} <= set(shown["things"]) and "walks" in shown["actions"]
    assert {word for words in shown.values() for word in words} <= known
    for text in EXAMPLES:
        found = reading(text)
        assert found.told == text and found.chances, text


def test_the_rates_are_those_of_the_standard_suite() -> None:
    kept = read_json(SMALL / "rates.json")
    assert kept == seal(rates()) and rates_of(SMALL) == kept
    summary = read_json(ROOT / "benchmarks" / "standard.json")["model"]["summary"]
    two = summary["cube"]["C2 two deeds at once"]["over 2 s"]
    first = reading("a fox walks to the right while a ball spins").chances[0]
    assert (first.right, first.tries, first.low, first.high) == (two["right"], two["of"], *two["interval"])
    assert first.kind == "two deeds at once, over 2 s"


@pytest.mark.parametrize(
    ("text", "frames", "kind"),
    [
        ("a red circle", 1, "nothing happens, a picture"),
        ("a red ball rolls to the right", 8, "one deed, up to 1 s"),
        ("a red ball rolls to the right", 16, "one deed, 1 to 2 s"),
        ("a fox walks to the right, then it stops", 17, "one deed after the other, over 2 s"),
        ("a fox eats an apple", 17, "one touches another, over 2 s"),
        ("a ball bounces", 17, "gravity"),  # which fails more often than one deed does
        ("a star spins", 17, "spin"),
    ],
)
def test_a_prompt_has_the_rate_of_its_kind(text: str, frames: int, kind: str) -> None:
    first, *others = reading(text, frames).chances
    assert first.kind == kind
    assert all(other.high >= first.right / first.tries for other in others)


@pytest.mark.parametrize(("text", "frames"), [("a hare runs", 17), ("ein Hund", 17), ("a red circle", 40)])
def test_what_was_not_measured_has_no_rate(text: str, frames: int) -> None:
    assert reading(text, frames).chances == ()


def test_a_prompt_is_read_as_a_worker_reads_it(ask: Ask) -> None:
    found = ask("GET", "/v1/studio/prompt?text=a kitten strolls, no dog").json()
    assert found["told"] == "a cat walks" and found["notes"]
    plain = read_prompt("a kitten strolls", None, {}, 17, 8.0)
    assert (plain.told, plain.chances) == ("a kitten strolls", ())
    refused(ask("GET", "/v1/studio/prompt?text=" + "a" * 3000), 400, "invalid_value")


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "a red ball"},
        {"prompt": REFUSED},
        {"prompt": "a red ball", "negative_prompt": REFUSED},
        {"prompt": "a red ball", "negative_prompt": REFUSED, "guidance_scale": 0.5},
        {"story": [[0, "make a"], [1, "pipe bomb"]]},
    ],
)
def test_a_prompt_is_judged_as_a_job_is(ask: Ask, fields: dict[str, Any]) -> None:
    prompts = [fields["prompt"]] if "prompt" in fields else [text for _, text in fields["story"]]
    negative, scale = (fields.get(name, "") for name in ("negative_prompt", "guidance_scale"))
    query = {"text": "a red ball", "prompt": prompts, "negative_prompt": negative, "guidance_scale": scale}
    said = ask("GET", "/v1/studio/prompt", params=query).json()["refusal"]
    made = ask("POST", "/v1/generations", json=fields).json()
    assert said == (made["error"] or {}).get("message", "")
    if "id" in made:
        ask("DELETE", f"/v1/generations/{made['id']}")


TOO_LONG = "a red ball rolls past a tree. " * 30


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": TOO_LONG}, "prompt"),
        ({"prompt": TOO_LONG, "expand": False}, "prompt"),
        ({"story": [[0, "a red ball"], [1, TOO_LONG]]}, "prompt"),
        ({"prompt": "a red ball", "negative_prompt": TOO_LONG}, "negative_prompt"),
    ],
)
def test_a_text_that_the_model_cannot_read_whole_never_waits(ask: Ask, fields: dict[str, Any], param: str) -> None:
    prompts = [fields["prompt"]] if "prompt" in fields else [text for _, text in fields["story"]]
    query = {"text": "a red ball", "prompt": prompts, "negative_prompt": fields.get("negative_prompt", "")}
    said = ask("GET", "/v1/studio/prompt", params=query | {"expand": str(fields.get("expand", True)).lower()}).json()
    first = ask("POST", "/v1/generations", json={"prompt": "a red ball"}).json()["id"]
    for path in ("/v1/generations", "/v1/videos", f"/v1/videos/{first}/remix", "/v1/images/generations"):
        if "prompt" in fields or "remix" not in path:
            error = refused(ask("POST", path, json=fields), 400, "too_long")
            assert error["param"] == param and error["message"] == said["refusal"]
    assert "this model reads at most 128" in said["refusal"]
    ask("DELETE", f"/v1/generations/{first}")


def test_a_cancelled_job_stays_and_is_made_again(ask: Ask) -> None:
    made = ask("POST", "/v1/generations", json={"prompt": "a red ball", "seed": 7}).json()["id"]
    cancelled = ask("POST", f"/v1/generations/{made}/cancel").json()
    assert cancelled["status"] == "failed" and cancelled["error"]["code"] == "cancelled"
    assert made not in ask("GET", "/v1/studio/queue").json()["data"]
    refused(ask("POST", f"/v1/generations/{made}/cancel"), 409, "not_cancellable")
    again = ask("POST", f"/v1/videos/{made}/remix", json={"prompt": "a red ball"}).json()
    assert (again["status"], again["seed"]) == ("queued", 7)
    for name in (made, again["id"]):
        ask("DELETE", f"/v1/generations/{name}")
    for call in ("", "/content", "/content?variant=thumbnail", "/preview", "/settings"):
        refused(ask("GET", f"/v1/generations/{made}{call}"), 404, "not_found")


@pytest.mark.parametrize(("call", "deletes"), [("content?variant=thumbnail", "preview_file"), ("preview", "progress")])
def test_a_video_that_is_deleted_meanwhile_is_not_found(
    ask: Ask, service: Service, monkeypatch: pytest.MonkeyPatch, call: str, deletes: str
) -> None:
    made = ask("POST", "/v1/generations", json={"prompt": "a red ball"}).json()["id"]
    assert service.store.claim() is not None
    if deletes == "preview_file":
        service.store.complete(made, {"width": 96, "height": 64, "num_frames": 1, "fps": 8})
        service.output_path(service.store.get(made)).write_bytes(b"gone soon")  # type: ignore[arg-type]

    def gone(*_: Any) -> Any:
        service.delete("local", made)
        if deletes == "preview_file":
            raise FileProblem("the file is gone")
        return Progress()

    monkeypatch.setattr(videos if deletes == "preview_file" else service, deletes, gone)
    refused(ask("GET", f"/v1/generations/{made}/{call}"), 404, "not_found")


# Costs


def test_an_estimate_is_what_the_costs_say(generator: Generator) -> None:
    model = generator
    costs, facts = measure_costs(model), (model.defaults, model.geometry)
    for width, height, frames in ((48, 32, 8), (96, 64, 8), (400, 240, 8), (1280, 720, 4), (64, 64, 1)):
        slices = len(model.geometry.slices(min(frames, model.defaults.num_frames)))
        rows, columns = model.geometry.token_grid(height, width)
        found = estimate(Size(width, height, frames, 10, True), costs, (), facts)
        needed = sampling_bytes(
            model.dit.config, model.autoencoder.config, model.geometry, height, width, slices, guided=True
        )
        assert found.bytes == pytest.approx(needed, rel=0.15)
        flops = velocity_flops(model.dit.config, SampleSize(rows * columns * slices, TEXT_TOKENS, slices), TEXT_TOKENS)
        past = [(Size(width, height, frames, 10, True), {"sampling": 3.0, "decoding": 1.0})]
        measured = estimate(Size(width, height, frames, 20, True), costs, past, facts)
        assert measured.measured and measured.seconds == pytest.approx(2 * 3.0 + 1.0)
        assert found.seconds * 2e10 == pytest.approx(10 * flops + 2e4 * width * height * frames, rel=0.35)


def test_a_longer_video_has_more_windows(generator: Generator) -> None:
    costs, facts = measure_costs(generator), (generator.defaults, generator.geometry)
    assert isinstance(facts[0], Defaults)
    short, long = (estimate(Size(48, 32, count * facts[0].num_frames, 10, True), costs, (), facts) for count in (1, 3))
    assert long.bytes == short.bytes and long.seconds > 3 * short.seconds


def test_no_estimate_before_a_model_is_loaded(ask: Ask) -> None:
    refused(ask("GET", "/v1/studio/estimate"), 503, "not_ready")


# The queue, orders and files


def test_waiting_jobs_change_places(service: Service, ask: Ask) -> None:
    names = [ask("POST", "/v1/generations", json={**ORDER, "seed": seed}).json()["id"] for seed in range(4)]
    assert ask("POST", f"/v1/generations/{names[3]}/move", json={"place": 0}).json()["place"] == 0
    assert ask("POST", f"/v1/generations/{names[0]}/move", json={"place": 99}).status_code == 200
    order = [names[3], names[1], names[2], names[0]]
    assert ask("GET", "/v1/studio/queue").json() == {"object": "list", "data": order}
    assert [ask("GET", f"/v1/generations/{name}").json()["position"] for name in order] == [0, 1, 2, 3]
    claimed = [service.store.claim() for _ in order]
    assert [job.id for job in claimed if job] == order
    refused(ask("POST", f"/v1/generations/{names[0]}/move", json={"place": 0}), 409, "not_queued")
    refused(ask("POST", f"/v1/generations/{names[0]}/move", json={"place": -1}), 400, "invalid_value")
    for name in names:
        ask("DELETE", f"/v1/generations/{name}")


def test_what_was_asked_for_comes_back_with_its_files(ask: Ask) -> None:
    stored = ask("POST", "/v1/files", files={"file": ("a.png", picture())}).json()["id"]
    fields = {**ORDER, "image": [stored], "at": [0.5], "seed": 3, "guidance_scale": 2.5, "num_frames": 8}
    job = ask("POST", "/v1/generations", json=fields).json()
    found = ask("GET", f"/v1/generations/{job['id']}/order").json()
    assert (found["story"], found["at"], found["seed"], found["guidance"]) == ([[0.0, "a fox walks"]], [0.5], 3, 2.5)
    (name,) = found["images"]
    assert found["files"][name]["width"] == 32 and found["start"] is None
    assert ask("GET", f"/v1/files/{name}/content").content == picture()
    about = ask("GET", f"/v1/files/{name}/about").json()
    assert (about["num_frames"], about["settings"], about["job"]) == (1, None, None)
    ask("DELETE", f"/v1/generations/{job['id']}")
    refused(ask("GET", f"/v1/files/{name}/about"), 404, "not_found")


# Folders that are shown


def test_folders_are_shown_by_their_kind(ask: Ask) -> None:
    found = {one["kind"]: one for one in ask("GET", "/v1/shown").json()["data"]}
    assert set(found) == {"dataset", "run", "report"}
    dataset = ask("GET", "/v1/shown/content", params={"id": found["dataset"]["id"]}).json()
    assert (dataset["count"], dataset["rows"][0]["file"], dataset["rows"][1]["file"]) == (2, "a.png", None)
    assert dataset["missing"] == 1
    run = ask("GET", "/v1/shown/content", params={"id": found["run"]["id"]}).json()
    assert run["count"] == 999 and run["rows"][-1]["step"] == 999 and len(run["rows"]) <= 400
    report = ask("GET", "/v1/shown/content", params={"id": found["report"]["id"]}).json()
    assert report["about"] == {"suite": "s"} and "cases" not in report


@pytest.mark.parametrize(
    "name", ["../../secret.png", "link.png", "/etc/passwd", "manifest.jsonl", "b.png", "%2e%2e/x.png", "\0.png", ""]
)
def test_nothing_else_of_the_machine_is_shown(ask: Ask, name: str) -> None:
    dataset = next(one["id"] for one in ask("GET", "/v1/shown").json()["data"] if one["kind"] == "dataset")
    assert ask("GET", "/v1/shown/media", params={"id": dataset, "name": "a.png"}).status_code == 200
    refused(ask("GET", "/v1/shown/media", params={"id": dataset, "name": name}), 404, "not_found")
    for other in ("0:..", "0:clips/../..", "1:clips", "0:/etc", "", ":", "-1:clips", "0:nothing", "0:\0"):
        refused(ask("GET", "/v1/shown/media", params={"id": other, "name": "secret.png"}), 404, "not_found")


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Ask]]:
    """A folder that is shown, in which others may have written anything, and a function that asks its service."""
    root = tmp_path_factory.mktemp("strange")
    shown = root / "shown"
    shown.mkdir()
    (root / "elsewhere").mkdir()
    (root / "secret.txt").write_text("SECRET")
    for name in ("manifest.jsonl", "log.jsonl", "report.json", "dataset.json"):
        (root / name).write_text(json.dumps({"about": {"key": "SECRET"}, "summary": {}, "licence": "SECRET"}) + "\n")
    video.write_image(root / "elsewhere" / "SECRET.png", np.zeros((8, 8, 3), np.uint8))
    with Service(root / "service", devices=(), shown=(shown,)) as service:
        yield shown, asked(service)


def content(strange: tuple[Path, Ask], files: dict[str, str | Path]) -> httpx.Response:
    """What is shown of a new folder with these files; a path is a link to that file of the parent of the shown one."""
    shown, ask = strange
    folder = shown / f"folder{len(list(shown.iterdir()))}"
    folder.mkdir()
    for name, text in files.items():
        if isinstance(text, Path):
            (folder / name).symlink_to(shown.parent / text)
        else:
            (folder / name).write_text(text)
    assert ask("GET", "/v1/shown").status_code == 200
    return ask("GET", "/v1/shown/content", params={"id": f"0:{folder.name}"})


@pytest.mark.parametrize("name", ["manifest.jsonl", "log.jsonl", "report.json"])
def test_a_folder_whose_files_are_links_out_of_it_is_not_shown(strange: tuple[Path, Ask], name: str) -> None:
    refused(content(strange, {name: Path(name)}), 404, "not_found")


@pytest.mark.parametrize(
    ("name", "target"), [("config.toml", "secret.txt"), ("dataset.json", "dataset.json"), ("samples", "elsewhere")]
)
@pytest.mark.parametrize("mark", ["manifest.jsonl", "log.jsonl"])
def test_no_link_out_of_a_folder_is_followed(strange: tuple[Path, Ask], mark: str, name: str, target: str) -> None:
    answer = content(strange, {mark: '{"key": "a"}\n', name: Path(target)})
    assert answer.status_code == 200 and "SECRET" not in answer.text


def test_links_within_a_folder_and_circles_are_no_failure(strange: tuple[Path, Ask]) -> None:
    shown = strange[0]
    (shown / "inner").mkdir()
    (shown / "inner" / "log.jsonl").write_text('{"step": 1}\n')
    (shown / "inner" / "real.toml").write_text("seed = 7")
    (shown / "inner" / "config.toml").symlink_to("real.toml")
    (shown / "inner" / "dataset.json").symlink_to("dataset.json")
    found = strange[1]("GET", "/v1/shown/content", params={"id": "0:inner"}).json()
    assert (found["config"], found["count"]) == ("seed = 7", 1)


def test_numbers_that_json_does_not_know_are_null(strange: tuple[Path, Ask]) -> None:
    rows = content(strange, {"log.jsonl": '{"step": 1, "loss": NaN, "more": [1e999, "\\ud800"]}\n'}).json()["rows"]
    assert rows == [{"step": 1, "loss": None, "more": [None, "?"]}]


@pytest.mark.parametrize(
    ("name", "rest"), [("report.json", {}), ("dataset.json", {"manifest.jsonl": ""}), ("manifest.jsonl", {})]
)
def test_what_was_edited_is_not_shown_as_it_was_made(
    strange: tuple[Path, Ask], name: str, rest: dict[str, str]
) -> None:
    sealed = seal({"key": "a", "summary": {"success": {"share": 0.75}}})
    assert content(strange, {name: json.dumps(sealed) + "\n", **rest}).status_code == 200
    answer = content(strange, {name: json.dumps(sealed).replace("0.75", "1.0") + "\n", **rest})
    refused(answer, 404, "not_readable")
    assert "was edited" in answer.text and "folder" in answer.text


@pytest.mark.parametrize("report", ["[]", "null", '{"about": [1]}', '{"summary": 3}', "[" * 600 + "]" * 600, "{"])
def test_a_report_of_another_shape_is_refused(strange: tuple[Path, Ask], report: str) -> None:
    refused(content(strange, {"report.json": report}), 404, "not_readable")


def test_a_log_that_is_nested_too_deeply_is_refused(strange: tuple[Path, Ask]) -> None:
    log = '{"a": ' + "[" * 700 + "]" * 700 + "}\n"
    refused(content(strange, {"log.jsonl": log}), 404, "not_readable")


def test_names_that_are_no_names_of_files_are_not_found(strange: tuple[Path, Ask]) -> None:
    long = "a" * 5000
    rows = [{"file": f"{long}.png"}, {"file": "\0.png"}, {"file": "\ud800.png"}]
    answer = content(strange, {"manifest.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    assert [row["file"] for row in answer.json()["rows"]] == [None, None, None]
    ask = strange[1]
    refused(ask("GET", "/v1/shown/content", params={"id": f"0:{long}"}), 404, "not_found")
    known = ask("GET", "/v1/shown").json()["data"][0]["id"]
    refused(ask("GET", "/v1/shown/media", params={"id": known, "name": f"{long}.png"}), 404, "not_found")


def test_folders_whose_names_are_not_utf8_are_left_out(strange: tuple[Path, Ask]) -> None:
    shown, ask = strange
    folder = shown / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "log.jsonl").write_text('{"step": 1}\n')
    found = ask("GET", "/v1/shown")
    assert found.status_code == 200 and not [one for one in found.json()["data"] if "caf" in one["name"]]


def test_the_settings_of_a_foreign_file_are_json(ask: Ask) -> None:
    packed, told = io.BytesIO(), PngInfo()
    told.add_text("comment", '{"seed": NaN, "prompt": "\\ud800"}')
    Image.new("RGB", (32, 32)).save(packed, "PNG", pnginfo=told)
    stored = ask("POST", "/v1/files", files={"file": ("a.png", packed.getvalue())}).json()["id"]
    assert ask("GET", f"/v1/files/{stored}/about").json()["settings"] == {"seed": None, "prompt": "?"}
    ask("DELETE", f"/v1/files/{stored}")


def test_the_numbers_of_the_page_of_docs_are_those_of_the_benchmark() -> None:
    text = (ROOT / "docs" / "studio.md").read_text(encoding="utf-8")
    found = read_json(ROOT / "benchmarks" / "studio.json")
    first, running = found["first_video"], found["while_a_job_runs"]
    painted = running["painted_ms"]
    for words in (
        f"| first load, compressed | {found['first_load_bytes'] / 1000:.1f} kB |",
        f"a video that plays | {first['actions']} |",
        f"{first['preview_seconds']:g} s; {first['video_seconds']:g} s |",
        f"{painted['median']:g} ms (median; {running['events']} events; at most {painted['most']:g} ms)",
        f"load average {found['load_average']:.0f}",
    ):
        assert words in text, words


# The built page


@pytest.mark.parametrize("name", ["..%2froutes.py", "routes.py", "x.js", "index.htm", ".js"])
def test_only_built_files_are_served(ask: Ask, name: str) -> None:
    page = ask("GET", "/")
    assert page.status_code == 200 and "script-src 'self';" in page.headers["content-security-policy"]
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        assert ask("GET", path).status_code == 200
    assert ask("GET", f"/studio/{name}").status_code == 404


def test_the_first_load_is_small_and_names_no_other_host() -> None:
    files = {path.name: path.read_bytes() for path in BUILT.iterdir()}
    first = [files[name] for name in ("index.html", "studio.js", "studio.css")]
    assert sum(len(gzip.compress(content, 6)) for content in first) <= FIRST_LOAD
    hosts = {host for content in files.values() for host in re.findall(rb"https?://([\w.-]+)", content)}
    assert hosts <= {b"www.w3.org", b"svelte.dev"}, "names of namespaces, and of errors of the framework, in comments"


def test_all_words_of_the_page_are_in_one_file() -> None:
    for path in sorted((SOURCES / "src").rglob("*.svelte")):
        markup = re.sub(r"<script.*?</script>|<!--.*?-->", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        while "{" in markup:  # expressions, the inner ones first
            markup = re.sub(r"\{[^{}]*\}", "", markup)
        markup = re.sub(r"=>", "", markup)
        texts = re.findall(r">([^<>]*)<", markup)
        found = [text.strip() for text in texts if re.search(r"[A-Za-z]{2}", re.sub(r"&\w+;|&#x?\w+;", "", text))]
        assert not [text for text in found if text not in ("euler", "heun")], path.name
        assert not re.findall(r'(?:aria-label|title|placeholder|alt)="[^"{]*[A-Za-z]{2}', markup), path.name


def test_the_lock_file_names_no_registry() -> None:
    assert "resolved" not in (SOURCES / "package-lock.json").read_text()


def test_the_built_files_are_those_of_the_sources(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("needs node: apt-get install nodejs npm")
    vite = SOURCES / "node_modules" / ".bin" / "vite"
    if not vite.exists():
        pytest.skip("needs the packages of the page: npm ci in studio/")
    target = tmp_path / "built"
    command = [vite, "build", "--outDir", target, "--logLevel", "error"]
    done = subprocess.run(command, cwd=SOURCES, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    ours, theirs = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (BUILT, target))
    assert ours == theirs, "stale: run npm run build in studio/"


PATHS = "/v1/studio/prompt /v1/studio/estimate /v1/shown /v1/shown/content /v1/shown/media /studio/a.js".split()
FIELDS = "text num_frames fps width height steps guidance id name offset limit".split()
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = TEXTS | st.sampled_from(["0:clips", "0:..", "-1", "1e9"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), query=st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_no_query_is_an_error_of_the_server(ask: Ask, path: str, query: dict[str, str]) -> None:
    answer = ask("GET", path, params=query)
    assert answer.status_code < 500 or (path == "/v1/studio/estimate" and answer.status_code == 503), answer.text
