"""What a model was trained on, and notes on words, sizes and lengths of a request that its training did not have."""

from __future__ import annotations

import contextlib
import functools
import operator
import re
from collections.abc import Sequence
from pathlib import Path

from chronotope.caption.vocabulary import Vocabulary, read_vocabulary
from chronotope.caption.words import grammar
from chronotope.caption.words.lexicon import load_lexicon, third_person
from chronotope.data.record import TrainingRecord, read_record, words_of
from chronotope.errors import FileProblem
from chronotope.generate.plan import Plan
from chronotope.generate.stored.adapters import Adapter, find_adapter
from chronotope.generate.stored.folders import WEIGHTS, transformers_of
from chronotope.media import video
from chronotope.sealed import unsealed
from chronotope.storage import read_json

__all__ = [
    "lengths_in_words",
    "name_of",
    "record_of_model",
    "record_of_worlds",
    "sizes_in_words",
    "training_notes",
    "vocabulary_of_model",
]

LISTED_SIZES = 8  # of a model of more sizes only the smallest and the largest are named


def record_of_model(model: Path, adapters: Sequence[Adapter] = ()) -> TrainingRecord | None:
    """Return what a model and its adapters were trained on; None where one of them has no record."""
    folders = [*transformers_of(model), *(find_adapter(adapter.folder) for adapter in adapters)]
    records = [read_record(read_json(folder / "model.json")) for folder in folders]
    known = [record for record in records if record is not None]
    return functools.reduce(operator.or_, known) if len(known) == len(records) else None


def vocabulary_of_model(folder: Path | None, adapters: Sequence[Adapter] = ()) -> Vocabulary | None:
    """Return the words that prompts of a model are written in; None where its training left no record of them."""
    record = record_of_model(folder, adapters) if folder else None
    if folder is None or record is None:
        return None
    abouts = [read_json(one / "model.json") for one in (folder / "dit", *(find_adapter(a.folder) for a in adapters))]
    return read_vocabulary(record.words, record.worlds if record.only_worlds else (), abouts)


def record_of_worlds(folder: Path, adapters: Sequence[Adapter] = ()) -> TrainingRecord | None:
    """Return what a model was shown, where that was clips of the worlds alone."""
    record = record_of_model(folder, adapters)
    return record if record is not None and record.only_worlds else None


def training_notes(model: Path | None, plan: Plan, adapters: Sequence[Adapter] = ()) -> list[str]:
    """Say what is unsealed in a model, and what a request has that it was not trained on; it is generated all the same.

    Words that the request has notes on already are left out. A model without a record of its training gives one note,
    and so does one whose folder was removed after it was loaded.
    """
    if model is None:
        return []
    try:
        record = record_of_model(model, adapters)
    except FileProblem as problem:
        return [f"no note says which words, sizes and lengths the model knows: {problem}"]
    sealed = [model / "autoencoder", model / "dit", *(find_adapter(adapter.folder) for adapter in adapters)]
    notes = unsealed(*(folder / "model.json" for folder in sealed))
    if record is None:
        return [
            *notes,
            "the model has no record of its training, so no note says which words, sizes and lengths it knows",
        ]
    inputs, canvas = plan.request.inputs, plan.canvas
    if (canvas.width, canvas.height) not in record.sizes:
        size = f"{canvas.width}x{canvas.height}"
        notes.append(f"the model was trained on {sizes_in_words(record)} and not on {size}; expect lower quality")
    # A clip that is extended or connected has any length; what counts are the new frames.
    whole = inputs.video is None or inputs.keeps_length
    count = plan.num_frames if whole else plan.num_new
    if not record.knows_length(count, canvas.fps):
        asked = "a picture" if count == 1 else f"{count} frames at {canvas.fps:g} frames a second"
        notes.append(f"the model was trained on {lengths_in_words(record)}, and not on {asked}; expect lower quality")
    texts = [prompt.text for prompt in plan.request.prompts] + [plan.sampling.negative_prompt]
    unknown = _unnamed(record, " ".join(texts), " ".join(plan.request.word_notes))
    if unknown:
        where = f"`chronotope info {name_of(model)}` lists those known"
        notes.append(f"no caption in training had these words: {', '.join(unknown)}; {where}")
    notes += _others_that_know(model, record.unknown_words(" ".join(texts)))
    frames = [file.path for file in plan.request.files if file.kind != "mask"]
    foreign = [path for path in frames if not _is_rendered(path)] if record.only_worlds else []
    if foreign:
        worlds = " and ".join(sorted({entry.partition(" ")[0] for entry in record.worlds}))
        notes.append(
            f"{' and '.join(map(str, foreign))}: not made by this program, and this model knows only clips of its "
            f"simulated {worlds}; expect lower quality from photos and camera clips"
        )
    return notes


def _others_that_know(model: Path, words: Sequence[str]) -> list[str]:
    """Name the other models of the package whose captions had words that those of this one of them never had."""
    notes = []
    asked = [word for word in words if word not in grammar.IGNORED] if model.parent == WEIGHTS else []
    for other in sorted(folder for folder in WEIGHTS.glob("*") if folder.is_dir() and folder != model) if asked else ():
        record = record_of_model(other)
        known = [word for word in asked if record is not None and word in record.words]
        if known:
            notes.append(f"captions of the model {other.name} had {', '.join(known)}: try `--model {other.name}`")
    return notes


def _unnamed(record: TrainingRecord, text: str, named: str) -> list[str]:
    """Return the words that no caption had, in any form, and that no note names yet."""
    known = frozenset(record.words)

    def is_form(word: str) -> bool:  # 'rabbits' of 'rabbit', 'hop' of 'hops'
        meanings = load_lexicon().find(word) if named else ()
        small = bool(named) and word in grammar.IGNORED
        return small or any(other in known for m in meanings for other in (m.word, third_person(m.word)))

    told = set(words_of(named.partition("not to be there: ")[2])) | set(re.findall(r"'(\w+)'", named))
    return [word for word in record.unknown_words(text) if word not in told and not is_form(word)]


def _is_rendered(path: Path) -> bool:
    """Whether this program generated a file, or rendered it for a dataset."""
    if video.read_origin(path) is not None:
        return True
    beside = path.with_suffix(".json")
    with contextlib.suppress(FileProblem):
        record = read_json(beside) if beside.is_file() else None
        return isinstance(record, dict) and "spec" in record
    return False


def sizes_in_words(record: TrainingRecord) -> str:
    """List the sizes of the clips that trained a model."""
    sizes = [f"{width}x{height}" for width, height in sorted(record.sizes, key=lambda size: size[0] * size[1])]
    return ", ".join(sizes) if len(sizes) <= LISTED_SIZES else f"{len(sizes)} sizes from {sizes[0]} to {sizes[-1]}"


def lengths_in_words(record: TrainingRecord) -> str:
    """Describe the lengths and rates of the clips that trained a model."""
    if record.num_frames is None:
        return "pictures"
    shortest, longest = record.num_frames
    rates = " or ".join(f"{fps:g}" for fps in record.fps)
    return f"{'pictures and ' if record.pictures else ''}videos of {shortest} to {longest} frames at {rates} a second"


def name_of(model: Path) -> str:
    """Return what names a model on the command line."""
    return model.name if model.resolve().parent == WEIGHTS else str(model)
