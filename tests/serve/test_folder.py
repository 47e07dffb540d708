"""What lies in the folder of a service: whose it is, which model its jobs are of, what is deleted, and who may read."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from chronotope.errors import FileProblem, UsageError
from chronotope.serve.jobs.store import StoreProblem, new_id
from chronotope.serve.order import FieldError
from chronotope.serve.service import Service
from tests.cli.models import save_run
from tests.serve.asking import ORDER, Ask, asked, picture


def test_what_has_expired_is_deleted(ask: Ask, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [ask("POST", "/v1/videos", json=ORDER).json()["id"] for _ in range(3)]
    file = ask("POST", "/v1/files", files={"file": ("a.png", picture())}).json()["id"]
    for name in names[:2]:
        service.store.claim()
        service.store.complete(name, {"bytes": 1})
        (service.folder / "outputs" / f"{name}.mp4").write_bytes(b"x")
    assert service.remove_expired() == 0
    with monkeypatch.context() as patched:  # the clock is set forward by a year, and back
        patched.setattr(time, "time", lambda now=time.time: now() + 365 * 86_400)
        assert service.remove_expired() == 0
    service.limits = replace(service.limits, keep_days=-1)
    assert service.remove_expired() == 3
    assert [ask("GET", f"/v1/videos/{name}").status_code for name in names] == [404, 404, 200]
    assert ask("GET", f"/v1/files/{file}").status_code == 404
    assert [*(service.folder / "outputs").iterdir(), *(service.folder / "inputs").iterdir()] == []


def test_files_of_no_job_are_removed_at_the_start(tmp_path: Path) -> None:
    with Service(tmp_path / "service", devices=()) as service:
        kept = asked(service)("POST", "/v1/files", files={"file": ("a.png", picture())}).json()["id"]
        lost = f"inputs/{new_id('file')}.png", f"outputs/{new_id('video')}.mp4.json"
        for name in (*lost, "outputs/.video_1.mp4.0123456789abcdef.part", "outputs/holiday.mp4"):
            (service.folder / name).write_bytes(b"x")
    with Service(tmp_path / "service", devices=()) as service:
        found = [path.name for name in ("inputs", "outputs") for path in (service.folder / name).iterdir()]
        assert found == [f"{kept}.png", "holiday.mp4"], "files of no service of ours are somebody's"


def test_an_older_copy_of_the_database_deletes_no_videos(tmp_path: Path) -> None:
    folder = tmp_path / "service"
    with Service(folder, devices=()):
        pass
    shutil.copy(folder / "jobs.sqlite3", tmp_path / "older")
    with Service(folder, devices=()) as service:
        ask = asked(service)
        name = ask("POST", "/v1/videos", json=ORDER).json()["id"]
        ask("POST", "/v1/files", files={"file": ("a.png", picture())})
        for ending in ("mp4", "mp4.json", "preview.webp"):
            (folder / "outputs" / f"{name}.{ending}").write_bytes(b"x")
    before = sorted(path.name for path in folder.rglob("*_*"))
    shutil.copy(tmp_path / "older", folder / "jobs.sqlite3")
    with Service(folder, devices=()) as service:
        assert service.kept == [f"{name}.mp4"]
    assert sorted(path.name for path in folder.rglob("*_*")) == before


def test_the_files_of_a_deleted_job_do_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may be killed between the deletion of a job, which is final, and that of its files."""
    folder = tmp_path / "service"
    with Service(folder, devices=()) as service:
        ask = asked(service)
        names = [ask("POST", "/v1/videos", json=ORDER).json()["id"] for _ in range(2)]
        file = ask("POST", "/v1/files", files={"file": ("a.png", picture())}).json()["id"]
        for name in names:
            for ending in ("mp4", "mp4.json"):
                (folder / "outputs" / f"{name}.{ending}").write_bytes(b"x")
        with monkeypatch.context() as patched:
            patched.setattr(Service, "_remove_output", lambda *_: None)
            patched.setattr(Service, "_unlink", lambda *_: None)
            service.delete("local", names[0])
            service.delete_file("local", file)
        assert len([*folder.rglob("*_*")]) == 5
    for _ in range(2):
        with Service(folder, devices=()) as service:
            assert service.kept == [] and service.store.deleted() == set()
        assert sorted(path.name for path in folder.rglob("*_*")) == [f"{names[1]}.mp4", f"{names[1]}.mp4.json"]


def test_a_folder_of_somebody_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "holiday.mp4").write_bytes(b"x")
    tmp_path.chmod(0o755)
    with pytest.raises(UsageError, match=r"holds outputs and no jobs.sqlite3.*new or empty --folder"):
        Service(tmp_path, devices=()).__enter__()
    assert [path.name for path in tmp_path.rglob("*")] == ["outputs", "holiday.mp4"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_videos_outlive_the_loss_of_the_database(tmp_path: Path) -> None:
    with Service(tmp_path / "service", devices=()) as service:
        name = asked(service)("POST", "/v1/videos", json=ORDER).json()["id"]
        (service.folder / "outputs" / f"{name}.mp4").write_bytes(b"x")
    (service.folder / "jobs.sqlite3").rename(tmp_path / "kept")
    with pytest.raises(UsageError, match=r"its jobs.sqlite3 is lost"):
        Service(service.folder, devices=()).__enter__()
    (service.folder / "jobs.sqlite3").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreProblem, match=r"is damaged .*bring jobs.sqlite3 back"):
        Service(service.folder, devices=()).__enter__()
    assert (service.folder / "outputs" / f"{name}.mp4").read_bytes() == b"x"


def test_a_job_is_done_by_the_model_that_it_was_accepted_for(tmp_path: Path) -> None:
    model, other = (save_run(tmp_path / name, seed) for seed, name in enumerate(("mine", "other")))
    with Service(tmp_path / "service", str(model), devices=()) as service:
        made, waits = (asked(service)("POST", "/v1/videos", json=ORDER).json()["id"] for _ in range(2))
        service._task(service.store.claim())  # type: ignore[arg-type]
        service.store.complete(made, {"bytes": 1})
    with Service(tmp_path / "service", str(other), devices=()) as service:
        ask = asked(service)
        assert [ask("GET", f"/v1/videos/{name}").json()["model"] for name in (made, waits)] == ["mine", "mine"]
        assert ask("POST", "/v1/videos", json=ORDER).json()["model"] == "other"
        with pytest.raises(FieldError, match=r"accepted for the model 'mine' .* now has 'other' .* send") as problem:
            service._task(service.store.claim())  # type: ignore[arg-type]
        assert problem.value.code == "model_changed"
    save_run(model, seed=5)
    with Service(tmp_path / "service", str(model), devices=()) as service, pytest.raises(FieldError, match="'mine'"):
        service._task(service.store.get(waits))  # type: ignore[arg-type]


def test_other_users_of_the_machine_read_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "service"
    folder.mkdir(mode=0o755)
    with Service(folder, devices=()):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileProblem, match=r"model\.json"), Service(tmp_path / "service", str(tmp_path / "empty"), ()):
        pass
    with pytest.raises(UsageError, match="a file"), Service(tmp_path / "service", __file__, ()):
        pass
