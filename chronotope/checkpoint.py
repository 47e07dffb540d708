"""Model weights and training state on disk, as safetensors and JSON only, verified by checksums when they are loaded.

A model folder holds `model.safetensors` and `model.json` (kind, config, origin). A checkpoint folder holds those two
files for the averaged weights, plus `state.safetensors` (weights, optimizer states) and `state.json` (step and
counters). Several processes write a folder `state` of safetensors files in place of `state.safetensors`. In both kinds
of folder an adapter (`models.adapter`) has the two files of the library peft in place of `model.safetensors`:
`adapter_model.safetensors` (earlier `adapter.safetensors`) and `adapter_config.json`. A JSON file holds the size and
SHA-256 of the other files (`files`) and of its own content (`checksum`). Earlier versions wrote neither: their files
are loaded unverified.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from chronotope.errors import ChronotopeError, FileProblem
from chronotope.sealed import has_seal, read_sealed, seal
from chronotope.storage import atomic_file, file_sha256, free_space_for, json_text, read_json, write_atomically

__all__ = [
    "MEND",
    "NotFiniteError",
    "Uninitialised",
    "check_finite",
    "checkpoints",
    "copy_model",
    "files_of",
    "is_verified",
    "latest_checkpoint",
    "load_adapter",
    "load_model",
    "load_state",
    "load_tensors",
    "read_counters",
    "read_description",
    "same_weights",
    "save_adapter",
    "save_model",
    "save_state",
    "save_weights",
    "seal_state",
    "shard_facts",
    "states_of",
    "verify_checkpoint",
    "verify_model",
    "weights_hash",
    "weights_path",
]

# Files that the checksums in model.json cover, the weights first; those in state.json cover all of a checkpoint.
MODEL_FILES = ("model.safetensors",)
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")  # the names that peft reads
EARLIER_ADAPTER_FILES = ("adapter.safetensors", "adapter_config.json")
SHARDS = "state"  # the folder of what several processes wrote in place of state.safetensors
STATE_FILES = ("state.safetensors", "model.json", *MODEL_FILES)
# Fields of model.json that do not change what the model computes.
UNHASHED = ("trained_on", "similar_words", "data", "data_before", "heldout", "licence", "files", "checksum")

MEND = "copy it again or train it again"


class NotFiniteError(ChronotopeError):
    """Weights or optimizer states hold infinities or NaN and are therefore not saved."""


# Tensors


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file onto the CPU; raise FileProblem where it is missing or damaged, or holds NaN."""
    try:
        tensors = load_file(path)
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing") from problem
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as problem:
        raise FileProblem(
            f"{path} is not a whole safetensors file ({problem}); it may be truncated: copy it again or train it again"
        ) from problem
    name = _not_finite(tensors)
    if name:
        raise FileProblem(
            f"{path} holds numbers that are not finite, in {name}: its training went wrong; train it again, or take an "
            "earlier checkpoint"
        )
    return tensors


