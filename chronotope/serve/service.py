"""The service without HTTP: orders -> jobs, jobs -> tasks of workers, and the folder in which everything lies.

FOLDER/jobs.sqlite3  jobs and files      inputs/ID.suffix  what was uploaded
FOLDER/log.jsonl     requests, errors   outputs/ID.mp4    videos, with ID.mp4.json beside
"""

from __future__ import annotations

import contextlib
import filecmp
import logging
import os
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from chronotope.errors import FileProblem, UsageError
from chronotope.generate.files import ExpectedFile
from chronotope.generate.stored.folders import find_model
from chronotope.media.picture import sidecar
from chronotope.processes import uptime
from chronotope.safety.audit import record
from chronotope.safety.policy.decide import default_policy, read_policy
from chronotope.serve.jobs.pool import Pool, Progress
from chronotope.serve.jobs.store import Job, Store, StoredFile, StoreProblem, new_id
from chronotope.serve.jobs.worker import Task
from chronotope.serve.limits import Limits, ModelFacts, QuotaError, read_model_facts
from chronotope.serve.order import FieldError, Order, Upload, digest_of, shown_name
from chronotope.serve.refusals import check_texts, check_upload, fields_of_files
from chronotope.serve.texts import check_lengths
from chronotope.serve.uploads import decode_data_url, made_settings, save_upload, unchanged, unchanged_output
from chronotope.storage import file_sha256, locked, remove_partials

__all__ = ["MissingError", "Service"]

log = logging.getLogger("chronotope.serve")
DAY = 86_400
DATABASE = "jobs.sqlite3"
OWN_NAME = re.compile(r"(file|video|picture)_[0-9a-f]{32}(\..*)?")
STOPPED = "stopped"  # the name of a file; see `Service._check_open`
SWEEP_SECONDS = 60.0  # between two searches for what has expired
MAX_RETRY_SECONDS = 600


class MissingError(FieldError):
    """There is no job or file of this identifier, or it is another owner's."""


