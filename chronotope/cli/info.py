"""A file or folder -> facts about it: video, picture, dataset, latents, model, run or report. Loads no weights."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chronotope import checkpoint
from chronotope.actions import ActionSchema
from chronotope.caption.encoder.frozen import EncoderFacts
from chronotope.caption.words.lexicon import third_person
from chronotope.config import from_dict
from chronotope.data.captions import read_captions
from chronotope.data.clips import PICTURES, scan_folder
from chronotope.data.contradictions import is_our_record
from chronotope.data.exports.verify import describe_shards, is_shards
from chronotope.data.latents import LatentDataset, fingerprint
from chronotope.data.recaptions import Recaptions, named_author
from chronotope.data.record import TrainingRecord, read_record
from chronotope.errors import FileProblem, UsageError, nearest
from chronotope.evaluate.documents import check_document, parse_json, read_file, read_rows
from chronotope.evaluate.ledger import Ledger
from chronotope.evaluate.report import read_report
from chronotope.evaluate.unfinished import describe_evaluation, describe_export, is_export
from chronotope.generate.pipeline import PICKLES, WEIGHTS, Generator, load_autoencoder
from chronotope.generate.stored.knowledge import lengths_in_words, name_of, sizes_in_words
from chronotope.geometry import Geometry
from chronotope.jsonl import read_sealed_rows
from chronotope.media import video
from chronotope.safety.disclosure import layers_of
from chronotope.safety.verify import sidecar_state
from chronotope.sealed import unsealed
from chronotope.storage import PARTS, STUDENT, read_json
from chronotope.worlds.language import gerund

__all__ = ["describe"]

MODEL_FACTS = (  # of a model.json that are shown as they are
    "adapter base base_name merged flow geometry defaults autoencoder text_encoder started_from licence data "
    "data_before trained_on"
).split()
LISTED_WORDS = 40  # of a model of no known world
MAX_OPENED = 100  # files of a dataset that are opened; the others are only counted
# A file of one of these names stands for its folder.
DESCRIPTIONS = frozenset(
    "model.safetensors adapter_model.safetensors adapter.safetensors adapter_config.json model.json state.safetensors "
    "state.json latents.json dataset.json report.json".split()
)


def describe(path: Path) -> dict[str, Any]:
    """Describe a file or folder in plain JSON values; a bare name may be a model inside the package.

    Raises `FileProblem` if there is nothing to describe, `UsageError` for a pickle.
    """
    bare = not path.exists() and len(path.parts) == 1
    if bare and (WEIGHTS / path).is_dir():
        path = WEIGHTS / path
    elif bare and (near := nearest(path.name, (folder.name for folder in WEIGHTS.glob("*")))):
        raise FileProblem(f"{path} does not exist, and is no model inside the package. Did you mean '{near}'?")
    if path.is_dir():
        return _folder(path)
    if path.suffix in PICKLES:
        raise UsageError(
            f"{path} looks like a pickle, which is never opened, since that runs whatever is in it; "
            "safetensors and JSON are read"
        )
    if path.name in DESCRIPTIONS:
        return _folder(path.parent)
    return _lines(path) if path.suffix == ".jsonl" and path.is_file() else _media(path)


def _folder(folder: Path) -> dict[str, Any]:
    if (folder / "latents.json").is_file():
        return _latents(folder)
    if (folder / "model.json").is_file():
        return _model(folder)
    if (folder / "config.toml").is_file() or (folder / "checkpoints").is_dir():
        return {"kind": "training without a result yet", "path": str(folder), **_progress(folder)}
    parts = [folder / name for name in PARTS if (folder / name).is_dir()]
    if parts:
        return _run(folder, parts)
    if (folder / "report.json").is_file() and (folder / "index.html").is_file():
        return _report(folder)
    if (folder / "ledger.jsonl").is_file() and not (folder / "report.json").exists():
        return describe_evaluation(folder)
    if is_export(folder):
        return describe_export(folder)
    if is_shards(folder):
        return describe_shards(folder)
    try:
        return _dataset(folder)
    except FileProblem as problem:
        raise FileProblem(
            f"{folder} is none of: a dataset, shards, latents, a model, a checkpoint, a run, a report ({problem})"
        ) from problem


# Files


def _lines(path: Path) -> dict[str, Any]:
    """Describe the plan or the ledger of an evaluation."""
    _, first = next(read_rows(path, "line of a plan or a ledger"), ("", {}))
    if not first:
        raise FileProblem(f"{path} is empty; the plan or the ledger of an evaluation is expected")
    if "spec" in first:
        rows = list(read_rows(path, "case of a suite"))
        for where, row in rows:
            check_document(row, "plan_line", f"{where} is no case of a suite:")
        facts: dict[str, Any] = {"kind": "plan of videos to be made", "path": str(path), "videos": len(rows)}
        return {**facts, "first prompt": first["prompt"]}
    ledger = Ledger(path)
    counts = dict(Counter(row["kind"] for row in ledger.rows))
    facts = {"kind": "ledger of an evaluation", "path": str(path), "lines": counts, "hash": ledger.head}
    return {**facts, "last line": "half written, left out"} if ledger.torn else facts


def _media(path: Path) -> dict[str, Any]:
    info = video.probe(path)
    geometry = Geometry()
    slices, tokens = geometry.slices(info.num_frames), geometry.num_tokens(info.num_frames, info.height, info.width)
    stills = sum(piece.still for piece in slices)
    facts: dict[str, Any] = {
        "kind": "picture" if info.num_frames == 1 else "video",
        "path": str(path),
        "bytes": path.stat().st_size,
        "container": info.container,
        "codec": info.codec,
        "pixel_format": info.pixel_format,
        "size": f"{info.width}x{info.height}",
        "num_frames": info.num_frames,
        "fps": round(info.fps, 3),
        "variable_frame_rate": info.variable_frame_rate,
        "seconds": round(info.seconds, 3),
        "rotation": info.rotation,
        "pixel_aspect": round(info.pixel_aspect, 4),
        **({"remarks": list(info.remarks)} if info.remarks else {}),
        "slices": f"{stills} still + {len(slices) - stills} moving, {tokens} tokens",
    }
    origin = video.read_origin(path)
    origin = origin if origin and str(origin.get("program", "")).startswith("chronotope") else None
    beside = video.sidecar(path)
    if is_our_record(beside) and (video.has_other_sidecar(path) or origin is None):
        facts["beside"] = f"{beside.name} is no record of this file, and is not used"
    elif is_our_record(beside) and sidecar_state(path) == "wrong":
        origin = video.read_tags(path)  # which hold the settings alone, and not what was found out while it was made
        facts["beside"] = f"{beside.name} was changed since it was signed, and is not used; see chronotope verify"
    made = origin is not None and origin.get("generated_by_ai") is True
    return {**facts, **({"layers": layers_of(origin)} if origin and made else {}), "origin": origin}


def _report(folder: Path) -> dict[str, Any]:
    """Describe what a report is about, and its first number."""
    report = read_report(folder)
    problems = {"unsealed": notes} if (notes := unsealed(folder / "report.json")) else {}
    about, success = report["about"], report["summary"]["success"]
    names = ("model", "adapters", "suite", "layer", "videos", "weights", "program")
    subject = {name: about[name] for name in names if name in about}
    low, high = success["interval_over_specs"]
    rate = f"{success['share']:.1%} [{low:.1%}, {high:.1%}] of {success['of']}"
    page = str(folder / "index.html")
    return {"kind": "report", "path": str(folder), **subject, "success": rate, **problems, "page": page}


# Datasets


def _dataset(folder: Path) -> dict[str, Any]:
    found = scan_folder(folder)
    files = [clip.path for clip in found.clips]
    pictures = sum(path.suffix.lower() in PICTURES for path in files)
    about = folder / "dataset.json"
    facts: dict[str, Any] = {
        "kind": "dataset",
        "path": str(folder),
        "clips": len(files),
        "pictures": pictures,
        "bytes": _bytes(files),
    }
    if about.is_file():
        facts["dataset"] = parse_json(read_file(about), str(about))
    chosen = files[:: math.ceil(len(files) / MAX_OPENED)]
    facts["opened"] = len(chosen)
    probed: list[video.VideoInfo] = []
    unreadable: list[str] = []
    for path in chosen:  # one damaged file must not hide the others
        try:
            probed.append(video.probe(path))
        except FileProblem as problem:
            unreadable.append(str(problem))
    facts["sizes"] = _counted(f"{info.width}x{info.height}" for info in probed)
    facts["num_frames"] = _spread([info.num_frames for info in probed])
    facts["fps"] = _counted(f"{info.fps:g}" for info in probed if info.num_frames > 1)
    if remarks := _counted(remark for info in probed for remark in info.remarks):
        facts["remarks"] = remarks
    captions = []
    for path in chosen:
        try:
            captions.append(read_captions(path))
        except FileProblem as problem:
            unreadable.append(str(problem))
    levels = Counter(level for by_level in captions for level, texts in by_level.items() if texts)
    facts["captions"] = {level: f"{count} of {len(captions)} clips" for level, count in levels.items()} or "none"
    if written := [row for row in Recaptions(folder).rows.values() if row["text"]]:
        facts["written captions"] = len(written)
        facts["written by"] = _counted(named_author(row["author"]) for row in written)
    if unreadable:
        facts["unreadable"] = unreadable
    if found.left_out:
        facts["left_out"] = found.notes()
    facts["examples"] = [by_level["sentence"][0] for by_level in captions if by_level.get("sentence")][:3]
    return facts


def _latents(folder: Path) -> dict[str, Any]:
    dataset = LatentDataset([folder])
    about, clips = dataset.about[0], dataset.clips
    geometry = Geometry(stride=tuple(about["stride"]))
    return {
        "kind": "latents",
        "path": str(folder),
        **about,
        "clips": len(clips),
        "tokens": sum(len(clip.slices) * math.prod(geometry.token_grid(clip.height, clip.width)) for clip in clips),
        "sizes": _counted(f"{clip.width}x{clip.height}" for clip in clips),
        "num_frames": _spread([sum(clip.slices) for clip in clips]),
        "captioned": sum(bool(clip.captions) for clip in clips),
        "bytes": _bytes(folder.glob("latents-*.safetensors")),
    }


def _counted(values: Iterable[str]) -> dict[str, int]:
    """The most frequent values and how often each occurs."""
    return dict(Counter(values).most_common(12))


def _spread(numbers: Sequence[int]) -> str:
    return f"{min(numbers)} to {max(numbers)}, mean {sum(numbers) / len(numbers):.1f}" if numbers else "none"


def _bytes(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files)


# Models and runs


def _run(folder: Path, parts: Sequence[Path]) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": "run", "path": str(folder), **{part.name: _part_of_run(part) for part in parts}}
    if (folder / "dit" / "model.json").is_file():
        facts["summary"] = _summarise(folder) | _misfit(folder) | _strange_student(folder)
        facts["trained_on"] = checkpoint.read_description(folder / "dit").get("trained_on")
    return facts


def _misfit(folder: Path) -> dict[str, str]:
    """Say where a run makes nothing, since its transformer was trained with another autoencoder than is there."""
    trained = checkpoint.read_description(folder / "dit").get("autoencoder")
    with contextlib.suppress(FileProblem, UsageError):
        if (present := fingerprint(load_autoencoder(folder))) != trained:
            other = f"its transformer was trained with autoencoder {trained}, and {folder / 'autoencoder'} is {present}"
            return {"makes": f"nothing: {other}; restore the one that belongs to it"}
    return {}


def _strange_student(folder: Path) -> dict[str, str]:
    """Say where the student beside a transformer cannot sample for it, such as one that another model taught."""
    if not (folder / STUDENT / "model.json").is_file():
        return {}
    try:
        generator = Generator.load(folder)
        if generator.student is not None:
            generator.student.check(generator.names["dit"])
    except (FileProblem, UsageError) as problem:
        return {"student": f"not used: {problem}"}
    return {}


def _student_in_words(description: Mapping[str, Any]) -> str:
    steps, teacher = description["student"]["steps"], description["started_from"]
    return f"of {steps} steps without guidance, taught by transformer {teacher}"


def _model(folder: Path) -> dict[str, Any]:
    description = checkpoint.read_description(folder)
    facts: dict[str, Any] = {
        "kind": f"model: {description.get('kind', 'unknown')}",
        "path": str(folder),
        **_weights(checkpoint.weights_path(folder)),
        "verified": _verified(folder),
        "hash": checkpoint.weights_hash(folder) if checkpoint.weights_path(folder).is_file() else None,
        "config": description.get("config"),
    }
    for name in MODEL_FACTS:
        if description.get(name):
            facts[name] = description[name]
    if "flow" in facts:  # one deviation a channel of a token is of use only to the program
        facts["flow"] = {key: value for key, value in facts["flow"].items() if key != "deviation"}
    if "student" in description:
        facts["student"] = _student_in_words(description)
    if description.get("vocabulary"):  # a model with a frozen text encoder has none
        facts["vocabulary"] = f"{len(description['vocabulary'])} pieces"
    if "training" in description:
        numbers = dict(description["training"])
        numbers["steps"] = numbers.pop("run", {}).get("train", {}).get("steps")
        facts["training"] = {"numbers_of": "the last run", "in_words": describe_training(description), **numbers}
    return {**facts, **_progress(folder)}


def _weights(path: Path) -> dict[str, Any]:
    """Count the weights of a file by its header alone."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            tensors = list(map(file.get_slice, file.keys()))
            shapes, kinds = [tensor.get_shape() for tensor in tensors], {tensor.get_dtype() for tensor in tensors}
    except (OSError, SafetensorError) as problem:
        raise FileProblem(
            f"{path} is not a whole safetensors file ({problem}); copy it again or train it again"
        ) from problem
    return {
        "parameters": sum(math.prod(shape) for shape in shapes),
        "precision": ", ".join(sorted(kinds)),
        "bytes": path.stat().st_size,
    }


