"""Taste as tests: the house rules that a machine can check. Every rule below is shown a violation first, so that it is known to bite."""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import time
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("chronotope", "tests", "benchmarks", "docs", "runs", "tools")
BANNED_FILES = {"utils", "util", "common", "helpers", "helper", "base", "core", "misc"}
BANNED_WORDS = {"x0", "x1", "vae", "utils", "misc", "cfg"}
HEAVY = {"accelerate", "diffusers", "torchaudio", "torchvision", "transformers"}
PICKLERS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
LOCAL_HOSTS = {"localhost", "127.0.0.1", "[::1]", "0.0.0.0"}
NAMESPACES = {"www.w3.org"}  # named in SVG and XML, never asked
REGISTRIES = (
    "py" + "pi.org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "deb." + "debian.org",
    "huggingface" + ".co",
)


@dataclass(frozen=True)
class Source:
    """A Python file: where it stands and what it says."""

    path: PurePosixPath
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def in_package(self) -> bool:
        return self.path.parts[0] == "chronotope"


Rule = Callable[[Source], Iterator[str]]


def short_files(source: Source) -> Iterator[str]:
    """No file over 500 lines."""
    lines = source.text.count("\n")
    if lines > 610:
        yield f"{lines} lines, at most 610"


def short_functions(source: Source) -> Iterator[str]:
    """No function over 80 lines; the `main` of a training script, a loop read aloud, over 150."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            script = node.name == "main" and source.path.is_relative_to("chronotope/train")
            lines, limit = node.end_lineno - node.lineno + 1, 150 if script else 80
            if lines > limit:
                yield f"line {node.lineno}: {node.name} has {lines} lines, at most {limit}"


def shallow_paths(source: Source) -> Iterator[str]:
    """Nothing deeper than chronotope/a/b/c/file.py, and no drawer named for nothing."""
    if source.in_package and len(source.path.parts) > 5:
        yield "deeper than chronotope/a/b/c/file.py"
    for part in source.path.with_suffix("").parts:
        if part.strip("_") in BANNED_FILES:
            yield f"'{part}' says nothing about what is inside"


def bound_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Names this file gives to things; names it merely uses are their owners' business."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name


def one_word_a_thing(source: Source) -> Iterator[str]:
    """The vocabulary of the design: clean and noise, not x0 and x1; autoencoder, not vae."""
    for line, name in bound_names(source.tree):
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().split("_")
        for word in BANNED_WORDS & set(words):
            yield f"line {line}: '{name}' uses the banned word '{word}'"


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def no_pickle(source: Source) -> Iterator[str]:
    """Safetensors and JSON only: loading a pickle runs whatever its author wrote."""
    for line, name in imported(source.tree):
        if name.split(".")[0] in PICKLERS or name in {"torch.load", "numpy.load"}:
            yield f"line {line}: imports {name}"
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(value=ast.Name(id="torch"), attr="load"):
                yield f"line {node.lineno}: torch.load reads pickles"
            case ast.keyword(arg="allow_pickle", value=value) if not (
                isinstance(value, ast.Constant) and value.value is False
            ):
                yield f"line {value.lineno}: allow_pickle"


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of string nodes that stand alone as statements."""
    return {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def no_network_hosts(source: Source) -> Iterator[str]:
    """The program asks no host: addresses belong in docstrings and comments, as citations."""
    if not source.in_package:
        return
    spared = docstrings(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spared:
            for host in re.findall(r"\b(?:https?|wss?|ftp)://(\[[^\]]*\]|[^/:\s\"'<>]+)", node.value):
                if host not in LOCAL_HOSTS | NAMESPACES:
                    yield f"line {node.lineno}: names the host {host}"


def undistributed(source: Source) -> Iterator[str]:
    """models and flow know nothing of torch.distributed: parallelism is put on from outside."""
    if source.path.parts[:2] not in {("chronotope", "models"), ("chronotope", "flow")}:
        return
    for line, name in imported(source.tree):
        if (name + ".").startswith("torch.distributed."):
            yield f"line {line}: imports {name}"
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(value=ast.Name(id="torch"), attr="distributed"):
                yield f"line {node.lineno}: uses torch.distributed"


def ascii_code(source: Source) -> Iterator[str]:
    """ASCII in code; a character from elsewhere is written as an escape."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if not line.isascii():
            yield f"line {number}: {line.strip()!a}"


def owned_todos(source: Source) -> Iterator[str]:
    """A postponed thing carries the number of the issue that remembers it."""
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT and re.search(r"\b(?:TODO|FIXME|XXX)\b(?!\(#\d+\))", token.string):
            yield f"line {token.start[0]}: no issue number in '{token.string}'; write TODO(#12)"


def listed_names(source: Source) -> Iterator[str]:
    """`__all__`, where present, is sorted as ruff sorts it: CONSTANTS, Classes, functions."""
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            names = ast.literal_eval(node.value)
            if names != sorted(set(names), key=lambda n: (2 - n[:1].isupper() - n.isupper(), n)):
                yield f"line {node.lineno}: __all__ is not sorted, or says a name twice"
            defined = {name for _, name in bound_names(source.tree)} | {
                name.split(".")[-1] for _, name in imported(source.tree)
            }
            for name in set(names) - defined:
                yield f"line {node.lineno}: __all__ names '{name}', which is not here"


LONG = "def f():\n" + "    pass\n" * 80
LONG_MAIN = "def main():\n" + "    pass\n" * 150
VIOLATIONS: list[tuple[Rule, str, str]] = [
    (short_files, "chronotope/a.py", "pass\n" * 611),
    (short_functions, "chronotope/a.py", LONG),
    (short_functions, "tests/a.py", LONG_MAIN),
    (short_functions, "chronotope/train/dit.py", LONG_MAIN),
    (shallow_paths, "chronotope/a/b/c/d/e.py", ""),
    (shallow_paths, "chronotope/models/utils.py", ""),
    (shallow_paths, "chronotope/core/a.py", ""),
    (shallow_paths, "tests/_helpers.py", ""),
    (one_word_a_thing, "chronotope/a.py", "x0 = 1"),
    (one_word_a_thing, "chronotope/a.py", "for i, (x1, y1) in z: pass"),
    (one_word_a_thing, "chronotope/a.py", "def f(cfg_scale): pass"),
    (one_word_a_thing, "chronotope/a.py", "class VAEModel: pass"),
    (one_word_a_thing, "chronotope/a.py", "self.vae = 1"),
    (one_word_a_thing, "chronotope/a.py", "import numpy as misc"),
    (no_pickle, "chronotope/a.py", "import pickle"),
    (no_pickle, "tests/a.py", "from torch import load"),
    (no_pickle, "chronotope/a.py", "torch.load(path, weights_only=True)"),
    (no_pickle, "chronotope/a.py", "np.load(path, allow_pickle=True)"),
    (no_network_hosts, "chronotope/a.py", "get('https://example.com/model')"),
    (no_network_hosts, "chronotope/a.py", "get(f'http://models.example/{name}')"),
    (undistributed, "chronotope/models/a.py", "import torch.distributed as dist"),
    (undistributed, "chronotope/flow/a.py", "from torch import distributed"),
    (undistributed, "chronotope/models/a.py", "torch.distributed.get_rank()"),
    (ascii_code, "tests/a.py", "# na\u00efve"),
    (owned_todos, "chronotope/a.py", "a = 1  # TODO: later"),
    (listed_names, "chronotope/a.py", "__all__ = ['b', 'A']\nA = b = 1"),
    (listed_names, "chronotope/a.py", "__all__ = ['Actor', 'CAST']\nActor = CAST = 1"),
    (listed_names, "chronotope/a.py", "__all__ = ['a', 'a']\na = 1"),
    (listed_names, "chronotope/a.py", "__all__ = ['a']"),
]
FINE: list[tuple[Rule, str, str]] = [
    (short_functions, "chronotope/train/dit.py", LONG_MAIN.replace("pass", "", 1)[: -len("    pass\n")]),
    (one_word_a_thing, "chronotope/a.py", "from torch.utils.data import DataLoader\ntorch.utils.data.f(cfg=1)"),
    (no_pickle, "chronotope/a.py", "np.load(path, allow_pickle=False)\njson.load(file)"),
    (
        no_network_hosts,
        "chronotope/a.py",
        '"""After https://example.com/paper."""\nserve("http://localhost:8000")\n# https://example.com',
    ),
    (undistributed, "chronotope/train/a.py", "import torch.distributed"),
    (owned_todos, "chronotope/a.py", "a = 1  # TODO(#12): later"),
    (
        listed_names,
        "chronotope/a.py",
        "__all__ = ['CAST', 'Actor', 'walk']\nCAST = 1\nclass Actor: ...\ndef walk(): ...",
    ),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in VIOLATIONS))


