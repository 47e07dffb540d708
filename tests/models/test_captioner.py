"""The captioner: what it sees, what it writes, and what it costs, against the same thing computed in another way."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from chronotope.caption.beams import beam_search, log_likelihoods
from chronotope.models.captioner import DETAILS, END, CaptionerConfig, LatentCaptioner, VisualTokens
from chronotope.models.costs import captioner_activations, captioner_flops, count_parameters, kept_bytes

CONFIG = CaptionerConfig(width=32, depth=2, text_depth=2, head_dim=16, max_text_tokens=6, vocabulary_size=7, channels=3)


def random_clip(tokens: int, seed: int, config: CaptionerConfig = CONFIG) -> VisualTokens:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(tokens, config.token_size, generator=generator)
    positions = torch.randn(tokens, 3, generator=generator)
    return VisualTokens(values, (torch.arange(tokens) % 2).float(), positions, (tokens,))


def together(*clips: VisualTokens) -> VisualTokens:
    parts = (torch.cat([getattr(clip, name) for clip in clips]) for name in ("values", "still", "positions"))
    return VisualTokens(*parts, tuple(clip.lengths[0] for clip in clips))


@pytest.fixture(scope="module")
def network() -> LatentCaptioner:
    """Weights of which none is zero, so that everything matters."""
    torch.manual_seed(0)
    model = LatentCaptioner(CONFIG).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
    return model


@torch.no_grad()
def test_a_pack_gives_what_single_clips_give(network: LatentCaptioner) -> None:
    clips = [random_clip(tokens, seed) for seed, tokens in enumerate((4, 6, 6, 9))]
    ids = torch.randint(2, 7, (4, 5), generator=torch.Generator().manual_seed(9))
    packed = network(together(*clips), {"tags": ids, "sentence": ids[:, :3]})
    for row, clip in enumerate(clips):
        alone = network(clip, {"tags": ids[row : row + 1], "sentence": ids[row : row + 1, :3]})
        for detail in alone:
            torch.testing.assert_close(alone[detail][0], packed[detail][row], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_several_texts_about_one_clip(network: LatentCaptioner) -> None:
    clips = together(random_clip(4, 1), random_clip(6, 2))
    memory = network.look(clips)
    x = torch.cat([network.begin("tags", 4), network.embed(torch.tensor([[2, 3], [4, 5], [2, 3], [4, 5]]))], dim=1)
    both = network.write(x, memory)[0]
    for number in range(2):
        alone = network.write(x[number::2], memory)[0]
        torch.testing.assert_close(both[number::2], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_token_depends_on_what_stands_before_it_only(network: LatentCaptioner) -> None:
    clip, ids = random_clip(5, 3), torch.tensor([[2, 3, 4, 5]])
    logits = network(clip, {"tags": ids})["tags"][0]
    for place in range(4):
        changed = ids.clone()
        changed[0, place] = 6
        other = network(clip, {"tags": changed})["tags"][0]
        same = (other - logits).abs().amax(dim=1) < 1e-6
        assert same[: place + 1].all()
        assert not same[place + 1 :].any()


@torch.no_grad()
def test_writing_token_by_token_is_writing_at_once(network: LatentCaptioner) -> None:
    memory, ids = network.look(random_clip(5, 4)), [2, 5, 3, 6]
    whole = network.write(torch.cat([network.begin("paragraph", 1), network.embed(torch.tensor([ids]))], dim=1), memory)
    x, past = network.begin("paragraph", 1), None
    for place in range(len(ids) + 1):
        logits, past = network.write(x, memory, past)
        torch.testing.assert_close(logits[0, 0], whole[0][0, place], atol=1e-5, rtol=1e-5)
        if place < len(ids):
            x = network.embed(torch.tensor([[ids[place]]]))


@torch.no_grad()
def test_where_a_patch_is_and_whether_it_stands_still_matters(network: LatentCaptioner) -> None:
    clip = random_clip(5, 5)
    moved = VisualTokens(clip.values, clip.still, -clip.positions, clip.lengths)
    cut = VisualTokens(clip.values, 1 - clip.still, clip.positions, clip.lengths)
    ids = {"tags": torch.tensor([[2]])}
    for other in (moved, cut):
        assert (network(other, ids)["tags"] - network(clip, ids)["tags"]).abs().max() > 1e-3


@pytest.mark.parametrize("power", [0.0, 0.7, 1.0])
def test_a_wide_beam_finds_the_best_of_all_texts(network: LatentCaptioner, power: float) -> None:
    memory = network.look(random_clip(5, 6))
    best, text = -torch.inf, ()
    for length in range(4):  # of all texts of up to three of the ids 1..6: END is no id of a text
        for ids in product(range(1, 7), repeat=length):
            total = float(log_likelihoods(network, memory, "tags", torch.tensor(ids, dtype=torch.long)).sum())
            if total / (length + 1) ** power > best:
                best, text = total / (length + 1) ** power, ids
    config = CaptionerConfig(**{**vars(CONFIG), "max_text_tokens": 4})
    short = LatentCaptioner(config)
    short.load_state_dict(network.state_dict())
    found = beam_search(short, memory, "tags", beams=1000, power=power)
    assert found.ids == text
    assert found.score(power) == pytest.approx(best, rel=1e-4)


def test_likelihoods_of_all_texts_sum_to_one(network: LatentCaptioner) -> None:
    memory = network.look(random_clip(5, 7))
    short = [()] + [ids for length in (1, 2) for ids in product(range(1, 7), repeat=length)]
    ended = sum(
        float(log_likelihoods(network, memory, "tags", torch.tensor(ids, dtype=torch.long)).sum().exp())
        for ids in short
    )
    longer = sum(
        float(log_likelihoods(network, memory, "tags", torch.tensor(ids))[:-1].sum().exp())
        for ids in product(range(1, 7), repeat=3)
    )
    assert END == 0
    assert ended + longer == pytest.approx(1, abs=1e-4)


def test_a_new_network_knows_nothing() -> None:
    model = LatentCaptioner(CONFIG)
    logits = model(random_clip(5, 8), {detail: torch.tensor([[3, 4]]) for detail in DETAILS})
    assert all(bool((found == 0).all()) for found in logits.values())


@pytest.mark.parametrize(("visual", "text"), [(24, 9), (120, 40)])
def test_costs_are_those_of_the_network(visual: int, text: int) -> None:
    config = CaptionerConfig(width=128, depth=2, text_depth=3, vocabulary_size=300)
    model, clip = LatentCaptioner(config), random_clip(visual, 1, config)
    assert count_parameters(config) == sum(parameter.numel() for parameter in model.parameters())
    ids = torch.zeros(1, text - 1, dtype=torch.long)
    # the fused kernels are not counted
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(clip, {"tags": ids})
    assert counter.get_total_flops() == pytest.approx(captioner_flops(config, visual, text), rel=0.02)
    kept = kept_bytes(model, lambda: model(clip, {"tags": ids, "sentence": ids}))
    assert captioner_activations(config, visual, 2, text) == pytest.approx(kept, rel=0.1)
