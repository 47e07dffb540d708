"""Mutation testing on a sample: change one expression of the mathematics at a time, and see whether a test fails.

`python -m tools.mutate --count 200 --seed 0` draws mutants (by mutmut's operators) of the modules in `TESTS`, runs the
tests of the mutated module in a copy of the tree, and lists the mutants that no test kills. All mutants take hours.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from operator import is_ as operator_is
from pathlib import Path

import hypothesis
import libcst as cst
import pytest
import scipy.stats
import torch
import torch._dynamo  # `torch.compiler.disable` imports it: 8 s that every mutant would spend again
from beartype import beartype
from jaxtyping import Float, jaxtyped
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

__all__ = ["EQUIVALENT", "TESTS", "Equivalent", "Mutant", "Outcome", "mutants", "run", "summary"]

ROOT = Path(__file__).resolve().parent.parent
CPU_SECONDS = 30  # of one mutant's tests, ten times what they need: a mutant that loops forever is killed by it
MEMORY_BYTES = 16 * 2**30  # of address space: a mutant may ask for a tensor of any size
PYTEST_OPTIONS = (
    *("-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-p", "no:faulthandler"),
    *("-k", "not in_the_memory_of_four_seconds"),  # three subprocesses, 15 s
    *("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"),  # this process has imported plugins
)

# The tests of a module, those that are most likely to notice a change first.
TESTS = {
    "chronotope/geometry.py": ["tests/test_geometry.py", "tests/models/test_packing.py"],
    "chronotope/flow/guidance.py": ["tests/flow/test_closed_forms.py", "tests/flow"],
    "chronotope/flow/path.py": ["tests/flow/test_closed_forms.py", "tests/flow"],
    "chronotope/flow/solvers.py": ["tests/flow/test_closed_forms.py", "tests/flow"],
    "chronotope/flow/timesteps.py": ["tests/flow/test_closed_forms.py", "tests/flow"],
    "chronotope/models/attention.py": [
        "tests/models/test_written_out.py",
        "tests/models/test_attention.py",
        "tests/models/test_packing.py",
    ],
    "chronotope/models/autoencoder.py": ["tests/models/test_autoencoder_parts.py", "tests/models/test_autoencoder.py"],
    "chronotope/models/dit.py": [
        "tests/models/test_written_out.py",
        "tests/models/test_dit.py",
        "tests/models/test_packing.py",
    ],
    "chronotope/models/linear.py": ["tests/models/test_linear.py"],
    "chronotope/models/packing.py": [
        "tests/models/test_written_out.py",
        "tests/models/test_packing.py",
        "tests/models/test_dit.py",
    ],
    "chronotope/models/patches.py": ["tests/models/test_packing.py"],
    "chronotope/models/refinement.py": ["tests/models/test_refinement.py"],
    "chronotope/models/rope.py": ["tests/models/test_rope.py", "tests/models/test_attention.py"],
    "chronotope/models/text.py": ["tests/models/test_text.py"],
    "chronotope/generate/canvas.py": ["tests/generate/test_canvas.py", "tests/generate/test_sampler.py"],
    "chronotope/generate/colours.py": ["tests/generate/test_colours.py"],
    "chronotope/generate/noise.py": ["tests/generate/test_noise.py"],
    "chronotope/generate/rollout.py": ["tests/generate/test_windows.py", "tests/generate/test_rollout.py"],
    "chronotope/generate/sampler.py": ["tests/generate/test_sampling.py", "tests/generate/test_sampler.py"],
    "chronotope/generate/tasks.py": ["tests/generate/test_tasks.py"],
}


# Arguments that change no value on a CPU: where a tensor lies, and checks of our own bugs.
UNSEEN = {"device", "memory_format", "non_blocking", "strict"}


@dataclass(frozen=True)
class Equivalent:
    """Mutants to leave out: `line` is part of the line, `change` part of what it becomes; an empty path is any file."""

    path: str
    line: str
    change: str
    reason: str


EQUIVALENT = (
    Equivalent("", ".to(device)", ".to(None)", "tests run on one device"),
    Equivalent("", "device = model.patch_in.weight.device", "device = None", "tests run on one device"),
    Equivalent("", "bias=False", "bias=None", "None is as false as False"),
    Equivalent("chronotope/models/attention.py", "init=False, repr=False", "=None", "None is as false as False"),
    Equivalent(
        "chronotope/generate/sampler.py", "lambda step: None", "lambda step: 0", "the result of a callback is not used"
    ),
    Equivalent(
        "chronotope/generate/rollout.py", "// 2", "window.frames / 2", "it is compared with whole numbers alone"
    ),
    Equivalent("chronotope/generate/rollout.py", "// 2", "spare / 2", "it is compared with whole numbers alone"),
    Equivalent("chronotope/generate/rollout.py", "previous: set", "= None", "the first window does not read it"),
    Equivalent("", ".dtype)", ".to(None)", "parameters have the precision of what they meet, unless on a GPU"),
    Equivalent("chronotope/models/attention.py", "if q.is_cuda and", "", "a GPU only"),
    Equivalent("chronotope/models/attention.py", "return attended", "", "a GPU only"),
    Equivalent("chronotope/models/attention.py", "ends, longest = ", "", "a GPU only"),
    Equivalent("chronotope/models/attention.py", "attended: Tensor", "", "a GPU only"),
    Equivalent("chronotope/models/attention.py", "varlen_attn", "", "a GPU only"),
    Equivalent("chronotope/models/attention.py", "len(outputs) > 1", "", "joining one piece gives that piece"),
    Equivalent("chronotope/models/attention.py", "pin_memory", ".to(None", "a GPU only"),
    Equivalent("chronotope/models/attention.py", "pin_memory", "XXcuda", "a GPU only"),
    Equivalent("chronotope/models/attention.py", "pin_memory", '"CUDA"', "a GPU only"),
    Equivalent("chronotope/models/attention.py", "pin_memory", "and False", "a GPU only"),
    Equivalent("chronotope/geometry.py", "grid.reshape(-1, 3)", "2", "numpy takes every negative length for -1"),
    Equivalent("chronotope/models/dit.py", "PIECE = 4096", "", "any number fits some memory"),
    Equivalent("chronotope/models/dit.py", ": int = ", "", "sizes of the model are free"),
    Equivalent("chronotope/models/dit.py", "patch_size: tuple[int, int, int] = ", "", "sizes of the model are free"),
    Equivalent("chronotope/models/autoencoder.py", ": int = ", "", "sizes of the model are free"),
    Equivalent("chronotope/models/autoencoder.py", ": tuple[int, ...] = ", "", "sizes of the model are free"),
    Equivalent("chronotope/generate/rollout.py", "    frames: int = 17", "", "a default of the user"),
    Equivalent("chronotope/generate/rollout.py", "    context: int = 1", "", "a default of the user"),
    Equivalent("chronotope/generate/rollout.py", "    history: float = 0.05", "", "a default of the user"),
    Equivalent("chronotope/generate/rollout.py", "    guidance: float = 2.0", "", "a default of the user"),
    Equivalent("chronotope/generate/sampler.py", "    num_steps: int = 30", "", "a default of the user"),
    Equivalent("chronotope/generate/sampler.py", "    solver: SolverName", "", "a default of the user"),
    Equivalent("chronotope/flow/guidance.py", "scale: float = 3.0", "", "a default of the user"),
)


@dataclass(frozen=True, eq=False)
class Mutant:
    """One changed expression: where it stands, what it was and what it became."""

    path: str
    line: int
    module: cst.Module
    node: cst.CSTNode
    changed: cst.CSTNode

    @property
    def code(self) -> str:
        """The whole changed file."""
        return self.module.deep_replace(self.node, self.changed).code

    @property
    def after(self) -> str:
        return " ".join(self.module.code_for_node(self.changed).split())

    def __str__(self) -> str:
        before = " ".join(self.module.code_for_node(self.node).split())
        return f"{self.path}:{self.line}: {before}  ->  {self.after}"


@dataclass(frozen=True)
class Outcome:
    """Whether the tests noticed a mutant."""

    mutant: Mutant
    killed: bool


class _Finder(cst.CSTVisitor):
    """Collect (line, node, changed node) of one file.

    Types, decorators, imports, `__all__`, docstrings and the texts of errors are not mathematics: they stay.
    """

    METADATA_DEPENDENCIES = (PositionProvider,)
    SKIPPED = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.Raise, cst.Assert, cst.ExceptHandler)

    def __init__(self) -> None:
        self.found: list[tuple[int, cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, self.SKIPPED) or _is_declaration(node) or _is_unseen(node):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                line = self.get_metadata(PositionProvider, node).start.line
                self.found += [(line, node, changed) for changed in operator(node) if not _same_seen(node, changed)]
        return True


def _is_unseen(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value in UNSEEN


def _same_seen(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    """Whether two calls differ in unseen arguments alone."""
    if not (isinstance(node, cst.Call) and isinstance(changed, cst.Call)):
        return False
    seen, seen_after = ([arg.value for arg in call.args if not _is_unseen(arg)] for call in (node, changed))
    return node.func is changed.func and len(seen) == len(seen_after) and all(map(operator_is, seen, seen_after))


def _is_declaration(node: cst.CSTNode) -> bool:
    """Whether a node is `__all__ = ...`, a type alias at the top of a file or a docstring."""
    if isinstance(node, cst.Expr):
        return isinstance(node.value, cst.SimpleString)
    if isinstance(node, cst.Assign) and isinstance(node.targets[0].target, cst.Name):
        name = node.targets[0].target.value
        return name == "__all__" or (name[0].isupper() and not name.isupper())
    return False


def mutants() -> list[Mutant]:
    """Every mutant of the modules in `TESTS`, in the order of the files, without the equivalent ones."""
    return [mutant for path in TESTS for mutant in _mutants_of(path)]


def _mutants_of(path: str) -> Iterator[Mutant]:
    wrapper = MetadataWrapper(cst.parse_module((ROOT / path).read_text()))
    finder = _Finder()
    wrapper.visit(finder)
    lines = wrapper.module.code.splitlines()
    equivalent = [one for one in EQUIVALENT if one.path in (path, "")]
    for line, node, changed in finder.found:
        mutant = Mutant(path, line, wrapper.module, node, changed)
        if not any(one.line in lines[line - 1] and one.change in mutant.after for one in equivalent):
            yield mutant


def run(count: int, seed: int, paths: list[str] | None = None) -> Iterator[Outcome]:
    """Run the tests on `count` mutants, drawn by `seed` out of all; a count of 0 takes all.

    Raises RuntimeError if the tests of a module fail without a mutant.
    """
    chosen = [mutant for mutant in mutants() if paths is None or any(part in mutant.path for part in paths)]
    if count:
        chosen = random.Random(seed).sample(chosen, min(count, len(chosen)))
    _warm_up()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        for name in ("chronotope", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        for path in dict.fromkeys(mutant.path for mutant in chosen):
            if not _tests_pass(copy, TESTS[path]):
                raise RuntimeError(f"the tests of {path} fail without a mutant: {' '.join(TESTS[path])}")
        for mutant in chosen:
            file = copy / mutant.path
            whole = file.read_text()
            file.write_text(mutant.code)
            # a change within one second and of equal length would otherwise be served from the cache
            for cached in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
                cached.unlink()
            yield Outcome(mutant, not _tests_pass(copy, TESTS[mutant.path]))
            file.write_text(whole)


def _warm_up() -> None:
    """Import what every fork needs: the plugins of pytest, and what beartype imports for its first check."""
    torch.set_num_threads(1)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        pytest.main(["--version", "--version", *PYTEST_OPTIONS])

    @jaxtyped(typechecker=beartype)
    def checked(x: Float[torch.Tensor, "n"], names: tuple[str, ...] | None, sizes: Sequence[int]) -> float:
        return float(x.sum()) + len(names or ()) + len(sizes)

    checked(torch.zeros(2), ("a",), [1])


def _tests_pass(folder: Path, tests: list[str]) -> bool:
    """Run tests in a fork of this process, which has imported the heavy packages already."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        os.chdir(folder)
        os.environ["PYTHONPATH"] = str(folder)
        sys.path.insert(0, str(folder))
        code = 1
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                code = int(pytest.main([*PYTEST_OPTIONS, *tests], plugins=[_Unshrunk()]))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise RuntimeError(f"no tests in {' '.join(tests)}")
    return status == 0


