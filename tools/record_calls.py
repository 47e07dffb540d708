"""Record calls between functions of a package: from which expression, and whether a value may pass."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from types import CodeType, FrameType

Function = tuple[str, str]  # file below the package, qualified name
ASIDE = {"draw_samples"}  # samples drawn while a model trains are another walk
COMPREHENSIONS = {"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"}


@dataclass
class Edge:
    """What was observed of calls from one expression to one function."""

    called: bool = False  # False for a generator that is only resumed from here
    carried: set[str] = field(default_factory=set)  # parameters whose objects can carry the value
    seeded: dict[str, set[str] | None] = field(
        default_factory=dict
    )  # parameters that hold the value itself, in which fields
    generator: bool = False  # called when it is first resumed, with what it was made with
    returned: bool = False  # an object came back that can carry the value


Edges = dict[tuple[Function, tuple[int, ...], Function], Edge]


def holds(value: object, seeds: set[object], depth: int = 3) -> bool:
    """Whether a value is one of the seeds or a container with one inside."""
    if isinstance(value, str | PurePath):
        return value in seeds
    if depth == 0:
        return False
    if isinstance(value, dict):
        inside = list(value.values())
    elif isinstance(value, list | tuple):
        inside = list(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = [getattr(value, f.name, None) for f in dataclasses.fields(value)]
    else:
        return False
    return any(holds(one, seeds, depth - 1) for one in inside[:30])


def holding_fields(value: object, seeds: set[object]) -> set[str] | None:
    """The fields of a dataclass that hold a seed; None for any other value."""
    if not dataclasses.is_dataclass(value):
        return None
    return {f.name for f in dataclasses.fields(value) if holds(getattr(value, f.name, None), seeds, 2)}


def carries(value: object, depth: int = 2) -> bool:
    """Whether an object can carry the value: not a number, string, None, function or class, nor a tuple of those."""
    if value is None or isinstance(value, bool | int | float | complex | str | type) or type(value).__name__ == "dtype":
        return False
    if isinstance(value, tuple | set | frozenset) and depth:
        return any(carries(one, depth - 1) for one in value)
    if isinstance(value, dict) and depth:
        return any(carries(one, depth - 1) for one in value.values())
    return not callable(value) or hasattr(value, "__dataclass_fields__")


class Recorder:
    """A profiler that records the calls between functions of the package."""

    def __init__(self, package: Path, seeds: set[object]) -> None:
        self.package, self.seeds = f"{package}{os.sep}", seeds
        self.edges: Edges = {}
        self.aside: FrameType | None = None
        self.carrying: set[Function] = set()  # functions that the value came into
        self.fresh: dict[
            int, object
        ] = {}  # objects that may be made of the value; kept alive, so that no id comes twice
        self.old: dict[int, object] = {}  # objects that were there without it
        self.positions: dict[CodeType, list[tuple[int, ...]]] = {}

    def function(self, frame: FrameType) -> Function | None:
        code = frame.f_code
        inside = code.co_filename.startswith(self.package) and code.co_filename.endswith(".py")  # not a page template
        if not inside or code.co_name == "<module>":
            return None
        return code.co_filename.removeprefix(self.package).replace(os.sep, "/"), code.co_qualname

    def below(self, frame: FrameType) -> FrameType | None:
        """The nearest frame of the package below this one."""
        below = frame.f_back
        while below is not None and self.function(below) is None:
            below = below.f_back
        return below

    def edge(self, below: FrameType | None, callee: Function) -> Edge:
        """What is known of calls from where this frame stands."""
        if below is None:
            return self.edges.setdefault((("", "the shell"), (0, 0, 0, 0), callee), Edge())
        code = below.f_code
        if code not in self.positions:
            self.positions[code] = [tuple(part or 0 for part in place) for place in code.co_positions()]
        caller = self.function(below)
        assert caller is not None
        return self.edges.setdefault((caller, self.positions[code][below.f_lasti // 2], callee), Edge())

    def age(self, value: object, depth: int = 2) -> None:
        """Keep in mind that an object and its parts were there without the value."""
        if not carries(value) or id(value) in self.fresh or id(value) in self.old:
            return
        self.old[id(value)] = value
        if depth:
            inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            for one in [*inside, *getattr(value, "__dict__", {}).values()][:200]:
                self.age(one, depth - 1)

    def __call__(self, frame: FrameType, event: str, value: object) -> None:
        if event not in ("call", "return") or frame.f_code.co_name in COMPREHENSIONS:
            return
        callee = self.function(frame)
        if frame is self.aside and event == "return":
            self.aside = None
        elif self.aside is None and frame.f_code.co_name in ASIDE:
            self.aside = frame
        if callee is None or self.aside is not None:
            return
        below = self.below(frame)
        if event == "return":
            self._return(below, callee, value)
        elif not (frame.f_code.co_flags & 0x20 and frame.f_lasti > 8):  # a generator that goes on is not called again
            self._call(frame, below, callee)

    def _return(self, below: FrameType | None, callee: Function, value: object) -> None:
        carrying = root_of(callee) in self.carrying
        if (
            holds(value, self.seeds)
            or id(value) in self.fresh
            or (carrying and carries(value) and id(value) not in self.old)
        ):
            self.fresh[id(value)] = value
            self.edge(below, callee).returned = True
            if below is not None:
                self.carrying.add(root_of(self.function(below)))
        else:
            self.age(value)

    def _call(self, frame: FrameType, below: FrameType | None, callee: Function) -> None:
        code, edge = frame.f_code, self.edge(below, callee)
        edge.called, edge.generator = True, bool(code.co_flags & 0x20)
        from_carrying = below is not None and root_of(self.function(below)) in self.carrying
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
        for name in code.co_varnames[:count]:
            argument = frame.f_locals.get(name)
            if holds(argument, self.seeds):
                fields = edge.seeded[name] = holding_fields(argument, self.seeds)
                for other in set(getattr(argument, "__dict__", {})) - (fields or set()) if fields else ():
                    self.age(getattr(argument, other))
            elif not (
                id(argument) in self.fresh or (from_carrying and carries(argument) and id(argument) not in self.old)
            ):
                self.age(argument)
                continue
            self.fresh[id(argument)] = argument
            edge.carried.add(name)
            self.carrying.add(root_of(callee))


def root_of(function: Function) -> Function:
    """The function or method that a nested function stands in."""
    return function[0], function[1].split(".<locals>")[0]
