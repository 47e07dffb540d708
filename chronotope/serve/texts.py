"""The texts of an order, as a worker writes them -> whether the model can read them whole; no network is needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from chronotope.caption.prompts import expand_prompts
from chronotope.caption.subwords import Tokenizer
from chronotope.caption.vocabulary import Vocabulary, read_vocabulary
from chronotope.errors import UsageError
from chronotope.prompt import Prompt
from chronotope.serve.limits import ModelFacts
from chronotope.serve.order import FieldError
from chronotope.storage import read_json

__all__ = ["check_lengths", "vocabulary"]


@lru_cache(maxsize=4)
def vocabulary(folder: Path) -> Vocabulary | None:
    """Return the words that prompts of a model are written in, and None where there is no record of them.

    It agrees with `vocabulary_of_model`, and needs no torch, which this process does not load.
    """
    about = read_json(folder / "dit" / "model.json")
    record = about.get("trained_on")
    if not record:
        return None
    worlds = () if record.get("others") else record.get("worlds", ())
    return read_vocabulary(record.get("words", ()), worlds, [about])


@lru_cache(maxsize=4)
def _reader(folder: Path) -> tuple[Tokenizer, int] | None:
    """Return the tokenizer of a model and the most tokens that it reads; None where a text encoder reads for it."""
    about = read_json(folder / "dit" / "model.json")
    if about["config"].get("text_width") or "vocabulary" not in about:
        return None
    return Tokenizer(about["vocabulary"]), about["config"]["max_text_tokens"]


def check_lengths(
    facts: ModelFacts, story: Sequence[tuple[float, str]], negative: str, guidance: float | None, expand: bool
) -> None:
    """Raise FieldError for the first text that the model cannot read whole.

    It decides as the worker does, of the texts that the model is told. The lengths of a model with a text encoder are
    known to its worker alone.
    """
    if (reader := _reader(facts.folder)) is None:
        return
    tokenizer, most = reader
    guided = (facts.defaults.guidance_scale if guidance is None else guidance) != 1
    prompts = [Prompt(text, seconds) for seconds, text in story]
    texts = [prompt.text for prompt in prompts]
    if expand and (words := vocabulary(facts.folder)) is not None:
        try:
            found = expand_prompts(prompts, negative, guided, words)
        except UsageError as problem:
            raise FieldError("prompt", str(problem)) from None
        texts, negative = [prompt.text for prompt in found.prompts], found.negative
    for field, text in [("prompt", text) for text in texts] + [("negative_prompt", negative)]:
        if (length := tokenizer.num_tokens(text)) > most:
            name = field.replace("_", " ")
            raise FieldError(
                field, f"the {name} has {length} tokens, this model reads at most {most}; shorten it", "too_long"
            )
