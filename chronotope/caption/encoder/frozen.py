"""A text encoder of `transformers`: its files -> what it is; a text -> the last hidden states of its tokens.

A text is encoded alone, so its states depend on nothing but the text and the encoder, and no padding is computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from chronotope.caption.captioners.captioner import CaptionerError
from chronotope.caption.captioners.pretrained import (
    PREFIX,
    find_pretrained,
    hash_of_files,
    one_sentence,
    open_library,
)
from chronotope.errors import FileProblem, UsageError

__all__ = ["PREFIX", "EncodedText", "EncoderFacts", "FrozenEncoder", "encoder_at_hand", "facts_of", "find_encoder"]

WEIGHTS = "*.safetensors"
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")  # one of them says what the tokens are
# The files that decide the states of a text, directly in the folder of an encoder.
HASHED = (
    *("config.json", WEIGHTS, f"{WEIGHTS}.index.json"),
    *(*TOKENIZERS, "tokenizer_config.json", "merges.txt", "special_tokens_map.json", "added_tokens.json"),
)
ENDLESS = 10**6  # tokens; a tokenizer that states more states no limit
HALF_LIMIT = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class EncoderFacts:
    """What a model says of its text encoder: its name, the hash of its files, values of a state, its limit, its size.

    `max_tokens` is 0 where the encoder has no limit; `bytes` are those of its weights.
    """

    name: str
    hash: str
    width: int
    max_tokens: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.name} ({self.hash}, {self.bytes / 1e6:,.0f} MB)"


@dataclass(frozen=True)
class EncodedText:
    """The states of a text in half precision; `num_tokens` it has in all, and its first `num_words` were read.

    `unknown` are its characters that the encoder has no token for.
    """

    states: Float[Tensor, "l s"]
    num_tokens: int
    num_words: int
    unknown: str


def find_encoder(name: str) -> Path:
    """Return the folder of an encoder, see `find_pretrained`."""
    return find_pretrained(name, "a text encoder", HASHED)


def facts_of(name: str) -> EncoderFacts:
    """Return what an encoder is. Raises FileProblem for an incomplete folder, UsageError for what is no encoder."""
    folder = find_encoder(name)
    _check_files(folder)
    config, tokenizer = _config(folder), _tokenizer(folder)
    width = getattr(config, "hidden_size", None) or getattr(config, "d_model", None)
    if not isinstance(width, int):
        raise UsageError(f"{folder} is a {config.model_type}, which is no text encoder; give one such as BERT or T5")
    limits = [getattr(tokenizer, "model_max_length", ENDLESS), getattr(config, "max_position_embeddings", ENDLESS)]
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < ENDLESS]
    size = sum(path.stat().st_size for path in folder.glob(WEIGHTS))
    return EncoderFacts(name, _hash_of(folder), width, min(known, default=0), size)


def _check_files(folder: Path) -> None:
    for what, patterns in (("config.json", ("config.json",)), ("weights", (WEIGHTS,)), ("tokenizer", TOKENIZERS)):
        if not any(path.is_file() for pattern in patterns for path in folder.glob(pattern)):
            raise FileProblem(
                f"{folder} is no complete text encoder: it has no {what} ({', '.join(patterns)}); copy the whole folder"
            )


def _hash_of(folder: Path) -> str:
    """Hash the files that decide states."""
    return hash_of_files(folder, HASHED)


def _config(folder: Path) -> Any:
    """Read the config of an encoder; raise UsageError for a decoder, whose states do not see the words that follow."""
    transformers, name = open_library(str(folder))
    from transformers.models.auto import modeling_auto

    with one_sentence(f"{folder} cannot be loaded as a text encoder"):
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    kind = config.model_type
    decodes = kind in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if (decodes and kind not in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES) or getattr(
        config, "is_decoder", False
    ):
        raise UsageError(
            f"{folder} is a decoder ({kind}): the state of a word does not see the words that follow; give an encoder, "
            "such as BERT or the encoder of T5"
        )
    return config


def _tokenizer(folder: Path) -> Any:
    transformers, name = open_library(str(folder))
    with one_sentence(f"the tokenizer of {folder} cannot be loaded"):
        return transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)


class FrozenEncoder:
    """An encoder in the folder of `facts`; its network, in single precision, is loaded for the first text."""

    def __init__(self, folder: Path, facts: EncoderFacts) -> None:
        _check_files(folder)
        if (found := _hash_of(folder)) != facts.hash:
            raise FileProblem(
                f"{folder} is not the text encoder that the model was trained with: its files have the hash {found}, "
                f"expected {facts.hash}; restore them, or give the model the encoder of before"
            )
        self.folder, self.facts = folder, facts
        self._tokenizer: Any = _tokenizer(folder)
        self._network: Any = None

    def count(self, text: str) -> int:
        """Count the tokens of a text, those that mark its start and end included."""
        with one_sentence(f"{self.facts.name} cannot read a text"):
            return len(self._tokenizer(_plain(text), verbose=False).input_ids)

    def words_within(self, text: str, most: int) -> int:
        """Return how many words from the start on have at most `most` tokens, by bisection."""
        words = text.split()
        least, most_words = 0, len(words)
        while least < most_words:
            middle = (least + most_words + 1) // 2
            if self.count(" ".join(words[:middle])) <= most:
                least = middle
            else:
                most_words = middle - 1
        return least

    def unknown_characters(self, text: str) -> list[str]:
        """Return the characters that the tokenizer has no token for."""
        unknown = self._tokenizer.unk_token_id
        found = dict.fromkeys(char for char in _plain(text) if not char.isascii() and not char.isspace())

        def is_unknown(char: str) -> bool:
            return unknown in self._tokenizer(char, add_special_tokens=False, verbose=False).input_ids

        return [char for char in found if unknown is not None and is_unknown(char)]

    @torch.no_grad()
    def encode(self, text: str, most: int) -> EncodedText:
        """Return the states of a text, whose end is cut where it has more than `most` tokens."""
        self._network = self._network or _load(self.folder)
        device, count = next(self._network.parameters()).device, self.count(text)
        with one_sentence(f"{self.facts.name} cannot encode a text"), torch.autocast(device.type, enabled=False):
            found = self._tokenizer(_plain(text), truncation=True, max_length=most, return_tensors="pt", verbose=False)
            inputs = {name: found[name].to(device) for name in ("input_ids", "attention_mask")}
            states = self._network(**inputs).last_hidden_state[inputs["attention_mask"].bool()].cpu()
        if states.shape[-1] != self.facts.width:
            raise UsageError(f"{self.folder} gives states of {states.shape[-1]} values, expected {self.facts.width}")
        if not math.isfinite(largest := float(states.abs().max())) or largest > HALF_LIMIT:
            raise FileProblem(
                f"{self.facts.name} gives states of {largest:g}, which half precision cannot hold; give another encoder"
            )
        words = len(text.split()) if count <= most else self.words_within(text, most)
        return EncodedText(states.half(), count, words, "".join(self.unknown_characters(text)))


def _load(folder: Path) -> Any:
    """Load the network, without its decoder if it has one; raise FileProblem where weights are missing."""
    transformers, name = open_library(str(folder))
    from transformers.models.auto import modeling_auto

    kind = _config(folder).model_type
    only = kind in modeling_auto.MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES
    loader = transformers.AutoModelForTextEncoding if only else transformers.AutoModel
    with one_sentence(f"{folder} cannot be loaded as a text encoder"), torch.random.fork_rng():
        network, loaded = loader.from_pretrained(
            name, trust_remote_code=False, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    # a pooler, which some checkpoints lack, has no part in the states
    if missing := sorted(key for key in loaded["missing_keys"] if "pooler" not in key):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise FileProblem(f"the weights in {folder} lack {missing[0]}{more}; copy the whole folder")
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    return network.eval().requires_grad_(False).to("cuda" if torch.cuda.is_available() else "cpu")


def _plain(text: str) -> str:
    return text.encode(errors="replace").decode()  # lone surrogates, which the tokenizers refuse


def encoder_at_hand(facts: EncoderFacts, copies: Sequence[Path]) -> FrozenEncoder:
    """Open the encoder of a model: the first folder of `copies` that there is, else by its name.

    Raises FileProblem in one sentence where it is missing or another one.
    """
    for own in copies:
        if own.is_dir():
            return FrozenEncoder(own, facts)
    try:
        folder = find_encoder(facts.name)
    except (CaptionerError, UsageError) as problem:
        where = f"; put its folder at {copies[0]}" if copies else ""
        what = f"the text encoder {facts}, which the model reads prompts with, is not at hand"
        raise FileProblem(f"{what}: {problem}{where}") from problem
    return FrozenEncoder(folder, facts)
