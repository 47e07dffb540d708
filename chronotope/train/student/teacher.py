"""The targets of a student: the mean velocity of a guided teacher from one of its noise levels to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig, balance, to_velocity
from chronotope.flow.solvers import mean_velocity
from chronotope.flow.student import StudentConfig
from chronotope.flow.timesteps import schedule
from chronotope.models.dit import DiT, PackedTokens
from chronotope.models.packing import Sample, pack
from chronotope.models.text import TextTokenizer

__all__ = ["GuidedPack", "guided_pack", "residual_of_teacher"]


@dataclass(frozen=True)
class GuidedPack:
    """Every sample of a pack twice in one sequence: with its texts, and without text, as guidance needs them.

    `source` is the place in the pack of each visual token here; `conditional` and `unconditional` are the places here
    of each visual token of the pack.
    """

    tokens: PackedTokens
    source: Int[Tensor, " w"]
    conditional: Int[Tensor, " v"]
    unconditional: Int[Tensor, " v"]

    def to(self, device: torch.device) -> GuidedPack:
        """Return this pack on a device."""
        places = (each.to(device) for each in (self.source, self.conditional, self.unconditional))
        return GuidedPack(self.tokens.to(device), *places)


def guided_pack(samples: Sequence[Sample], tokenizer: TextTokenizer) -> GuidedPack:
    """Pack samples, which come in the order of their pack, with their texts and without text."""
    no_text = ((0.0, tokenizer.encode("")),)
    tokens, arranged = pack([*samples, *(replace(sample, texts=no_text) for sample in samples)])
    places = torch.arange(sum(len(sample.noisy) for sample in samples)).split([len(each.noisy) for each in samples])
    source = torch.cat([places[i % len(samples)] for i in arranged])
    with_text = torch.cat([torch.full_like(places[i % len(samples)], i < len(samples)) for i in arranged]).bool()
    here = torch.arange(len(source))
    conditional, unconditional = (
        torch.empty(len(here) // 2, dtype=torch.long).index_copy_(0, source[kind], here[kind])
        for kind in (with_text, ~with_text)
    )
    return GuidedPack(tokens, source, conditional, unconditional)


@torch.no_grad()
def residual_of_teacher(
    teacher: DiT, packed: PackedTokens, guided: GuidedPack, unknown: Tensor, flow: FlowConfig, student: StudentConfig
) -> Float[Tensor, "v p"]:
    """Return the residual (see `TrainingPack`) of the unknown tokens of a pack: the teacher's velocity as target.

    `unknown` is [v, 1]; each of these tokens is at one of the student's noise levels, and known tokens stay at theirs.
    """
    level = packed.level[packed.row[packed.place]][:, None]
    clock = schedule(student.steps, flow.shift).to(level.device)
    after = clock[((clock - level).abs().argmin(dim=1) + 1).clamp(max=student.steps)][:, None]
    stop = torch.where(unknown, after, level)
    guidance, tokens = Guidance(student.guidance), guided.tokens
    rows = tokens.row[tokens.place]
    text = teacher.encode_text(tokens.text_tokens, tokens.texts)

    def velocity(noisy: Tensor, t: Tensor) -> Tensor:
        scales = balance(flow, t)
        row_level = tokens.level.index_copy(0, rows, t[guided.source, 0])
        batch = replace(tokens, noisy=(scales.scale_in * noisy)[guided.source], level=row_level)
        output = teacher(batch, text).float()
        with_text, without = (
            to_velocity(flow.path, flow.prediction, scales.skip * noisy + scales.scale_out * part, noisy, t)
            for part in (output[guided.conditional], output[guided.unconditional])
        )
        return guidance.combine(with_text, without)

    scales = balance(flow, level)
    noisy = packed.noisy / scales.scale_in
    target = mean_velocity(velocity, noisy, level, stop, student.substeps)
    return unknown * (target - scales.skip * noisy)
