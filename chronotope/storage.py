"""Write files and folders atomically and durably, lock folders, and read and write JSON.

A file or folder receives its final name only when it is complete and on disk: it is written beside its target under a
random name, flushed and then renamed. A reader therefore finds the old content or the new content, never a part of it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import stat
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem, UsageError
from chronotope.parsing import parse_json

__all__ = [
    "LOCK",
    "MAX_NAME_BYTES",
    "PARTS",
    "STUDENT",
    "atomic_file",
    "check_regular",
    "file_sha256",
    "free_space_for",
    "is_partial",
    "json_text",
    "locked",
    "locked_output",
    "partial_folder",
    "put_in_place",
    "read_json",
    "read_toml",
    "remove_folder",
    "remove_partials",
    "sync_folder",
    "write_atomically",
    "write_folder",
    "write_json",
]

STUDENT = "dit-student"  # the folder of a student of few steps, see `generate/stored/student.py`
PARTS = (
    "autoencoder",
    "dit",
    STUDENT,
    "captioner",
    "expander",
)  # the networks of a run, by their folders

LOCK = ".lock"  # the name of a folder's lock file; the lock file of an output file ends in it
MAX_NAME_BYTES = 255  # of a file name, on all common file systems

_PARTIAL = re.compile(r".+\.([0-9a-f]{16})\.part(\.\w+)?")


# Partial files and folders: a process that writes one holds a lock on it, so what nobody holds is left from a crash


def is_partial(name: str) -> bool:
    """Return whether this is the name of a file or folder that is being written, or was when its writer was killed."""
    return _PARTIAL.fullmatch(name) is not None


def remove_partials(*folders: Path, target: Path | None = None) -> list[Path]:
    """Delete the partial files and folders directly in `folders` whose writers were killed; return their paths.

    With `target` only those that were to become this file.
    """
    removed = []
    for path in sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir()):
        match = _PARTIAL.fullmatch(path.name)
        if match is None:
            continue
        own = target is None or path in (_partial_path(target, match[1], keep_suffix) for keep_suffix in (False, True))
        if own and _remove_abandoned(path):
            removed.append(path)
    return removed


def _remove_abandoned(partial: Path) -> bool:
    """Delete a partial file or folder unless its writer still holds it; return whether it was deleted."""
    try:
        descriptor = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # gone already, a link, or not ours to read
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _partial_path(path: Path, random: str, keep_suffix: bool) -> Path:
    if keep_suffix:
        return _name_beside(path, "", path.stem, f".{random}.part{path.suffix}")
    return _name_beside(path, ".", path.name, f".{random}.part")


def _name_beside(path: Path, before: str, stem: str, after: str) -> Path:
    """Return a path in the folder of `path`; where the name would be too long, a hash replaces `stem`."""
    name = f"{before}{stem}{after}"
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        name = f"{before}{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}{after}"
    return path.with_name(name)


def _create_partial(path: Path, folder: bool = False, keep_suffix: bool = False) -> tuple[Path, int]:
    """Create an empty file or folder with a random name beside `path`; return its path and a descriptor that locks it.

    Links are never followed. The name is hidden unless `keep_suffix`, for formats that are recognised by their suffix.
    """
    if folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        partial = _partial_path(path, secrets.token_hex(8), keep_suffix)
        if folder:
            partial.mkdir()
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY if folder else os.O_RDWR | os.O_CREAT | os.O_EXCL
            descriptor = os.open(partial, flags | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:
            if folder:
                continue  # another process took it for abandoned
            raise
        if _try_lock(descriptor) and _is_open_as(descriptor, partial):
            return partial, descriptor
        _release(descriptor)  # another process took it for abandoned


def _is_open_as(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


# Locks

ORPHAN_SECONDS = 10
_held: set[int] = set()  # descriptors that hold locks
_lock_files: set[Path] = set()  # those of `locked` and `locked_output` that this process, or its parent, holds


def _close_held() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_held)  # a lock ends with the process that took it, not with its workers


def _try_lock(descriptor: int) -> bool:
    """Lock an open file; return False where another process holds it."""
    _held.add(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as problem:
        if problem.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):  # some network file systems have no locks
            raise
    return True


def _release(descriptor: int) -> None:
    if descriptor in _held:  # else closed by `_close_held`
        _held.remove(descriptor)
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let no other process write into `folder`, which is created if it is missing, while the block runs.

    Raises UsageError where another process has locked it. The lock ends with the process, however it ends. A process
    that has locked a folder may lock it again.
    """
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise FileProblem(f"{folder} cannot be created: {problem.strerror}") from problem
    try:
        with _locked(folder.resolve() / LOCK, folder):
            yield
    finally:
        if not existed:
            with contextlib.suppress(OSError):
                folder.rmdir()  # where nothing was written


