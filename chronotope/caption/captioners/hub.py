"""A captioner of the `transformers` library: any vision-language model, by name or folder, with frames as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
import torch
from PIL import Image

from chronotope.caption.captioners.captioner import DETAILS, Answer, NoCaptionError, question, shown_pictures
from chronotope.caption.captioners.pretrained import load_pretrained, one_sentence
from chronotope.errors import UsageError
from chronotope.geometry import Frames

__all__ = ["VisionLanguageModel"]

MAX_TOKENS = 400  # of an answer
COUNT = 8  # pictures of one clip that a model with a chat is shown; others are shown one


class VisionLanguageModel:
    """Asks a model in this process; it is loaded when this is made, and greedy decoding makes its answers repeatable.

    Models with a chat template are asked as a user would, with up to `COUNT` pictures. Models without one, which
    describe one picture (BLIP, GIT), see the middle frame and are asked nothing, so `detail` does not change them.
    """

    def __init__(self, name: str, detail: str = "sentence") -> None:
        if detail not in DETAILS:
            raise UsageError(f"detail is one of {', '.join(DETAILS)}, got '{detail}'")
        loaded = load_pretrained(name, "vision-language model", "AutoProcessor", "AutoModelForImageTextToText")
        self._processor, self._model = loaded
        self.name, self.detail, self._lock = name, detail, Lock()  # clips are described one at a time
        self._chats = bool(getattr(self._processor, "chat_template", None))

    @property
    def author(self) -> Mapping[str, Any]:
        """What writes these captions, and what it is asked."""
        asked = DETAILS[self.detail] if self._chats else ""
        commit = getattr(self._model.config, "_commit_hash", None) or ""
        pictures = COUNT if self._chats else 1
        return {"kind": "transformers", "model": self.name, "commit": commit, "asked": asked, "pictures": pictures}

    @torch.no_grad()
    def ask(self, frames: Frames, fps: float) -> Answer:
        """Describe one clip."""
        with self._lock, one_sentence(f"{self.name} does not answer"):
            inputs = self._inputs([Image.fromarray(frame) for frame in self._chosen(frames)], len(frames), fps)
            inputs = inputs.to(self._model.device)
            for name, value in inputs.items():
                if torch.is_tensor(value) and value.is_floating_point():
                    inputs[name] = value.to(self._model.dtype)
            ids = self._model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
        asked = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
        said = ids[0, asked:] if ids.shape[1] > asked else ids[0]
        if len(said) >= MAX_TOKENS:
            raise NoCaptionError(f"the answer does not end within {MAX_TOKENS} tokens")
        text: str = self._processor.batch_decode(said[None], skip_special_tokens=True)[0]
        return Answer(text.strip(), int(ids.shape[1]))

    def _chosen(self, frames: Frames) -> Sequence[np.ndarray]:
        return shown_pictures(frames, COUNT) if self._chats else [frames[len(frames) // 2]]

    def _inputs(self, pictures: Sequence[Image.Image], count: int, fps: float) -> Any:
        if not self._chats:
            return self._processor(images=pictures[0], return_tensors="pt")
        content: list[dict[str, Any]] = [{"type": "image"} for _ in pictures]
        content.append({"type": "text", "text": question(len(pictures), count / fps, self.detail)})
        chat = [{"role": "user", "content": content}]
        text = self._processor.apply_chat_template(chat, add_generation_prompt=True)
        return self._processor(images=[list(pictures)], text=[text], return_tensors="pt")
