"""What `chronotope teach` does: raw videos -> a dataset, captions, latents, a model trained on them, samples, a page.

Every step is a command of its own; this is their order with defaults for a laptop. The same command again continues.
"""

from __future__ import annotations

import contextlib
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from chronotope import PROGRAM, checkpoint
from chronotope.cli.datasets.page import FEWEST_STEPS, write_lesson
from chronotope.cli.datasets.replay import Replay, write_replay
from chronotope.cli.datasets.samples import PLAN, changes_in_samples, read_plan, record_samples
from chronotope.cli.datasets.sources import raw_files
from chronotope.cli.terminal import SHUFFLED, progress, say
from chronotope.cli.train.latents import encode_clips
from chronotope.cli.train.networks import Shown, dit_config, run_dit
from chronotope.cli.use import device
from chronotope.config import names_of
from chronotope.curate.decide import Filters
from chronotope.curate.listing import source_identities
from chronotope.curate.removal import removals
from chronotope.curate.rights import Policy
from chronotope.curate.run import RawFile, curate
from chronotope.curate.since import changes_since
from chronotope.data.captions import read_captions
from chronotope.data.latents import LatentDataset, read_index
from chronotope.data.limits import Limits
from chronotope.data.record import changes_in_data, data_of_latents
from chronotope.errors import FileProblem, UsageError
from chronotope.generate.pipeline import Generator, find_model, load_autoencoder
from chronotope.manifest import Source, identify, read_curation
from chronotope.media import video
from chronotope.sealed import unsealed, write_sealed
from chronotope.storage import locked, read_json
from chronotope.train.config import DiTRun
from chronotope.train.dit import train_dit

__all__ = ["Lesson", "check_lesson", "teach"]

PROBED_STEPS = 6  # of training, whose time tells how many fit
MOST_SHOWN = 400  # times that a clip is shown at most: more is learned by heart
MOST_STEPS = 20_000
SAMPLE_EVERY = 600.0  # seconds of training between two samples
SAMPLED = 6  # captions of which the finished model makes a video
SHOWN_SIDE, SHOWN_FPS, SHOWN_SECONDS = 320, 12.0, 6.0  # of the clips beside them
# Names that cameras and phones give: they say nothing of what is shown.
_CAMERA_NAME = re.compile(r"^(img|dsc[fn]?|vid|mov|mvi|pxl|gopr|gx|dji|dscn|clip|video|screen ?recording|whatsapp)\b")
_WORD = re.compile(r"[^\W\d_]{2,}")


DEFAULT_LIMITS = Limits(max_side=96, fps=8.0, max_seconds=4.0)  # what the shipped model knows


@dataclass(frozen=True)
class Lesson:
    """What is taught, and how: the model to start from, hours of training, limits of clips, words for bare clips."""

    start: str = "small"
    hours: float = 1.0
    limits: Limits = DEFAULT_LIMITS
    words: str = ""
    heldout: float = 0.1
    copy: bool = False
    text: bool = False  # whether on-screen text is looked for
    keep: tuple[str, ...] = ()  # reasons to leave a shot out that do not count
    settings: tuple[str, ...] = ()  # of the training, as those of --set
    replay: float = 0.3  # clips of the worlds that the model knows, for each of the user's


def teach(folders: Sequence[Path], out: Path, policy: Policy, lesson: Lesson) -> dict[str, Any]:
    """Teach a model the videos in some folders; returns what was done. The model is in `out`.

    What a training has begun with stays: files that are new or changed since then are counted and not used.
    """
    files = raw_files(folders, out)
    with locked(out):
        return _teach(files, out, policy, lesson)


