"""Files appear complete or not at all, and errors name the file and the line."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chronotope.errors import FileProblem, UsageError
from chronotope.jsonl import append_jsonl, read_jsonl, write_jsonl
from chronotope.storage import (
    LOCK,
    atomic_file,
    file_sha256,
    free_space_for,
    is_partial,
    locked,
    locked_output,
    read_json,
    read_toml,
    remove_partials,
    write_atomically,
    write_folder,
    write_json,
)
from tests.test_processes import alive

# Processes that work in a folder: each says what it has done on stdout and then waits for a line on stdin.
HOLD = """
from pathlib import Path
from chronotope.storage import locked
with locked(Path({folder!r})):
    print("locked", flush=True)
    input()
"""
COUNT = """
import time
from pathlib import Path
from chronotope.errors import UsageError
from chronotope.storage import locked
folder, done = Path({folder!r}), 0
print("ready", flush=True)
while done < 20:
    try:
        with locked(folder):
            (folder / "counter").write_text(str(int((folder / "counter").read_text()) + 1))
            done += 1
    except UsageError:
        time.sleep(0.001)
"""
WRITE = """
from pathlib import Path
from chronotope.storage import write_folder
def fill(folder):
    (folder / "half").write_text("half")
    print(folder.name, flush=True)
    input()
