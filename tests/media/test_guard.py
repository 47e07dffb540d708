"""The guarded child: crashes and hangs become one sentence, it ends with its parent, and it serves every caller."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chronotope.errors import DecoderUnavailableError, FileProblem, UsageError
from chronotope.media import pool, video
from tests.media.files import encode, numbered, numbers
from tests.test_processes import gone

LONG = 4000  # frames: more than the shared memory holds


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a video of 60 frames."""
    return encode(tmp_path_factory.mktemp("clips") / "a.mp4", numbered(60))


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a video that a child cannot decode ahead of its reader."""
    frames = itertools.islice(itertools.cycle(numbered(256, 96, 128)), LONG)
    return encode(tmp_path_factory.mktemp("clips") / "long.mp4", list(frames), options={"preset": "ultrafast"})


def running() -> list[int]:
    """Return the process ids of the children of this process."""
    return [child.process.pid for child in pool._children]


# One child after the other


def test_a_child_is_reused(clip: Path) -> None:
    """Reading many files takes one child, also after readings that were given up and errors in it."""
    video.read(clip)
    before = set(running())
    for _ in range(5):
        assert numbers(video.read(clip).frames) == list(range(60))
        next(video.stream(clip))
        video.read_image(clip)
        with pytest.raises(UsageError):
            video.read(clip, start=9)
    assert set(running()) == before


def test_a_child_is_replaced_for_what_it_needed_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that once needed much memory is replaced; that its parent needs as much is no reason."""
    for name, size in (("small", 30), ("large", 5000)):
        Image.new("RGB", (size, size)).save(tmp_path / f"{name}.png", compress_level=1)
    little = "; import chronotope.media.child as child; child.RETIRE_BYTES = 2**27; serve"
    monkeypatch.setattr(pool, "START", pool.START.replace("; serve", little))
    needed_by_parent = np.ones(2**27, np.uint8)
    pool._end_all()
    pool._idle.clear()
    served = []
    for name in ("small", "small", "large", "small"):
        video.read_image(tmp_path / f"{name}.png")
        served.append(running())
    assert needed_by_parent.all()
    assert served[0] == served[1] != served[3]
    pool._end_all()
    pool._idle.clear()


def test_a_dead_child_is_replaced(clip: Path) -> None:
    """A child that somebody killed while it waited is replaced without a word."""
    video.read(clip)
    for pid in running():
        os.kill(pid, signal.SIGKILL)
    assert numbers(video.read(clip).frames) == list(range(60))


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGKILL, signal.SIGXCPU])
def test_a_crash_is_one_sentence(how: signal.Signals, long_clip: Path) -> None:
    """A child that crashes in the middle of a file costs that file alone."""
    frames = video.stream(long_clip)
    got = [next(frames)]
    for pid in running():
        os.kill(pid, how)
    with pytest.raises(FileProblem, match=rf"crash \({how.name}\)") as caught:
        got.extend(frames)
    assert "\n" not in str(caught.value)
    assert str(long_clip) in str(caught.value)
    assert numbers(got) == [number % 256 for number in range(len(got))]
    assert next(frames, None) is None
    assert len(video.read(long_clip).frames) == LONG