def _teach(files: Sequence[RawFile], out: Path, policy: Policy, lesson: Lesson) -> dict[str, Any]:
    plan = read_plan(out)
    if plan:
        for sentence in unsealed(out / PLAN):
            say(f"note: {sentence}")
    if _begun(out) and (done := plan.get("done")):
        _refuse_removed(out)
        options = plan.get("options", {})
        _say_changes(files, out / "data")
        _say_rights_and_captions(files, out / "data", policy, options.get("--words", lesson.words))
        _say_other_options(lesson, options)
    else:
        done = _prepare(files, out, policy, lesson)
        write_sealed(out / PLAN, {**read_plan(out), "done": done, "options": _options(lesson)})
    config = _settings(out, lesson)
    done = {**done, "steps": config.train.steps, "samples": []}

    def watch() -> None:
        write_lesson(out, done)

    heldout, replay = out / "latents" / "heldout", _replay_of(out, done)
    shown = Shown(
        [out / "latents" / "data", *replay.folders],
        replay.weights if replay.folders else None,
        heldout=[heldout] if (heldout / "latents.json").is_file() else [],
    )
    _check_latents(out, shown)
    run_dit(config, shown, out, lesson.start, lesson.start, lesson.settings, watch)
    changes = changes_in_samples(out)
    for change in changes:
        say(f"note: {change.what}")
    if changes or not read_plan(out).get("samples"):
        say("the samples are made")
        record_samples(out, _samples(out, out / "data"))
    done["samples"] = read_plan(out)["samples"]
    write_lesson(out, done)
    return done


def _replay_of(out: Path, done: Mapping[str, Any]) -> Replay:
    """Return the replay that a training began with; older ones had none."""
    known = done.get("replay", {"folders": [], "share": 0.0})
    return Replay(tuple(out / "latents" / name for name in known["folders"]), known["share"])


def _begun(out: Path) -> bool:
    return (out / "dit" / "model.json").is_file() or bool(checkpoint.checkpoints(out / "dit"))


def _check_latents(out: Path, shown: Shown) -> None:
    """Refuse other latents than those with which a training has begun; say where those that are held out are gone."""
    run = out / "dit"
    if changes_in_data(run, data_of_latents(LatentDataset(shown.folders, shown.weights))):
        raise UsageError(
            f"{out / 'latents'} holds other latents than those with which the training in {run} has begun; they may be "
            "of clips that are held out: restore the folder from a copy, or give another --out"
        )
    if not shown.heldout and any((out / "data" / "heldout").rglob("*.*")):
        say(f"note: {out / 'latents' / 'heldout'} is gone, so no loss of clips that are held out is measured")


def _refuse_removed(out: Path) -> None:
    """Refuse to go on with latents of clips that were taken out of the dataset on request."""
    folders = [out / "latents" / name for name in ("data", "heldout")]
    seen = {row["source"]["sha256"] for each in folders if (each / "index.jsonl").is_file() for row in read_index(each)}
    taken = [row["was"] for row in removals(out / "data") if "was" in row]  # older lines lack it
    removed = sorted({str(was["clip"]) for was in taken if was["content"] in seen})
    if removed:
        more = f" and {len(removed) - 1} more" if len(removed) > 1 else ""
        raise UsageError(
            f"the training in {out} has begun with {removed[0]}{more}, taken out of {out / 'data'} on request; teach "
            "the other files with another --out, which does not see what was taken out"
        )


def _say_changes(files: Sequence[RawFile], data: Path) -> None:
    """Say which source files are not those that the training began with."""
    known = source_identities(data)
    found = {file.name: file.path for file in files if file.path.is_file()}  # no broken links, no pipes
    changed = [name for name, path in found.items() if name in known and not _same(path, known[name])]
    counts = {
        "new": len(found.keys() - known.keys()),
        "changed": len(changed),
        "gone": len(known.keys() - found.keys()),
    }
    if any(counts.values()):
        words = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        say(
            f"note: since the training began, files have changed ({words}); it goes on with the clips that it has: "
            "teach them with another --out"
        )


