"""The expander that is trained here: it learns pairs by heart, resumes to the bit, and what it writes must be true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import descriptive
from chronotope.caption.beams import beam_search, sample
from chronotope.caption.describe import TRIES, describe
from chronotope.caption.subwords import Tokenizer, learn_vocabulary
from chronotope.checkpoint import load_tensors
from chronotope.cli.language.expanders import TrainedExpander, load_expander
from chronotope.data.captions import read_captions
from chronotope.errors import UsageError
from chronotope.generate.pipeline import find_model
from chronotope.generate.stored.knowledge import vocabulary_of_model
from chronotope.models.captioner import END
from chronotope.models.costs import count_parameters, expander_activations, expander_flops, kept_bytes
from chronotope.models.expander import ExpanderConfig, PromptExpander
from chronotope.train.language.expander import ExpanderRun, ExpanderTraining, train_expander
from chronotope.train.language.pairs import DESCRIPTIVE, pair_batches, read_pairs
from chronotope.train.language.texts import IGNORED
from chronotope.worlds.stage.world import STAGE
from tests.cli.models import answer, refused, run

MODEL = ExpanderConfig(width=32, depth=1, text_depth=1, head_dim=16, vocabulary_size=200)
SETTINGS = (
    *("model.width=32", "model.head_dim=16", "model.depth=1", "model.text_depth=1", "model.vocabulary_size=200"),
    *("train.steps=260", "train.warmup=20", "train.batch_pairs=4", "train.average_decay=0.9", "train.muon_rate=0.03"),
)
RUN = ExpanderRun(model=MODEL, train=ExpanderTraining(steps=8, warmup=2, save_every=4, batch_pairs=4))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures with a sentence and a paragraph each, of the stage; one has no paragraph."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(4):
        Image.fromarray(np.full((8, 8, 3), 30 * seed, np.uint8)).save(folder / f"{seed}.png")
        captions = STAGE.captions(STAGE.sample(seed, STAGE.scope("small"), "train"), 1)
        found = {level: captions[level] for level in ("sentence", "paragraph")}
        (folder / f"{seed}.json").write_text(json.dumps({"captions": found}))
    (folder / "3.json").write_text(json.dumps({"caption": "a fox walks left"}))
    return folder


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("expander")
    result = run("train", "expander", "--preset", "tiny", "--data", pictures, "--out", out, "--set", *SETTINGS)
    assert result.exit_code == 0, result.output
    return out


def test_it_learns_pairs_by_heart(pictures: Path, trained: Path) -> None:
    expander = load_expander(trained)
    for seed in range(3):
        captions = read_captions(pictures / f"{seed}.png")
        assert expander.write(captions["sentence"][0], None).lower() == captions["paragraph"][0].lower()
    assert expander.write("a fox", 3) == expander.write("a fox", 3)
    assert "expander" in run("info", trained).stdout and run("check", trained).exit_code == 0


def test_an_interrupted_training_gives_the_same_weights(pictures: Path, tmp_path: Path) -> None:
    pairs = read_pairs([pictures])
    train_expander(RUN, pairs, tmp_path / "whole", quiet=True)
    asked = iter([False, False, True])
    train_expander(RUN, pairs, tmp_path / "parts", quiet=True, stopping=lambda: next(asked))
    assert not (tmp_path / "parts" / "model.json").exists()
    train_expander(RUN, pairs, tmp_path / "parts", quiet=True)
    one, two = (load_tensors(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_what_is_not_learned_is_said(pictures: Path, tmp_path: Path) -> None:
    few = (*SETTINGS[:5], "train.steps=1", "train.warmup=0", "model.max_text_tokens=12")
    result = run("train", "expander", "--preset", "tiny", "--data", pictures, "--out", tmp_path, "--set", *few)
    assert result.exit_code == 0, result.output
    assert "1 of 4 clips lack a short or a descriptive caption and are not used" in result.stderr
    assert "captions have more than the 12 tokens that the model reads, so their ends are cut" in result.stderr


def test_pairs_are_of_one_clip(pictures: Path, tmp_path: Path) -> None:
    pairs = read_pairs([pictures])
    assert len(pairs.keys) == 3 and pairs.data[0]["clips"] == 4
    tokenizer = Tokenizer(learn_vocabulary(pairs.texts(), 200))
    batch = next(pair_batches(pairs, tokenizer, 12, 200, seed=0, step=3))
    again = next(pair_batches(pairs, tokenizer, 12, 200, seed=0, step=3))
    assert torch.equal(batch.ids, again.ids) and batch.keys == again.keys
    assert list(batch.lengths) == sorted(batch.lengths) and batch.num_tokens == len(batch.ids) + batch.texts.numel()
    for short, targets, key in zip(batch.ids.split(list(batch.lengths)), batch.targets, batch.keys, strict=True):
        place = pairs.keys.index(key)
        assert tokenizer.decode(short.tolist()) in [text.lower() for text in pairs.short[place]]
        ids = targets[targets != IGNORED].tolist()
        assert ids[-1] == END
        assert tokenizer.decode(ids[:-1]) in [text.lower().rstrip() for text in pairs.descriptive[place]]
    assert all(tensor.is_meta for tensor in (batch.to(torch.device("meta")).ids, batch.to(torch.device("meta")).texts))
    (tmp_path / "one.png").write_bytes((pictures / "0.png").read_bytes())
    with pytest.raises(UsageError, match=r"has a short caption .* and a descriptive one"):
        read_pairs([tmp_path])


def test_texts_of_several_lengths_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    network = PromptExpander(MODEL)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ids, lengths = torch.randint(2, 200, (9,)), (2, 3, 4)
    texts = torch.randint(2, 200, (3, 6))
    with torch.no_grad():
        together = network(ids, lengths, {DESCRIPTIVE: texts})[DESCRIPTIVE]
        parts = zip(ids.split(list(lengths)), texts, strict=True)
        alone = [network(part, (len(part),), {DESCRIPTIVE: text[None]})[DESCRIPTIVE][0] for part, text in parts]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-4, atol=1e-4)


def test_sampling_at_no_temperature_is_the_likeliest_token(trained: Path) -> None:
    expander = load_expander(trained)
    memory = expander._read("a red ball")
    cold = sample(expander.network, memory, DESCRIPTIVE, 1e-4, torch.Generator().manual_seed(0))
    greedy = beam_search(expander.network, memory, DESCRIPTIVE, beams=1)
    assert cold.ids == greedy.ids[: len(cold.ids)]
    if cold.ended:
        assert cold.log_probability == pytest.approx(greedy.log_probability, abs=1e-3)


class Says:
    """Writes the same texts in turn, and counts how often it is asked."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.seeds = texts, list[int | None]()

    def write(self, caption: str, seed: int | None) -> str:
        self.seeds.append(seed)
        return self.texts[(len(self.seeds) - 1) % len(self.texts)]


