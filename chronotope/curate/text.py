"""A frame -> the share of it that on-screen text covers: subtitles, titles, credits.

The detector of PP-OCRv6 (PaddleOCR, 2026), which RapidOCR carries, finds lines of text; nothing is read.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32

from chronotope.errors import FileProblem, UsageError
from chronotope.media.picture import Frame

__all__ = ["TEXT_SIDE", "check_installed", "text_share"]

TEXT_SIDE = 512  # pixels of the longer side of frames that are searched: at 256, most subtitles are missed
HIGHEST_LINE = 0.2  # of the shorter side of the frame; what is taken for a higher line is no text
MODEL = "PP-OCRv6_det_small.onnx"
INSTALL = "pip install 'chronotope[ocr]'"

Lines = Float32[np.ndarray, "n 4 2"]  # corners, in pixels (x, y)


def text_share(frame: Frame) -> float:
    """Return the share of a frame of about `TEXT_SIDE` pixels that lines of text cover, 0 to 1."""
    covered = np.zeros(frame.shape[:2], np.uint8)
    for line in _finder()(frame):
        length_and_height = np.linalg.norm(np.diff(line[:3], axis=0), axis=1)
        if length_and_height.min() <= HIGHEST_LINE * min(frame.shape[:2]):
            cv2.fillPoly(covered, [np.round(line).astype(np.int32)], 1)
    return float(covered.mean())


def check_installed() -> None:
    """Raise UsageError where the detector is not installed, FileProblem where its weights are missing."""
    _finder()


@functools.cache
def _finder() -> Callable[[Frame], Lines]:
    """Return a function that finds the lines of text in a frame, without the network and without a word."""
    try:
        importlib.import_module("onnxruntime")  # of which rapidocr would complain in a line of its own
        rapidocr = importlib.import_module("rapidocr")
    except ImportError as problem:
        raise UsageError(f"--text needs rapidocr and onnxruntime: {INSTALL}") from problem
    weights = Path(str(rapidocr.__file__)).parent / "models" / MODEL
    if not weights.is_file():  # it would download them
        raise FileProblem(f"{weights} is missing; install the detector of text anew: {INSTALL}")
    settings: dict[str, Any] = {
        "Global.use_cls": False,
        "Global.use_rec": False,
        "Global.log_level": "critical",
        "Det.model_path": str(weights),
        "Det.limit_type": "max",  # frames are not enlarged
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,  # the decoder runs beside it
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    engine = rapidocr.RapidOCR(params=settings)

    def find(frame: Frame) -> Lines:
        boxes = engine(np.ascontiguousarray(frame[..., ::-1])).boxes
        return np.zeros((0, 4, 2), np.float32) if boxes is None else np.asarray(boxes, np.float32)

    return find
