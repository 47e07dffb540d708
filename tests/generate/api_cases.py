"""Calls of the Python interface with wrong and with unusual values, as a user's program makes them.

It runs as a program of its own, without the runtime type check of the test run: `python api_cases.py MODEL` prints for
each case the class and message of its error, or the number of frames made, and the seconds and megabytes it took.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from chronotope import ChronotopeError, Generator, Inputs, Prompt, Request, read_prompts
from chronotope.generate.pipeline import find_model

PICTURE = np.zeros((32, 48, 3), np.uint8)
CLIP = np.zeros((8, 32, 48, 3), np.uint8)
MASK = np.zeros((1, 32, 48), np.bool_)
MASK[:, 8:20, 8:20] = True
TENSOR = torch.zeros(32, 48, 3, dtype=torch.uint8)
EDIT, RETAKE = {"video": CLIP, "task": "edit"}, {"video": CLIP, "task": "retake"}

NOT_NUMBERS: dict[str, Any] = {
    "text": "8",
    "bytes": b"8",
    "truth value": True,
    "list": [8],
    "array": np.array([8, 9]),
    "complex": 8j,
    "list of a long number": [10**5000],
    "class": int,
    "nothing to speak of": object(),
}
NOT_FINITE: dict[str, Any] = {"NaN": float("nan"), "infinity": float("inf"), "too long": 10**400}
NOT_WHOLE: dict[str, Any] = {
    "float": 16.0,
    "numpy float": np.float32(16),
    "fraction": Fraction(16),
    "NaN": float("nan"),
}
NOT_PIXELS: dict[str, Any] = {
    "path": "photo.png",
    "list": [[0, 0, 0]],
    "tensor": TENSOR,
    "Pillow image": Image.new("RGB", (48, 32)),
    "floats": np.zeros((32, 48, 3)),
    "negative": np.full((32, 48, 3), -1),
    "16 bits": np.zeros((32, 48, 3), np.uint16),
    "objects": np.zeros((32, 48, 3), object),
    "grey": np.zeros((32, 48), np.uint8),
    "four channels": np.zeros((32, 48, 4), np.uint8),
    "channels first": np.zeros((3, 32, 48), np.uint8),
    "no pixels": np.zeros((0, 48, 3), np.uint8),
    "five axes": np.zeros((1, 8, 32, 48, 3), np.uint8),
    "number": 7,
}
LINE = np.zeros((1, 16384, 3), np.uint8)


def wrong_fields() -> dict[str, dict[str, Any]]:
    """Arguments of `generate` that must be refused, by the name of the case."""
    cases: dict[str, dict[str, Any]] = {}
    wholes = {"height": (0, -3, 8193), "width": (0, -3, 8193), "num_frames": (0, -2, 10**6 + 1, 10**30)}
    wholes |= {"num_inference_steps": (0, -1, 1001), "seed": (-1, 2**63, 10**30)}
    for name, outside in wholes.items():
        wrong = {**NOT_NUMBERS, **NOT_WHOLE, "too long": 10**5000, **{f"{value:.0e}": value for value in outside}}
        cases |= {f"{name}: {kind}": {name: value} for kind, value in wrong.items()}
    numbers: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
        "fps": ({}, (0, -8, 1e-300, 241)),
        "guidance_scale": ({}, (-0.1, 1e30)),
        "strength": (EDIT, (-0.1, 1.1)),
        "context": ({"video": CLIP, "task": "extend"}, (-1, 1e300)),
    }
    for name, (others, outside) in numbers.items():
        wrong = {**NOT_NUMBERS, **NOT_FINITE, **{str(value): value for value in outside}}
        cases |= {f"{name}: {kind}": {**others, name: value} for kind, value in wrong.items()}
    for kind, value in NOT_PIXELS.items():
        cases[f"image: {kind}"] = {"image": value}
        cases[f"image at 0: {kind}"] = {"image": [(0.0, value)]}
        stacked = value[None] if isinstance(value, np.ndarray | torch.Tensor) else value
        for name, others in (("video", {"task": "edit"}), ("into", {"video": CLIP, "task": "connect"})):
            cases[f"{name}: {kind}"] = {**others, name: stacked}
        cases[f"mask: {kind}"] = {**RETAKE, "mask": stacked}
    for kind, value in {**NOT_NUMBERS, **NOT_FINITE, "before": -1.0, "late": 1e300, "beyond": 100.0}.items():
        cases[f"image time: {kind}"] = {"image": [(value, PICTURE)]}
    cases |= {
        "image: pair without a list": {"image": (0.5, PICTURE)},
        "image: three in a pair": {"image": [(0.0, PICTURE, 1)]},
        "image: two at one time": {"image": [(0.0, PICTURE), (0.0, PICTURE)]},
        "image: a line": {"image": LINE, "height": 8192, "width": 16},
        "video: a line": {"video": LINE[None], "task": "edit", "height": 8192, "width": 16},
        "video: one picture too few axes": {"video": PICTURE, "task": "edit"},
        "mask: two axes": {**RETAKE, "mask": MASK[0]},
        "mask: bytes": {**RETAKE, "mask": MASK.astype(np.uint8)},
        "mask: another size": {**RETAKE, "mask": MASK[:, :16]},
        "mask: another length": {**RETAKE, "mask": MASK.repeat(3, 0)},
        "mask: nothing": {**RETAKE, "mask": ~np.ones_like(MASK)},
        "mask: no task": {"mask": MASK},
    }
    spans: dict[str, Any] = {"text": "0-1", "one number": 1.0, "three": (0, 1, 2), "texts": ("0", "1"), "set": {0, 1}}
    spans |= {
        "NaN": (0.0, float("nan")),
        "infinite": (0.0, float("inf")),
        "huge": (0.0, 1e300),
        "backward": (0.5, 0.25),
    }
    spans |= {"empty": (0.5, 0.5), "before": (-1.0, 0.5), "after": (9.0, 10.0), "truth values": (False, True)}
    cases |= {f"span: {kind}": {**RETAKE, "span": value} for kind, value in spans.items()}
    cases |= {f"task: {kind}": {"video": CLIP, "task": value} for kind, value in NOT_NUMBERS.items()}
    cases["task: unknown"] = {"video": CLIP, "task": "extent"}
    cases["task: missing"] = {"video": CLIP}
    others = {"number": 7, "none": None, "bytes": b"heun", "list": ["heun"], "array": np.zeros(2)}
    for name in ("solver", "negative_prompt", "draft"):
        cases |= {f"{name}: {kind}": {name: value} for kind, value in others.items()}
    cases |= {"solver: unknown": {"solver": "eulr"}, "draft: text": {"draft": "no"}}
    cases["negative_prompt: too long"] = {"negative_prompt": "ball " * 1000}
    cases |= {f"generator: {kind}": {"generator": value} for kind, value in NOT_NUMBERS.items()}
    cases |= {"seed and generator": {"seed": 1, "generator": torch.Generator()}, "report: number": {"report": 7}}
    cases |= {f"prompt: {kind}": {"prompt": value} for kind, value in wrong_prompts().items()}
    return cases | too_large()


def wrong_prompts() -> dict[str, Any]:
    prompts: dict[str, Any] = {"none": None, "number": 7, "bytes": b"a ball", "empty": "", "blank": " \n", "list": []}
    prompts |= {
        "texts": ["a", "b"],
        "array": np.array(["a"]),
        "set": {"a"},
        "pair alone": (0.0, "a"),
        "triple": [(0, "a", 1)],
    }
    prompts |= {
        "iterator": iter([(0.0, "a")]),
        "dict": {0.0: "a"},
        "text of a pair": [(0.0, 7)],
        "blank pair": [(0.0, " ")],
    }
    prompts |= {
        f"time: {kind}": [(value, "a")] for kind, value in {**NOT_NUMBERS, **NOT_FINITE, "before": -1.0}.items()
    }
    prompts |= {
        "time: late": [(0.0, "a"), (1e300, "b")],
        "falling": [(1.0, "a"), (0.5, "b")],
        "equal": [(1, "a"), (1, "b")],
    }
    prompts |= {"too many tokens": "ball " * 1000, "too many bytes": "\u72d0" * 10**7, "one word": "x" * 10**7}
    prompts["many beats"] = [(float(i), "a ball") for i in range(10**5)]
    return prompts


def too_large() -> dict[str, dict[str, Any]]:
    """Requests of which no part fits into memory; each number alone is allowed."""
    side = {"height": 8192, "width": 8192}
    return {
        "large: video": {**side, "num_frames": 10**6},
        "large: loop": {**side, "task": "loop", "num_frames": 10**6},
        "large: extension": {**side, "video": CLIP, "task": "extend", "num_frames": 10**6 - 100},
        "large: connection": {**side, "video": CLIP, "into": CLIP, "task": "connect", "num_frames": 10**6 - 100},
        "large: outpainting": {**side, "video": CLIP.repeat(125, 0), "task": "outpaint"},
        "num_frames: of an edit": {**EDIT, "num_frames": 4},
        "large: edit": {**side, "video": CLIP.repeat(125, 0), "task": "edit"},
    }


def unusual_fields() -> dict[str, dict[str, Any]]:
    """Arguments of `generate` that must be accepted."""
    frozen = PICTURE.copy()
    frozen.flags.writeable = False
    return {
        "numpy numbers": {"height": np.int64(32), "width": np.uint16(48), "fps": np.float32(8), "seed": np.int32(7)},
        "more numpy numbers": {"num_frames": np.int8(4), "guidance_scale": np.float64(2), "draft": np.bool_(True)},
        "an int for a float": {"fps": 8, "guidance_scale": 2},
        "a list of pairs": {"prompt": [[0, "a red ball"], [1, "a fox"]], "num_frames": 12},
        "pictures in a tuple": {"image": ((0, PICTURE), (1, PICTURE)), "num_frames": 9},
        "a frozen picture": {"image": frozen},
        "a flipped clip": {"video": CLIP[::-1, ::-1], "task": "extend", "num_frames": 4},
        "a clip with swapped axes": {"video": CLIP.transpose(0, 2, 1, 3), "task": "edit"},
        "a mask that is a view": {**RETAKE, "mask": MASK[:, ::-1]},
        "a span of numpy numbers": {**RETAKE, "span": [np.float32(0), np.int64(1)]},
        "strength as a numpy number": {**EDIT, "strength": np.float16(0.5)},
        "the last seed": {"seed": 2**63 - 1},
        "a torch generator": {"generator": torch.Generator().manual_seed(1)},
        "other scripts": {"prompt": "\u72d0\u72f8 \U0001f98a \ud800 \x00\x1b[31m"},
        "one picture": {"num_frames": 1},
    }


def calls(generator: Generator) -> dict[str, Callable[[], Any]]:
    """Calls of other functions that must be refused."""
    request = Request(read_prompts("a ball"))
    plan = generator.plan(request)
    names: dict[str, Any] = {
        "none": None,
        "number": 7,
        "list": ["small"],
        "bytes": b"small",
        "empty": "",
        "NUL": "a\0b",
    }
    names |= {
        "missing": "no/such/folder",
        "nearly": "smal",
        "long": "x" * 5000,
        "file": __file__,
        "pickle": Path(__file__),
    }
    found: dict[str, Callable[[], Any]] = {
        f"load: {kind}": lambda name=name: Generator.load(name) for kind, name in names.items()
    }
    found |= {f"find_model: {kind}": lambda name=name: find_model(name) for kind, name in names.items()}
    wrong: dict[str, Any] = {**NOT_NUMBERS, "none": None, "prompt": "a red ball", "Inputs": Inputs()}
    found |= {f"plan: {kind}": lambda value=value: generator.plan(value) for kind, value in wrong.items()}
    found |= {f"stream: {kind}": lambda value=value: generator.stream(value) for kind, value in wrong.items()}
    for kind, value in {**NOT_NUMBERS, **NOT_WHOLE, "none": None, "negative": -1}.items():
        if kind != "none":
            found[f"stream seed: {kind}"] = lambda value=value: generator.stream(plan, value)
        found[f"device: {kind}"] = lambda value=value: generator.to(value)
        found[f"Request prompts: {kind}"] = lambda value=value: Request(value)
        found[f"Request inputs: {kind}"] = lambda value=value: Request(request.prompts, value)
        found[f"Prompt text: {kind}"] = lambda value=value: Prompt(7 if isinstance(value, str) else value)  # type: ignore[arg-type]
    found["device: unknown"] = lambda: generator.to("gpu")
    found["stream report"] = lambda: generator.stream(plan, 0, 7)  # type: ignore[arg-type]
    return found


def outcome(call: Callable[[], Any]) -> dict[str, Any]:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        made = call()
        found = {"kind": "made", "text": str(len(getattr(made, "frames", ())))}
    except ChronotopeError as error:
        found = {"kind": "refused", "text": str(error)}
    except Exception as error:
        found = {"kind": type(error).__name__, "text": str(error)}
    seconds = time.process_time() - started
    return {**found, "seconds": seconds, "kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before}


def main() -> None:
    torch.set_num_threads(1)
    generator = Generator.load(sys.argv[1])
    ordinary = {"prompt": "a red ball", "height": 32, "width": 48, "num_inference_steps": 1}
    # a first video takes the memory that all take
    generator.generate(**ordinary, num_frames=4)
    found = {}
    for name, fields in {**wrong_fields(), **unusual_fields()}.items():
        task = fields.get("task")
        if not (
            isinstance(task, str) and task in ("edit", "retake", "outpaint")
        ):  # which keep the frames of their clip
            fields = {"num_frames": 4, **fields}
        found[name] = outcome(lambda fields=fields: generator.generate(**{**ordinary, **fields}))
    for name, call in calls(generator).items():
        found[name] = outcome(call)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