def _not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor that holds an infinity or NaN, or None."""
    for name, tensor in tensors.items():
        # the sum of finite numbers is finite, up to an overflow that the second look sees through
        if tensor.is_floating_point() and not bool(tensor.sum(dtype=torch.float32).isfinite()):
            if not bool(tensor.isfinite().all()):
                return name
    return None


def check_finite(what: str, tensors: Mapping[str, Tensor]) -> None:
    """Raise NotFiniteError where a tensor that is to be saved holds an infinity or NaN."""
    name = _not_finite(tensors)
    if name:
        raise NotFiniteError(
            f"the {what} holds numbers that are not finite, in {name}, and is not saved; what was saved before is "
            "intact: train again with lower learning rates"
        )


def _bytes_of(what: str, tensors: Mapping[str, Tensor]) -> bytes:
    """Serialise tensors; raise NotFiniteError where one holds an infinity or NaN."""
    check_finite(what, tensors)
    # not `save_file`: it creates files that only their owner can read
    return save(dict(tensors))


# Checksums in the JSON files


def _facts(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _text_of(content: Mapping[str, Any], files: Mapping[str, Any]) -> str:
    """Return a JSON file with the sizes and hashes of other files, and the checksum of all of it."""
    return json_text(seal({**content, "files": dict(files)}, "checksum"))


def is_verified(content: Mapping[str, Any]) -> bool:
    """Return whether a model.json or state.json has checksums; those of earlier versions have none."""
    return has_seal(content)


_hashes: dict[tuple[Path, int, int, int, int], str] = {}  # of files that were read, by the facts that a change changes
_SETTLED_SECONDS = 2  # a file that was changed later may be changed again under the same time


def _sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, which is read once in a process unless it changes."""
    facts = path.stat()
    key = (path.resolve(), facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    if key in _hashes:
        return _hashes[key]
    found = file_sha256(path)
    if time.time() - max(facts.st_mtime, facts.st_ctime) > _SETTLED_SECONDS:
        _hashes[key] = found
    return found


def _verify_files(description: Path, content: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Raise FileProblem unless the files have the sizes and hashes in `content`; without them, unless they load."""
    for name in names:
        path = description.parent / name
        if not is_verified(content):
            if path.suffix == ".safetensors":
                load_tensors(path)
            continue
        expected = content.get("files", {}).get(name, {})
        if not path.is_file():
            raise FileProblem(f"{path} is missing; {MEND}")
        if path.stat().st_size != expected.get("bytes") or _sha256_of(path) != expected.get("sha256"):
            raise FileProblem(
                f"{path} is damaged, cut off, or not the file that was saved with it: its SHA-256 is not the one in "
                f"{description}; {MEND}"
            )


# Models


def save_model(
    folder: Path, model: nn.Module, description: Mapping[str, Any], dtype: torch.dtype | None = None
) -> None:
    """Write a module's weights and its description into `folder`; `dtype` converts the floating-point weights.

    Raises NotFiniteError for weights that are not finite, FileProblem where they cannot be written.
    """
    save_weights(folder, model.state_dict(), description, dtype)


def save_weights(
    folder: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any], dtype: torch.dtype | None = None
) -> None:
    """Write the weights of a module that is elsewhere, as `save_model` does."""
    weights = _bytes_of("model", _on_cpu(tensors, dtype))
    _write_model(folder, {MODEL_FILES[0]: weights}, description)


def save_adapter(
    folder: Path,
    tensors: Mapping[str, Tensor],
    description: Mapping[str, Any],
    peft: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Write an adapter, its description (of kind "adapter") and its adapter_config.json, as `save_model` does."""
    weights = _bytes_of("adapter", _on_cpu(tensors, dtype))
    _write_model(folder, dict(zip(ADAPTER_FILES, (weights, json_text(peft).encode()), strict=True)), description)


def _on_cpu(tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    found = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().to("cpu")
        found[name] = (tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor).contiguous()
    return found


def _write_model(folder: Path, files: Mapping[str, bytes], description: Mapping[str, Any]) -> None:
    """Write the files of a model, its weights first; `model.json`, which says what they must be, gets its name first.

    `atomic_file` gives the weights theirs last, so that a folder whose weights are new is whole.
    """
    (name, weights), *others = files.items()
    text = _text_of(description, {name: _facts(data) for name, data in files.items()})
    free_space_for(folder, sum(map(len, files.values())) + len(text))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise FileProblem(f"{folder} cannot be created: {problem.strerror}") from problem
    with atomic_file(folder / name) as weighed:
        weighed.write_bytes(weights)
        for other, data in others:
            write_atomically(folder / other, data)
        write_atomically(folder / "model.json", text)


def read_description(folder: Path) -> dict[str, Any]:
    """Return the content of a model.json; raise FileProblem where it is missing or damaged."""
    return read_sealed(folder / "model.json", MEND)


def files_of(description: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the files of a model or an adapter beside its model.json, the weights first."""
    if description.get("kind") != "adapter":
        return MODEL_FILES
    return _named_in(description, ADAPTER_FILES)


def _named_in(content: Mapping[str, Any], otherwise: tuple[str, ...]) -> tuple[str, ...]:
    """Return the files of an adapter by the checksums in a model.json or state.json; `otherwise` where it has none."""
    named = content.get("files", {})
    return next((files for files in (ADAPTER_FILES, EARLIER_ADAPTER_FILES) if files[0] in named), otherwise)


def weights_path(folder: Path) -> Path:
    """Return the file with the weights of the model or the adapter that a folder holds."""
    return folder / files_of(read_description(folder))[0]


def verify_model(folder: Path) -> dict[str, Any]:
    """Verify all files of a model or adapter, return its description; raise FileProblem where one is damaged."""
    description = read_description(folder)
    _verify_files(folder / "model.json", description, files_of(description))
    return description


def copy_model(source: Path, target: Path) -> None:
    """Copy a model, verified, into a folder that exists or not."""
    description = verify_model(source)
    _write_model(target, {name: (source / name).read_bytes() for name in files_of(description)}, description)


class Uninitialised(TorchFunctionMode):
    """A context in which networks are built without drawing weights, because `load_model` fills them."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def load_model(folder: Path, model: nn.Module) -> None:
    """Fill `model` with the weights in `folder`; raise FileProblem unless all are whole, finite and of its shapes."""
    verify_model(folder)
    tensors = load_tensors(folder / "model.safetensors")
    expected = model.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is not part of this model" for name in tensors if name not in expected]
    problems += [
        f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name].shape
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise FileProblem(f"{folder / 'model.safetensors'} does not fit its model.json: {problems[0]}{more}")
    model.load_state_dict(tensors)


def load_adapter(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of an adapter and its description; raise FileProblem where one is damaged, or for a model."""
    description = read_description(folder)
    if description.get("kind") != "adapter":
        raise FileProblem(f"{folder} holds a model of kind '{description.get('kind')}', expected 'adapter'")
    verify_model(folder)
    return load_tensors(folder / files_of(description)[0]), description


def same_weights(checkpoint: Path, model: Path) -> bool:
    """Return whether a model, perhaps of half precision, holds the averaged weights of a checkpoint."""
    average, weights = (load_tensors(weights_path(folder)) for folder in (checkpoint, model))
    return average.keys() == weights.keys() and all(
        torch.equal(average[name].to(tensor.dtype), tensor) for name, tensor in weights.items()
    )


def weights_hash(folder: Path) -> str:
    """Hash a model's weights and description; reports and ledgers name the model by it.

    What only tells people about the weights, or guards them (`UNHASHED`), is left out, so that it can be added later.
    """
    description = read_json(folder / "model.json")
    hashed = {name: value for name, value in description.items() if name not in UNHASHED}
    content = (folder / files_of(description)[0]).read_bytes() + json_text(hashed).encode()
    return hashlib.sha256(content).hexdigest()[:16]


# Checkpoints


def save_state(folder: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
    """Write the resumable state of a training run into a folder that holds its averaged model already.

    Raises NotFiniteError for tensors that are not finite, FileProblem where they cannot be written.
    """
    data = _bytes_of("training state", _on_cpu(tensors, None))
    free_space_for(folder, len(data))
    write_atomically(folder / "state.safetensors", data)
    seal_state(folder, counters, {"state.safetensors": _facts(data)})


def seal_state(folder: Path, counters: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Write state.json: the counters, and the sizes and hashes of the model's files and of those in `facts`."""
    files = dict(facts)
    for name in ("model.json", *files_of(read_description(folder))):
        files[name] = _facts((folder / name).read_bytes())
    write_atomically(folder / "state.json", _text_of(counters, files))


def shard_facts(folder: Path, part: int = 0, parts: int = 1) -> dict[str, dict[str, Any]]:
    """Return the sizes and hashes of the files in the folder `state` of a checkpoint, or of every `parts`-th of them.

    Raises FileProblem where one cannot be read.
    """
    paths = sorted((folder / SHARDS).iterdir())[part::parts]
    return {f"{SHARDS}/{path.name}": {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for path in paths}


def states_of(counters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the files of the training state that a state.json names: one, or those in the folder `state`."""
    shards = tuple(name for name in counters.get("files", {}) if name.startswith(f"{SHARDS}/"))
    return shards or STATE_FILES[:1]


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the counters of a checkpoint of one process; raise FileProblem where it is damaged."""
    counters = verify_checkpoint(folder)
    return load_tensors(folder / "state.safetensors"), counters


def read_counters(folder: Path) -> dict[str, Any]:
    """Return the content of a state.json; raise FileProblem where it is missing or damaged."""
    return read_sealed(folder / "state.json", MEND)


def verify_checkpoint(folder: Path) -> dict[str, Any]:
    """Verify all files of a checkpoint and return its counters; raise FileProblem where one is damaged."""
    counters = read_counters(folder)
    kept = _named_in(counters, MODEL_FILES)
    _verify_files(folder / "state.json", counters, (*states_of(counters), "model.json", *kept))
    read_description(folder)
    missing = [name for name in ("step", "clips", "tokens", "seconds") if name not in counters]
    if missing or counters["step"] != int(folder.name):
        wrong = f"lacks {', '.join(missing)}" if missing else f"is of step {counters['step']}"
        raise FileProblem(f"{folder / 'state.json'} {wrong}; the checkpoint was damaged or renamed")
    return counters


def checkpoints(run: Path) -> list[Path]:
    """Return the checkpoint folders of a run, by step; they may be damaged."""
    found = (run / "checkpoints").glob("[0-9]*")
    return sorted((path for path in found if path.name.isdecimal() and path.is_dir()), key=lambda path: int(path.name))


def latest_checkpoint(run: Path, on_damaged: Callable[[Path, str], None] | None = None) -> Path | None:
    """Return the newest whole checkpoint in a run folder, or None if it has no checkpoint.

    `on_damaged` is called with each newer one that is damaged, and with a sentence. Raises FileProblem if all are.
    """
    problems = []
    for folder in reversed(checkpoints(run)):
        try:
            verify_checkpoint(folder)
            return folder
        except FileProblem as problem:
            problems.append(str(problem))
            if on_damaged:
                on_damaged(folder, str(problem))
    if problems:
        raise FileProblem(
            f"no checkpoint of {run} is whole ({problems[0]}); restore one, or delete {run / 'checkpoints'} "
            "to train from the start"
        )
    return None