def _say_rights_and_captions(files: Sequence[RawFile], data: Path, policy: Policy, words: str) -> None:
    """Refuse to go on with a clip that may not be used any more; say where rights and captions are other ones now."""
    found = changes_since([file for file in files if file.path.is_file()], data, policy, _Captions(words))
    if found.refused:
        name, why = found.refused[0]
        more = f", and so it is with {len(found.refused) - 1} more files" if len(found.refused) > 1 else ""
        raise UsageError(
            f"{name} may not be used: {why}{more}; the training in {data.parent} has begun with its clips: start "
            "another one with another --out, where they are left out"
        )
    for what, names in (("rights", found.other_rights), ("captions", found.other_captions)):
        if names:
            say(
                f"note: since the training began, the {what} of {len(names)} files have changed, such as {names[0]}; "
                "it goes on with those of before: teach them with another --out"
            )


def _options(lesson: Lesson) -> dict[str, str]:
    """Return the options that decide what is taught, as they are typed."""
    keep = " ".join(f"--keep {reason}" for reason in lesson.keep)
    text = "--text" if lesson.text else ""
    return {
        "--words": lesson.words,
        "limits": str(lesson.limits),
        "--keep": keep,
        "--hours": f"{lesson.hours:g}",
        "--text": text,
        "--replay": f"{lesson.replay:g}",
    }


def _say_other_options(lesson: Lesson, before: Mapping[str, str]) -> None:
    for name, value in _options(lesson).items():
        if before.get(name, value) != value:
            say(
                f"note: not used: {name} {value or 'none'}; the training has begun with {before[name] or 'none'}: "
                "give another --out"
            )


def _same(path: Path, known: Source) -> bool:
    try:
        return identify(path, known.file, known).sha256 == known.sha256
    except FileProblem:  # a broken link, which was one before
        return not known.sha256


def _prepare(files: Sequence[RawFile], out: Path, policy: Policy, lesson: Lesson) -> dict[str, Any]:
    """Make clips, captions and latents, and measure how many steps fit; returns what the page says of them."""
    size = sum(file.path.stat().st_size for file in files) / 2**20
    say(
        f"{len(files)} files, {size:,.0f} MB: they are cut into shots, captioned, encoded ({lesson.limits}), and "
        f"{lesson.start} is trained on them for at most {lesson.hours:g} hours; then samples and {out / 'index.html'}"
    )
    data, captions = out / "data", _Captions(lesson.words)
    filters = Filters(heldout=lesson.heldout, text=lesson.text, keep=lesson.keep)
    made_with = PROGRAM
    with progress("curating", "files") as report:
        found = curate(files, data, filters, policy, captions, made_with, lesson.copy, report, _note)
    for name, why in found.unusable[:10]:
        say(f"left out: {name}: {why}")
    say(f"{data}: {found.in_words()}; see `chronotope inspect {data}`")
    counts = captions.counts(data, files)
    replay = _encode(out, data, lesson)
    _measure_steps(out, lesson, replay)
    return {
        "files": found.files,
        "clips": found.kept,
        "left_out": dict(found.reasons),
        "unusable": len(found.unusable),
        "captions": counts,
        "replay": {"folders": [folder.name for folder in replay.folders], "share": replay.share},
    }


def _note(sentence: str) -> None:
    say(f"note: {sentence}")


# Captions


