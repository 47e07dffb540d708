"""Fields of requests: texts of a form and values of JSON are the same order; errors name the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.errors import UsageError
from chronotope.serve.limits import Limits
from chronotope.serve.order import FIELDS, FieldError, Order, Upload, read_order, text_of

JSON = {
    "prompt": "a fox",
    "seconds": 2,
    "size": "96x64",
    "seed": 7,
    "num_inference_steps": 5,
    "guidance_scale": 2.5,
    "negative_prompt": "a dog",
    "draft": True,
    "at": [0, 1.5],
    "span": [1, 2],
    "fps": 12,
    "expand": False,
}


def test_a_form_and_json_are_the_same_order() -> None:
    form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in JSON.items()}
    order, media = read_order(JSON)
    assert read_order(form) == (order, media)
    assert (order.seconds, order.size, order.seed, order.steps, order.guidance) == (2, (96, 64), 7, 5, 2.5)
    assert (order.start, order.stop, order.at, order.draft, order.expand) == (1, 2, (0, 1.5), True, False)
    assert media == {}


def test_other_names_are_the_same_fields() -> None:
    vllm = {"prompt": "x", "width": "96", "height": 64, "num_inference_steps": 3, "extra_params": '{"task": "loop"}'}
    ours = {"prompt": "x", "size": "96x64", "steps": 3, "task": "loop"}
    assert read_order(vllm) == read_order(ours)


def test_an_order_is_stored_as_json_and_read_back() -> None:
    order, _ = read_order({**JSON, "prompt": None, "story": ["0: a fox", "1.5: a ball"]})
    assert Order.from_json(json.loads(json.dumps(order.to_json()))) == order
    assert text_of(order.story) == "0: a fox\n1.5: a ball"
    assert read_order({"story": [[0, "a fox"], [1.5, "a ball"]]})[0].story == order.story


def test_media_are_files_identifiers_and_data_urls() -> None:
    upload = Upload("a.png", b"x")
    raw = {"prompt": "x", "input_reference": upload, "video": {"id": "video_1"}, "mask": '{"file_id": "file_2"}'}
    assert read_order(raw)[1] == {"image": (upload,), "video": "video_1", "mask": "file_2"}
    data = "data:image/png;base64,AA=="
    assert read_order({"prompt": "x", "input_reference": {"image_url": data}})[1] == {"image": (data,)}


@pytest.mark.parametrize(
    ("raw", "param", "words"),
    [
        ({}, "prompt", "missing"),
        ({"prompt": ""}, "prompt", "empty"),
        ({"prompt": 5}, "prompt", "must be a text"),
        ({"prompt": "x", "story": ["0: y"]}, "story", "exclude"),
        ({"story": ["1: x", "0: y"]}, "story", "rising"),
        ({"prompt": "x", "sede": 1}, "sede", "Did you mean 'seed'"),
        ({"prompt": "x", "seed": "1.5"}, "seed", "whole number"),
        ({"prompt": "x", "seed": True}, "seed", "whole number"),
        ({"prompt": "x", "seed": -1}, "seed", "from 0"),
        ({"prompt": "x", "seed": 2**63}, "seed", "from 0"),
        ({"prompt": "x", "seconds": "four"}, "seconds", "number"),
        ({"prompt": "x", "seconds": "nan"}, "seconds", "number"),
        ({"prompt": "x", "seconds": -4}, "seconds", "above 0"),
        ({"prompt": "x", "num_frames": 0}, "num_frames", "at least one frame"),
        ({"prompt": "x", "seconds": 1, "num_frames": 8}, "num_frames", "exclude"),
        ({"prompt": "x", "size": "96"}, "size", "WIDTHxHEIGHT"),
        ({"prompt": "x", "size": "0x64"}, "size", "WIDTHxHEIGHT"),
        ({"prompt": "x", "width": 96}, "width", "together"),
        ({"prompt": "x", "steps": 1, "num_inference_steps": 1}, "num_inference_steps", "twice"),
        ({"prompt": "x", "solver": "heum"}, "solver", "Did you mean 'heun'"),
        ({"prompt": "x", "draft": "maybe"}, "draft", "true or false"),
        ({"prompt": "x", "video": "http://localhost/x.mp4"}, "video", "fetches nothing"),
        ({"prompt": "x", "video": {"id": "a", "file_id": "b"}}, "video", "one of"),
        ({"prompt": "x", "video": 5}, "video", "must be a file"),
        ({"prompt": "x", "extra_params": "{"}, "extra_params", "JSON"),
        ({"prompt": "x", "span": [1]}, "span", "two numbers"),
        ({"prompt": "a \ud83d ball"}, "prompt", "half of a character"),
        ({"story": [[0, "a \ud83d ball"]]}, "story", "half of a character"),
        ({"story": '["0: a \\ud83d ball"]'}, "story", "half of a character"),
        ({"prompt": "x", "negative_prompt": "\udc00"}, "negative_prompt", "half of a character"),
        ({"prompt": "x", "video": "video_\ud800"}, "video", "half of a character"),
        ({"prompt": "x", "image": [{"id": "file_\ud800"}]}, "image", "half of a character"),
        ({"prompt": "x", "mask": '{"id": "\\ud800"}'}, "mask", "half of a character"),
        ({"prompt": "x", "image": Upload("\ud800.png", b"x")}, "image", "half of a character"),
        ({"prompt": "x", "extra_params": '{"negative_prompt": "\\ud800"}'}, "extra_params", "half of a character"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(raw: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(FieldError, match=words) as caught:
        read_order(raw)
    assert caught.value.param == param


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*FIELDS, "steps", "extra_params", "input_reference", "x"]), VALUES, max_size=5))
def test_no_value_is_an_error_of_another_kind(raw: dict[str, Any]) -> None:
    try:
        order, _ = read_order({"prompt": "a fox", **raw})
    except FieldError as problem:
        assert str(problem).isprintable() or "\n" in str(problem)
        return
    assert Order.from_json(json.loads(json.dumps(order.to_json()))) == order


def test_limits_hold_before_anything_is_allocated() -> None:
    limits = Limits()
    for raw, words in (
        ({"prompt": "x" * 2001}, "^prompt has 2001 characters"),
        ({"prompt": "x", "negative_prompt": "y" * 2001}, "^negative_prompt has 2001 characters"),
        ({"prompt": "x", "size": "4096x64"}, "2048 pixels"),
        ({"prompt": "x", "steps": 201}, "200 steps"),
    ):
        with pytest.raises(UsageError, match=words):
            limits.check_order(read_order(raw)[0])
