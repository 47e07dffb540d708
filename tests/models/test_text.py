"""The vocabulary against worked examples, the tokenizer against the library's, the encoder against texts alone."""

import pytest
import tokenizers
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from chronotope import storage
from chronotope.caption.subwords import MIN_VOCABULARY, START, Tokenizer, learn_vocabulary
from chronotope.generate.pipeline import WEIGHTS
from chronotope.models.attention import Segments
from chronotope.models.text import StateProjection, TextEncoder, TextTokenizer
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES

TEXTS = ["a red ball rolls right", "a red fox walks past a tree", "the ball rolls left", "a Fox!"] * 3
VOCABULARY = learn_vocabulary(TEXTS, 160)
TOKENIZER = Tokenizer(VOCABULARY)
PIECES = {number: piece for piece, number in TOKENIZER.ids.items()}


def decode(ids):
    return "".join(PIECES[i] for i in ids[1:]).replace(START, " ").strip()


def test_frequent_words_become_one_token():
    assert len(TOKENIZER.encode("a red ball rolls")) == 5  # the opening token and four words


def test_known_text_comes_back():
    for text in TEXTS[:3]:
        assert decode(TOKENIZER.encode(text)) == text


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_any_ascii_text_is_spelled_without_unknown_tokens(text):
    ids = TOKENIZER.encode(text)
    assert ids[0] == 0 and 1 not in ids
    assert decode(ids).replace(" ", "") == "".join(text.lower().split())


def test_other_scripts_are_unknown_but_never_an_error():
    assert TOKENIZER.encode("\u72d0\u72f8")[1:].count(1) == 2
    assert TOKENIZER.encode("") == [0]


def test_vocabulary_is_a_function_of_the_texts():
    assert learn_vocabulary(reversed(TEXTS), 160) == VOCABULARY
    assert len(set(VOCABULARY)) == len(VOCABULARY) <= 160


def test_the_most_frequent_pairs_are_merged_first():
    """The example of Sennrich et al. 2016, with a mark of the start of a word in place of its end."""
    texts = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    characters = learn_vocabulary([], 0)
    assert Tokenizer(characters).size == MIN_VOCABULARY
    learnt = learn_vocabulary(texts, len(characters) + 6)
    assert learnt == (*characters, "es", "est", "lo", START + "lo", START + "low", "ew")
    assert characters == tuple(sorted(characters)) and START in characters and "A" not in characters


def test_every_word_becomes_one_piece_if_the_vocabulary_is_large_enough():
    assert {START + word for text in TEXTS for word in text.lower().strip("!").split()} < set(VOCABULARY)
    assert learn_vocabulary(TEXTS, 10_000) == learn_vocabulary(TEXTS, 20_000)


def test_characters_of_captions_are_learnt_whatever_they_are():
    vocabulary = learn_vocabulary(["\u72d0\u72f8 na\u00efve \ud800", "\U0001f98a"], 0)
    assert {"\u72d0", "\u72f8", "\u00ef", "\U0001f98a"} < set(vocabulary)
    assert vocabulary == tuple(sorted(vocabulary))


@pytest.fixture(scope="module")
def shipped() -> list[str]:
    return storage.read_json(WEIGHTS / "small" / "dit" / "model.json")["vocabulary"]


def longest_pieces(vocabulary):
    """The longest-match model of `tokenizers`; white space, which no word contains, stands for unknown characters."""
    characters = {piece for piece in vocabulary if len(piece) == 1}
    ids = {"\n": 1, **{piece: number + 2 for number, piece in enumerate(vocabulary)}}
    model = tokenizers.models.WordPiece(
        ids, unk_token="\n", continuing_subword_prefix="", max_input_chars_per_word=10**6
    )
    pieces = tokenizers.Tokenizer(model)

    def encode(words):
        known = ["".join(char if char in characters else "\n" for char in START + word.lower()) for word in words]
        return [0, *pieces.encode(known, is_pretokenized=True).ids]

    return encode


