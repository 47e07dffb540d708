"""Two folders of videos -> pairs in a random order on random sides, with attention checks, on one page.

The page holds every video inside itself and names none; key.json, which stays with whoever made the study, says which
video is where.
"""

from __future__ import annotations

import base64
import hashlib
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chronotope.data.clips import SUFFIXES
from chronotope.errors import FileProblem, UsageError
from chronotope.evaluate.documents import check_document
from chronotope.evaluate.sealed.kit import canonical
from chronotope.geometry import Frames
from chronotope.media import video
from chronotope.media.picture import write_image
from chronotope.sealed import read_sealed, write_sealed
from chronotope.storage import write_atomically, write_folder

__all__ = ["KINDS", "Item", "Study", "broken", "choose_items", "read_key", "shared_files", "write_study"]

Side = Literal["a", "b", "broken"]
KINDS = {".mp4": "video/mp4", ".webm": "video/webm", ".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
MOST_BYTES = 2**28  # of the page
SHOWN_FRAMES = 240  # of a broken video, at most


@dataclass(frozen=True)
class Item:
    """Two videos beside each other; `same` and `broken` are attention checks."""

    item: str
    kind: Literal["pair", "same", "broken"]
    file: str
    left: Side
    right: Side


@dataclass(frozen=True)
class Study:
    """Which items raters are shown, in an order of their own each; `study` identifies it."""

    study: str
    a: str
    b: str
    seed: int
    items: tuple[Item, ...]


def shared_files(a: Path, b: Path) -> tuple[list[str], int, list[str]]:
    """Return the names of videos and pictures in both folders, how many are in one alone, and those no page can show.

    Names are sorted. Raises FileProblem where there are none in common, UsageError where both folders are one.
    """
    for folder in (a, b):
        if not folder.is_dir():
            raise FileProblem(f"{folder} is not a folder of videos")
    if a.samefile(b):
        raise UsageError(f"{a} and {b} are one folder, of which nothing can be preferred; name two")
    names = [{path.name for path in folder.iterdir() if path.suffix.lower() in KINDS} for folder in (a, b)]
    if not names[0] & names[1]:
        raise FileProblem(
            f"{a} and {b} have no videos of the same name in common ({len(names[0])} and {len(names[1])} files of "
            f"{', '.join(KINDS)}); give the outputs of both systems for one prompt the same name"
        )
    media = {
        path.relative_to(folder).as_posix()
        for folder in (a, b)
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
    }
    return sorted(names[0] & names[1]), len(names[0] ^ names[1]), sorted(media - names[0] - names[1])


def choose_items(files: Sequence[str], checks: int, seed: int) -> list[Item]:
    """Return an item for each file and `checks` attention checks of each kind, shuffled; half of each kind has a
    (or the intact video) on the left.
    """
    rng = random.Random(seed)

    def sides(count: int) -> Iterator[bool]:
        found = [number % 2 == 0 for number in range(count)]
        rng.shuffle(found)
        return iter(found)

    def some(count: int) -> Iterator[tuple[str, Literal["a", "b"]]]:
        names = list(files)
        rng.shuffle(names)
        return ((names[number % len(names)], rng.choice(("a", "b"))) for number in range(count))

    found: list[tuple[Literal["pair", "same", "broken"], str, Side, Side]] = []
    for file, flipped in zip(files, sides(len(files)), strict=True):
        found.append(("pair", file, "b" if flipped else "a", "a" if flipped else "b"))
    found += [("same", file, which, which) for file, which in some(checks)]
    for (file, which), flipped in zip(some(checks), sides(checks), strict=True):
        found.append(("broken", file, "broken" if flipped else which, which if flipped else "broken"))
    rng.shuffle(found)
    return [Item(f"{number:03d}", *one) for number, one in enumerate(found, start=1)]


def write_study(
    a: Path,
    b: Path,
    out: Path,
    files: Sequence[str],
    checks: int,
    seed: int,
    prompts: Mapping[str, str] | None = None,
) -> Study:
    """Write page.html and key.json into the new folder `out`; `prompts` are shown, by file name.

    Raises FileProblem for a video that cannot be read, or not without damage: raters would judge the damage.
    """
    for path in (folder / file for file in files for folder in (a, b)):
        frames = video.stream(path)
        if not sum(1 for _ in frames) or frames.damage:
            problem = frames.damage or "it has no frames"
            raise FileProblem(f"{path} is damaged ({problem}); make it again, or take it out of both folders")
    items = choose_items(files, checks, seed)
    media: dict[str, str] = {}  # by hash: a video that is shown twice is in the page once
    shown = []
    for item in items:
        sides = [_place(media, _content(a, b, item.file, side, seed)) for side in (item.left, item.right)]
        shown.append({"item": item.item, "media": sides, "prompt": (prompts or {}).get(item.file, "")})
        if sum(map(len, media.values())) > MOST_BYTES:
            raise UsageError(f"the page would be larger than {MOST_BYTES >> 20} MiB; show fewer pairs with --first")
    # the answers to a page fit the key of no other one: not of other videos, sides or prompts
    order = list(media)
    content = {"seed": seed, "items": [asdict(item) for item in items], "shown": shown, "media": order}
    name = hashlib.sha256(canonical(content)).hexdigest()
    study = Study(name, str(a), str(b), seed, tuple(items))
    numbers = {key: str(number) for number, key in enumerate(media)}
    page = {
        "study": name,
        "items": [{**one, "media": [numbers[key] for key in one["media"]]} for one in shown],
        "media": {numbers[key]: url for key, url in media.items()},
    }
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    html = templates.get_template("page.html.jinja").render(page=page, nonce=name[:16], pairs=len(items))

    def fill(folder: Path) -> None:
        write_atomically(folder / "page.html", html)
        write_sealed(folder / "key.json", asdict(study))

    out.parent.mkdir(parents=True, exist_ok=True)
    write_folder(out, fill)
    return study


def _place(media: dict[str, str], content: tuple[str, bytes]) -> str:
    kind, data = content
    key = hashlib.sha256(data).hexdigest()
    media[key] = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return key


def _content(a: Path, b: Path, file: str, side: Side, seed: int) -> tuple[str, bytes]:
    """Return the type and the bytes of what a side shows; a broken one is made of that of `a`."""
    path = (b if side == "b" else a) / file
    suffix = path.suffix.lower()
    try:
        if side != "broken":
            return KINDS[suffix], path.read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            found = video.read(path, max_bytes=video.MAX_READ_BYTES)
            frames = broken(found.frames[:SHOWN_FRAMES], seed)
            if len(frames) == 1:
                target = Path(folder) / "broken.png"
                write_image(target, frames[0])
            else:
                target = Path(folder) / "broken.mp4"
                video.write(target, frames, found.fps)
            return KINDS[target.suffix], target.read_bytes()
    except OSError as problem:
        raise FileProblem(f"{path} cannot be read: {problem.strerror or problem}") from problem


def broken(frames: Frames, seed: int) -> Frames:
    """Return frames that nobody prefers: a quarter of the side's blocks and all frames shuffled, half noise."""
    rng = np.random.default_rng(seed)
    height, width = frames.shape[1:3]
    rows = np.array_split(np.arange(height), min(4, height))
    columns = np.array_split(np.arange(width), min(4, width))
    mixed = frames[rng.permutation(len(frames))]
    mixed = mixed[:, np.concatenate([rows[i] for i in rng.permutation(len(rows))])]
    mixed = mixed[:, :, np.concatenate([columns[i] for i in rng.permutation(len(columns))])]
    noise = rng.integers(0, 256, mixed.shape, np.uint8)
    return ((mixed.astype(np.uint16) + noise) // 2).astype(np.uint8)


def read_key(folder: Path) -> Study:
    """Read the key of a study; raise FileProblem where it is missing, damaged or was edited."""
    path = folder / "key.json"
    found = read_sealed(path, "take the one that was written with the page")
    check_document(found, "study_key", f"{path}:")
    return Study(found["study"], found["a"], found["b"], found["seed"], tuple(Item(**one) for one in found["items"]))
