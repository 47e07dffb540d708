"""A training step and a pass of the transformer never wait for the GPU: read in their source, and run where one is."""

import ast
import inspect
from types import ModuleType

import pytest
import torch

from chronotope.models import adapter, attention, dit, linear, patches, refinement, rope, text
from chronotope.models.packing import pack
from chronotope.train import dit as training
from chronotope.train import loss, optimizers, state

# what copies from the device to the host, or a list to the device, and so waits until the device has done its work
METHODS = {"cpu", "item", "nonzero", "numpy", "tolist", "masked_select", "unique"}
FUNCTIONS = {"bool", "float", "int"}
TENSORS = {"tensor", "as_tensor", "from_numpy"}  # of torch

# modules, and the functions of each that a step calls; all of them where there is no list
STEP: dict[ModuleType, set[str] | None] = {
    dit: None,
    attention: None,
    refinement: None,
    rope: None,
    linear: None,
    patches: None,
    text: {"TextBlock.forward", "StateProjection.forward", "TextEncoder.forward"},
    adapter: {"AdaptedLinear.forward"},
    loss: {"token_errors", "flow_loss"},
    training: {"compute_gradients"},
    optimizers: {"orthogonalise", "Muon.step", "Muon._step_shape", "_orthogonal_parts"},
    state: {"TrainState.optimizer_step", "TrainState.update_average"},
}

KNOWN = {
    ("models.attention", "Segments.__post_init__", "tensor"): "made in `pack`, on the host",
    ("models.attention", "_runs_between", "tolist"): "the operator of CPUs reads the host",
    ("train.dit", "compute_gradients", "bool"): "of a number on the host",
    ("train.dit", "compute_gradients", "tensor"): "on the host",
    ("train.dit", "compute_gradients", "tolist"): "on the host; several processes ask each other once a step who stops",
    ("train.state", "TrainState.optimizer_step", "float"): "one number a step decides whether the step is skipped",
}


def functions_of(tree: ast.AST, owner: str = "") -> list[tuple[str, ast.FunctionDef]]:
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            found += functions_of(node, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            found.append((owner + node.name, node))
    return found


def waits_of(source: str, names: set[str] | None) -> set[tuple[str, str]]:
    """Return (function, what it calls) of every call in these functions that waits for the device."""
    found = set()
    for name, function in functions_of(ast.parse(source)):
        if names is not None and name not in names:
            continue
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            match node.func:
                case ast.Attribute(value=ast.Name(id="torch"), attr=called) if called in TENSORS:
                    found.add((name, called))
                case ast.Attribute(attr=called) if called in METHODS:
                    found.add((name, called))
                case ast.Name(id=called) if called in FUNCTIONS:
                    found.add((name, called))
    return found


def test_the_check_finds_what_waits() -> None:
    method = "class A:\n def f(self, x):\n  return x.sum().item() + float(x) + torch.tensor([1])"
    source = f"{method}\ndef g(x): return x.cpu()"
    assert waits_of(source, None) == {("A.f", "item"), ("A.f", "float"), ("A.f", "tensor"), ("g", "cpu")}
    assert waits_of(source, {"g"}) == {("g", "cpu")}


def test_no_function_of_a_step_waits_for_the_device() -> None:
    found = set()
    for module, names in STEP.items():
        source = inspect.getsource(module)
        missing = (names or set()) - {name for name, _ in functions_of(ast.parse(source))}
        assert not missing, f"{module.__name__} has no {', '.join(sorted(missing))}"
        found |= {(module.__name__.removeprefix("chronotope."), *wait) for wait in waits_of(source, names)}
    assert found == set(KNOWN)


@pytest.mark.gpu
def test_a_pass_on_a_gpu_never_waits() -> None:
    from tests.models.test_dit import sample

    model = dit.DiT(dit.DiTConfig(width=64, depth=2, head_dim=32, vocabulary_size=16)).cuda()
    packed = pack([sample(9, 64), sample(1, 48)])[0].to(torch.device("cuda"))
    with torch.autocast("cuda", torch.bfloat16):
        model(packed).float().square().mean().backward()  # the first pass loads kernels
        torch.cuda.set_sync_debug_mode("error")
        try:
            model(packed).float().square().mean().backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