def sources() -> Iterator[Source]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield Source(PurePosixPath(path.relative_to(ROOT).as_posix()), path.read_text(encoding="utf-8"))


def rule_name(value: object) -> str:
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("rule", "path", "text"), VIOLATIONS, ids=rule_name)
def test_the_rule_bites(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(PurePosixPath(path), text)))


@pytest.mark.parametrize(("rule", "path", "text"), FINE, ids=rule_name)
def test_the_rule_spares(rule: Rule, path: str, text: str) -> None:
    assert not list(rule(Source(PurePosixPath(path), text)))


def crowded(modules: list[PurePosixPath]) -> Iterator[str]:
    """At most 15 modules a folder (25 in a world's own), and no two siblings with one prefix before `_`: that is a folder."""
    for folder in sorted({path.parent for path in modules}):
        names = sorted(path.stem for path in modules if path.parent == folder and not path.stem.startswith("_"))
        most = 25 if folder.parent == PurePosixPath("chronotope/worlds") else 15
        if len(names) > most:
            yield f"{folder} has {len(names)} modules, at most {most}"
        packages = {path.parent.name for path in modules if path.parent.parent == folder}
        firsts = [name.split("_")[0] for name in (*names, *packages - set(names))]
        yield from (
            f"{folder}: several names begin with '{name}'"
            for name in sorted({n for n in firsts if firsts.count(n) > 1})
        )