class _Unshrunk:
    """Any counterexample kills a mutant; it need not be the smallest."""

    def pytest_configure(self) -> None:
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", hypothesis.settings(), phases=phases)
        hypothesis.settings.load_profile("mutants")


def summary(outcomes: list[Outcome]) -> str:
    """The share of killed mutants with its 95 % Wilson interval, by module, and the survivors."""
    lines = []
    for path in [*dict.fromkeys(outcome.mutant.path for outcome in outcomes), ""]:
        part = [outcome for outcome in outcomes if outcome.mutant.path.startswith(path)]
        killed = sum(outcome.killed for outcome in part)
        interval = scipy.stats.binomtest(killed, len(part)).proportion_ci(method="wilson")
        share = f"{killed / len(part):6.1%} ({interval.low:.1%} to {interval.high:.1%})"
        lines.append(f"{path or 'all':36} {killed:4} of {len(part):4} killed, {share}")
    return "\n".join([*lines, *(f"survived: {one.mutant}" for one in outcomes if not one.killed)])


def main() -> None:
    """Print each outcome as it comes, then the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="how many mutants; 0 takes all (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="which mutants (default 0)")
    parser.add_argument("--only", nargs="+", metavar="PATH", help="modules whose path contains one of these")
    parser.add_argument("--at-least", type=float, default=0.0, help="exit with 1 if a smaller share is killed")
    arguments = parser.parse_args()
    outcomes = []
    for outcome in run(arguments.count, arguments.seed, arguments.only):
        outcomes.append(outcome)
        print("killed  " if outcome.killed else "SURVIVED", outcome.mutant, flush=True)
    print(summary(outcomes))
    sys.exit(sum(outcome.killed for outcome in outcomes) < arguments.at_least * len(outcomes))


if __name__ == "__main__":
    main()