def test_a_hang_is_one_sentence(long_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that makes no progress is given up."""
    monkeypatch.setattr(pool, "STALL_SECONDS", 1.0)
    monkeypatch.setattr(pool, "STARVED_SECONDS", 1.0)
    frames = video.stream(long_clip)
    pids = running()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(FileProblem, match=r"no progress for \d+ seconds"):
        list(frames)
    monkeypatch.undo()
    assert len(video.read(long_clip).frames) == LONG


def test_a_slow_reader_is_no_hang(long_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that the reader takes between two frames does not count."""
    monkeypatch.setattr(pool, "STALL_SECONDS", 0.2)
    for index, _ in enumerate(video.stream(long_clip)):
        if index in (3, 700):
            time.sleep(1.5)
    assert index == LONG - 1


# Several at once


def test_many_streams_at_once(clip: Path) -> None:
    """Streams that are read in turns do not disturb each other."""
    streams = [video.stream(clip) for _ in range(6)]
    rows = [numbers(row) for row in zip(*streams, strict=True)]
    assert rows == [[number] * 6 for number in range(60)]
    assert sum(child in pool._idle for child in pool._children) <= pool.MAX_IDLE


def test_too_many_streams(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit on children the next one is refused, until others are closed."""
    monkeypatch.setattr(pool, "MAX_CHILDREN", len(pool._children) - len(pool._idle) + 2)
    with pytest.raises(DecoderUnavailableError, match="at once"):
        kept = [video.stream(clip) for _ in range(9)]
    assert "kept" not in locals()
    assert len(list(video.stream(clip))) == 60


def test_threads(clip: Path) -> None:
    """Threads read at the same time."""
    with ThreadPoolExecutor(4) as workers:
        shown = list(workers.map(lambda start: numbers(video.stream(clip, start=start / 24)), range(24)))
    assert shown == [list(range(start, 60)) for start in range(24)]


def test_a_thread_that_ends_leaves_its_child(clip: Path) -> None:
    """A child that a thread started serves others after the end of the thread."""
    for pid in running():
        os.kill(pid, signal.SIGKILL)
    thread = threading.Thread(target=video.read, args=(clip,))
    thread.start()
    thread.join()
    pids = running()
    time.sleep(0.3)
    assert numbers(video.read(clip).frames) == list(range(60))
    assert running()[-1:] == pids[-1:]


def test_forks(clip: Path) -> None:
    """A forked process has children of its own, and refuses the open streams of its parent."""
    frames = video.stream(clip)
    shown = [next(frames)]
    before = set(running())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        pid = os.fork()
    if pid == 0:
        try:
            assert numbers(video.read(clip).frames) == list(range(60))
            assert not before & set(running())
            with pytest.raises(UsageError, match="forked"):
                list(frames)
            frames.close()  # type: ignore[attr-defined]
            pool._end_all()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert numbers([*shown, *frames]) == list(range(60))


# The end of the parent

PARENT = """
import sys, time
from chronotope.media import pool, video
frames = video.stream(sys.argv[1])
next(frames)
print(*[child.process.pid for child in pool._children], flush=True)
{rest}
"""


def parent(clip: Path, rest: str) -> subprocess.Popen[str]:
    """Start a process that reads a video, and then does something else."""
    code = PARENT.format(rest=rest)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(clip)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_end_with_their_parent(how: signal.Signals, long_clip: Path) -> None:
    """However the parent ends, its child does too."""
    with parent(long_clip, "time.sleep(600)") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(how)
        process.communicate()
    assert gone(child)


@pytest.mark.parametrize("rest", ["", "del frames", "list(frames)", "raise SystemExit", "1 / 0"])
def test_interpreters_end_quietly(rest: str, long_clip: Path) -> None:
    """The end of the program ends the child, and says nothing of its own."""
    with parent(long_clip, rest) as process:
        out, err = process.communicate()
    assert gone(int(out))
    assert ("ZeroDivisionError" in err) == (rest == "1 / 0")
    assert "chronotope" not in err


def test_an_interrupt_leaves_no_confusion(long_clip: Path) -> None:
    """After Ctrl-C in the middle of a reading, the next one gets its own frames."""
    rest = (
        "import os, signal, threading\n"
        "for delay in (0.0, 0.01, 0.05, 0.1, 0.2):\n"
        "    try:\n"
        "        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "        while True: video.read(sys.argv[1])\n"
        "    except KeyboardInterrupt: pass\n"
        f"    assert len(video.read(sys.argv[1]).frames) == {LONG}\n"
        "print('fine')"
    )
    with parent(long_clip, rest) as process:
        out, err = process.communicate()
    assert "fine" in out, err


# Limits


def test_the_child_is_limited(clip: Path) -> None:
    """Memory, written files, core dumps and open files of a child are limited, and it has not loaded torch or numpy."""
    frames = video.stream(clip)  # a child that has finished may have been ended
    next(frames)
    limits = Path(f"/proc/{running()[-1]}/limits")
    if not limits.exists():
        pytest.skip("reads /proc")
    rows = {line[:26].strip(): line[26:].split() for line in limits.read_text().splitlines()}
    assert rows["Max address space"][:2] == [str(3 * 2**30)] * 2
    assert rows["Max file size"][:2] == rows["Max core file size"][:2] == ["0", "0"]
    assert int(rows["Max open files"][1]) <= 64
    maps = Path(f"/proc/{running()[-1]}/maps").read_text()
    assert "torch" not in maps
    assert "numpy" not in maps


def test_no_further_file_can_be_opened_while_a_file_is_decoded(long_clip: Path) -> None:
    """During a request the numbers of open files of the child are used up."""
    frames = video.stream(long_clip)
    pid = next(child.process.pid for child in pool._children if child.unfinished)
    if not Path(f"/proc/{pid}/fd").exists():
        pytest.skip("reads /proc")
    numbers_in_use = sorted(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())
    soft = next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "open files" in line)
    limit = int(soft[26:].split()[0])
    assert [number for number in numbers_in_use if number < limit] == list(range(limit))
    assert os.readlink(f"/proc/{pid}/fd/{limit - 1}") == str(long_clip)
    del frames


def test_memory_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that needs more memory than a child may take is refused in one sentence, and the next one is read."""
    if sys.platform != "linux":
        pytest.skip("only Linux limits the address space")
    Image.fromarray(np.zeros((5700, 5800, 3), np.uint8)).save(tmp_path / "large.png")
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(tmp_path / "small.png")
    less = (
        "; import resource, chronotope.media.child as child"
        "; size = lambda: int(open('/proc/self/statm').read().split()[0]) * 4096 + 2**26"
        "; child._limit_everything = lambda: resource.setrlimit(resource.RLIMIT_AS, (size(), size())); serve"
    )
    monkeypatch.setattr(pool, "START", pool.START.replace("; serve", less))
    pool._end_all()
    pool._idle.clear()
    with pytest.raises(FileProblem, match="of memory that decoding one file may take"):
        video.read_image(tmp_path / "large.png")
    assert not video.read_image(tmp_path / "small.png").any()
    pool._end_all()
    pool._idle.clear()


def test_a_child_that_cannot_be_started_is_one_sentence(clip: Path) -> None:
    """A limit on the size of files also limits the memory that frames are handed over in."""
    code = (
        "import resource, sys\nfrom chronotope.errors import DecoderUnavailableError\n"
        "from chronotope.media import video\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try: video.read(sys.argv[1])\nexcept DecoderUnavailableError as problem: print(problem)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(clip)], capture_output=True, text=True, check=True)
    assert "cannot be started (File too large)" in done.stdout


def test_modules_in_the_current_folder_are_not_imported(clip: Path, tmp_path: Path) -> None:
    """A stranger's folder of clips may hold a file with the name of a library."""
    for name in ("av", "cv2", "numpy"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w').close()")
    code = f"""
import sys
here = sys.path.pop(0)
import av, cv2, numpy
from chronotope.media import video
sys.path.insert(0, here)
video.read({str(clip)!r})
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "imported").exists()
