"""Low-rank adapters against their closed form, and their names against the rules of peft."""

from __future__ import annotations

import pytest
import torch

from chronotope.errors import UsageError
from chronotope.models.adapter import (
    PREFIX,
    AdaptedLinear,
    AdapterConfig,
    adapted_modules,
    adapter_state,
    add_adapter,
    load_adapter_state,
    merge_adapter,
    peft_config,
)
from chronotope.models.dit import DiT, DiTConfig, PackedTokens
from chronotope.models.packing import pack
from tests.models.test_dit import sample

CONFIG = DiTConfig(width=32, depth=2, head_dim=16, text_depth=1, vocabulary_size=20, seam_width=8)
ADAPTER = AdapterConfig(4, 8.0)


def tokens() -> PackedTokens:
    torch.manual_seed(1)
    return pack([sample(9, 32), sample(1, 48)])[0]


def model() -> DiT:
    torch.manual_seed(0)
    made = DiT(CONFIG)
    for parameter in made.parameters():  # nothing is zero, so that every matrix has an effect
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def drawn(made: DiT) -> DiT:
    """The model with an adapter as training leaves it: no B is zero."""
    add_adapter(made, ADAPTER)
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return made


def test_an_untrained_adapter_changes_no_bit() -> None:
    batch = tokens()
    expected = model()(batch)
    assert torch.equal(add_adapter(model(), ADAPTER)(batch), expected)
    assert not torch.equal(drawn(model())(batch), expected)


def test_the_layer_is_its_closed_form() -> None:
    layer = torch.nn.Linear(6, 5)
    adapted = AdaptedLinear(layer, AdapterConfig(2, 3.0))
    torch.nn.init.normal_(adapted.lora_B.weight)
    x, a, b = torch.randn(7, 6), adapted.lora_A.weight, adapted.lora_B.weight
    assert torch.allclose(adapted(x), x @ (layer.weight + 1.5 * b @ a).T + layer.bias, atol=1e-6)
    assert a.abs().max() <= 6**-0.5  # as peft draws it


def test_merged_weights_compute_what_the_adapter_computes() -> None:
    batch, adapted = tokens(), drawn(model())
    merged = model()
    adapter = adapter_state(adapted)
    merged.load_state_dict(merge_adapter(merged.state_dict(), adapter, ADAPTER.scale))
    assert torch.allclose(merged(batch), adapted(batch), atol=1e-5)
    name = "blocks.1.qkv"
    a, b = (adapter[f"{PREFIX}{name}.lora_{which}.weight"].double() for which in "AB")
    expected = model().state_dict()[f"{name}.weight"].double() + 2.0 * b @ a
    assert torch.equal(merged.state_dict()[f"{name}.weight"], expected.float())
    untouched = {name.removeprefix(PREFIX).partition(".lora_")[0] for name in adapter}
    for name, tensor in model().state_dict().items():
        assert torch.equal(tensor, merged.state_dict()[name]) == (name.removesuffix(".weight") not in untouched)


def test_every_matrix_inside_blocks_has_one_pair_and_all_else_is_frozen() -> None:
    made = model()
    paths = set(adapted_modules(made))
    assert len(paths) == 4 * (CONFIG.depth + CONFIG.text_depth) and "text.blocks.0.up" in paths
    add_adapter(made, ADAPTER)
    assert set(adapted_modules(made)) == paths  # the pairs are adapted by nothing
    trained = {name for name, parameter in made.named_parameters() if parameter.requires_grad}
    assert trained == {f"{path}.lora_{which}.weight" for path in paths for which in "AB"}
    made(tokens()).square().mean().backward()
    assert {name for name, parameter in made.named_parameters() if parameter.grad is not None} == trained


def test_names_are_those_that_peft_reads() -> None:
    """On disk peft names a pair `base_model.model.PATH.lora_A.weight`, and finds PATH by the ends in target_modules."""
    made = model()
    paths = set(adapted_modules(made))
    state = adapter_state(add_adapter(made, ADAPTER))
    assert set(state) == {f"base_model.model.{path}.lora_{which}.weight" for path in paths for which in "AB"}
    layers = dict(model().named_modules())
    for path in paths:
        a, b = (state[f"base_model.model.{path}.lora_{which}.weight"] for which in "AB")
        assert a.shape == (4, layers[path].in_features) and b.shape == (layers[path].out_features, 4)
    config = peft_config(state, ADAPTER, "small")
    targets = config["target_modules"]
    assert {path for path in layers if any(path == end or path.endswith(f".{end}") for end in targets)} == paths
    assert (config["peft_type"], config["r"], config["lora_alpha"], config["bias"]) == ("LORA", 4, 8, "none")
    assert config["base_model_name_or_path"] == "small"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"rank 1 to 32, the smaller side of text.blocks.0.qkv, got 33"):
        add_adapter(model(), AdapterConfig(33))
    weights, adapter = model().state_dict(), adapter_state(drawn(model()))
    name = PREFIX + "blocks.0.out.lora_A.weight"
    for wrong, message in (
        ({**adapter, name: adapter[name][:3]}, "does not fit blocks.0.out"),
        ({one: tensor for one, tensor in adapter.items() if one != name}, "lacks its A or B"),
        ({name.replace("blocks.0", "blocks.9"): adapter[name]}, "blocks.9.out is no matrix of both"),
    ):
        with pytest.raises(UsageError, match=message):
            merge_adapter(weights, wrong, 1.0)
    other = add_adapter(model(), AdapterConfig(5))
    with pytest.raises(UsageError, match=r"has shape \(4, 32\), expected \(5, 32\)"):
        load_adapter_state(other, adapter)
    with pytest.raises(UsageError, match="lacks"):
        load_adapter_state(other, {})