def _verified(folder: Path) -> str:
    """Say whether the files are those that were saved."""
    if not checkpoint.is_verified(checkpoint.read_description(folder)):
        return "no: it has no checksum, which was deleted or which an earlier version did not write"
    try:
        checkpoint.verify_model(folder)
    except FileProblem as problem:
        return f"no: {problem}"
    return "yes, by SHA-256"


def _progress(run: Path) -> dict[str, Any]:
    """How far a training run has come: its last checkpoint, log line and samples."""
    facts: dict[str, Any] = {}
    damaged: list[str] = []
    with contextlib.suppress(FileProblem):  # all are damaged and listed
        latest = checkpoint.latest_checkpoint(run, lambda _, problem: damaged.append(problem))
        if latest:
            facts["checkpoint"] = str(latest)
    if damaged:
        facts["damaged"] = damaged
    if (run / "state.json").is_file():
        facts["state"] = read_json(run / "state.json")
    log = run / "log.jsonl"
    rows = read_sealed_rows(log).rows if log.is_file() else []
    if rows:
        last = [row for row in rows if row.get("step") == rows[-1].get("step")]  # of the loss, and of what is held out
        facts["last_log"] = {name: value for row in last for name, value in row.items()}
    samples = sorted(path.name for path in (run / "samples").glob("*"))
    if samples:
        facts["samples"] = f"{len(samples)} in {run / 'samples'}, the last {samples[-1]}"
    return facts