class _Captions:
    """The captions of source files: their own, or else `words`, or else the words of their names; how many of each."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.kinds: dict[Path, str] = {}

    def __call__(self, path: Path) -> Mapping[str, Sequence[str]]:
        found = read_captions(path)
        text, kind = (self.words, "words") if self.words else (words_of_name(path.name), "name")
        self.kinds[path] = "own" if any(found.values()) else kind if text else "none"
        return {"sentence": (text,)} if self.kinds[path] in ("words", "name") else found

    def counts(self, data: Path, files: Sequence[RawFile]) -> dict[str, int]:
        """Return how many clips have a caption of each kind, and say where there are better ways."""
        paths = {file.name: file.path for file in files}
        counts = dict.fromkeys(("own", "words", "name", "none"), 0)
        for row in read_curation(data)[1]:
            if row["state"] == "kept":
                counts[self.kinds.get(paths[row["file"]], "none")] += 1
        if counts["name"]:
            say(
                f"note: {counts['name']} clips have no caption, and the words of their files' names are taken; better "
                "ones go into NAME.txt beside each source, or --words for all of them, or `chronotope caption`"
            )
        if counts["none"]:
            say(f"note: {counts['none']} clips have no caption: the model learns them without words")
        return counts


def words_of_name(file: str) -> str:
    """Return the words in the name of a file; "" for names that cameras give, as IMG_1234.MOV."""
    stem = re.sub(r"[_\-.+]+", " ", PurePosixPath(file).stem).strip().lower()
    if _CAMERA_NAME.match(re.sub(r"\d+", " ", stem)):
        return ""
    words = _WORD.findall(stem)
    return " ".join(words) if len(words) > 1 or (words and len(words[0]) > 3) else ""


# Latents and settings


def _encode(out: Path, data: Path, lesson: Lesson) -> Replay:
    """Encode the training clips, where there are any those held out, and clips of the worlds that the model knows."""
    folder = find_model(lesson.start)
    autoencoder = load_autoencoder(folder).to(device())
    if not encode_clips(data, out / "latents" / "data", autoencoder, SHUFFLED, limits=lesson.limits).captioned:
        say("note: no clip has a caption, so the model ignores prompts; name what is shown with --words")
    if any((data / "heldout").rglob("*.*")):
        latents = out / "latents" / "heldout"
        encode_clips(data / "heldout", latents, autoencoder, shuffled=0.0, limits=lesson.limits, heldout=True)
    return write_replay(lesson.start, lesson.replay, out, autoencoder)


def _measure_steps(out: Path, lesson: Lesson, replay: Replay) -> None:
    """Measure a step, and write how many fit the hours into teach.json, once."""
    latents = out / "latents" / "data"
    count = len(LatentDataset([latents]))
    asked = {
        "hours": lesson.hours,
        "clips": count,
        "replay": replay.share,
        "from": lesson.start,
        "limits": str(lesson.limits),
        "settings": list(lesson.settings),
    }
    plan = read_plan(out)
    if all(plan.get(name) == value for name, value in asked.items()):
        return
    seconds, clips = _measured(latents, lesson, replay)
    affordable = int(3600 * lesson.hours / seconds)
    enough = math.ceil(MOST_SHOWN * count / clips)
    steps = max(min(FEWEST_STEPS, affordable), min(affordable, enough, MOST_STEPS))
    write_sealed(out / PLAN, {"steps": steps, "seconds_of_a_step": seconds, **asked})
    limit = f"every clip {MOST_SHOWN} times" if enough < affordable else f"all of the {lesson.hours:g} hours"
    others = f" and {clips * replay.share:.0f} of those it was trained on" if replay.folders else ""
    say(f"a step takes {seconds:.2f} s here and shows {clips:.0f} of your clips{others}: {steps} steps, {limit}")
    if steps < FEWEST_STEPS:
        say(f"note: {steps} steps teach little more than the colours of the clips; some hundreds take more --hours")


def _settings(out: Path, lesson: Lesson) -> DiTRun:
    """Return the run, whose number of steps was measured."""
    measured = read_plan(out)
    steps, seconds = int(measured["steps"]), float(measured["seconds_of_a_step"])
    every = max(20, round(SAMPLE_EVERY / seconds))
    settings = {
        "train.steps": f"{steps}",
        "train.check_every": f"{every}",
        "train.save_every": f"{max(10, min(500, round(120 / seconds)))}",
        "train.average_decay": f"{min(0.997, max(0.9, 1 - 10 / steps)):.4f}",
        "train.warmup": f"{min(50, steps // 4)}",
    }
    own = names_of(lesson.settings)
    computed = [f"{name}={value}" for name, value in settings.items() if name not in own]
    config = dit_config(None, None, [*computed, *lesson.settings], lesson.start)
    steps = config.train.steps
    say(f"training {steps} steps, about {steps * seconds / 60:.0f} minutes on this machine")
    return config


def _measured(latents: Path, lesson: Lesson, replay: Replay) -> tuple[float, float]:
    """Train a few steps; return the seconds of one and how many of the user's clips it shows."""
    start = lesson.start
    config = dit_config(None, None, lesson.settings, start)
    never = PROBED_STEPS + 1
    train = replace(config.train, steps=PROBED_STEPS, warmup=2, log_every=1, check_every=never, save_every=never)
    with tempfile.TemporaryDirectory() as folder:
        begin = find_model(start) / "dit"
        numbers = train_dit(
            replace(config, train=train),
            [latents, *replay.folders],
            Path(folder),
            start=begin,
            quiet=True,
            weights=replay.weights if replay.folders else None,
        )
    shown = numbers["clips/s"] * numbers["seconds"] / PROBED_STEPS
    return numbers["seconds"] / PROBED_STEPS, shown / (1 + replay.share)


