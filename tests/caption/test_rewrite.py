"""Prompts written by language models: a real endpoint, a real small model of transformers, and what is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import Result

from chronotope.caption.captioners.captioner import CaptionerError, NoCaptionError
from chronotope.caption.writers import LanguageModel
from tests.caption.test_caption import Reply, Server, says, server, status
from tests.cli.models import refused, run

__all__ = ["server"]  # a fixture
MANY = (
    "A fox walks to the left. A cat runs to the right. A red ball bounces at the top. A blue star spins in the middle. "
    "A rabbit hops up. A penguin is walking down. A fish swims near a house. A rocket flies upward past a tree. "
    "A car drives to the left. A balloon floats up. An apple rolls. A green square moves down. A heart grows larger."
)


def plain(prompt: str) -> str:
    return str(run("expand", prompt, "--json").stdout)


def expanded(server: Server, prompt: str, reply: str | Reply, *options: str) -> Result:
    server.replies = [says(reply) if isinstance(reply, str) else reply]
    return run("expand", prompt, "--with", f"{server.address}#m", *options)


def test_a_caption_with_every_stated_fact_is_taken(server: Server) -> None:
    written = "A small orange cat walks to the right in front of a tree at night."
    found = expanded(server, "kitten strolls to the right", f'Sure! Here is the caption: "{written}"')
    assert (found.exit_code, found.stdout.strip(), found.stderr) == (0, written, "")
    (request,) = server.requests
    system, user = request["messages"]
    assert (system["role"], user) == ("system", {"role": "user", "content": "kitten strolls to the right"})
    assert "a red ball bounces at night" in system["content"] and ", fox, " in system["content"]
    assert (request["temperature"], request["seed"]) == (0, 0)


def test_a_seed_is_for_the_language_model(server: Server) -> None:
    assert expanded(server, "a cat", "A red cat walks.", "--seed", "3").exit_code == 0
    assert (server.requests[0]["temperature"], server.requests[0]["seed"]) == (0.7, 3)
    found = run("expand", "a kitten walks", "--seed", "3")
    assert found.stdout.strip() == "a cat walks" and "--seed is not used" in found.stderr


@pytest.mark.parametrize(
    ("prompt", "written", "said"),
    [
        ("a red ball bounces", "A blue ball bounces.", "loses: red ball"),
        ("a fox walks to the left", "A fox walks to the right.", "loses: fox walk left"),
        ("a cat and a rabbit", "A cat runs.", "loses: rabbit"),
        ("three red balls", "A fox walks.", "loses: three red ball"),
        ("three red balls", "A red ball bounces.", "loses: three red ball"),
        ("two foxes walk", "A rabbit hops at night.", "loses: two fox, fox walk"),
        ("a large cat walks", "A small cat walks.", "loses: large cat"),
        ("a ball left of a cat", "A cat to the left of a ball.", "loses: ball to the left of cat"),
        ("a fox on the left and a cat on the right", "A cat on the left and a fox on the right.", "loses: fox on the"),
        ("a cat walks to the left, then stops", "A cat stops, then it walks to the left.", "loses: cat stop"),
        ("a fox eats an apple", "An apple and a fox.", "loses: fox eat"),
        ("a cat at night", "A cat in the sky.", "loses: the place night"),
        ("a cat, the camera moves left", "A cat walks.", "loses: the camera: pan left"),
        ("a fox, no tree", "A fox walks in front of a tree.", "shows what shall not be there: tree"),
        ("a fox, no red ball", "A fox walks past a red ball.", "shows what shall not be there: red ball"),
        ("a fox", "A dragon sleeps on gold.", "has words that no caption had: dragon, sleeps"),
        ("a fox", "There.", "cannot be read as one: There."),
        ("a fox", MANY, "words, more than 60"),
        ("a fox", "I'm sorry, I cannot help with that.", "no caption was written: the answer refuses"),
        ("a fox", "", "no caption was written: the answer is empty"),
    ],
)
def test_a_caption_that_is_not_true_to_the_prompt_is_not_taken(
    server: Server, prompt: str, written: str, said: str
) -> None:
    found = expanded(server, prompt, written, "--json")
    assert found.exit_code == 0 and json.loads(found.stdout) == json.loads(plain(prompt))
    assert said in found.stderr and "the table and the rules wrote the caption instead" in found.stderr


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a teal ball bounces", "the prompt has words that no caption had, which nothing may replace: teal"),
        ("a hare and a fox", "which nothing may replace: hare"),
        ("a fox, not at night", "denies, chooses or relates in a way that is not understood"),
        ("a fox that does not walk", "denies, chooses or relates in a way that is not understood"),
    ],
)
def test_prompts_that_cannot_be_compared_are_not_written_by_others(server: Server, prompt: str, said: str) -> None:
    found = expanded(server, prompt, "A red ball bounces.")
    assert found.exit_code == 0 and said in found.stderr and not server.requests
    assert found.stdout == run("expand", prompt).stdout


def test_a_prompt_of_what_shall_not_be_there_is_refused(server: Server) -> None:
    found = expanded(server, "no ball", "A red ball bounces.")
    assert found.exit_code == 2 and "says only what shall not be there (ball)" in found.stderr and not server.requests


def test_what_shall_not_be_there_stays_said(server: Server) -> None:
    found = expanded(server, "a fox, no red ball", "A fox walks at night, no trees.", "--json")
    facts = json.loads(found.stdout)
    assert facts["prompt"] == "a fox walks at night" and facts["notes"] == [
        line[6:] for line in found.stderr.splitlines()
    ]
    assert facts["written_by"] == f"{server.address}#m" and json.loads(plain("a fox"))["written_by"] == "builtin"
    assert facts["negative"] == "red ball, tree"


def test_a_prompt_of_another_language_can_be_written_in_english(server: Server) -> None:
    typed = "ein roter Ball und ein Fuchs auf der Wiese"
    found = expanded(server, typed, "A red ball and a fox on a green meadow.")
    assert (found.stdout.strip(), found.stderr) == ("A red ball and a fox on a green meadow.", "")


def test_words_that_the_model_does_not_know_are_written_as_those_it_does(server: Server) -> None:
    assert expanded(server, "a cat", "A crimson kitty walks.").stdout.strip() == "a red cat walks"


def test_an_endpoint_that_cannot_be_asked_is_an_error(server: Server) -> None:
    assert "no OpenAI-compatible endpoint" in refused("expand", "a fox", "--with", f"{html(server)}#m", status=1)
    assert "address is http://" in refused("expand", "a fox", "--with", "http://127.0.0.1/v1", status=2)
    assert "the prompt is empty" in refused("expand", "  ", status=2)
    assert "--with is builtin, a model with an expander" in refused("expand", "a fox", "--with", "gpt", status=2)


def html(server: Server) -> str:
    server.replies = [status(200, "<html>welcome</html>")]
    return server.address


# A model of transformers

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "Caption:", "assistant", "a", "red", "cat", "walks", "loops", "blue"]


def save_model(folder: Path, chain: dict[str, tuple[str, ...]], template: str | None) -> str:
    """Save a Llama that says after each word one of the next words of a chain, all as likely."""
    pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = template
    config = LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=len(WORDS), bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(len(WORDS), 16))
        model.lm_head.weight.zero_()
        for word, following in chain.items():
            for other in following:
                model.lm_head.weight[WORDS.index(other), WORDS.index(word)] = 5
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


CHAIN = {"a": ("red",), "red": ("cat",), "blue": ("cat",), "cat": ("walks",), "walks": ("</s>",)}
CHAT = "{% for m in messages %}{{ m.content }} {% endfor %}assistant"


@pytest.mark.parametrize(("last", "template"), [("assistant", CHAT), ("Caption:", None)])
def test_a_model_of_transformers_writes(tmp_path: Path, last: str, template: str | None) -> None:
    folder = save_model(tmp_path / "model", {**CHAIN, last: ("a",)}, template)
    found = run("expand", "a kitten", "--with", f"hf:{folder}")
    assert (found.exit_code, found.stdout.strip(), found.stderr) == (0, "a red cat walks", "")


def test_a_seed_makes_sampling_repeatable(tmp_path: Path) -> None:
    writer = LanguageModel(save_model(tmp_path, {**CHAIN, "Caption:": ("a",), "a": ("red", "blue")}, None))
    state = torch.random.get_rng_state()
    answers = [writer.write("task", "a cat", seed) for seed in range(12)]
    assert answers == [writer.write("task", "a cat", seed) for seed in range(12)]
    assert set(answers) == {"a red cat walks", "a blue cat walks"}
    assert torch.equal(state, torch.random.get_rng_state())  # nothing else draws other numbers


def test_models_that_do_not_end_or_are_none(tmp_path: Path) -> None:
    writer = LanguageModel(save_model(tmp_path / "one", {"Caption:": ("loops",), "loops": ("loops",)}, None))
    with pytest.raises(NoCaptionError, match="does not end within"):
        writer.write("task", "a cat", None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaptionerError, match="cannot be loaded as a language model"):
        LanguageModel(str(tmp_path / "empty"))
    with pytest.raises(CaptionerError, match="there is no folder"):
        LanguageModel(str(tmp_path / "missing"))
    broken = LanguageModel(save_model(tmp_path / "two", CHAIN, "{{ raise_exception('no system role') }}"))
    with pytest.raises(CaptionerError, match=r"two does not answer \(no system role\)"):
        broken.write("task", "a cat", None)