def _part_of_run(folder: Path) -> dict[str, Any]:
    facts = _folder(folder)
    wanted = (
        "kind",
        "parameters",
        "bytes",
        "hash",
        "verified",
        "student",
        "training",
        "checkpoint",
        "damaged",
        "last_log",
        "samples",
    )
    return {name: facts[name] for name in wanted if name in facts}


# What a model makes and knows


def _summarise(folder: Path) -> dict[str, str]:
    """Describe the model in `folder` to its user: what it makes and knows, its training, its scores and its licence."""
    description = read_json(folder / "dit" / "model.json")
    if description.get("kind") == "adapter":
        return _summarise_adapter(folder, description)
    record, facts = read_record(description), {"makes": "videos and pictures from a prompt"}
    if defaults := description.get("defaults"):
        size = f"{defaults['width']}x{defaults['height']}"
        facts["makes"] += f"; by default {defaults['num_frames']} frames of {size} at {defaults['fps']:g} a second"
    if actions := description.get("actions"):
        facts["takes actions"] = f"{from_dict(ActionSchema, actions).in_words()} (chronotope play {name_of(folder)})"
    if "student" in description:
        facts["is a student"] = _student_in_words(description)
    if record is None:
        facts["trained on"] = "not recorded, since an older version trained it"
    else:
        facts["trained on"] = f"{lengths_in_words(record)}; {sizes_in_words(record)}"
        if record.generated_by:
            facts["generated clips"] = f"are among those it was trained on, made by {'; '.join(record.generated_by)}"
        facts["other sizes"] = "run, with lower quality; so do other lengths and words"
        facts |= _vocabulary(record)
    if encoder := description.get("text_encoder"):
        most = description["config"]["max_text_tokens"]
        facts["reads prompts with"] = f"{from_dict(EncoderFacts, encoder)}, up to {most} tokens of each"
    card = folder / "README.md"
    facts["training"] = describe_training(description)
    facts["scores"] = str(card) if card.is_file() else f"none; measure them with: chronotope evaluate {name_of(folder)}"
    facts["licence"] = description.get("licence", "not stated")
    return facts


