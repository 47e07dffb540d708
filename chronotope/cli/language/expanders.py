"""The expander of a trained model, by its folder: what writes short captions as descriptive ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from chronotope import checkpoint
from chronotope.caption.beams import beam_search, sample
from chronotope.caption.captioners.builtin import sentences
from chronotope.caption.subwords import Tokenizer
from chronotope.config import from_dict
from chronotope.errors import FileProblem
from chronotope.models.captioner import Memory
from chronotope.models.expander import ExpanderConfig, PromptExpander
from chronotope.train.language.pairs import DESCRIPTIVE

__all__ = ["TrainedExpander", "load_expander"]

WARMTH = 0.7  # the temperature of sampling, where a seed is given


@dataclass(frozen=True)
class TrainedExpander:
    """A trained expander; it writes the likeliest caption, or with a seed another one."""

    network: PromptExpander
    tokenizer: Tokenizer

    def write(self, caption: str, seed: int | None) -> str:
        """Return a descriptive caption about a short one; empty where it does not end."""
        memory = self._read(caption)
        if seed is None:
            found = beam_search(self.network, memory, DESCRIPTIVE)
        else:
            found = sample(self.network, memory, DESCRIPTIVE, WARMTH, torch.Generator().manual_seed(seed))
        return sentences(self.tokenizer.decode(found.ids)) if found.ended else ""

    @torch.no_grad()
    def _read(self, caption: str) -> Memory:
        ids = self.tokenizer.encode(caption.lower().rstrip("."), self.network.max_text_tokens)
        return self.network.look(torch.tensor(ids), (len(ids),))


def load_expander(folder: Path) -> TrainedExpander:
    """Load `folder`/expander; raise FileProblem where there is none, or where it is damaged."""
    part = folder / "expander"
    if not (part / "model.json").is_file():
        raise FileProblem(
            f"{folder} holds no expander; train one: chronotope train expander --preset small --data FOLDER "
            f"--out {folder}"
        )
    about = checkpoint.verify_model(part)
    if about.get("kind") != "expander":
        raise FileProblem(f"{part} is no expander, but of the kind {about.get('kind')}")
    if missing := sorted({"config", "vocabulary"} - about.keys()):
        raise FileProblem(f"{part / 'model.json'} lacks {', '.join(missing)}; copy it again or train it again")
    with checkpoint.Uninitialised():
        network = PromptExpander(from_dict(ExpanderConfig, about["config"]))
    checkpoint.load_model(part, network)
    return TrainedExpander(network.eval(), Tokenizer(about["vocabulary"]))