def test_ids_of_captions_are_the_longest_pieces_of_the_shipped_vocabulary(shipped):
    tokenizer, expected = Tokenizer(shipped), longest_pieces(shipped)
    for scope in SCOPES.values():
        for seed in range(5):
            for text in (text for texts in captions(sample_spec(seed, scope)).values() for text in texts):
                spaced = "".join(char if char.isalnum() else f" {char} " for char in text)
                assert tokenizer.encode(text) == expected(spaced.split()), text


RECORDED = {
    "": [0],
    "A RED Ball rolls right.": [0, 72, 199, 161, 439, 110, 76],
    "2 balls, 1.5 times!": [0, 70, 19, 161, 58, 88, 70, 18, 76, 442, 71, 338, 126, 70, 2],
    "zebra_crossing": [0, 70, 65, 44, 41, 222, 70, 38, 94, 83, 58, 58, 140],
    "\u72d0\u72f8 fox": [0, 70, 1, 1, 245],
    "a \U0001f98a": [0, 72, 70, 1],
    "\u2581 fox": [0, 70, 70, 245],
    "\ud800": [0, 70, 1],
}


@pytest.mark.parametrize("text", RECORDED)
def test_ids_that_the_shipped_model_was_trained_with(shipped, text):
    """The ids that version 0.1.0 gave to unusual texts."""
    assert Tokenizer(shipped).encode(text) == RECORDED[text]