def _summarise_adapter(folder: Path, description: Mapping[str, Any]) -> dict[str, str]:
    """Describe an adapter: what it changes and how it is used."""
    record, base = read_record(description), description["base_name"]
    facts = {
        "changes": f"what the model {base} makes, of the weights {description['base']}",
        "use": f"chronotope generate PROMPT --model {base} --adapter {folder}",
        "rank": f"{description['adapter']['rank']}, alpha {description['adapter']['alpha']:g}",
    }
    if record is not None:
        facts["trained on, with its base"] = f"{lengths_in_words(record)}; {sizes_in_words(record)}"
    return {**facts, "training": describe_training(description)}


def describe_training(description: Mapping[str, Any]) -> str:
    """Describe in one line the last training run of these weights, and the weights it started from."""
    training, start = description.get("training"), description.get("started_from")
    if not training:
        return "not finished"
    line = f"{training.get('run', {}).get('train', {}).get('steps', 0):,} steps"
    if "clips" in training:
        line += f" on {training['clips']:,} clips, repeats counted"
    if "seconds" in training:
        line += f", in {training['seconds'] / 60:.1f} minutes"
    if merged := description.get("merged"):
        line += f"; {len(merged)} {'adapter' if len(merged) == 1 else 'adapters'} merged in"
    return f"{line}; started from the weights {start}, whose training is not counted" if start else line


