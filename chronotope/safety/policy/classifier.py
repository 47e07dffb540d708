"""A text -> a score for each category, by logistic regression over hashed n-grams of its characters and words.

Trained by tools/train_policy.py on the red-team set and on captions of our worlds; one independent score a category.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from chronotope.errors import FileProblem

__all__ = ["BUCKETS", "WEIGHTS", "features", "scores"]

BUCKETS = 2**13
LENGTHS = (3, 4, 5)  # of n-grams of characters
WEIGHTS = Path(__file__).with_name("classifier.safetensors")


def features(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the buckets of a text and their weights, of length 1; the text is a plain form."""
    grams: Counter[str] = Counter()
    words = text.split()
    for word in words:
        padded = f" {word} "
        grams.update(padded[at : at + length] for length in LENGTHS for at in range(len(padded) - length + 1))
    grams.update(f"w {word}" for word in words)
    grams.update(f"w {one} {other}" for one, other in pairwise(words))
    buckets: Counter[int] = Counter()
    for gram, count in grams.items():
        buckets[zlib.crc32(gram.encode()) % BUCKETS] += count
    values = np.sqrt(np.array(list(buckets.values()), np.float32))
    length = np.sqrt(np.sum(values * values)) or 1.0
    return np.array(list(buckets), np.int64), values / length


def scores(text: str) -> dict[str, float]:
    """Return the probability of each category; raise FileProblem where the weights are missing or damaged."""
    names, weights, bias = _weights()
    buckets, values = features(text)
    logits = weights[:, buckets] @ values + bias if len(buckets) else bias
    return dict(zip(names, (1 / (1 + np.exp(-logits.astype(np.float64)))).tolist(), strict=True))


@cache
def _weights() -> tuple[tuple[str, ...], Float[np.ndarray, "categories buckets"], Float[np.ndarray, " categories"]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(WEIGHTS, "np") as file:
            about: Mapping[str, str] = file.metadata()
            weights, bias = file.get_tensor("weights"), file.get_tensor("bias")
    except (OSError, SafetensorError) as problem:
        raise FileProblem(
            f"the weights of the prompt policy cannot be read ({problem}); install the package again"
        ) from problem
    return tuple(about["categories"].split()), weights.astype(np.float32), bias.astype(np.float32)
