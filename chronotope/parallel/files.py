"""Tensors that are divided over processes <-> safetensors files of one folder, for any number of processes.

`torch.distributed.checkpoint` plans who reads and writes which rows; a file states in its header which rows it holds.
Its own format has pickles, so its storage of safetensors is used. All processes must see the same folder.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from chronotope.errors import ChronotopeError, FileProblem
from chronotope.parallel.ranks import Ranks, from_first
from chronotope.storage import partial_folder, put_in_place

__all__ = ["StorageProblem", "read_shards", "stored_shapes", "write_shards", "write_together"]


class StorageProblem(ChronotopeError):
    """Tensors on disk that are not those that were asked for: others are there, or they have other shapes."""


def write_shards(folder: Path, tensors: Mapping[str, Tensor], ranks: Ranks) -> None:
    """Write tensors into a folder, which all processes call; each writes the rows that it holds.

    Raises FileProblem in all processes where one of them cannot write.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    with _as_file_problem(folder, "written", ranks):
        save(dict(tensors), storage_writer=writer, no_dist=ranks.size == 1)


def read_shards(folder: Path, targets: Mapping[str, Tensor], ranks: Ranks) -> None:
    """Fill tensors, divided or not, with those of their names in the safetensors files of a folder.

    All processes call this. Raises StorageProblem where a tensor is missing or has another shape, FileProblem where a
    file cannot be read.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    with _as_file_problem(folder, "read", ranks):
        reader = HuggingFaceStorageReader(str(folder))
        load(dict(targets), storage_reader=reader, no_dist=ranks.size == 1)


def stored_shapes(folder: Path) -> dict[str, torch.Size]:
    """Return the names and the shapes of the whole tensors in the safetensors files of a folder."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    with _as_file_problem(folder, "read", Ranks()):
        found = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
        return {name: about.size for name, about in found.items()}  # type: ignore[union-attr]


@contextlib.contextmanager
def _as_file_problem(folder: Path, done: str, ranks: Ranks) -> Iterator[None]:
    """Raise what the library raises, in all processes, as an error of this program."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)  # in a single process
            yield
    except CheckpointException as problem:
        rank, (cause, _) = min(problem.failures.items(), key=lambda failure: failure[0])
        kind = FileProblem if isinstance(cause, OSError) else StorageProblem
        found = kind(f"{folder} cannot be {done}: {getattr(cause, 'strerror', None) or cause}")
        found.said = rank != ranks.rank
        raise found from problem
    except OSError as problem:
        raise FileProblem(f"{folder} cannot be {done}: {problem.strerror or problem}") from problem


def write_together(target: Path, fill: Callable[[Path], None], ranks: Ranks) -> None:
    """Call `fill(folder)` in all processes on one new folder beside `target`, which then replaces `target`.

    `fill` must fail in all processes or in none. When it raises, the new folder is deleted and `target` is untouched.
    Raises FileProblem where the file system refuses.
    """
    with contextlib.ExitStack() as stack:
        folder = from_first(ranks, lambda: stack.enter_context(partial_folder(target)))
        try:
            fill(folder)
            from_first(ranks, lambda: put_in_place(folder, target))
        except FileProblem as problem:  # of a file in the partial folder
            named = FileProblem(str(problem).replace(str(folder), str(target)))
            named.said = problem.said
            raise named from problem