VOCABULARY = vocabulary_of_model(find_model("small"))
assert VOCABULARY is not None
KNOWN = VOCABULARY.known
CATS = "A fox, a cat and a tree."
FOX = "A fox in the hills. The fox is large and starts on the right near the bottom. The fox walks left."


@pytest.mark.parametrize(
    ("prompt", "text", "reason"),
    [
        ("a fox walks left", FOX, ""),
        ("kitten strolls right", "A cat in the sky. The cat walks to the right.", ""),
        ("a fox walks right", FOX, "loses: fox go right"),
        ("a red ball rolls left", "A blue ball in the hills. The ball rolls left.", "loses: circle red"),
        ("a cat walks left", FOX, "loses"),
        ("a fox walks left", f"{FOX} The cat is small.", "shows other things: cat"),
        ("a fox walks left", f"{FOX} The fox stops.", "adds: fox stop"),
        ("a red ball rolls left", "A red ball. The red ball rolls left into the red ball.", "adds: .*hit"),
        ("a fox at night", "A fox at night. The fox is small and starts on the left. The fox walks right.", ""),
        ("a fox walks left at night", FOX, "loses: night"),
        ("a fox walks left", "A fox walks left majestically.", "words that no caption had: majestically"),
        ("a fox walks left", "", "no caption was written that ends"),
        ("three red balls", "A red ball.", "says more than is compared"),
        ("a fox walks left, then a cat walks right", FOX, "says more than is compared"),  # of two things
        ("a fox", "This picture shows a fox on a black background.", "is of a picture"),
        ("a picture of a fox", "This picture shows a fox on a black background.", ""),
        ("a fox", "A fox. The fox is closer than the fox.", "compares a thing with itself"),
        # what a reviewer could pass off as true
        ("a red ball", "A red ball. A ball.", "another circle"),
        ("a fox, no red ball", "A fox. A fox.", "another fox"),
        ("a fox, the camera is still", "A fox. The camera moves left.", "says more than is compared"),
        ("a fox stays still", FOX, "says more than is compared"),
        ("a fox walks behind a tree", "A fox and a tree. The fox walks in front of the tree.", "says more than"),
        (
            "a fox walks and a cat walks left into a tree",
            "A fox, a cat and a tree. The cat walks left into the tree.",
            "fox walk",
        ),
        ("a fox near the bottom", "A fox. The fox starts near the top.", "says more than is compared"),
        ("a fox and a tree, the fox is smaller than the tree", "A fox and a tree.", "says more than is compared"),
        ("a fox at night", "A fox at night in the sky.", "contradicts itself: place"),
        ("a fox walks left", "A fox. The fox is small. The fox is large. The fox walks left.", "contradicts itself"),
        ("a fox walks left", "A fox not walks left.", "denies: not"),
        ("a fox", "Gone. Not a fox.", "denies"),
        ("a fox hops left", "A fox. The fox drives left.", "loses: fox hop"),
        ("a fish swims left", "A fish. The fish flies left.", "loses: fish swim"),
        ("a ball, no red ball", "A red ball.", "what shall not be there: red ball"),
        ("a fox walks", FOX, ""),  # no fact says that it walks, and a sentence does
        ("a fox walks", "A fox. The fox is small.", "loses: fox walk"),
        ("a fox walks and a cat walks left", "A fox and a cat. The cat walks left to the fox.", "loses: fox walk"),
        ("a fox next to a cat", "A fox and a cat.", "says more than is compared"),
        ("a fox walks left into the frame", FOX, "loses: fox enter"),
        (
            "a fox enters from the right and walks left",
            "A fox at night. The fox comes in from the right, walking left.",
            "",
        ),
        ("a ball rolls left and hits a cat", "A ball and a cat. The ball rolls left.", "loses: circle hit cat"),
        ("a fox walks left, no cat", f"{FOX} A cat.", "other things: cat"),
        ("a fox that does not walk", FOX, "cannot be compared|no caption can be compared"),
    ],
)
def test_a_caption_is_taken_only_where_it_is_true(prompt: str, text: str, reason: str) -> None:
    says = Says(text)
    found = describe(prompt, KNOWN, says, STAGE.read_facts)
    if reason:
        assert not found.written and re.search(reason, found.reason), found
        assert len(says.seeds) in (0, TRIES)
    else:
        assert found.written and found.expansion.prompt == text, found.reason


