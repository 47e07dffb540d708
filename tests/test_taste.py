"""The rules of the house that ruff cannot check. Each is first tested on code that breaks it.

What ruff checks of them is configured in pyproject.toml, and `test_ruff_finds` tests it in the same way.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("chronotope", "tests", "benchmarks", "docs", "runs", "tools")
BANNED_FILES = {"utils", "util", "common", "helpers", "helper", "base", "core", "misc"}
BANNED_WORDS = {"x0", "x1", "vae", "utils", "misc", "cfg"}
# Words that a newcomer has to decipher; CONTRIBUTING.md says which standard terms take their places.
PRIVATE_WORDS = set(
    "antics belonging lasting asks draws fitting hold taught manners afterwards given somebody nobody everybody".split()
)
HEAVY = {"accelerate", "diffusers", "torch._dynamo", "torchaudio", "torchvision", "transformers"}
LOCAL_HOSTS = {"localhost", "127.0.0.1", "[::1]", "0.0.0.0"}
NAMESPACES = {"www.w3.org", "cv.iptc.org"}  # SVG, XML and C2PA name them; no program connects to them
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
    """The path and the text of a Python file."""

    path: PurePosixPath
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @functools.cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree, which many rules look through."""
        return tuple(ast.walk(self.tree))

    @property
    def in_package(self) -> bool:
        return self.path.parts[0] == "chronotope"


Rule = Callable[[Source], Iterator[str]]


def short_files(source: Source) -> Iterator[str]:
    """No file over 500 lines."""
    lines = source.text.count("\n")
    if lines > 500:
        yield f"{lines} lines, at most 500"


def short_functions(source: Source) -> Iterator[str]:
    """No function over 80 lines; the `train_...` of a training script, which is setup and one loop, may have 100."""
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            is_script = node.name.startswith("train_") and source.path.is_relative_to("chronotope/train")
            lines, limit = node.end_lineno - node.lineno + 1, 100 if is_script else 80
            if lines > limit:
                yield f"line {node.lineno}: {node.name} has {lines} lines, at most {limit}"


def shallow_paths(source: Source) -> Iterator[str]:
    """Nothing deeper than chronotope/a/b/c/file.py, and no file or folder with a name that says nothing."""
    if source.in_package and len(source.path.parts) > 5:
        yield "deeper than chronotope/a/b/c/file.py"
    for part in source.path.with_suffix("").parts:
        if part.strip("_") in BANNED_FILES:
            yield f"'{part}' says nothing about what is inside"