write_folder(Path({folder!r}) / "run", fill)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_atomically(target, "old")
    with atomic_file(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
        assert ".part" in partial.name
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_an_interrupted_file_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write_atomically(target, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(target) as partial:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_an_interrupted_folder_leaves_the_old_one(tmp_path: Path) -> None:
    def interrupt(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    write_folder(tmp_path / "run", lambda folder: (folder / "whole").touch())
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "run", interrupt)
    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == ["whole"]
    write_folder(tmp_path / "run", lambda folder: (folder / "new").touch())
    assert names(tmp_path / "run") == ["new"]


def test_unwritable_paths_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "a.json", tmp_path / "file" / "a.json"):
        with pytest.raises(FileProblem, match=r"a\.json cannot be written"):
            write_json(path, {})
    assert names(tmp_path) == ["file"]


def test_json_round_trip_and_problems(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(FileProblem, match=r"a\.json is missing"):
        read_json(path)
    write_json(path, {"b": [1, None]})
    assert read_json(path) == {"b": [1, None]}
    path.write_text("{")
    (tmp_path / "long.json").write_text("9" * 10_000)
    with pytest.raises(FileProblem, match=r"long\.json is not readable JSON: it holds a whole number of more than"):
        read_json(tmp_path / "long.json")
    with pytest.raises(FileProblem, match=r"a\.json is not readable JSON"):
        read_json(path)


def test_json_lines_round_trip_and_problems(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(FileProblem, match=r"a\.jsonl is missing"):
        read_jsonl(path)
    append_jsonl(path, {"a": 1})
    append_jsonl(path, {"a": 2}, {"a": 3})
    assert read_jsonl(path) == [{"a": 1}, {"a": 2}, {"a": 3}]
    write_jsonl(path, ({"a": number} for number in (4, 5)))
    assert read_jsonl(path) == [{"a": 4}, {"a": 5}]
    for damaged in ("[1]", '{"a":', "", "\0\0"):
        path.write_text('{"a": 1}\n' + damaged + '\n{"a": 2}\n')
        with pytest.raises(FileProblem, match=r"a\.jsonl, line 2, is not a JSON object"):
            read_jsonl(path)


# JSON lines after a kill


@pytest.mark.parametrize("length", range(1, 29))
def test_a_torn_last_line_is_dropped_and_said_and_replaced_by_the_next_row(tmp_path: Path, length: int) -> None:
    """A line cut at any byte, also inside a character, is dropped, and the next row is a line of its own."""
    path, said = tmp_path / "a.jsonl", list[str]()
    row = '{"name": "caf\u00e9 \u96ea", "b": 1}\n'.encode()
    first = b'{"a": 1}\n'
    path.write_bytes(first + row[:length])
    assert read_jsonl(path, said.append) == [{"a": 1}]
    assert said == [f"{path}: the last line, 2, was cut off while it was written and is left out"]
    append_jsonl(path, {"a": 2})
    assert read_jsonl(path, said.append) == [{"a": 1}, {"a": 2}] and len(said) == 1
    assert path.read_bytes() == b'{"a": 1}\n{"a": 2}\n'


def test_a_whole_last_line_without_its_line_break_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}')
    assert read_jsonl(path, pytest.fail) == [{"a": 1}]
    append_jsonl(path, {"a": 2})
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n'


def test_a_long_torn_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append_jsonl(path, {"a": "x" * 10_000})
    path.write_bytes(path.read_bytes() + b'{"b": "' + b"y" * 100_000)
    append_jsonl(path, {"c": 1})
    assert [list(row) for row in read_jsonl(path)] == [["a"], ["c"]]


def test_a_row_that_does_not_fit_on_the_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append_jsonl(path, {"a": 1})
    before = path.read_bytes()

    def child() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
        with pytest.raises(FileProblem, match=r"a\.jsonl cannot be written: File too large"):
            append_jsonl(path, {"long": "x" * 100})

    run_in_child(child)
    assert path.read_bytes() == before


# Partial files


def test_partial_files_are_new_files_with_the_usual_mode_and_unpredictable_names(tmp_path: Path) -> None:
    names_seen = set()
    for _ in range(3):
        with atomic_file(tmp_path / "fox.mp4", keep_suffix=True) as partial:
            assert is_partial(partial.name) and partial.suffix == ".mp4" and partial.name.startswith("fox.")
            assert partial.stat().st_mode & 0o777 == 0o666 & ~current_umask()
            names_seen.add(partial.name)
    assert len(names_seen) == 3 and names(tmp_path) == ["fox.mp4"]
    assert not any(map(is_partial, ("fox.mp4", "fox.part.mp4", "a.part", ".lock", "0123456789abcdef.part")))


def test_a_link_at_the_target_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to("precious")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "link").is_symlink() and (tmp_path / "link").read_text() == "new"


@pytest.mark.parametrize("name", ["a" * 255, "a" * 251 + ".mp4", "\u96ea" * 83 + ".mp4"])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    for keep_suffix in (False, True):
        with atomic_file(tmp_path / name, keep_suffix) as partial:
            assert is_partial(partial.name)
    with locked_output(tmp_path / name):
        pass
    assert names(tmp_path) == [name]


def test_partial_files_of_killed_writers_are_removed_and_those_of_living_ones_are_not(tmp_path: Path) -> None:
    (tmp_path / "my.part").write_text("not ours")
    writers = [start(WRITE, tmp_path) for _ in range(2)]
    assert len(names(tmp_path)) == 3 and remove_partials(tmp_path) == []
    kill(writers[0][0])
    assert [path.name for path in remove_partials(tmp_path)] == [writers[0][1]]
    assert finish(writers[1][0]) == 0
    assert names(tmp_path) == ["my.part", "run"] and names(tmp_path / "run") == ["half"]


def test_only_the_partial_files_of_one_target_are_removed(tmp_path: Path) -> None:
    mark = "0123456789abcdef.part"
    for name in (f"fox.{mark}.mp4", f".fox.mp4.{mark}", f"box.{mark}.mp4", f"fox.{mark}.gif"):
        (tmp_path / name).touch()
    remove_partials(tmp_path, target=tmp_path / "fox.mp4")
    assert names(tmp_path) == [f"box.{mark}.mp4", f"fox.{mark}.gif"]


def test_two_processes_that_write_one_folder_leave_one_whole_folder(tmp_path: Path) -> None:
    for _ in range(3):
        writers = [start(WRITE, tmp_path) for _ in range(3)]
        for process, _ in writers:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        assert [finish(process) for process, _ in writers] == [0, 0, 0]
        assert names(tmp_path) == ["run"] and names(tmp_path / "run") == ["half"]


# Every system call of a write fails once


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("call", ["open", "fsync", "replace", "rename"])
def test_a_failing_system_call_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int
) -> None:
    write_atomically(tmp_path / "a", "old")
    write_folder(tmp_path / "run", lambda folder: write_atomically(folder / "a", "old"))

    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        for write, calls in (
            (lambda: write_atomically(tmp_path / "a", "new"), ("open", "fsync", "replace")),
            (lambda: write_folder(tmp_path / "run", lambda folder: None), ("open", "fsync", "rename")),
        ):
            if call not in calls:
                write()
                continue
            with pytest.raises(FileProblem, match=f"cannot be written: {os.strerror(error)}") as problem:
                write()
            assert ".part" not in str(problem.value)
    remove_partials(tmp_path)
    assert names(tmp_path) == ["a", "run"]
    assert (tmp_path / "a").read_text() == ("new" if call == "rename" else "old")
    assert names(tmp_path / "run") == ([] if call == "replace" else ["a"])


# Locks


def test_a_locked_folder_is_refused_to_others_with_the_holder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    holder, _ = start(HOLD, folder)
    with pytest.raises(UsageError, match=f"run is being written by process {holder.pid} on .*; wait"), locked(folder):
        pytest.fail("locked twice")
    with locked(folder / "below"), locked(tmp_path):
        (folder / "below" / "file").touch()
    assert finish(holder) == 0
    with locked(folder), locked(folder):
        assert names(folder) == [".lock", "below"]
    assert names(folder) == ["below"]
    with locked(tmp_path / "another"):
        pass
    assert names(tmp_path) == ["new"]  # a folder in which nothing was written does not stay


