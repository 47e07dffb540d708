"""A video while it is generated -> the nearest training clip, and what the policy decides of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from chronotope.generate.stored.adapters import Adapter, find_adapter
from chronotope.generate.stored.folders import transformers_of
from chronotope.generate.training_clips import Comparison, latents_of_models, read_training_clips
from chronotope.geometry import AnyFrames
from chronotope.metrics.near_copies import reduced
from chronotope.models.autoencoder import Autoencoder
from chronotope.safety.policy.decide import Policy

__all__ = ["CopyWatch", "clips_at_hand", "required_comparison"]


def clips_at_hand(folder: Path | None, adapters: tuple[Adapter, ...], autoencoder: Autoencoder) -> Comparison | None:
    """Return all clips that trained a model, as far as their latents are at hand; they are decoded once."""
    models = transformers_of(folder) if folder else []
    models += [find_adapter(adapter.folder) for adapter in adapters]
    known, lacking = latents_of_models(models)
    return Comparison(tuple(read_training_clips(one, autoencoder) for one in known), lacking) if known else None


def required_comparison(
    policy: Policy, chosen: Comparison | None, find: Callable[[], Comparison | None]
) -> Comparison | None:
    """Return the clips to compare with: those that were chosen, else, where the policy requires clips, what is found.

    Raises `RefusedError` where the policy requires a comparison and clips are not at hand.
    """
    if not policy.near_copies.required:
        return chosen
    comparison = chosen or find()
    lacking = comparison.not_compared if comparison else None
    if lacking != 0:
        which = "they" if lacking is None else f"{lacking} of them"
        policy.refuse_uncompared(f"{which} are not at hand; name the folders of their latents with --compare")
    return comparison


class CopyWatch:
    """Looks at the frames of a video while they are made, and lets the policy decide of the nearest training clip."""

    def __init__(self, policy: Policy, comparison: Comparison | None, fps: float, new: Bool[np.ndarray, " t"]) -> None:
        self.policy, self.comparison, self.fps, self.new = policy, comparison, fps, new
        self._rows: list[np.ndarray] = []
        self._decided: dict[str, Any] | None = None

    def pieces(self, pieces: Iterator[AnyFrames]) -> Iterator[AnyFrames]:
        """Pass the pieces of a video on; raise `RefusedError` after the last one where the video is refused."""
        for piece in pieces:
            if self.comparison is not None:
                self._rows += map(reduced, piece)
            yield piece
        self.found()

    def found(self) -> dict[str, Any]:
        """Return what the sidecar says of the frames that were seen; raise `RefusedError` where they are refused."""
        if self.comparison is None or not self._rows:
            return {}
        if self._decided is None:
            self._decided = self._decide(self.comparison)
        return self._decided

    def _decide(self, comparison: Comparison) -> dict[str, Any]:
        nearest = comparison.nearest(np.stack(self._rows), self.fps, self.new)
        if nearest is None:
            return {}
        own = self.policy.near_copies.distance
        nearest = nearest if own is None else replace(nearest, threshold=own)
        decision = self.policy.decide_copy(nearest.distance, nearest.is_copy)
        return {"nearest": {**nearest.described(), "decision": decision}}