def test_it_is_asked_again_with_other_seeds() -> None:
    says = Says("A cat.", "A fox.", FOX)
    assert describe("a fox walks left", KNOWN, says, STAGE.read_facts).written and says.seeds == [None, 1, 2]
    says = Says("A cat.", FOX)
    assert describe("a fox walks left", KNOWN, says, STAGE.read_facts, seed=5).written
    assert says.seeds == [5 * TRIES, 5 * TRIES + 1]


@pytest.mark.parametrize("scope", ["small", "deeds"])
def test_true_captions_are_taken_and_those_of_others_are_not(scope: str) -> None:
    specs = [STAGE.sample(seed, STAGE.scope(scope), "train") for seed in range(40)]
    paragraphs = [STAGE.captions(spec, 4)["paragraph"] for spec in specs]
    taken = 0
    for place, spec in enumerate(specs):
        prompt = STAGE.captions(spec, 1)["tags"][0]
        found = describe(prompt, KNOWN, Says(*paragraphs[place]), STAGE.read_facts)
        excused = ("more than is compared", "is of a picture", " walk", " run")  # all four say the other verb
        assert found.written or any(said in found.reason for said in excused), (prompt, found.reason)
        taken += found.written
        other = paragraphs[(place + 1) % len(specs)][0]
        if describe(prompt, KNOWN, Says(other), STAGE.read_facts).written:  # then both clips show what is asked
            shown = [STAGE.facts(one) for one in (spec, specs[(place + 1) % len(specs)])]
            kinds = ("object", "colour", "place", "motion", "interaction")
            asked = {fact for fact in STAGE.read_facts(prompt) if fact.kind in kinds}
            assert asked <= shown[0] and asked <= shown[1]
    assert taken >= 25