def test_a_crowded_folder_is_found() -> None:
    def found(*names: str) -> list[str]:
        return list(crowded([PurePosixPath(f"chronotope/{name}.py") for name in names]))

    assert len(found(*(f"a/m{n}" for n in range(16)))) == 1
    assert not found(*(f"a/m{n}" for n in range(15)), *(f"worlds/b/m{n}" for n in range(25)))
    assert len(found("a/table_camera", "a/table_spec")) == 1
    assert len(found("a/table", "a/table_spec")) == 1
    assert len(found("a/table_spec", "a/table/spec")) == 1


def test_no_folder_is_crowded() -> None:
    assert not list(crowded([source.path for source in sources() if source.in_package]))


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_taste(rule: Rule) -> None:
    broken = [f"{source.path}: {problem}" for source in sources() for problem in rule(source)]
    assert not broken, "\n".join([rule.__doc__ or "", *broken])


def test_no_registry_is_named() -> None:
    """Packages come through their ordinary clients; no file knows where those look."""
    suffixes = {".cfg", ".json", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml", ""}
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
    files += [*ROOT.iterdir(), *(ROOT / ".ci").iterdir()]
    texts = {path: path.read_text(encoding="utf-8") for path in files if path.is_file() and path.suffix in suffixes}
    assert ROOT / "pyproject.toml" in texts
    assert ROOT / ".ci/run" in texts
    broken = [
        f"{path.relative_to(ROOT)} names {host}" for path, text in texts.items() for host in REGISTRIES if host in text
    ]
    assert not broken, "\n".join(broken)


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    assert not result.stderr, f"importing must be silent, got: {result.stderr}"
    return result.stdout


def test_the_package_imports_nothing() -> None:
    """`import chronotope` only defines names; heavy packages come where they are used."""
    loaded = set(python("import sys, chronotope; print(*sys.modules)").split())
    assert "chronotope" in loaded
    assert not loaded & {"av", "cv2", "numpy", "pymunk", "rich", "torch"}


def test_public_names_are_listed_and_load_torch_on_first_use() -> None:
    """`from chronotope import Generator` works, and torch is loaded no earlier than that."""
    names = python("import sys, chronotope; print(*dir(chronotope)); assert 'torch' not in sys.modules").split()
    assert {"Generation", "Generator", "Inputs", "Request"} <= set(names)
    code = "import chronotope; print(*(getattr(chronotope, name).__name__ for name in chronotope.__all__))"
    assert set(python(code).split()) == set(names) - {"__version__"}
    assert python("import sys; from chronotope import Generator; print('torch' in sys.modules)") == "True\n"


def test_every_module_imports_silently() -> None:
    """Each module imports, and none brings a package that the CPU build of torch breaks or that takes seconds."""
    files = [source.path for source in sources() if source.in_package and source.path.name != "__main__.py"]
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files]
    assert "chronotope.errors" in names
    loaded = python(
        f"import importlib, sys; [importlib.import_module(n) for n in {names}]; print(*sys.modules)"
    ).split()
    assert set(names) <= set(loaded)
    assert not set(loaded) & HEAVY


def test_help_answers_at_once() -> None:
    """`chronotope --help` answers in under 0.3 s, the best of three."""
    command = Path(sys.executable).with_name("chronotope")
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        answer = subprocess.run(
            [command, "--help"], capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "100"}
        )
        seconds.append(time.perf_counter() - start)
        assert "generate" in answer.stdout
    assert min(seconds) < 0.3, f"the fastest of three took {min(seconds):.2f} s"