def bound_names(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """The names that this file binds, with their lines; names that it only uses are bound elsewhere."""
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name


def vocabulary(source: Source) -> Iterator[str]:
    """The words of the design: clean, not x0; autoencoder, not vae. No private words in the package."""
    banned = BANNED_WORDS | PRIVATE_WORDS if source.in_package else BANNED_WORDS
    for line, name in bound_names(source.nodes):
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().split("_")
        for word in banned & set(words):
            yield f"line {line}: '{name}' uses the banned word '{word}'"


def imported(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def no_pickled_arrays(source: Source) -> Iterator[str]:
    """Numpy reads and writes no pickles, because loading one runs the code in it. Ruff bans the modules for pickles."""
    for node in source.nodes:
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield f"line {node.value.lineno}: allow_pickle"


def docstrings(nodes: Iterable[ast.AST]) -> set[int]:
    """The ids of constant nodes that are statements of their own."""
    return {id(node.value) for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}


def no_network_hosts(source: Source) -> Iterator[str]:
    """The program connects to no host: addresses belong in docstrings and comments, as citations."""
    if not source.in_package:
        return
    spared = docstrings(source.nodes)
    for node in source.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spared:
            for host in re.findall(r"\b(?:https?|wss?|ftp)://(\[[^\]]*\]|[^/:\s\"'<>]+)", node.value):
                if host not in LOCAL_HOSTS | NAMESPACES:
                    yield f"line {node.lineno}: names the host {host}"


def undistributed(source: Source) -> Iterator[str]:
    """models and flow do not use torch.distributed: parallelism is applied from outside."""
    if source.path.parts[:2] not in {("chronotope", "models"), ("chronotope", "flow")}:
        return
    for line, name in imported(source.nodes):
        if (name + ".").startswith("torch.distributed."):
            yield f"line {line}: imports {name}"
    for node in source.nodes:
        match node:
            case ast.Attribute(value=ast.Name(id="torch"), attr="distributed"):
                yield f"line {node.lineno}: uses torch.distributed"


def ascii_code(source: Source) -> Iterator[str]:
    """Code is ASCII; any other character is written as an escape."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if not line.isascii():
            yield f"line {number}: {line.strip()!a}"


LONG = "def f():\n" + "    pass\n" * 80
LONG_SCRIPT = "def train_dit():\n" + "    pass\n" * 100
VIOLATIONS: list[tuple[Rule, str, str]] = [
    (short_files, "chronotope/a.py", "pass\n" * 501),
    (short_functions, "chronotope/a.py", LONG),
    (short_functions, "tests/a.py", LONG_SCRIPT),
    (short_functions, "chronotope/train/dit.py", LONG_SCRIPT),
    (shallow_paths, "chronotope/a/b/c/d/e.py", ""),
    (shallow_paths, "chronotope/models/utils.py", ""),
    (shallow_paths, "chronotope/core/a.py", ""),
    (shallow_paths, "tests/_helpers.py", ""),
    (vocabulary, "chronotope/a.py", "x0 = 1"),
    (vocabulary, "chronotope/a.py", "for i, (x1, y1) in z: pass"),
    (vocabulary, "chronotope/a.py", "def f(cfg_scale): pass"),
    (vocabulary, "chronotope/a.py", "class VAEModel: pass"),
    (vocabulary, "chronotope/a.py", "self.vae = 1"),
    (vocabulary, "chronotope/a.py", "import numpy as misc"),
    (vocabulary, "chronotope/a.py", "def draws_of(seed): pass"),
    (vocabulary, "chronotope/a.py", "class TaughtScopes: pass"),
    (vocabulary, "chronotope/a.py", "given = 1"),
    (no_pickled_arrays, "chronotope/a.py", "np.load(path, allow_pickle=True)"),
    (no_pickled_arrays, "tests/a.py", "np.save(path, array, allow_pickle=trusted)"),
    (no_network_hosts, "chronotope/a.py", "get('https://example.com/model')"),
    (no_network_hosts, "chronotope/a.py", "get(f'http://models.example/{name}')"),
    (undistributed, "chronotope/models/a.py", "import torch.distributed as dist"),
    (undistributed, "chronotope/flow/a.py", "from torch import distributed"),
    (undistributed, "chronotope/models/a.py", "torch.distributed.get_rank()"),
    (ascii_code, "tests/a.py", "# na\u00efve"),
]
FINE: list[tuple[Rule, str, str]] = [
    (short_functions, "chronotope/train/dit.py", LONG_SCRIPT.removesuffix("    pass\n")),
    (vocabulary, "tests/a.py", "given = 1"),
    (vocabulary, "chronotope/a.py", "threshold = withdraws = 1\nfrom hypothesis import given"),
    (vocabulary, "chronotope/a.py", "from torch.utils.data import DataLoader\ntorch.utils.data.f(cfg=1)"),
    (no_pickled_arrays, "chronotope/a.py", "np.load(path, allow_pickle=False)\njson.load(file)"),
    (
        no_network_hosts,
        "chronotope/a.py",
        '"""After https://example.com/paper."""\nserve("http://localhost:8000")\n# https://example.com',
    ),
    (undistributed, "chronotope/train/a.py", "import torch.distributed"),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in VIOLATIONS))


def sources() -> Iterator[Source]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield Source(PurePosixPath(path.relative_to(ROOT).as_posix()), path.read_text(encoding="utf-8"))


