"""Language models that write prompts: an OpenAI-compatible endpoint, or a model of the `transformers` library."""

from __future__ import annotations

from typing import Any, Protocol

from chronotope.caption.captioners.captioner import NoCaptionError
from chronotope.caption.captioners.chat import Chat
from chronotope.caption.captioners.pretrained import load_pretrained, one_sentence
from chronotope.errors import UsageError

__all__ = ["LanguageModel", "Writer", "find_writer"]

MAX_TOKENS = 300  # of an answer
WARMTH = 0.7  # the temperature of sampling, where a seed is given


class Writer(Protocol):
    """Answers a question; the same seed gives the same answer, None the most likely one."""

    def write(self, task: str, question: str, seed: int | None) -> str:
        """Return the answer to a question about a task. Raises CaptionerError, and NoCaptionError for no answer."""
        ...


def find_writer(name: str) -> Writer:
    """Return the writer of a name: the address of an endpoint, or `hf:` and a model of `transformers`."""
    if name.startswith(("http:", "https:")):
        return _Endpoint(Chat(name))
    if name.startswith("hf:"):
        return LanguageModel(name.removeprefix("hf:"))
    raise UsageError(f"a language model is hf:NAME_OR_FOLDER or http://localhost:8000/v1#MODEL, got '{name}'")


class _Endpoint:
    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def write(self, task: str, question: str, seed: int | None) -> str:
        messages = [{"role": "system", "content": task}, {"role": "user", "content": question}]
        return self._chat.ask(messages, 0 if seed is None else WARMTH, seed or 0).text


class LanguageModel:
    """Asks a model in this process, by its name or folder; it is loaded when this is made."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._tokenizer, self._model = load_pretrained(name, "language model", "AutoTokenizer", "AutoModelForCausalLM")

    def write(self, task: str, question: str, seed: int | None) -> str:
        """Ask as a user would where the model has a chat; other models go on with the text."""
        import torch

        sampling = {} if seed is None else {"temperature": WARMTH, "top_k": 50}
        with torch.random.fork_rng(), torch.no_grad(), one_sentence(f"{self.name} does not answer"):
            inputs = self._inputs(task, question)
            torch.manual_seed(seed or 0)
            ids = self._model.generate(
                **inputs, max_new_tokens=MAX_TOKENS, do_sample=seed is not None, pad_token_id=0, **sampling
            )
        said = ids[0, inputs["input_ids"].shape[1] :]
        if len(said) >= MAX_TOKENS:
            raise NoCaptionError(f"the answer does not end within {MAX_TOKENS} tokens")
        return str(self._tokenizer.decode(said, skip_special_tokens=True)).strip()

    def _inputs(self, task: str, question: str) -> dict[str, Any]:
        if getattr(self._tokenizer, "chat_template", None):
            chat = [{"role": "user", "content": f"{task}\n\n{question}"}]  # not every chat has a place for the task
            text = self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
            inputs = self._tokenizer(text, return_tensors="pt", add_special_tokens=False)
        else:
            inputs = self._tokenizer(f"{task}\n\n{question}\nCaption:", return_tensors="pt")
        return {name: inputs[name].to(self._model.device) for name in ("input_ids", "attention_mask")}