def test_the_command_uses_it(trained: Path) -> None:
    prompt = STAGE.captions(STAGE.sample(0, STAGE.scope("small"), "train"), 1)["sentence"][0]
    found = answer("expand", prompt, "--with", trained)
    reason = describe(prompt, KNOWN, load_expander(trained), STAGE.read_facts).reason
    assert found["written_by"] == ("builtin" if reason else str(trained))
    kept = describe("a fluffy fox walks left", KNOWN, Says(FOX), STAGE.read_facts)
    assert kept.written and kept.expansion.left_out == ("fluffy",)  # and said
    told = run("expand", "a zebra yodels", "--with", trained)
    assert told.exit_code == 0 and "the table and the rules wrote the caption instead" in told.stderr
    assert "holds no expander" in refused("expand", "a fox", "--with", trained / "expander", status=1)
    assert "--with is builtin" in refused("expand", "a fox", "--with", "nobody", status=2)


def test_what_cannot_be_trained_is_refused(pictures: Path, tmp_path: Path) -> None:
    words = ("train", "expander", "--preset", "tiny", "--out", tmp_path / "x")
    assert "name the training data" in refused(*words, status=2)
    assert "expected at least" in refused(*words, "--data", pictures, "--set", "model.vocabulary_size=9", status=2)
    assert "multiple of head_dim" in refused(*words, "--data", pictures, "--set", "model.width=100", status=2)
    (tmp_path / "bad").mkdir()
    assert "holds no videos or pictures" in refused(*words, "--data", tmp_path / "bad", status=1)


@pytest.mark.parametrize(("short", "text"), [(9, 30), (60, 80)])
def test_costs_are_those_of_the_network(short: int, text: int) -> None:
    config = ExpanderConfig(width=128, depth=2, text_depth=3, vocabulary_size=300)
    network, ids = PromptExpander(config), torch.zeros(short, dtype=torch.long)
    assert count_parameters(config) == sum(parameter.numel() for parameter in network.parameters())
    texts = {DESCRIPTIVE: torch.zeros(1, text - 1, dtype=torch.long)}
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(ids, (short,), texts)
    assert counter.get_total_flops() == pytest.approx(expander_flops(config, short, text), rel=0.02)
    kept = kept_bytes(network, lambda: network(ids, (short,), texts))
    assert expander_activations(config, short, text) == pytest.approx(kept, rel=0.1)
    costs = answer("train", "expander", "--preset", "small", "--dry-run")["costs"]
    assert costs["parameters"] == count_parameters(ExpanderConfig()) and costs["flops_per_step"] > 1e9


def test_the_benchmark_counts_what_is_compared_and_written() -> None:
    class Silent(TrainedExpander):
        def write(self, caption: str, seed: int | None) -> str:
            return ""

    silent = Silent(PromptExpander(MODEL), Tokenizer(()))
    counts = descriptive.written(silent, KNOWN, 3)
    assert counts["captions"] == 12 and counts["compared"] > 6
    assert (counts["written"], counts["at the first try"]) == (0, 0)
    true = descriptive.written(load_expander(find_model("small")), KNOWN, 3)
    assert true["compared"] == counts["compared"] and 0 < true["at the first try"] <= true["written"]
