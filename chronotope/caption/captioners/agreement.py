"""Does a caption fit a clip, where no truth is known? The captioner says how much the clip speaks for each word."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chronotope.caption.beams import log_likelihoods
from chronotope.caption.subwords import Tokenizer
from chronotope.models.captioner import LatentCaptioner, Memory

__all__ = ["DOUBT", "Agreement", "agreement"]

DOUBT = -1.4  # nats, below which 5 % of true captions of held-out clips are (benchmarks/captions.py)


@dataclass(frozen=True)
class Agreement:
    """How much a clip speaks for a caption: `worst`, in nats, of the word against which it speaks most.

    `instead` is the word that the captioner expected there; `unknown` are words that it cannot read.
    """

    worst: float
    word: str
    instead: str
    unknown: tuple[str, ...]


def agreement(
    network: LatentCaptioner, tokenizer: Tokenizer, clip: Memory, others: Sequence[Memory], detail: str, text: str
) -> Agreement:
    """Compare the likelihood of every word for its clip with that for other clips.

    A word that the clip shows is likelier than for other clips, and one that any clip may have, such as "the", equally
    likely. The lowest log ratio of a word is returned (pointwise mutual information, with the words before).
    """
    ids = tokenizer.encode(text, network.config.max_text_tokens)[1:]
    tokens = torch.tensor(ids, dtype=torch.long)
    seen = log_likelihoods(network, clip, detail, tokens)
    elsewhere = torch.stack([log_likelihoods(network, other, detail, tokens) for other in others])
    ratio = seen - (elsewhere.logsumexp(0) - math.log(len(others)))
    unknown = tuple(tokenizer.unknown_characters(text))
    if not ids:
        return Agreement(float(ratio[0]), "", "", unknown)
    place = int(ratio[:-1].argmin())
    expected = _expected(network, clip, detail, tokens[:place])
    return Agreement(
        float(ratio[place]), tokenizer.decode(ids[place : place + 1]), tokenizer.decode([expected]), unknown
    )


@torch.no_grad()
def _expected(network: LatentCaptioner, clip: Memory, detail: str, before: Tensor) -> int:
    """Return the likeliest token after the tokens `before`."""
    x = torch.cat([network.begin(detail, 1), network.embed(before[None])], dim=1)
    return int(network.write(x, clip)[0][0, -1].argmax())