def rule_name(value: object) -> str:
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("rule", "path", "text"), VIOLATIONS, ids=rule_name)
def test_a_rule_finds_a_violation(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(PurePosixPath(path), text)))


@pytest.mark.parametrize(("rule", "path", "text"), FINE, ids=rule_name)
def test_a_rule_accepts_what_is_right(rule: Rule, path: str, text: str) -> None:
    assert not list(rule(Source(PurePosixPath(path), text)))


RUFF_VIOLATIONS = [
    ("TID251", "import pickle"),
    ("TID251", "from torch import load"),
    ("TID251", "import torch\n\ntorch.load(path, weights_only=True)"),
    ("TD003", "a = 1  # TODO: later"),
    ("TD001", "a = 1  # FIXME(#12): later"),
    ("RUF022", "__all__ = ['b', 'A']\nA = b = 1"),
    ("RUF022", "__all__ = ['Actor', 'CAST']\nActor = CAST = 1"),
    ("RUF068", "__all__ = ['a', 'a']\na = 1"),
    ("F822", "__all__ = ['a']"),
    ("T201", "print(1)"),
    ("C901", "def f(a):\n" + "    if a:\n        a += 1\n" * 13),
]


def ruff(code: str) -> set[str]:
    """The rules that code in the package breaks."""
    command = ["ruff", "check", "--quiet", "--output-format", "json", "--stdin-filename", "chronotope/a.py", "-"]
    answer = subprocess.run(
        [sys.executable, "-m", *command], input=code, capture_output=True, text=True, cwd=ROOT, check=False
    )
    return {problem["code"] for problem in json.loads(answer.stdout)}


@pytest.mark.parametrize(("rule", "code"), RUFF_VIOLATIONS)
def test_ruff_finds(rule: str, code: str) -> None:
    assert rule in ruff(code)


def test_ruff_accepts_what_is_right() -> None:
    names = "__all__ = ['CAST', 'Actor', 'walk']\nCAST = 1\nclass Actor: ...\ndef walk(): ...\n"
    assert not ruff(names + "a = 1  # TODO(#12): later\n") & {rule for rule, _ in RUFF_VIOLATIONS}


def crowded(modules: list[PurePosixPath]) -> Iterator[str]:
    """At most 15 modules a folder, 25 in a world's own; siblings with a common prefix before `_` belong in a folder."""
    for folder in sorted({path.parent for path in modules}):
        names = {path.stem for path in modules if path.parent == folder and not path.stem.startswith("_")}
        most = 25 if folder.parent == PurePosixPath("chronotope/worlds") else 15
        if len(names) > most:
            yield f"{folder} has {len(names)} modules, at most {most}"
        packages = {path.parent.name for path in modules if path.parent.parent == folder}
        prefixes = Counter(name.split("_")[0] for name in names | packages)
        for prefix in sorted(prefix for prefix, count in prefixes.items() if count > 1):
            yield f"{folder}: several names begin with '{prefix}'"


def test_a_crowded_folder_is_found() -> None:
    def found(*names: str) -> list[str]:
        return list(crowded([PurePosixPath(f"chronotope/{name}.py") for name in names]))

    assert len(found(*(f"a/m{n}" for n in range(16)))) == 1
    assert not found(*(f"a/m{n}" for n in range(15)), *(f"worlds/b/m{n}" for n in range(25)))
    assert len(found("a/table_camera", "a/table_spec")) == 1
    assert len(found("a/table", "a/table_spec")) == 1
    assert len(found("a/table_spec", "a/table/spec")) == 1
    assert not found("a/table", "a/table/spec")


def test_no_folder_is_crowded() -> None:
    assert not list(crowded([source.path for source in sources() if source.in_package]))


