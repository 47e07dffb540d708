"""Texts -> the states that a transformer reads: from the disk where they are at hand, else by the frozen encoder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from chronotope.caption.captioners.captioner import CaptionerError
from chronotope.caption.encoder.frozen import (
    PREFIX,
    EncodedText,
    EncoderFacts,
    FrozenEncoder,
    encoder_at_hand,
    facts_of,
)
from chronotope.caption.encoder.store import StateStore
from chronotope.caption.subwords import Tokenizer
from chronotope.config import from_dict, to_dict
from chronotope.errors import FileProblem, UsageError
from chronotope.models.dit import DiTConfig
from chronotope.models.text import TextTokenizer
from chronotope.storage import read_json, remove_partials, write_json

__all__ = ["OWN_ENCODER", "STATES", "StateTokenizer", "facts_for_run", "read_tokenizer"]

STATES = "states"  # the folder of a run with the states of its captions, in a folder named by the hash of the encoder
FACTS = "encoder.json"  # beside states: what computed them
OWN_ENCODER = "text_encoder"  # the folder of a run in which a copy of its encoder is looked for first
SHARD_BYTES, SHARD_SECONDS = 2**26, 300  # after which a shard is written
KEPT_TEXTS = 256  # that no store has and whose states are kept in memory


def facts_for_run(name: str, run: Path | None, start: Path | None = None) -> EncoderFacts:
    """Return what the encoder of a name is; where it is not at hand, what the states in a run say of it.

    A copy beside the model `start`, whose encoder has this name, comes first. Raises what `facts_of` raises where there
    are no such states.
    """
    if start is not None and (start / OWN_ENCODER).is_dir() and _name_of_encoder(start) == name:
        return replace(facts_of(f"{PREFIX}{start / OWN_ENCODER}"), name=name)
    try:
        return facts_of(name)
    except CaptionerError:
        for path in sorted(run.glob(f"{STATES}/*/{FACTS}")) if run else ():
            if (facts := from_dict(EncoderFacts, read_json(path))).name == name:
                return facts
        raise


def _name_of_encoder(model: Path) -> str | None:
    about = read_json(model / "dit" / "model.json").get("text_encoder")
    return about["name"] if about else None


def read_tokenizer(description: Mapping[str, Any], config: DiTConfig, model: Path) -> TextTokenizer:
    """Return what reads the prompts of the model in a folder, by its description: a vocabulary or a frozen encoder."""
    if not config.text_width:
        return Tokenizer(description["vocabulary"])
    try:
        facts = from_dict(EncoderFacts, description["text_encoder"])
    except (KeyError, TypeError, UsageError) as problem:
        file = model / "dit" / "model.json"
        raise FileProblem(
            f"{file} does not say which text encoder its model reads; copy it again or train it again"
        ) from problem
    return StateTokenizer(facts, config.max_text_tokens, model)


class StateTokenizer:
    """The `TextTokenizer` of a model with a frozen text encoder, which is loaded for the first text without states.

    Texts of more than `most` tokens are cut before they are encoded. The empty text is a row of zeros, for which the
    transformer has a learned vector. `run` is the folder of the model, where states and a copy of the encoder may be;
    `start` is that of the model whose training goes on, where a copy may be, too.
    """

    def __init__(self, facts: EncoderFacts, most: int, run: Path | None = None, start: Path | None = None) -> None:
        self.facts, self.most, self.run = facts, most, run
        self._copies = [folder / OWN_ENCODER for folder in (run, start) if folder]
        self.store = StateStore(run / STATES / facts.hash) if run else None
        self._kept: dict[str, EncodedText] = {}
        self._encoder: FrozenEncoder | None = None

    def encode(self, text: str, most: int | None = None) -> Float[Tensor, "l s"]:
        """Return the states of a text in half precision, or the first `most`."""
        if not text.strip():
            return torch.zeros(1, self.facts.width, dtype=torch.float16)
        return self._states(text)[:most]

    def num_tokens(self, text: str, most: int | None = None) -> int:
        """Count the tokens of a whole text, up to `most`."""
        count, _ = self._length(text)
        return count if most is None else min(count, most)

    def shortened(self, text: str, most: int) -> str:
        """Return a text that has at most `most` tokens: the text itself, or its first words."""
        tokens, words = self._length(text)
        if tokens <= most:
            return text
        kept = words if most == self.most else self.encoder().words_within(text, most)
        return " ".join(text.split()[:kept])

    def unknown_characters(self, text: str) -> list[str]:
        """Return the characters of a text that the encoder has no token for, each once."""
        if text.isascii():
            return []
        if self.store is not None and (key := self._key(text)) in self.store:
            return list(self.store.unknown(key))
        return self.encoder().unknown_characters(text)

    def encoder(self) -> FrozenEncoder:
        """Return the encoder; raise FileProblem where it is not at hand."""
        self._encoder = self._encoder or encoder_at_hand(self.facts, self._copies)
        return self._encoder

    def release(self) -> None:
        """Free the memory of the encoder."""
        self._encoder = None

    def _key(self, text: str) -> str:
        return hashlib.sha256(f"{self.most} {text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _states(self, text: str) -> Float[Tensor, "l s"]:
        key = self._key(text)
        if self.store is not None and key in self.store:
            return self.store.read(key)
        if key not in self._kept:
            if len(self._kept) >= KEPT_TEXTS:
                self._kept.clear()
            self._kept[key] = self.encoder().encode(text, self.most)
        return self._kept[key].states

    def _length(self, text: str) -> tuple[int, int]:
        if not text.strip():
            return 1, 0
        key = self._key(text)
        if self.store is not None and key in self.store:
            return self.store.length(key)
        if key not in self._kept:
            count = self.encoder().count(text)
            words = len(text.split()) if count <= self.most else self.encoder().words_within(text, self.most)
            return count, words
        return self._kept[key].num_tokens, self._kept[key].num_words

    def prepare(self, texts: Iterable[str], share: tuple[int, int] = (0, 1)) -> int:
        """Compute and store the states of texts that have none; of all of them, process `share[0]` of `share[1]`.

        Returns how many were computed. A shard is written after `SHARD_BYTES`, after `SHARD_SECONDS` and when the work
        is interrupted, so that nothing is computed twice.
        """
        if self.store is None:
            raise FileProblem("states are stored in the folder of a run, and this model has none")
        folder = self.store.folder
        remove_partials(folder)
        self.store = StateStore(folder)
        self.store.remove_damaged()
        found: dict[str, EncodedText] = {}
        count, size, started = 0, 0, time.monotonic()
        try:
            for text in texts:
                key = self._key(text)
                if not text.strip() or key in self.store or key in found or int(key, 16) % share[1] != share[0]:
                    continue
                found[key] = self.encoder().encode(text, self.most)
                count, size = count + 1, size + found[key].states.nbytes
                if size >= SHARD_BYTES or time.monotonic() - started > SHARD_SECONDS:
                    self.store.write(found)
                    found, size, started = {}, 0, time.monotonic()
        finally:
            if found:
                self.store.write(found)
        if share[0] == 0:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / FACTS, to_dict(self.facts))
        return count

    def reread(self) -> None:
        """Read again which states are stored: other processes may have added some."""
        if self.store is not None:
            self.store = StateStore(self.store.folder)