@contextlib.contextmanager
def locked_output(path: Path) -> Iterator[None]:
    """Let no other process write the file `path`, in a folder that exists, while the block runs; see `locked`."""
    lock = _name_beside(path, ".", path.name, LOCK)
    with _locked(lock.parent.resolve() / lock.name, path):
        yield


@contextlib.contextmanager
def _locked(lock: Path, what: Path) -> Iterator[None]:
    if lock in _lock_files:
        yield
        return
    try:
        descriptor = _take_lock(lock)
        until = time.monotonic() + ORPHAN_SECONDS
        while descriptor is None and _holder_has_ended(lock) and time.monotonic() < until:
            time.sleep(0.05)
            descriptor = _take_lock(lock)
    except OSError as problem:
        raise FileProblem(f"{what} cannot be locked: {lock}: {problem.strerror}") from problem
    if descriptor is None:
        raise UsageError(f"{what} is being written by {_holder(lock)}; wait until it has ended, or write elsewhere")
    _lock_files.add(lock)
    try:
        yield
    finally:
        _lock_files.remove(lock)
        with contextlib.suppress(OSError):
            if _is_open_as(descriptor, lock):  # else another process made it after this one's was removed
                lock.unlink(missing_ok=True)
        _release(descriptor)


def _take_lock(lock: Path) -> int | None:
    """Create and lock a lock file and write into it who holds it; return None where another process holds it."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            if not _try_lock(descriptor):
                _release(descriptor)
                return None
            if _is_open_as(descriptor, lock):
                holder = {"pid": os.getpid(), "host": socket.gethostname(), "command": " ".join(sys.argv)[:200]}
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps(holder).encode(), 0)
                return descriptor
        except OSError:
            _release(descriptor)
            raise
        _release(descriptor)  # its holder deleted it meanwhile


def _holder_has_ended(lock: Path) -> bool:
    """Whether the process that took a lock is dead: a child that was just being started has it for a moment more."""
    try:
        holder = json.loads(lock.read_text(encoding="utf-8"))
        if holder["host"] == socket.gethostname():
            os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, KeyError, TypeError):  # it is another user's, or just being written
        return False
    return False


def _holder(lock: Path) -> str:
    try:
        holder = json.loads(lock.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} ({holder['command']})"
    except (OSError, ValueError, KeyError, TypeError):  # it is just being written
        return "another process"


# Atomic writes


@contextlib.contextmanager
def atomic_file(path: Path, keep_suffix: bool = False, allow: Callable[[], None] | None = None) -> Iterator[Path]:
    """Yield the path of an empty partial file; rename it to `path` when the block succeeds, delete it when it fails.

    The content is on disk (fsync) before the name changes. A link at `path` is replaced and not followed. `allow` is
    called right before: it raises where what is at `path` by then must not be replaced. Raises FileProblem where the
    file system refuses.
    """
    partial, descriptor = None, None
    try:
        partial, descriptor = _create_partial(path, keep_suffix=keep_suffix)
        yield partial
        with partial.open("rb") as file:  # not `descriptor`: safetensors replaces the file that it writes
            os.fsync(file.fileno())
        _rename(partial, path, allow)
        sync_folder(path.parent)
    except OSError as problem:
        raise FileProblem(f"{path} cannot be written: {problem.strerror or problem}") from problem
    finally:
        if partial is not None and descriptor is not None:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            _release(descriptor)


def _rename(partial: Path, path: Path, allow: Callable[[], None] | None) -> None:
    """Rename a file to `path`; with `allow`, nothing that appears during its call is replaced without another call."""
    if allow:
        absent = not os.path.lexists(path)
        allow()
        if absent:
            try:
                os.link(partial, path, follow_symlinks=False)  # unlike a rename, it replaces nothing
                return
            except FileExistsError:
                allow()
            except OSError:  # some file systems have no links
                pass
    partial.replace(path)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk (fsync)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as problem:
        if problem.errno != errno.EINVAL:  # some file systems cannot flush a folder
            raise
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write bytes, or text as UTF-8; raise FileProblem where the file system refuses."""
    with atomic_file(path) as partial:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)