@dataclass
class Service:
    """A folder of jobs, and the workers that do them; enter it as a context to lock the folder and start them."""

    folder: Path
    model: str = "small"
    devices: Sequence[str] = ("cpu",)
    limits: Limits = field(default_factory=Limits)
    threads: int | None = None
    shown: Sequence[Path] = ()  # folders that the page shows, and that nothing is written into
    policy: Path | None = None
    batch: int = 1  # jobs that a worker samples at once, see `Pool`

    def __post_init__(self) -> None:
        self._exits = contextlib.ExitStack()
        self._stopped = threading.Event()
        self._began = time.time() - uptime()

    def __enter__(self) -> Service:
        self._check_folder()
        with contextlib.ExitStack() as exits:
            exits.enter_context(locked(self.folder))
            self._close_folder()
            self.facts: ModelFacts = read_model_facts(find_model(self.model))
            self.store = Store(self.folder / DATABASE)
            exits.callback(self.store.close)
            for name in ("inputs", "outputs"):
                (self.folder / name).mkdir(exist_ok=True)
            self.rules = read_policy(self.policy) if self.policy else default_policy()
            self.recovered = self.store.recover()
            self.kept = self._remove_orphans()
            self.pool = Pool(
                self.store,
                self.facts,
                self.devices,
                self._task,
                self._remove_output,
                self.threads,
                self.limits.step_seconds,
                self.batch,
            )
            self.pool.start()
            exits.callback(self.pool.stop)
            sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
            sweeper.start()
            exits.callback(sweeper.join)
            exits.callback(self._stopped.set)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._exits.close()

    def _check_folder(self) -> None:
        """Refuse a folder of somebody else's, and one that lost its database: files of no job are deleted."""
        try:
            if (self.folder / DATABASE).is_file() or not self.folder.is_dir():
                return
            strangers = sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
        except OSError as problem:
            raise FileProblem(f"{self.folder} cannot be read: {problem.strerror}") from None
        if strangers:
            raise UsageError(
                f"{self.folder} holds {shown_name(strangers[0])} and no {DATABASE}, so it is not the folder of a "
                f"service, or its {DATABASE} is lost: give a new or empty --folder, or bring that file back"
            )

    def _close_folder(self) -> None:
        """Close the folder to other users of the machine: prompts and videos of every owner are in it."""
        try:
            self.folder.chmod(0o700)
        except OSError as problem:
            log.warning("other users of this machine may read %s: %s", self.folder, problem.strerror)

    # Orders

    def create(
        self,
        owner: str,
        order: Order,
        media: Mapping[str, Any],
        kind: Literal["video", "picture"] = "video",
        key: str | None = None,
        remixed_from: str | None = None,
    ) -> Job:
        """Store the media of an order, check it, and commit its job; when this returns, the job is not lost any more.

        Raises `FieldError`, `QuotaError`, `ConflictError`, or `StoreProblem` where nothing was stored.
        """
        digest = digest_of(order, media, kind, remixed_from)
        if key is not None and (earlier := self.store.with_key(owner, key, digest)):
            return earlier
        self.limits.check_order(order)
        self._check_open()
        self._check_policy(order)
        check_lengths(self.facts, order.story, order.negative, order.guidance, order.expand)
        self._check_quota(owner)
        name, files = new_id(kind), list[StoredFile]()
        sources = self._sources(owner, media)
        try:
            order = self._store_media(owner, name, order, media, files, sources)
            self.limits.check_order(order)
            self._check_files(order, files)
            asked = order.to_json() | self._expected(order, files, sources) | {"model": self._model()}
            job = Job(0, name, owner, kind, "queued", asked, remixed_from, time.time(), None, None, 0, None, None)
            made = self.store.add(job, files, key, digest, list(sources))
        except sqlite3.IntegrityError as problem:
            self._unlink(files)
            raise StoreProblem(f"the job could not be stored ({problem}); try again") from None
        except BaseException:
            self._unlink(files)
            raise
        if made.id != name:  # another request with the same key was faster
            self._unlink(files)
        self.pool.wake()
        return made

    def _check_open(self) -> None:
        """Refuse every job while the file `stopped` lies in the folder: the switch of whoever runs the service."""
        if self._is_stopped():
            raise StoreProblem("this service makes no videos now; whoever runs it has stopped it")

    def _is_stopped(self) -> bool:
        """Return whether the service is stopped, which is recorded for every job that it refuses."""
        stopped = (self.folder / STOPPED).exists()
        if stopped:
            about = {"rule": f"the file '{STOPPED}'", "score": 1.0, "policy": self.rules.hash}
            record({"event": "refused", "text": "job", **about, "version": self.rules.version})
        return stopped

    def _check_policy(self, order: Order) -> None:
        """Refuse an order before it waits; the worker decides once more, also of the expanded text."""
        prompt = "\n".join(text for _, text in order.story)
        check_texts(self.rules, self._judged(prompt, order.negative, order.guidance))

    def _check_files(self, order: Order, files: Sequence[StoredFile]) -> None:
        """Refuse given files before they wait, by what they carry; the worker judges their frames, too."""
        for file in files:
            check_upload(self.rules, self.input_path(file), fields_of_files(order)[file.id], order.consent)

    def refusal(self, prompts: Sequence[str], negative: str, guidance: float | None, expand: bool) -> str:
        """Return the words in which an order with these texts would be refused, or the empty text; record nothing."""
        if refused := self.rules.refusal(self._judged("\n".join(prompts), negative, guidance)):
            return refused
        try:
            check_lengths(self.facts, tuple(enumerate(prompts)), negative, guidance, expand)
        except FieldError as problem:
            return str(problem)
        return ""

    def _judged(self, prompt: str, negative: str, guidance: float | None) -> dict[str, str]:
        """Return the texts that the policy decides of, by the names of their fields."""
        scale = self.facts.defaults.guidance_scale if guidance is None else guidance
        followed = {"negative_prompt": negative} if negative and scale < 1 else {}  # as `Generator.plan` judges it
        return {"prompt": prompt, **followed}

    def _check_quota(self, owner: str) -> None:
        if (queued := self.store.queued(owner)) >= self.limits.queued:
            after = min(MAX_RETRY_SECONDS, max(1, round(self.store.job_seconds())))
            raise QuotaError(
                f"{queued} of your jobs wait already; try again when one has ended", "rate_limit_exceeded", after
            )
        if self.store.stored_bytes() >= self.limits.stored_bytes:
            gigabytes = self.limits.stored_bytes / 1e9
            raise QuotaError(
                f"the {gigabytes:.1f} GB of this server are full; delete videos or files", "insufficient_quota", 60
            )
        free = shutil.disk_usage(self.folder).free
        if free < self.limits.free_bytes:
            raise StoreProblem("the disk of this server is full; try again when its owner has made room")

    def _sources(self, owner: str, media: Mapping[str, Any]) -> dict[str, Job]:
        """Return the jobs among the clips of an order that have not ended: the order waits for their outputs."""
        named = [value for name in ("video", "into") if isinstance(value := media.get(name), str)]
        jobs = [job for job in map(self.store.get, named) if job and job.owner == owner and job.kind == "video"]
        return {job.id: job for job in jobs if not job.ended}

    def _store_media(
        self,
        owner: str,
        job: str,
        order: Order,
        media: Mapping[str, Any],
        files: list[StoredFile],
        sources: Mapping[str, Job],
    ) -> Order:
        """Save or link every file of an order, append them to `files`, and return the order with their identifiers."""

        def stored(param: str, value: str | Upload) -> str:
            if param in ("video", "into") and isinstance(value, str) and value in sources:
                return value
            files.append(self._store_input(owner, job, param, value))
            return files[-1].id

        pictures = tuple(stored("image", value) for value in media.get("image", ()))
        clips: dict[str, Any] = {name: stored(name, media[name]) for name in ("video", "into", "mask") if name in media}
        if order.at and len(order.at) != len(pictures):
            raise FieldError("at", f"there are {len(pictures)} pictures and {len(order.at)} times; give one for each")
        if len(pictures) > 1 and not order.at:
            raise FieldError("at", "several pictures need their times, in seconds")
        return replace(order, images=pictures or order.images, **clips)

    def _store_input(self, owner: str, job: str | None, param: str, value: str | Upload) -> StoredFile:
        name = new_id("file")
        if isinstance(value, str) and not value.lstrip().startswith("data:"):
            source, suffix = self.path_of_source(owner, param, value)
            target = self.folder / "inputs" / f"{name}{suffix}"
            _link(source, target)
            return StoredFile(name, owner, job, value, suffix, target.stat().st_size, time.time(), file_sha256(target))
        upload = decode_data_url(param, value) if isinstance(value, str) else value
        suffix, digest = save_upload(param, upload, lambda end: self.folder / "inputs" / f"{name}{end}", self.limits)
        size = len(upload.content)
        return StoredFile(name, owner, job, upload.name[-100:], suffix, size, time.time(), digest)

    def path_of_source(self, owner: str, param: str, name: str) -> tuple[Path, str]:
        """Return the path and suffix of a file or of a finished video, by its identifier."""
        if file := self.store.file(name):
            if file.owner == owner:
                return unchanged(self.input_path(file), file), file.suffix
        elif job := self.store.get(name):
            if job.owner == owner and job.state != "completed":
                raise FieldError(param, f"the {job.kind} {name} is {job.state}; name a completed one", "not_completed")
            if job.owner == owner:
                path = self.check_output(job)
                return path, path.suffix
        raise MissingError(param, f"there is no file or video '{shown_name(name)}'", "not_found")

    def _expected(self, order: Order, files: Sequence[StoredFile], sources: Mapping[str, Job]) -> dict[str, Any]:
        """Check an order with placeholders for its files; return the size and length that the video will have."""
        facts = self.facts
        paths = {file.id: self.input_path(file) for file in files}
        paths |= {name: self.output_path(job) for name, job in sources.items()}
        request = order.request(paths, facts.defaults.fps)
        expected = {paths[name]: _expected_file(job) for name, job in sources.items()}
        request = replace(request, expected=expected)
        asked = request.preview(facts.defaults, facts.geometry)
        self.limits.check_request(asked, facts)
        width, height = facts.size_of(asked)
        inputs, fps = asked.inputs, asked.fps or facts.defaults.fps
        num_frames = inputs.video_frames if inputs.keeps_length else asked.num_frames or facts.defaults.num_frames
        if inputs.task in ("extend", "extend_backward", "connect", "loop"):
            num_frames += inputs.video_frames + (0 if inputs.into is None else len(inputs.into))
        return {"expected": {"width": width, "height": height, "num_frames": num_frames, "fps": fps}}

    def _model(self) -> dict[str, str]:
        """Return the model that a job is accepted for."""
        return {"name": self.facts.name, "identity": self.facts.identity}

    # Jobs

    def job(self, owner: str, name: str) -> Job:
        """Return a job of an owner; raise `MissingError` where there is none."""
        job = self.store.get(name)
        if job is None or job.owner != owner:
            raise MissingError(None, f"there is no video or picture '{shown_name(name)}'", "not_found")
        return job

    def order_of(self, job: Job) -> Order:
        """Return the order of a job."""
        return Order.from_json({name: value for name, value in job.asked.items() if name not in ("expected", "model")})

    def progress(self, job: Job) -> Progress:
        """Return how far a job has come."""
        return self.pool.progress.get(job.id, Progress())

    def delete(self, owner: str, name: str) -> None:
        """Delete a job and its files; one in progress stops after its step."""
        job = self.job(owner, name)
        files = self.store.delete(name)
        self.pool.cancel(name)
        self._unlink(files)
        self._remove_output(job.id)

    def add_file(self, owner: str, upload: Upload) -> StoredFile:
        """Store an uploaded file for later requests."""
        self._check_quota(owner)
        file = self._store_input(owner, None, "file", upload)
        try:
            check_upload(self.rules, self.input_path(file), "file", None)
            self.store.add_file(file)
        except BaseException:
            self._unlink([file])
            raise
        return file

    def file(self, owner: str, name: str) -> StoredFile:
        """Return an uploaded file of an owner; raise `MissingError` where there is none."""
        file = self.store.file(name)
        if file is None or file.owner != owner or file.job is not None:
            raise MissingError(None, "there is no such file", "not_found")
        return file

    def job_of_file(self, owner: str, path: Path) -> Job | None:
        """Return the job of an owner whose output has the bytes of a file; None where there is none."""
        for job in self.store.of_size(owner, path.stat().st_size):
            output = self.output_path(job)
            if output.is_file() and filecmp.cmp(output, path, shallow=False):
                return job
        return None

    def delete_file(self, owner: str, name: str) -> None:
        """Delete an uploaded file; jobs that were made from it have their own copies."""
        file = self.file(owner, name)
        self.store.delete_file(name)
        self._unlink([file])

    def _task(self, job: Job) -> Task:
        if self._is_stopped():
            raise FileProblem("this service was stopped by whoever runs it")
        if (model := job.asked.get("model", self._model())) != self._model():  # without it: of an earlier version
            raise FieldError(
                "model",
                f"it was accepted for the model '{model['name']}' ({model['identity']}), and this server now has "
                f"'{self.facts.name}' ({self.facts.identity}); send the request again",
                "model_changed",
            )
        order = self._adopt(job)
        paths = {}
        for name in order.files:
            file = self.store.file(name)
            if file is None:
                raise FileProblem(f"the file {name} is gone")
            paths[name] = unchanged(self.input_path(file), file)
        return Task(job.id, order, paths, self.output_path(job), self.preview_path(job), self.policy)

    def _adopt(self, job: Job) -> Order:
        """Return the order of a job; outputs of jobs that it has waited for become input files of its own."""
        order, files = self.order_of(job), list[StoredFile]()
        own: dict[str, Any] = {}
        try:
            for param in ("video", "into"):
                name = getattr(order, param)
                if name is None or self.store.file(name) is not None:
                    continue
                source = self.store.get(name)
                if source is None or source.state != "completed":
                    state = "was deleted" if source is None else "has failed"
                    raise FieldError(param, f"the video {name}, of which it was to be made, {state}", "source_lost")
                files.append(self._store_input(job.owner, job.id, param, name))
                own[param] = files[-1].id
            if files:
                self.store.adopt(job.id, job.asked | own, files)
        except BaseException:
            self._unlink(files)
            raise
        return replace(order, **own)

    # Files on disk: every name is an identifier of ours, and none is a user's

    def input_path(self, file: StoredFile) -> Path:
        """Return where an input file lies."""
        return self.folder / "inputs" / f"{file.id}{file.suffix}"

    def output_path(self, job: Job) -> Path:
        """Return where the output of a job lies, or will."""
        return self.folder / "outputs" / f"{job.id}{'.png' if job.kind == 'picture' else '.mp4'}"

    def check_output(self, job: Job) -> Path:
        """Return the path of the output of a finished job; raise `FieldError` where it is not the one that was made."""
        return unchanged_output(self.output_path(job), (job.result or {}).get("sha256"), job.id)

    def preview_path(self, job: Job) -> Path:
        """Return where a picture of a job in progress lies, if there is one."""
        return self.folder / "outputs" / f"{job.id}.preview.webp"

    def settings(self, job: Job) -> dict[str, Any]:
        """Return the settings with which a file was made, from its sidecar; raise `FieldError` where it was changed."""
        sha256 = (job.result or {}).get("settings_sha256")
        if (found := made_settings(sidecar(self.output_path(job)), sha256, job.id)) is None:
            raise MissingError(None, "the settings of this video are gone", "not_found")
        return found

    def _remove_output(self, name: str) -> None:
        for path in (self.folder / "outputs").glob(f"{name}.*"):
            path.unlink(missing_ok=True)

    def _unlink(self, files: Sequence[StoredFile]) -> None:
        for file in files:
            self.input_path(file).unlink(missing_ok=True)

    def _remove_orphans(self) -> list[str]:
        """Delete what a service that was killed left: half-written files, those of deleted jobs, and those of no job.

        Finished videos and pictures of no job stay and are named: the database may be an older copy. Then uploads of
        no job stay, too.
        """
        folders = [self.folder / "inputs", self.folder / "outputs"]
        remove_partials(*folders)
        names = self.store.names()
        lost = [path for folder in folders for path in folder.iterdir() if path.is_file()]
        lost = [path for path in lost if OWN_NAME.fullmatch(path.name) and path.name.partition(".")[0] not in names]
        deleted = self.store.deleted()
        for path in [path for path in lost if path.name.partition(".")[0] in deleted]:
            path.unlink(missing_ok=True)
            lost.remove(path)
        self.store.forget_deleted()
        made = {path.stem for path in lost if path.parent.name == "outputs" and sidecar(path).is_file()}
        for path in lost:
            if path.name.partition(".")[0] not in made and not (made and path.parent.name == "inputs"):
                path.unlink(missing_ok=True)
        return sorted(path.name for path in lost if path.stem in made)

    def _sweep(self) -> None:
        """Delete what has expired, now and then."""
        while not self._stopped.wait(SWEEP_SECONDS):
            with contextlib.suppress(StoreProblem, FileProblem, OSError):
                self.remove_expired()

    def remove_expired(self) -> int:
        """Delete jobs that ended, and files that were uploaded, longer ago than they are kept; return how many."""
        set_forward = max(0.0, time.time() - uptime() - self._began)  # nothing is older because a clock was set
        oldest = time.time() - set_forward - self.limits.keep_days * DAY
        ended, files = self.store.ended_before(oldest), self.store.files_before(oldest)
        for name in ended:
            self._unlink(self.store.delete(name))
            self._remove_output(name)
        for file in files:
            self.store.delete_file(file.id)
        self._unlink(files)
        return len(ended) + len(files)


def _expected_file(job: Job) -> ExpectedFile:
    """Return the size and length that the output of a job will have."""
    shown = job.asked["expected"]
    return ExpectedFile((shown["width"], shown["height"]), shown["num_frames"] / shown["fps"])


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links; it may be gone by now.

    Raises `StoreProblem` where it cannot be copied, as on a full disk.
    """
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise MissingError(None, "the file was deleted meanwhile", "not_found") from None
    except OSError:
        try:
            shutil.copyfile(source, target)
        except OSError as problem:
            target.unlink(missing_ok=True)
            raise StoreProblem(f"a file cannot be copied now ({problem.strerror}); try again later") from None