def test_a_lock_is_waited_for_whose_holder_is_dead(tmp_path: Path) -> None:
    """A child that is being started while its parent is killed has the parent's descriptors for a moment."""
    orphan = (
        "import fcntl, os, subprocess, sys\n"
        f"lock = os.open({str(tmp_path / LOCK)!r}, os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "child = subprocess.Popen(['sleep', '1'], pass_fds=[lock], stdout=subprocess.DEVNULL)\n"
        "from chronotope.storage import json, socket\n"
        "os.write(lock, json.dumps({'pid': os.getpid(), 'host': socket.gethostname(), 'command': ''}).encode())\n"
        "print(child.pid, flush=True)\n"
    )
    child = int(subprocess.run([sys.executable, "-c", orphan], capture_output=True, check=True).stdout)
    with locked(tmp_path):
        assert not alive(child)


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    holder, _ = start(HOLD, tmp_path)
    kill(holder)
    assert names(tmp_path) == [".lock"]
    with locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()
    assert names(tmp_path) == []


def test_a_lock_ends_with_its_process_and_not_with_its_workers(tmp_path: Path) -> None:
    code = (
        "import multiprocessing, os, time\nfrom pathlib import Path\nfrom chronotope.storage import locked\n"
        f"with locked(Path({str(tmp_path)!r})):\n"
        "    worker = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))\n"
        "    worker.start()\n    print(worker.pid, flush=True)\n    input()\n"
    )
    holder, worker = start(code, tmp_path)
    holder.kill()
    holder.wait()
    try:
        while not _can_lock(tmp_path):  # until the forked worker has run far enough to let go of its copy
            time.sleep(0.05)
        assert alive(int(worker))
    finally:
        os.kill(int(worker), signal.SIGKILL)
        holder.communicate()


def _can_lock(folder: Path) -> bool:
    try:
        with locked(folder):
            return True
    except UsageError:
        return False


def test_many_processes_take_turns(tmp_path: Path) -> None:
    """A counter that is read and written under the lock loses no increment, while locks are made and deleted."""
    (tmp_path / "counter").write_text("0")
    processes = [start(COUNT, tmp_path)[0] for _ in range(4)]
    assert [finish(process) for process in processes] == [0, 0, 0, 0]
    assert (tmp_path / "counter").read_text() == "80"
    assert names(tmp_path) == ["counter"]


def test_a_link_as_lock_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".lock").symlink_to("precious")
    with pytest.raises(FileProblem, match="cannot be locked"), locked(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "precious"


# Disk


def test_space_is_checked_for_folders_that_do_not_exist_yet(tmp_path: Path) -> None:
    free_space_for(tmp_path / "a" / "b", 1)
    with pytest.raises(FileProblem, match=r"b needs 1,000,000,000,000\.0 MB and its disk has .* left"):
        free_space_for(tmp_path / "a" / "b", 10**18)


def test_file_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
    with pytest.raises(FileProblem, match="b is missing"):
        file_sha256(tmp_path / "b")


def current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def start(code: str, folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a process that runs `code` on a folder; return it and the first line that it prints."""
    command = [sys.executable, "-c", code.format(folder=str(folder))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate("\n")
    return process.returncode


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def run_in_child(function: object) -> None:
    """Run a function in a forked process and fail where it fails."""
    process = multiprocessing.get_context("fork").Process(target=function)  # type: ignore[arg-type]
    process.start()
    process.join()
    assert process.exitcode == 0


def test_a_lock_that_another_process_made_is_not_deleted(tmp_path: Path) -> None:
    with locked(tmp_path):
        (tmp_path / LOCK).unlink()
        (tmp_path / LOCK).write_text("another holds it")
    assert (tmp_path / LOCK).read_text() == "another holds it"


def test_pipes_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (file_sha256, read_json):
        with pytest.raises(FileProblem, match="is a pipe, a device or a socket"):
            read(tmp_path / "pipe")


def test_toml_of_a_user_is_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('\ufeffname = "x"\n')
    assert read_toml(path, 100) == {"name": "x"}
    with pytest.raises(FileProblem, match="is larger than"):
        read_toml(path, 3)
    path.write_text("name =")
    with pytest.raises(FileProblem, match="is no TOML file"):
        read_toml(path, 100)
    path.unlink()
    with pytest.raises(FileProblem, match="cannot be read: No such file"):
        read_toml(path, 100)
    os.mkfifo(path)  # from which reading would wait for ever
    with pytest.raises(FileProblem, match="is a pipe"):
        read_toml(path, 100)
