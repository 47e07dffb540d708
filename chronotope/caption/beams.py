"""Beam search and sampling: texts of a network that writes, each with its likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chronotope.models.captioner import END, CaptionDecoder, Memory

__all__ = ["Found", "beam_search", "log_likelihoods", "sample"]


@dataclass(frozen=True)
class Found:
    """The ids of a text and the sum of their log probabilities, with that of the end."""

    ids: tuple[int, ...]
    log_probability: float
    ended: bool = True

    def score(self, power: float) -> float:
        """Return the log probability, divided by the length to a power: 0 prefers short texts, 1 their mean."""
        return self.log_probability / (len(self.ids) + 1) ** power


@torch.no_grad()
def beam_search(network: CaptionDecoder, memory: Memory, detail: str, beams: int = 4, power: float = 0.7) -> Found:
    """Return the best text about the one clip in `memory`; of a text without an end the ids up to the limit.

    At every place the `beams` best beginnings go on (Sutskever et al. 2014, arXiv 1409.3215; the power is that of Wu
    et al. 2016, arXiv 1609.08144).
    """
    beginnings: list[Found] = [Found((), 0.0, ended=False)]
    ended: list[Found] = []
    x, past = network.begin(detail, 1), None
    for _ in range(network.max_text_tokens):
        logits, past = network.write(x, memory, past)
        scores = torch.tensor([found.log_probability for found in beginnings])[:, None]
        scores = scores + logits[:, -1].float().log_softmax(-1)
        best = scores.flatten().topk(min(2 * beams, scores.numel()))
        following: list[tuple[int, Found]] = []
        for value, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            row, token = divmod(place, scores.shape[1])
            ids = beginnings[row].ids
            if token == END:
                ended.append(Found(ids, value))
            elif len(following) < beams:
                following.append((row, Found((*ids, token), value, ended=False)))
        beginnings = [found for _, found in following]
        if len(ended) >= beams and max(f.score(power) for f in ended) >= beginnings[0].score(power):
            break
        rows = torch.tensor([row for row, _ in following])
        past = tuple((k[rows], v[rows]) for k, v in past)
        x = network.embed(torch.tensor([[found.ids[-1]] for found in beginnings]))
    return max(ended or beginnings, key=lambda found: found.score(power))


@torch.no_grad()
def sample(
    network: CaptionDecoder, memory: Memory, detail: str, temperature: float, generator: torch.Generator
) -> Found:
    """Return a text about what is in `memory`, drawn token by token; colder is nearer to the likeliest one."""
    ids: list[int] = []
    total, x, past = 0.0, network.begin(detail, 1), None
    for _ in range(network.max_text_tokens):
        logits, past = network.write(x, memory, past)
        likelihoods = logits[0, -1].float().log_softmax(-1)
        token = int(torch.multinomial((likelihoods / temperature).softmax(-1), 1, generator=generator))
        total += float(likelihoods[token])
        if token == END:
            return Found(tuple(ids), total)
        ids.append(token)
        x = network.embed(torch.tensor([[token]]))
    return Found(tuple(ids), total, ended=False)


@torch.no_grad()
def log_likelihoods(network: CaptionDecoder, memory: Memory, detail: str, ids: Tensor) -> Tensor:
    """Return the log probability of every token of a text [l] about the one clip in `memory`, and of its end, [l+1]."""
    x = torch.cat([network.begin(detail, 1), network.embed(ids[None])], dim=1)
    logits = network.write(x, memory)[0][0].float().log_softmax(-1)
    return logits.gather(1, torch.cat([ids, torch.tensor([END])])[:, None])[:, 0]