def _vocabulary(record: TrainingRecord) -> dict[str, str]:
    """Return the words of a model; those of a world's scopes by what they name, where its captions had them."""
    from chronotope.worlds.catalogue import all_worlds  # most commands need no simulator

    scopes: dict[str, list[str]] = {}
    for entry in record.worlds:
        name, _, scope = entry.partition(" ")
        scopes.setdefault(name, []).append(scope)
    kinds: dict[str, Sequence[str]] = {}
    for world in all_worlds():
        kinds |= world.vocabulary(scopes[world.name]) if world.name in scopes else {}
    kinds = {kind: [name for name in names if _was_said(name, record.words)] for kind, names in kinds.items()}
    if kinds:
        counts = ", ".join(f"{len(words)} {kind}" for kind, words in kinds.items())
        lists = {kind: ", ".join(words) for kind, words in kinds.items() if words}
        return {"words": f"{len(record.words)} (--json lists all), among them {counts}", **lists}
    more = len(record.words) - LISTED_WORDS
    rest = f" and {more} more (--json lists all)" if more > 0 else ""
    return {"words": f"{len(record.words)}: {', '.join(record.words[:LISTED_WORDS])}{rest}"}


def _was_said(name: str, words: Collection[str]) -> bool:
    """Return whether captions of these words can have named a thing or an action, such as "circle or ball", "fly"."""

    def has(word: str) -> bool:
        third = third_person(word)
        return any(form in words for form in (word, third, gerund(third)))

    return any(all(map(has, one.split())) for one in name.replace("-", " ").split(" or "))
