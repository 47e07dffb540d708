"""Captions by a vision-language model of transformers: a small one that the test builds, saved and loaded for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from chronotope.caption.captioners.captioner import MAX_SIDE, CaptionerError, NoCaptionError, question, shown_pictures
from chronotope.caption.captioners.hub import COUNT, VisionLanguageModel
from chronotope.data.recaptions import Recaptions
from tests.cli.models import refused, run, save_clips

pytest.importorskip("transformers")

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "a", "red", "ball", "rolls", "assistant", "loops"]
TEMPLATE = (
    "{% for m in messages %}{% for c in m.content %}{% if c.type == 'image' %}<image> {% else %}"
    "{{ c.text }} {% endif %}{% endfor %}{% endfor %}assistant"
)


def save_model(folder: Path, chain: dict[str, str], template: str | None = TEMPLATE) -> Path:
    """Save a LLaVA whose language model says after each word the next of a chain.

    The residual stream carries the word alone, since attention and MLP add nothing, and the last matrix maps each word
    to the next one.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**shape, image_size=32, patch_size=16),
            text_config=LlamaConfig(
                **shape, num_key_value_heads=2, vocab_size=len(WORDS), bos_token_id=1, eos_token_id=2, pad_token_id=0
            ),
            image_token_index=4,
            vision_feature_layer=-1,
        )
    )
    with torch.no_grad():
        language = model.model.language_model
        for layer in language.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        language.embed_tokens.weight.copy_(torch.eye(len(WORDS), 16))
        model.lm_head.weight.zero_()
        for word, following in chain.items():
            model.lm_head.weight[WORDS.index(following), WORDS.index(word)] = 1
    size = {"height": 32, "width": 32}
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size),
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chain = {"assistant": "a", "a": "red", "red": "ball", "ball": "rolls", "rolls": "</s>"}
    return save_model(tmp_path_factory.mktemp("vlm"), chain)


def test_a_folder_is_captioned(model: Path, tmp_path: Path) -> None:
    clips = save_clips(tmp_path / "clips")
    result = run("caption", clips, "--captioner", f"hf:{model}", "--detail", "paragraph")
    assert result.exit_code == 0, result.output
    rows = Recaptions(clips).rows
    assert len(rows) == 4 and {row["text"] for row in rows.values()} == {"a red ball rolls"}
    author = rows["0.mp4", "paragraph"]["author"]
    assert author["kind"] == "transformers" and author["model"] == str(model) and "in detail" in author["asked"]
    assert "0 captioned, 4 kept" in run("caption", clips, "--captioner", f"hf:{model}", "--detail", "paragraph").stderr


def test_every_picture_reaches_the_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = VisionLanguageModel(str(model))
    seen: list[torch.Tensor] = []
    generate = captioner._model.generate

    def watched(**inputs: torch.Tensor) -> torch.Tensor:
        seen.append(inputs["pixel_values"])
        return generate(**inputs)

    monkeypatch.setattr(captioner._model, "generate", watched)
    frames = np.zeros((20, 40, 60, 3), np.uint8)
    frames[:, :, :, 0] = 12 * np.arange(20)[:, None, None]
    assert captioner.ask(frames, 8.0).text == "a red ball rolls"
    captioner.ask(frames[:1], 8.0)
    assert [len(pixels) for pixels in seen] == [COUNT, 1]
    means = seen[0][:, 0].mean(dim=(1, 2))
    assert bool((means.diff() > 0).all())  # in order of time


@pytest.mark.parametrize(("chain", "message"), [({"assistant": "loops", "loops": "loops"}, "does not end")])
def test_an_answer_that_does_not_end_is_none(tmp_path: Path, chain: dict[str, str], message: str) -> None:
    with pytest.raises(NoCaptionError, match=message):
        VisionLanguageModel(str(save_model(tmp_path, chain))).ask(np.zeros((1, 40, 40, 3), np.uint8), 8.0)


def test_an_incomplete_folder_is_refused_in_one_sentence(model: Path, tmp_path: Path) -> None:
    clips = save_clips(tmp_path / "clips")
    (tmp_path / "empty").mkdir()
    said = refused("caption", clips, "--captioner", f"hf:{tmp_path / 'empty'}", status=1)
    assert "cannot be loaded as a vision-language model" in said
    refused("caption", clips, "--captioner", "hf:", status=2)
    assert "there is no folder" in refused("caption", clips, "--captioner", f"hf:{tmp_path / 'none'}", status=1)
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in model.iterdir():
        if file.name != "model.safetensors":
            (broken / file.name).write_bytes(file.read_bytes())
    with pytest.raises(CaptionerError, match="cannot be loaded"):
        VisionLanguageModel(str(broken))


def test_how_a_clip_is_shown() -> None:
    frames = np.arange(50, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(2000, 2).repeat(3, 3)
    pictures = shown_pictures(frames, 5)
    assert [int(picture[0, 0, 0]) for picture in pictures] == [0, 12, 24, 37, 49]
    assert {picture.shape for picture in pictures} == {(2, MAX_SIDE, 3)}
    assert question(1, 0.1, "tags").startswith("One picture. List")
    assert question(5, 6.25, "sentence").startswith(
        "5 pictures of one clip of 6.25 seconds, in order of time. Describe"
    )
