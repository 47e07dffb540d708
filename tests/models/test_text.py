import torch
from hypothesis import given
from hypothesis import strategies as st

from chronotope.models.text import START, TextEncoder, Tokenizer, learn_vocabulary

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


def test_packed_texts_equal_texts_alone():
    torch.manual_seed(0)
    encoder = TextEncoder(TOKENIZER.size, 32, 2, 16).eval()
    texts = [TOKENIZER.encode(text) for text in TEXTS[:4]]
    together = encoder(torch.tensor([i for ids in texts for i in ids]), [len(ids) for ids in texts])
    apart = torch.cat([encoder(torch.tensor(ids), [len(ids)]) for ids in texts])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_word_order_matters():
    torch.manual_seed(0)
    encoder = TextEncoder(TOKENIZER.size, 32, 2, 16).eval()
    one, other = (encoder(torch.tensor(TOKENIZER.encode(text)), [3])[2] for text in ("red fox", "fox red"))
    assert not torch.allclose(one, other)
