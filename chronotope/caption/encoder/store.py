"""States of texts on disk: safetensors shards in half precision, written atomically and verified when they are read.

The name of a state is a hash of its text, so that a folder says nothing that its captions do not; the header of a shard
is its index. Work that was interrupted goes on with the texts that no shard has.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from chronotope.caption.encoder.frozen import EncodedText
from chronotope.errors import FileProblem
from chronotope.storage import free_space_for, write_atomically

__all__ = ["StateStore"]

_SHARDS = "states-*.safetensors"
_FIELDS = 3  # that the metadata has of each text: tokens, words, hash of the states
_MEND = "delete it, and run the `chronotope train dit` command again"


class StateStore:
    """The states in a folder, which need not exist. Only hashes of texts and the places of states are in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards: list[Path] = []
        self._places: dict[str, int] = {}
        self._damaged: dict[Path, str] = {}
        for path in sorted(folder.glob(_SHARDS)):
            try:
                self._add(path)
            except FileProblem as problem:
                self._damaged[path] = str(problem)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def problems(self) -> Iterator[str]:
        """Yield a sentence for each shard that cannot be opened, and for each that holds damaged states."""
        yield from self._damaged.values()
        found: dict[int, str] = {}  # the first problem of each shard
        for key, place in self._places.items():
            try:
                if place not in found:
                    self.read(key)
            except FileProblem as problem:
                found[place] = str(problem)
        yield from found.values()

    def remove_damaged(self) -> None:
        """Delete the shards that cannot be opened, whose states have to be computed again."""
        for path in self._damaged:
            path.unlink(missing_ok=True)  # another process may have deleted it
        self._damaged.clear()

    def read(self, key: str) -> EncodedText:
        """Read the states of a text; raise FileProblem unless they are those that were written."""
        path = self._shards[self._places[key]]
        shard, texts = _opened(path)
        tokens, words, expected = texts[key]
        try:
            states: np.ndarray = shard.get_tensor(key)  # type: ignore[attr-defined]
        except (OSError, SafetensorError) as problem:
            raise FileProblem(f"{path} is damaged ({problem}); {_MEND}") from problem
        if _hash(states) != expected:
            raise FileProblem(f"{path} is damaged: the states of {key} are not those that were written; {_MEND}")
        return EncodedText(torch.from_numpy(states), tokens, words)

    def length(self, key: str) -> tuple[int, int]:
        """Return how many tokens a text has in all, and how many of its words were read."""
        tokens, words, _ = _opened(self._shards[self._places[key]])[1][key]
        return tokens, words

    def write(self, found: Mapping[str, EncodedText]) -> None:
        """Add a shard of these states, atomically."""
        arrays = {key: text.states.numpy() for key, text in found.items()}
        texts = {key: (text.num_tokens, text.num_words, _hash(arrays[key])) for key, text in found.items()}
        data = save(arrays, {"texts": json.dumps(texts)})
        self.folder.mkdir(parents=True, exist_ok=True)
        free_space_for(self.folder, len(data))
        path = self.folder / f"states-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
        write_atomically(path, data)
        self._add(path)

    def _add(self, path: Path) -> None:
        _, texts = _opened(path)
        self._places |= dict.fromkeys(texts, len(self._shards))
        self._shards.append(path)


def _opened(path: Path) -> tuple[safe_open, dict[str, tuple[int, int, str]]]:  # type: ignore[valid-type]
    """Open a shard and read its index; raise FileProblem where it is missing or damaged."""
    try:
        facts = path.stat()
        return _open(str(path), (facts.st_ino, facts.st_size, facts.st_mtime_ns, os.getpid()))
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing; run the `chronotope train dit` command again") from problem
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError) as problem:
        raise FileProblem(f"{path} is damaged ({problem}); {_MEND}") from problem


@lru_cache(maxsize=256)  # each holds an open file and its index
def _open(path: str, state: tuple[int, ...]) -> tuple[safe_open, dict[str, tuple[int, int, str]]]:  # type: ignore[valid-type]
    del state  # a file that was changed is opened again, and in each process
    shard = safe_open(path, "np")
    texts = json.loads((shard.metadata() or {})["texts"]) if shard.metadata() else {}
    if set(texts) != set(shard.keys()) or any(len(text) != _FIELDS for text in texts.values()):
        raise ValueError("its index is not that of its states")
    return shard, texts


def _hash(states: np.ndarray) -> str:
    digest = hashlib.sha256(f"{states.dtype} {list(states.shape)}".encode())
    digest.update(np.ascontiguousarray(states).data)
    return digest.hexdigest()[:16]