def write_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Call `fill(folder)` on a new folder beside `target`, then replace `target` with it.

    When `fill` raises, including KeyboardInterrupt, the new folder is deleted and `target` is untouched. `fill` has to
    write its files with the functions of this module, which put them on disk. Raises FileProblem where the file system
    refuses.
    """
    with partial_folder(target) as partial:
        try:
            fill(partial)
            put_in_place(partial, target)
        except FileProblem as problem:  # of a file in the partial folder
            raise FileProblem(str(problem).replace(str(partial), str(target))) from problem


def put_in_place(partial: Path, target: Path) -> None:
    """Put what is in a partial folder on disk, then replace `target` with the folder.

    Raises FileProblem where the file system refuses.
    """
    try:
        sync_folder(partial)
        _replace_folder(partial, target)
        sync_folder(target.parent)
    except OSError as problem:
        raise FileProblem(f"{target} cannot be written: {problem.strerror or problem}") from problem


@contextlib.contextmanager
def partial_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` in which it can be made; delete at the end what is left of it.

    Raises FileProblem, which names `target`, where the file system refuses.
    """
    partial, descriptor = None, None
    try:
        partial, descriptor = _create_partial(target, folder=True)
        yield partial
    except OSError as problem:
        raise FileProblem(f"{target} cannot be written: {problem.strerror or problem}") from problem
    finally:
        if partial is not None and descriptor is not None:
            shutil.rmtree(partial, ignore_errors=True)
            _release(descriptor)


def _replace_folder(partial: Path, target: Path) -> None:
    """Rename a folder to `target`, after what has that name is removed."""
    while True:
        try:
            partial.rename(target)
            return
        except OSError as problem:
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        remove_folder(target)


def remove_folder(folder: Path) -> None:
    """Rename a folder, then delete it, so that a half-deleted folder is never found under its name.

    It is no error when another process removes it first.
    """
    renamed = _partial_path(folder, secrets.token_hex(8), keep_suffix=False)
    try:
        folder.rename(renamed)
    except FileNotFoundError:
        return
    shutil.rmtree(renamed, ignore_errors=True)


# Disk


def free_space_for(folder: Path, num_bytes: int) -> None:
    """Raise FileProblem unless the disk of `folder`, which need not exist yet, has room for `num_bytes`."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < num_bytes:
        raise FileProblem(
            f"{folder} needs {num_bytes / 1e6:,.1f} MB and its disk has {free / 1e6:,.1f} MB left; "
            "free some space or choose another disk"
        )


def check_regular(path: Path) -> None:
    """Raise FileProblem for pipes, devices and sockets, from which reading may wait forever."""
    mode = path.stat().st_mode if path.exists() else stat.S_IFREG
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FileProblem(f"{path} is a pipe, a device or a socket; save its content to a file first")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content in hex; raise FileProblem where it is missing or cannot be read."""
    check_regular(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing") from problem
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror or problem}") from problem


# Formats


def read_json(path: Path) -> Any:
    """Read a JSON file; raise FileProblem where it is missing or not JSON."""
    check_regular(path)
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing") from problem
    except (OSError, ValueError) as problem:
        raise FileProblem(f"{path} is not readable JSON: {problem}") from problem


def read_toml(path: Path, most_bytes: int) -> dict[str, Any]:
    """Read a TOML file that a user wrote; raise FileProblem where it is missing, too large or not TOML."""
    check_regular(path)
    try:
        if path.stat().st_size > most_bytes:
            raise FileProblem(f"{path} is larger than {most_bytes >> 20} MiB, so it is hardly the file that is meant")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror or problem}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise FileProblem(f"{path} is no TOML file ({problem})") from problem


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON atomically."""
    write_atomically(path, json_text(data))


def json_text(data: Any) -> str:
    """Return indented JSON, as `write_json` writes it."""
    return json.dumps(data, indent=1) + "\n"
