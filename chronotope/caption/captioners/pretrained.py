"""Models of the `transformers` library by their name or folder: their files, and what reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from chronotope.caption.captioners.captioner import CaptionerError
from chronotope.errors import UsageError
from chronotope.storage import file_sha256

__all__ = ["PREFIX", "find_pretrained", "hash_of_files", "load_pretrained", "one_sentence", "open_library"]

PREFIX = "hf:"


def find_pretrained(name: str, what: str, files: Sequence[str]) -> Path:
    """Return the folder of a model that is named `hf:FOLDER` or `hf:NAME`; a name is fetched unless it is at hand.

    `what` names such a model in messages; `files` are the patterns of those that are fetched. Raises UsageError for
    another form, CaptionerError where there is none.
    """
    if not name.startswith(PREFIX):
        raise UsageError(f"{what} is hf:FOLDER or hf:NAME, a model of transformers, got '{name}'")
    named = name.removeprefix(PREFIX)
    folder = Path(named).expanduser()
    if named and folder.is_dir():
        return folder
    open_library(named)
    from huggingface_hub import snapshot_download

    with one_sentence(f"{named} is no folder, and no model of that name can be fetched"):
        return Path(snapshot_download(named, allow_patterns=[*files]))


def hash_of_files(folder: Path, patterns: Sequence[str]) -> str:
    """Hash the names and contents of files directly in a folder, to 16 hex digits; large files are read once."""
    names = sorted({path.name for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    digest = hashlib.sha256()
    for name in names:
        facts = (folder / name).stat()
        digest.update(f"{name} {_sha256_of(folder / name, facts.st_size, facts.st_mtime_ns)}\n".encode())
    return digest.hexdigest()[:16]


@cache
def _sha256_of(path: Path, size: int, changed: int) -> str:
    del size, changed  # a file that was changed is read again
    return file_sha256(path)


def load_pretrained(name: str, what: str, reader: str, model: str) -> tuple[Any, Any]:
    """Load what prepares the inputs and the network, by the names of their classes in `transformers`.

    `what` names such a model in messages. No code of a stranger's model is run, and weights are read from safetensors
    alone. Raises UsageError without a name, and CaptionerError where it cannot be loaded.
    """
    transformers, name = open_library(name)
    import torch

    with one_sentence(f"{name} cannot be loaded as a {what}"):
        prepare: Any = getattr(transformers, reader).from_pretrained(name, trust_remote_code=False)
        network: Any = getattr(transformers, model).from_pretrained(
            name, trust_remote_code=False, use_safetensors=True, dtype="auto"
        )
    return prepare, network.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def open_library(name: str) -> tuple[Any, str]:
    """Return the library `transformers`, silent, and a model's name or folder as it is written for it.

    Raises UsageError without a name, and CaptionerError where the folder or the library is missing.
    """
    if not name:
        raise UsageError("hf: is followed by the name or the folder of a model, as in hf:models/my-model")
    if name.startswith(("/", ".", "~")) and not Path(name).expanduser().is_dir():
        raise CaptionerError(f"there is no folder {name}; hf: is followed by a folder or the name of a model")
    try:
        import transformers
    except ImportError as problem:
        raise CaptionerError("hf: needs transformers: pip install 'chronotope[caption]'") from problem
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers, str(Path(name).expanduser()) if name.startswith("~") else name


@contextmanager
def one_sentence(what: str) -> Iterator[None]:
    """Raise CaptionerError for the errors of `transformers`, which has no class of its own for them."""
    try:
        yield
    except CaptionerError:
        raise
    except Exception as problem:  # templates raise those of Jinja, tokenizers those of Rust, models any
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise CaptionerError(f"{what} ({reason})") from problem
