"""Describe what a model makes and knows, and warn about words, sizes and lengths that its training did not have."""

from __future__ import annotations

import contextlib
import functools
import operator
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from chronotope.caption import grammar
from chronotope.caption.encoder.frozen import EncoderFacts
from chronotope.caption.lexicon import load_lexicon, third_person
from chronotope.config import from_dict
from chronotope.data.record import TrainingRecord, read_record, words_of
from chronotope.errors import FileProblem
from chronotope.generate.adapters import Adapter, find_adapter
from chronotope.generate.pipeline import WEIGHTS
from chronotope.generate.plan import Plan
from chronotope.media import video
from chronotope.sealed import unsealed
from chronotope.storage import read_json
from chronotope.worlds.language import gerund

__all__ = ["describe_training", "record_of_model", "summarise", "training_notes"]

LISTED_SIZES = 8  # of a model of more sizes only the smallest and the largest are named
LISTED_WORDS = 40  # of a model of no known world


def record_of_model(model: Path, adapters: Sequence[Adapter] = ()) -> TrainingRecord | None:
    """Return what a model and its adapters were trained on; None where one of them has no record."""
    folders = [model / "dit", *(find_adapter(adapter.folder) for adapter in adapters)]
    records = [read_record(read_json(folder / "model.json")) for folder in folders]
    known = [record for record in records if record is not None]
    return functools.reduce(operator.or_, known) if len(known) == len(records) else None


def training_notes(
    model: Path | None,
    plan: Plan,
    files: Sequence[Path] = (),
    on_words: Sequence[str] = (),
    adapters: Sequence[Adapter] = (),
) -> list[str]:
    """Say what is unsealed in a model, and what a request has that it was not trained on; it is generated all the same.

    `files` are the pictures and clips that it was made from, `on_words` the notes that name words already. A model
    without a record of its training gives one note.
    """
    if model is None:
        return []
    record = record_of_model(model, adapters)
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
        notes.append(f"the model was trained on {_sizes(record)} and not on {size}; expect lower quality")
    # A clip that is extended or connected has any length; what counts are the new frames.
    whole = inputs.video is None or inputs.keeps_length
    count = plan.num_frames if whole else plan.num_new
    if not record.knows_length(count, canvas.fps):
        asked = "a picture" if count == 1 else f"{count} frames at {canvas.fps:g} frames a second"
        notes.append(f"the model was trained on {_lengths(record)}, and not on {asked}; expect lower quality")
    texts = [prompt.text for prompt in plan.request.prompts] + [plan.sampling.negative_prompt]
    unknown = _unnamed(record, " ".join(texts), " ".join(on_words))
    if unknown:
        where = f"`chronotope info {_name(model)}` lists those known"
        notes.append(f"no caption in training had these words: {', '.join(unknown)}; {where}")
    foreign = [path for path in files if not _is_rendered(path)] if record.only_worlds else []
    if foreign:
        worlds = " and ".join(sorted({entry.partition(" ")[0] for entry in record.worlds}))
        notes.append(
            f"{' and '.join(map(str, foreign))}: not made by this program, and this model knows only clips of its "
            f"simulated {worlds}; expect lower quality from photos and camera clips"
        )
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


def summarise(folder: Path) -> dict[str, str]:
    """Describe the model in `folder` to its user: what it makes and knows, its training, its scores and its licence."""
    description = read_json(folder / "dit" / "model.json")
    if description.get("kind") == "adapter":
        return _summarise_adapter(folder, description)
    record, facts = read_record(description), {"makes": "videos and pictures from a prompt"}
    if defaults := description.get("defaults"):
        size = f"{defaults['width']}x{defaults['height']}"
        facts["makes"] += f"; by default {defaults['num_frames']} frames of {size} at {defaults['fps']:g} a second"
    if record is None:
        facts["trained on"] = "not recorded, since an older version trained it"
    else:
        facts["trained on"] = f"{_lengths(record)}; {_sizes(record)}"
        facts["other sizes"] = "run, with lower quality; so do other lengths and words"
        facts |= _vocabulary(record)
    if encoder := description.get("text_encoder"):
        most = description["config"]["max_text_tokens"]
        facts["reads prompts with"] = f"{from_dict(EncoderFacts, encoder)}, up to {most} tokens of each"
    card = folder / "README.md"
    facts["training"] = describe_training(description)
    facts["scores"] = str(card) if card.is_file() else f"none; measure them with: chronotope evaluate {_name(folder)}"
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
        facts["trained on, with its base"] = f"{_lengths(record)}; {_sizes(record)}"
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


def _sizes(record: TrainingRecord) -> str:
    sizes = [f"{width}x{height}" for width, height in sorted(record.sizes, key=lambda size: size[0] * size[1])]
    return ", ".join(sizes) if len(sizes) <= LISTED_SIZES else f"{len(sizes)} sizes from {sizes[0]} to {sizes[-1]}"


def _lengths(record: TrainingRecord) -> str:
    if record.num_frames is None:
        return "pictures"
    shortest, longest = record.num_frames
    rates = " or ".join(f"{fps:g}" for fps in record.fps)
    return f"{'pictures and ' if record.pictures else ''}videos of {shortest} to {longest} frames at {rates} a second"


def _name(model: Path) -> str:
    """What to write for a model on the command line."""
    return model.name if model.resolve().parent == WEIGHTS else str(model)
