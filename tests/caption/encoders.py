"""Text encoders of random weights in folders as transformers saves them, small enough to encode a text in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

WORDS = "a red blue ball fox moves walks past tree to the right left at night it stops".split()
SHAPE = {"num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 128}


def save_tokenizer(folder: Path, most: int = 40) -> None:
    """A BERT tokenizer of whole words, letters and pieces of them."""
    from transformers import BertTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    pieces += [char for char in letters if char not in WORDS] + [f"##{char}" for char in letters]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    BertTokenizer(vocab=vocabulary, model_max_length=most).save_pretrained(folder)


def save_bert(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A BERT of width 32 that reads up to 40 tokens."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    config = {"hidden_size": 32, "intermediate_size": 64, "max_position_embeddings": 40, **SHAPE, **changes}
    BertModel(BertConfig(**config)).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_t5(folder: Path) -> Path:
    """A T5 with its decoder; its encoder has states of 16 values."""
    from transformers import T5Config, T5Model

    torch.manual_seed(0)
    config = T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=128)
    T5Model(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_llama(folder: Path) -> Path:
    """A decoder."""
    from transformers import LlamaConfig, LlamaModel

    LlamaModel(LlamaConfig(hidden_size=16, intermediate_size=32, **SHAPE)).save_pretrained(folder)
    save_tokenizer(folder)
    return folder