def test_packed_texts_equal_texts_alone():
    torch.manual_seed(0)
    encoder = TextEncoder(nn.Embedding(TOKENIZER.size, 32), 32, 2, 16).eval()
    texts = [TOKENIZER.encode(text) for text in TEXTS[:4]]
    together = encoder(torch.tensor([i for ids in texts for i in ids]), Segments(tuple(map(len, texts))))
    apart = torch.cat([encoder(torch.tensor(ids), Segments((len(ids),))) for ids in texts])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_packed_states_equal_states_alone():
    torch.manual_seed(0)
    encoder = TextEncoder(StateProjection(20, 32), 32, 2, 16).eval()
    texts = [torch.randn(length, 20).half() for length in (3, 1, 7)]
    together = encoder(torch.cat(texts), Segments(tuple(map(len, texts))))
    apart = torch.cat([encoder(states, Segments((len(states),))) for states in texts])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_states_are_projected_at_any_scale_and_a_row_of_zeros_is_the_empty_text():
    torch.manual_seed(0)
    projection = StateProjection(20, 8)
    states = torch.randn(5, 20)
    wanted = F.linear(states / states.square().mean(dim=1, keepdim=True).sqrt(), projection.project.weight)
    torch.testing.assert_close(projection(states), wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(projection(100 * states), wanted, atol=1e-5, rtol=1e-5)
    assert torch.equal(projection(torch.zeros(2, 20).half()), projection.empty.expand(2, 8))
    projection(torch.cat([states, torch.zeros(1, 20)])).sum().backward()
    assert torch.equal(projection.empty.grad, torch.ones(8))  # the empty text alone trains it


def test_the_tokenizer_of_a_vocabulary_is_one():
    assert isinstance(TOKENIZER, TextTokenizer)
    assert TOKENIZER.num_tokens("a red ball rolls") == 5 and TOKENIZER.num_tokens("a red ball rolls", 3) == 3


def test_word_order_matters():
    torch.manual_seed(0)
    encoder = TextEncoder(nn.Embedding(TOKENIZER.size, 32), 32, 2, 16).eval()
    one, other = (encoder(torch.tensor(TOKENIZER.encode(text)), Segments((3,)))[2] for text in ("red fox", "fox red"))
    assert not torch.allclose(one, other)


def rms(x):
    return x / (x.square().mean(dim=-1, keepdim=True) + torch.finfo(x.dtype).eps).sqrt()


def test_a_text_encoder_written_out():
    """Pre-norm attention with rotations by the place of a token, and SwiGLU; no modulation, no biases."""
    encoder = TextEncoder(nn.Embedding(30, 24), 24, 2, 12).requires_grad_(False)
    ids = torch.tensor([3, 7, 7, 11, 2])
    frequencies = torch.tensor([0.05, 8.0])  # a head of 6 pairs turns 2 by time; tokens have no other axis
    turn = torch.polar(torch.ones(5, 2), torch.arange(5.0)[:, None] * frequencies)
    turn = torch.cat([turn, torch.ones(5, 4)], dim=1)[:, None]
    x = encoder.embedding.weight[ids]
    for block in encoder.blocks:
        q, k, v = (rms(x) @ block.qkv.weight.T).view(5, 3, 2, 12).unbind(1)
        q, k = (torch.complex(*rms(one).chunk(2, dim=2)) * turn for one in (q, k))
        weights = torch.einsum("nhk,mhk->hnm", q, k.conj()).real.div(12**0.5).softmax(dim=-1)
        x = x + torch.einsum("hnm,mhk->nhk", weights, v).flatten(1) @ block.out.weight.T
        gate, value = (rms(x) @ block.up.weight.T).chunk(2, dim=1)
        x = x + (gate * torch.sigmoid(gate) * value) @ block.down.weight.T
        assert block.up.weight.shape == (4 * 24, 24) and block.down.weight.shape == (24, 2 * 24)
        assert [layer.bias for layer in (block.qkv, block.out, block.up, block.down)] == [None] * 4
    torch.testing.assert_close(encoder(ids, Segments((5,))), rms(x), atol=1e-5, rtol=1e-5)
    assert len(encoder.blocks) == 2


def test_a_tokenizer_counts_its_two_special_ids():
    tokenizer = Tokenizer(["a", "bcd"])
    assert (tokenizer.size, tokenizer.longest, tokenizer.ids) == (4, 3, {"a": 2, "bcd": 3})
    assert Tokenizer([]).longest == 1 and Tokenizer([]).encode("xy") == [0, 1, 1, 1]
    # longest pieces first; a character that no piece has is one unknown token
    assert Tokenizer([START, "a", "ab", "abc"]).encode("abcab_a") == [0, 2, 5, 4, 2, 1, 2, 3]


def test_characters_that_become_the_unknown_token_are_told():
    tokenizer = Tokenizer([START, "a", "ab"])
    assert tokenizer.unknown_characters("ab a B b! \u72d0b") == ["b", "!", "\u72d0"]
    assert tokenizer.unknown_characters("Ab a AB") == [] and tokenizer.unknown_characters("") == []
    for text in ("ab\u72d0 b", "\U0001f98a", "a b"):
        assert bool(tokenizer.unknown_characters(text)) == (1 in tokenizer.encode(text))


@given(st.lists(st.sampled_from(["a", "red", "ball", "rolls", "xylophone", "!"]), max_size=30), st.integers(1, 40))
def test_a_shortened_text_is_the_longest_beginning_that_fits(words, most):
    text = " ".join(words)
    kept = TOKENIZER.shortened(text, most)
    assert text.startswith(kept)
    assert len(TOKENIZER.encode(kept)) <= most
    if kept != text:
        assert len(TOKENIZER.encode(" ".join(words[: len(kept.split()) + 1]))) > most


def test_a_long_text_is_shortened_in_linear_time():
    counted = []
    tokenizer = Tokenizer(VOCABULARY)
    tokenizer.encode = lambda text, most: counted.append(text) or [0, 5]
    assert tokenizer.shortened("ball " * 20_000, 128) == " ".join(["ball"] * 127)
    assert len(counted) == 128


@given(st.text("ab RED ball!", max_size=40), st.integers(1, 50))
def test_the_first_ids_are_the_beginning_of_all_ids(text, most):
    assert TOKENIZER.encode(text, most) == TOKENIZER.encode(text)[:most]


@pytest.mark.parametrize("text", ["a red ball rolls " * 100_000, "x" * 1_000_000], ids=["words", "one word"])
def test_what_the_model_does_not_read_of_a_text_is_not_looked_up(text):
    tokenizer = Tokenizer(VOCABULARY)
    looked_up = []
    tokenizer.ids = type("Counting", (dict,), {"get": lambda *words: looked_up.append(words) or 5})(tokenizer.ids)
    assert len(tokenizer.encode(text, 128)) == 128
    assert len(looked_up) < 127 + 32  # the word that is cut is looked up whole
    tokenizer.shortened(text, 128)
    assert len(looked_up) < 600
