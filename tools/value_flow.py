"""Follow a value through recorded calls: which names of each function depend on it, and which the end depends on."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from record_calls import Edge, Edges, Function, root_of

STORES = {
    "add",
    "append",
    "appendleft",
    "extend",
    "insert",
    "setdefault",
    "update",
    "write",
}  # methods that put a value inside
PARSING = {"cli/manners.py", "cli/terminal.py"}  # reading the words of the command line and showing progress


class Source:
    """The syntax tree of one file: functions by qualified name, expressions by their place."""

    def __init__(self, path: Path) -> None:
        self.expressions: dict[tuple[int, ...], ast.expr] = {}
        self.functions: dict[str, list[ast.AST]] = defaultdict(list)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        self._visit(tree, "")

    def _visit(self, node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                place = (child.lineno, child.end_lineno or 0, child.col_offset, child.end_col_offset or 0)
                if not isinstance(self.expressions.get(place), ast.Call):
                    self.expressions[place] = child
            inside = prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                name = prefix + ("<lambda>" if isinstance(child, ast.Lambda) else child.name)
                self.functions[name].append(child)
                inside = f"{name}.<locals>."
            elif isinstance(child, ast.ClassDef):
                inside = f"{prefix}{child.name}."
            self._visit(child, inside)


def own(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from own(child)


def parameters(node: ast.AST) -> tuple[list[str], list[str], str | None, str | None]:
    """Positional names, keyword-only names, and the names that collect the rest."""
    given = node.args  # type: ignore[attr-defined]
    positional = [one.arg for one in (*given.posonlyargs, *given.args)]
    return (
        positional,
        [one.arg for one in given.kwonlyargs],
        given.vararg and given.vararg.arg,
        given.kwarg and given.kwarg.arg,
    )


def place_of(node: ast.expr) -> tuple[int, ...]:
    return node.lineno, node.end_lineno or 0, node.col_offset, node.end_col_offset or 0


class Flow:
    """Which names depend on the value, and which of them the end of the walk depends on."""

    def __init__(self, package: Path, edges: Edges, ends: set[str]) -> None:
        self.edges = edges
        self.roots = sorted({root_of(one) for caller, _, callee in edges for one in (caller, callee) if one[0]})
        self.sources = {name: Source(package / name) for name in {function[0] for function in self.roots}}
        self.names: dict[Function, set[str]] = defaultdict(set)  # by root function: those that depend on the value
        self.fields: dict[tuple[Function, str], set[str]] = {}  # of requests: the fields that hold the value
        self.results: set[Function] = set()  # functions that return it
        self.needed: dict[Function, set[str]] = defaultdict(set)  # names that the end depends on
        self.needed_results: set[Function] = set()
        self.calls: dict[tuple[str, tuple[int, ...]], list[tuple[Function, Edge]]] = defaultdict(list)
        for (caller, place, callee), edge in edges.items():
            self.calls[caller[0], place].append((callee, edge))
            for name, fields in edge.seeded.items():
                self.names[root_of(callee)].add(name)
                if fields is not None:
                    self.fields.setdefault((root_of(callee), name), set()).update(fields)
        self._repeat(self._forward, self.names, self.results)
        for _, _, callee in edges:
            if callee[1] in ends:
                self.needed[root_of(callee)] |= set(self._parameters(callee)) - {"self"}
        self._repeat(self._backward, self.needed, self.needed_results)

    def _repeat(self, step: Callable[[], None], names: dict[Function, set[str]], results: set[Function]) -> None:
        size = -1
        while size != (size := sum(map(len, names.values())) + len(results)):
            step()

    def _nodes(self, function: Function) -> list[ast.AST]:
        return self.sources[function[0]].functions.get(function[1], [])

    def _parameters(self, function: Function) -> list[str]:
        positional, named, rest, keywords = parameters(self._nodes(function)[0])
        return [*positional, *named, *filter(None, (rest, keywords))]

    def _inside(self, root: Function) -> list[Function]:
        return [(root[0], name) for name in self.sources[root[0]].functions if root_of((root[0], name)) == root]

    # forward: what depends on the value

    def depends(self, root: Function, node: ast.AST | None) -> bool:
        """Whether an expression depends on the value."""
        if node is None or isinstance(node, ast.Lambda | ast.Constant | ast.Compare):
            return False
        if isinstance(node, ast.Name):
            return node.id in self.names[root]
        if isinstance(node, ast.expr):
            known = self.calls.get((root[0], place_of(node))) if isinstance(node, ast.Call | ast.Attribute) else None
            if known:
                return any(self._gives(root, node, callee, edge) for callee, edge in known)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            base, whole = node.value.id, self.fields.get((root, node.value.id))
            if base in self.names[root]:
                return whole is None or node.attr in whole
            return f"{base}.{node.attr}" in self.names[root]
        return any(self.depends(root, child) for child in ast.iter_child_nodes(node))

    def _gives(self, root: Function, node: ast.expr, callee: Function, edge: Edge) -> bool:
        """Whether what comes back of a call depends on the value."""
        if callee[1].endswith(("__init__", "__post_init__")):
            return any(self.depends(root, child) for child in ast.iter_child_nodes(node))
        return edge.returned and callee in self.results

    def _forward(self) -> None:
        for root in self.roots:
            for targets, value in self._assignments(root):
                if self.depends(root, value):
                    self.names[root] |= targets
            for function in self._inside(root):
                if function not in self.results and any(self.depends(root, out) for out in self._outs(function)):
                    self.results.add(function)
        for (caller, place, callee), edge in self.edges.items():
            if caller[0]:
                self.names[root_of(callee)] |= {name for name, _ in self.passed(caller, place, callee, edge)}

    def _assignments(self, root: Function) -> Iterator[tuple[set[str], ast.expr]]:
        """The names that each statement of a function changes, and the expression that they come from."""
        for node in [child for top in self._nodes(root) for child in ast.walk(top)]:
            if isinstance(node, ast.Assign):
                yield set().union(*map(bound, node.targets)), node.value
            elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value is not None:
                yield bound(node.target), node.value
            elif isinstance(node, ast.For | ast.comprehension):
                yield bound(node.target), node.iter
            elif isinstance(node, ast.withitem) and node.optional_vars:
                yield bound(node.optional_vars), node.context_expr
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in STORES:
                if (root[0], place_of(node)) not in self.calls:
                    for one in [*node.args, *(keyword.value for keyword in node.keywords)]:
                        yield bound(node.func.value), one

    def _outs(self, function: Function) -> list[ast.expr | None]:
        """The expressions that a function returns or yields."""
        found: list[ast.expr | None] = []
        for top in self._nodes(function):
            if isinstance(top, ast.Lambda):
                found.append(top.body)
            else:
                found += [node.value for node in own(top) if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom)]
        return found

    def passed(
        self, caller: Function, place: tuple[int, ...], callee: Function, edge: Edge
    ) -> list[tuple[str, ast.AST]]:
        """The parameters through which a call passes the value, and the expressions that it is in."""
        root = root_of(caller)
        return [
            (name, value)
            for name, value in self.given(caller, place, callee, edge)
            if self._carried(root, name, value, edge)
        ]

    def _carried(self, root: Function, name: str, value: ast.AST, edge: Edge) -> bool:
        return name in edge.carried and (name in edge.seeded or self.depends(root, value))

    def given(
        self, caller: Function, place: tuple[int, ...], callee: Function, edge: Edge
    ) -> list[tuple[str, ast.AST]]:
        """The parameters of a call with the expressions that they are bound to."""
        node, nodes = self.sources[caller[0]].expressions.get(place), self._nodes(callee)
        if node is None or not nodes or not edge.called:
            return []
        positional, named, rest, keywords = parameters(nodes[0])
        everything = [*positional, *named, *filter(None, (rest, keywords))]
        receiver = positional[:1] if positional[:1] in (["self"], ["cls"]) else []
        if edge.generator or not isinstance(node, ast.Call):
            parts = [node] if isinstance(node, ast.Name) else list(ast.iter_child_nodes(node))
            return [(name, part) for name in everything for part in parts]
        found: list[tuple[str, ast.AST]] = []
        if receiver and isinstance(node.func, ast.Attribute):
            found.append((receiver[0], node.func.value))
        slots = positional[len(receiver) :]
        unpacked = any(isinstance(one, ast.Starred) for one in node.args)
        for number, argument in enumerate(node.args):
            if not unpacked and number < len(slots):
                found.append((slots[number], argument))
            else:
                found += [(name, argument) for name in ([rest] if rest else slots)]
        for keyword in node.keywords:
            if keyword.arg in everything:
                found.append((str(keyword.arg), keyword.value))
            else:
                found += [(name, keyword.value) for name in ([keywords] if keywords else [*slots, *named])]
        return found

    # backward: what the end depends on

    def _backward(self) -> None:
        for root in self.roots:
            for targets, value in self._assignments(root):
                if targets & self.needed[root]:
                    self._need(root, value)
            for function in self._inside(root):
                if function in self.needed_results:
                    for out in self._outs(function):
                        self._need(root, out)
        for (caller, place, callee), edge in self.edges.items():
            if caller[0]:
                for name, value in self.given(caller, place, callee, edge):
                    if name in self.needed[root_of(callee)]:
                        self._need(root_of(caller), value)

    def _need(self, root: Function, node: ast.AST | None) -> None:
        """The end depends on this expression: on its names, and on what its calls return."""
        if node is None or isinstance(node, ast.Compare | ast.Constant):
            return
        if isinstance(node, ast.Name):
            self.needed[root].add(node.id)
            return
        known = self.calls.get((root[0], place_of(node))) if isinstance(node, ast.expr) else None
        for callee, _ in known or ():
            self.needed_results.add(callee)
            if callee[1].endswith("__init__"):
                self.needed[root_of(callee)] |= set(self._parameters(callee))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            self.needed[root] |= {f"{node.value.id}.{node.attr}", node.value.id}
        made = known and any(callee[1].endswith("__init__") or edge.generator for callee, edge in known)
        if isinstance(node, ast.Call) and known and not made:
            return  # what of its arguments is needed, the function itself says
        for child in ast.iter_child_nodes(node):
            self._need(root, child)

    def hops(self) -> list[tuple[str, Function, Function]]:
        """Every hop once: its kind, from where, to where."""
        found: dict[tuple[str, Function, Function], None] = {}
        for (caller, place, callee), edge in self.edges.items():
            one, other = root_of(caller), root_of(callee)
            inside_network = one[0].startswith("models/") and other[0].startswith("models/")
            if not caller[0] or one == other or inside_network or {one[0], other[0]} & PARSING:
                continue
            if any(is_property(node) for node in self._nodes(callee)):
                continue
            if any(name in self.needed[other] for name, _ in self.passed(caller, place, callee, edge)):
                found["call", one, other] = None
            if edge.returned and callee in self.results & self.needed_results and not callee[1].endswith("__init__"):
                found["return", other, one] = None
        return list(found)


def is_property(node: ast.AST) -> bool:
    """Whether a function is read like an attribute."""
    decorators = getattr(node, "decorator_list", [])
    return any(isinstance(one, ast.Name) and one.id in ("property", "cached_property") for one in decorators)


def bound(target: ast.expr) -> set[str]:
    """The names that an assignment to this target changes."""
    if isinstance(target, ast.Tuple | ast.List):
        return set().union(*(bound(one) for one in target.elts))
    if isinstance(target, ast.Starred):
        return bound(target.value)
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
        return {f"self.{target.attr}"}
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    return {target.id} if isinstance(target, ast.Name) else set()