# Samples


def _samples(out: Path, data: Path) -> list[dict[str, str]]:
    """Make a video of some captions, each with its own seed; return files and words.

    Those of held-out clips are the first, then those that a user wrote.
    """
    generator = Generator.load(out)
    _, rows = read_curation(data)
    kept = [row for row in rows if row["state"] == "kept"]
    kept.sort(key=lambda row: (row["split"] != "heldout", _is_of_name(row)))
    clips: dict[str, dict[str, Any]] = {}
    for row in kept:
        texts = [text for texts in read_captions(data / row["clip"]).values() for text in texts]
        if texts:
            clips.setdefault(texts[0], row)
    folder = out / "samples"
    folder.mkdir(exist_ok=True)
    made: list[dict[str, str]] = []
    for seed, (text, row) in enumerate(list(clips.items())[:SAMPLED]):
        result = generator.generate(text, seed=seed)
        file = folder / f"{seed}{'.mp4' if len(result.frames) > 1 else '.png'}"
        video.write(file, result.frames, result.fps, metadata=result.origin)
        shown = _shown(data, row, folder / f"{seed}-clip")
        sample = {"file": f"samples/{file.name}", "shown": f"samples/{shown.name}"}
        made.append({**sample, "text": text, "clip": row["clip"], "split": row["split"]})
    if not made:
        say("note: no samples, because no clip has a caption")
    return made


def _shown(data: Path, row: Mapping[str, Any], target: Path) -> Path:
    """Write a small copy of the beginning of a clip, which every browser shows: many play no HEVC, MPEG-2 or AVI."""
    share = min(1.0, SHOWN_SIDE / max(row["width"], row["height"]))
    height, width = (max(2, round(share * row[side])) for side in ("height", "width"))  # of square pixels
    window: dict[str, Any] = {"fps": SHOWN_FPS, "seconds": SHOWN_SECONDS} if not row["picture"] else {}
    file = target.with_name(target.name + (".png" if row["picture"] else ".mp4"))
    with contextlib.closing(video.stream(data / row["clip"], max_side=SHOWN_SIDE, **window)) as frames:
        resized = (video.resize(frame, height, width) for frame in frames)
        if row["picture"]:
            video.write_image(file, next(resized))
            return file
        with video.VideoWriter(file, SHOWN_FPS) as writer:
            for frame in resized:
                writer.add(frame)
    return file


def _is_of_name(row: Mapping[str, Any]) -> bool:
    """Return whether the caption of a clip is made of the words of its file's name."""
    return bool(row["captions"] == {"sentence": [words_of_name(row["file"])]})


def check_lesson(lesson: Lesson, out: Path) -> None:
    """Refuse hours and words that cannot be meant, and a folder that was taught something else."""
    if not 0 < lesson.hours <= 1000:
        raise UsageError(f"--hours must lie between 0 and 1000, got {lesson.hours:g}")
    header = out / "data" / "curation.json"
    if header.is_file() and (before := read_json(header).get("filters", {}).get("heldout")) != lesson.heldout:
        raise UsageError(
            f"{out} was begun with --heldout {before:g}; other clips would be set aside now, which the model may have "
            "seen: give another --out"
        )
    if (out / PLAN).is_file() and not (out / "data" / "curation.json").is_file():
        raise FileProblem(f"{out / 'data'} is gone, which {out / PLAN} belongs to; give another --out")
