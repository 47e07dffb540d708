"""States of texts on disk: safetensors shards in half precision, written atomically and verified when they are read.

The name of a state is a hash of its text, so that a folder says nothing that its captions do not. The metadata of a
shard holds, for each text, its tokens, its words that were read, a hash of its states and its unknown characters. Work
that was interrupted goes on with the texts that no shard has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from chronotope.caption.encoder.frozen import EncodedText
from chronotope.errors import FileProblem
from chronotope.storage import free_space_for, write_atomically

__all__ = ["StateStore"]

_SHARDS = "states-*.safetensors"
_MEND = "delete it, and run the `chronotope train dit` command again"
# What is in memory of a text: the first 64 bits of its name, its shard, and what the metadata has of it.
_TEXT = np.dtype(
    [("key", "u8"), ("shard", "u4"), ("tokens", "u4"), ("words", "u4"), ("hash", "u8"), ("unknown", "?")],
)


class StateStore:
    """The states in a folder, which need not exist; those of a text are read when they are needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards: list[Path] = []
        self._damaged: dict[Path, str] = {}
        found = [np.empty(0, _TEXT)]
        for path in sorted(folder.glob(_SHARDS)):
            try:
                found.append(_index(path, len(self._shards)))
                self._shards.append(path)
            except FileProblem as problem:
                self._damaged[path] = str(problem)
        self._sort(np.concatenate(found))

    def _sort(self, texts: np.ndarray) -> None:
        self._texts = np.sort(texts, order="key")
        self._keys = np.ascontiguousarray(self._texts["key"])

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, key: str) -> bool:
        return self._find(key) is not None

    def _find(self, key: str) -> np.void | None:
        number = np.uint64(int(key[:16], 16))
        place = int(np.searchsorted(self._keys, number))
        return self._texts[place] if place < len(self._keys) and self._keys[place] == number else None

    def read(self, key: str) -> Float[Tensor, "l s"]:
        """Read the states of a text that is stored; raise FileProblem unless they are those that were written."""
        text = self._find(key)
        assert text is not None
        path = self._shards[text["shard"]]
        try:
            states: np.ndarray = _opened(path).get_tensor(key)  # type: ignore[attr-defined]
        except SafetensorError as problem:
            raise FileProblem(f"{path} is damaged ({problem}); {_MEND}") from problem
        if _hash(states) != text["hash"]:
            raise FileProblem(f"{path} is damaged: the states of {key} are not those that were written; {_MEND}")
        return torch.from_numpy(states)

    def length(self, key: str) -> tuple[int, int]:
        """Return how many tokens a text that is stored has in all, and how many of its words were read."""
        text = self._find(key)
        assert text is not None
        return int(text["tokens"]), int(text["words"])

    def unknown(self, key: str) -> str:
        """Return the characters of a text that is stored which the encoder has no token for."""
        text = self._find(key)
        assert text is not None
        return str(_metadata(self._shards[text["shard"]])[key][3]) if text["unknown"] else ""

    def write(self, found: Mapping[str, EncodedText]) -> None:
        """Add a shard of these states, atomically."""
        arrays = {key: text.states.numpy() for key, text in found.items()}
        texts = {
            key: (text.num_tokens, text.num_words, _hash(arrays[key]), text.unknown) for key, text in found.items()
        }
        data = save(arrays, {"texts": json.dumps(texts)})
        self.folder.mkdir(parents=True, exist_ok=True)
        free_space_for(self.folder, len(data))
        path = self.folder / f"states-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
        write_atomically(path, data)
        self._sort(np.concatenate([self._texts, _index(path, len(self._shards))]))
        self._shards.append(path)

    def problems(self) -> Iterator[str]:
        """Yield a sentence for each shard that cannot be opened, and for each that holds damaged states."""
        yield from self._damaged.values()
        for path in self._shards:
            try:
                for key in _opened(path).keys():  # type: ignore[attr-defined]  # noqa: SIM118
                    self.read(key)
            except FileProblem as problem:
                yield str(problem)

    def remove_damaged(self) -> None:
        """Delete the shards that cannot be opened, whose states have to be computed again."""
        for path in self._damaged:
            path.unlink(missing_ok=True)  # another process may have deleted it
        self._damaged.clear()


def _index(path: Path, shard: int) -> np.ndarray:
    """Read what the metadata of a shard says of its texts; raise FileProblem unless that is of all its states."""
    try:
        texts = _metadata(path)
        if set(texts) != set(_opened(path).keys()):  # type: ignore[attr-defined]
            raise ValueError("its index is not that of its states")
        rows = [(int(key[:16], 16), shard, *text[:3], bool(text[3])) for key, text in texts.items()]
        return np.array(rows, _TEXT)
    except (KeyError, IndexError, ValueError, TypeError) as problem:
        raise FileProblem(f"{path} holds no states of texts ({problem}); {_MEND}") from problem


def _metadata(path: Path) -> dict[str, list[Any]]:
    """Return the tokens, the words, the hash and the unknown characters of every text of a shard."""
    texts: dict[str, list[Any]] = json.loads((_opened(path).metadata() or {})["texts"])  # type: ignore[attr-defined]
    return texts


def _opened(path: Path) -> safe_open:  # type: ignore[valid-type]
    try:
        facts = path.stat()
        return _open(str(path), (facts.st_ino, facts.st_size, facts.st_mtime_ns))
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing; run the `chronotope train dit` command again") from problem
    except (OSError, SafetensorError) as problem:
        raise FileProblem(f"{path} is damaged ({problem}); {_MEND}") from problem


@lru_cache(maxsize=64)  # each holds a mapped file and its header
def _open(path: str, state: tuple[int, int, int]) -> safe_open:  # type: ignore[valid-type]
    del state  # a file that was changed is opened again
    return safe_open(path, "np")


def _hash(states: np.ndarray) -> int:
    digest = hashlib.sha256(f"{states.dtype} {list(states.shape)}".encode())
    digest.update(np.ascontiguousarray(states).data)
    return int.from_bytes(digest.digest()[:8], "big")