@functools.cache
def violations() -> dict[Rule, list[str]]:
    """What breaks each rule; every file is parsed once for all of them."""
    found: dict[Rule, list[str]] = {rule: [] for rule in RULES}
    for source in sources():
        for rule, broken in found.items():
            broken += [f"{source.path}: {problem}" for problem in rule(source)]
    return found


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_taste(rule: Rule) -> None:
    broken = violations()[rule]
    assert not broken, "\n".join([rule.__doc__ or "", *broken])


def test_no_registry_is_named() -> None:
    """Packages come through their ordinary clients; no file names the address of a registry."""
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
    """The output of a fresh interpreter."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    assert not result.stderr, f"importing must be silent, got: {result.stderr}"
    return result.stdout


def test_the_package_imports_nothing() -> None:
    """`import chronotope` only defines names; heavy packages are imported where they are used."""
    loaded = set(python("import sys, chronotope; print(*sys.modules)").split())
    assert "chronotope" in loaded
    assert not loaded & {"av", "cv2", "numpy", "pymunk", "rich", "torch"}


def test_public_names_are_listed_and_load_torch_on_first_use() -> None:
    """`from chronotope import Generator` works, and torch is loaded no earlier than that."""
    names = python("import sys, chronotope; print(*dir(chronotope)); assert 'torch' not in sys.modules").split()
    assert {"Generation", "Generator", "Inputs", "Request"} <= set(names)
    code = "import sys, chronotope; from chronotope import Generator; assert 'torch' in sys.modules; "
    code += "print(*(getattr(chronotope, name).__name__ for name in chronotope.__all__))"
    assert set(python(code).split()) == set(names) - {"__version__"}


def modules_of_the_package() -> list[str]:
    files = [source.path for source in sources() if source.in_package and source.path.name != "__main__.py"]
    return [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files]


def names_in_scripts() -> list[tuple[str, str, str]]:
    """The path of each script, and the modules and names that it imports from the repository."""
    names = []
    for source in sources():
        if source.path.parts[0] in ("runs", "tools", "docs", "benchmarks"):
            for node in source.nodes:
                if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in FOLDERS:
                    names += [(str(source.path), node.module, alias.name) for alias in node.names]
    return names


@functools.cache
def after_importing_all() -> tuple[str, str]:
    """The modules that are loaded after every one of the package, and the names in scripts that do not exist.

    One interpreter tells both, since it takes seconds to load them.
    """
    loaded, missing = python(
        "import importlib, importlib.util, sys\n"
        f"for module in {modules_of_the_package()}: importlib.import_module(module)\n"
        "print(*sys.modules)\n"
        "def exists(module, name):\n"
        "    return hasattr(importlib.import_module(module), name) or importlib.util.find_spec(f'{module}.{name}')\n"
        f"print([row for row in {names_in_scripts()} if not exists(*row[1:])])"
    ).splitlines()
    return loaded, missing


def test_every_module_imports_silently() -> None:
    """Each module imports, and none loads a package that the CPU build of torch breaks or that takes seconds."""
    names, loaded = set(modules_of_the_package()), set(after_importing_all()[0].split())
    assert "chronotope.errors" in names <= loaded
    assert not loaded & HEAVY


def test_scripts_import_names_that_exist() -> None:
    """No script of runs, tools, docs or benchmarks names a function that has moved; they are not executed."""
    assert any(path.startswith("runs") for path, _, _ in names_in_scripts())
    assert after_importing_all()[1] == "[]"


def test_help_loads_no_heavy_package() -> None:
    """`chronotope --help` imports click and nothing larger; `chronotope bench --rows startup` measures its time."""
    shown = python(
        "import sys\nfrom chronotope.cli.commands import main\nsys.argv[1:] = ['--help']\n"
        "try: main()\nfinally: print(*sys.modules)"
    )
    assert "generate" in shown
    installed = {"click", "chronotope"}
    packages = {name.split(".")[0] for name in shown.splitlines()[-1].split()}
    assert installed <= packages
    third_party = {name for name in packages - sys.stdlib_module_names if not name.startswith("_")}
    assert third_party == installed
