"""Convert frozen dataclasses to and from plain dicts and apply `--set path=value` settings, with strict types.

A number states its range where it is declared, `steps: Annotated[int, Range(1, 1000)]`; a number outside it is refused.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from chronotope.errors import UsageError, suggest

__all__ = [
    "Count",
    "Formerly",
    "NotNegative",
    "Positive",
    "Range",
    "Seed",
    "Share",
    "from_dict",
    "names_of",
    "override",
    "to_dict",
]

T = TypeVar("T")
NoneType = type(None)
_SCALARS = frozenset({bool, int, float, str, NoneType})


@dataclasses.dataclass(frozen=True)
class Range:
    """The values that a number may have: from `low` to `high`, without the ends that are `open`."""

    low: float
    high: float
    open: Literal["", "low", "high", "both"] = ""

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open in ("low", "both") else value >= self.low
        return above and (value < self.high if self.open in ("high", "both") else value <= self.high)

    def __str__(self) -> str:
        low = "above" if self.open in ("low", "both") else "at least"
        high = "below" if self.open in ("high", "both") else "at most"
        return f"{low} {_exact(self.low)} and {high} {_exact(self.high)}"


@dataclasses.dataclass(frozen=True)
class Formerly:
    """Values that earlier versions wrote, each with what it is now: a run of theirs is read and goes on."""

    values: tuple[tuple[str, str], ...]


def _exact(value: float) -> str:
    """Write a number with all its digits, so that one just beyond a bound looks other than the bound."""
    if abs(value) < 10**20:
        return f"{value:,}".removesuffix(".0")
    return f"{value:g}" if isinstance(value, float) else f"a number of {int(value).bit_length()} bits"


MOST = 10**9  # of steps, pixels and other counts: more is a slip of the keyboard
Count = Annotated[int, Range(1, MOST)]
NotNegative = Annotated[float, Range(0, MOST)]
Positive = Annotated[float, Range(0, MOST, open="low")]
Share = Annotated[float, Range(0, 1)]
Seed = Annotated[int, Range(0, 2**63, open="high")]


def to_dict(obj: Any) -> Any:
    """Convert to plain dicts, lists and scalars that JSON can write and `from_dict` can read.

    A field that is None is left out where `from_dict` would fill in None for it.
    """
    if type(obj) in _SCALARS:  # most values; thousands of specs are written to find one that is held out
        return obj
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        values = {}
        for name, left_out_if_none in _written_fields(type(obj)):
            value = getattr(obj, name)
            if not (value is None and left_out_if_none):
                values[name] = to_dict(value)
        return values
    if isinstance(obj, Mapping):
        return {str(key): to_dict(value) for key, value in obj.items()}
    if isinstance(obj, tuple | list):
        return [to_dict(value) for value in obj]
    return str(obj) if isinstance(obj, Path) else obj


@functools.cache
def _written_fields(cls: Any) -> list[tuple[str, bool]]:
    """Return the names of the fields that `to_dict` writes, and whether it leaves one out where its value is None."""
    return [
        (
            field.name,
            field.default in (None, dataclasses.MISSING) and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
        if field.init
    ]


def from_dict(cls: type[T], data: Mapping[str, Any], where: str = "") -> T:
    """Build the dataclass `cls`; raise a UsageError that names the first unknown, missing or mistyped key.

    `where` is the prefix of the key names in error messages.
    """
    hints, fields = _hints(cls), _fields(cls)  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise UsageError(f"unknown key '{where}{key}' for {cls.__name__}. {suggest(str(key), fields)}")
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(data[name], hints[name], f"{where}{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            if NoneType not in typing.get_args(hints[name]):
                raise UsageError(f"missing key '{where}{name}' for {cls.__name__}")
            values[name] = None
    return cls(**values)


@functools.cache  # an index has a million rows of one class
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


@functools.cache
def _fields(cls: Any) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(cls) if field.init}


def _convert(value: Any, hint: Any, where: str) -> Any:
    if type(value) is hint and hint in (str, int, bool):
        return value
    if typing.get_origin(hint) is Annotated:
        kind, *about = typing.get_args(hint)
        return _within(_convert(_renamed(value, about), kind, where), about, where)
    origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(value, args, where)
    if origin is Literal:
        if not any(value == arg and type(value) is type(arg) for arg in args):
            raise UsageError(f"{where} = {value!r}: {suggest(str(value), map(str, args))}")
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_dict(hint, _expect(value, Mapping, f"a table for {hint.__name__}", where), f"{where}.")
    if origin in (tuple, list):
        return _convert_sequence(value, origin, args, where)
    if origin in (dict, Mapping):
        table = _expect(value, Mapping, "a table", where)
        return {key: _convert(v, args[1], f"{where}.{key}") for key, v in table.items()} if args else dict(table)
    if hint is Any:
        return value
    return _plain(value, hint, where)


def _plain(value: Any, hint: Any, where: str) -> Any:
    if hint is Path:
        return Path(_expect(value, str | Path, "a path", where))
    if hint is float and type(value) in (int, float):
        return _finite(value, where)
    if hint is not bool and isinstance(value, bool):
        raise UsageError(f"{where} = {value!r}: expected {hint.__name__}, got bool")
    return _expect(value, hint, hint.__name__, where)


def _finite(value: float, where: str) -> float:
    """Return a number as a float; a whole number may have more digits than a float has."""
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise UsageError(f"{where} = {found}: expected a finite number")
    return found


def _renamed(value: Any, about: Iterable[Any]) -> Any:
    names = dict(pair for each in about if isinstance(each, Formerly) for pair in each.values)
    return names.get(value, value) if isinstance(value, str) else value


def _within(value: Any, ranges: Iterable[Any], where: str) -> Any:
    for allowed in ranges:
        if isinstance(allowed, Range) and value not in allowed:
            raise UsageError(f"{where} = {_exact(value)}: expected a number {allowed}")
    return value


def _expect(value: Any, kind: Any, words: str, where: str) -> Any:
    if not isinstance(value, kind):
        raise UsageError(f"{where} = {value!r}: expected {words}, got {type(value).__name__}")
    return value


def _convert_sequence(value: Any, kind: Any, args: tuple[Any, ...], where: str) -> Any:
    _expect(value, list | tuple, "a list", where)
    if kind is list or args[1:] == (Ellipsis,):
        if args and args[0] in (str, int) and set(map(type, value)) == {args[0]}:  # so that long lists are fast
            return kind(value)
        args = (args[:1] or (Any,)) * len(value)
    if len(args) != len(value):
        raise UsageError(f"{where} = {value!r}: expected {len(args)} values, got {len(value)}")
    return kind(_convert(v, hint, f"{where}[{i}]") for i, (v, hint) in enumerate(zip(value, args, strict=True)))


def _convert_union(value: Any, args: tuple[Any, ...], where: str) -> Any:
    if value is None and NoneType in args:
        return None
    if type(value) in args:
        return value
    problems = []
    for arg in args:
        if arg is not NoneType:
            try:
                return _convert(value, arg, where)
            except UsageError as problem:
                problems.append(problem)
    raise _nearest(value, args, problems)


def _nearest(value: Any, args: tuple[Any, ...], problems: list[UsageError]) -> UsageError:
    """Choose the problem to report for a union: of dataclasses, that of the class most similar to `value`."""
    kinds = [arg for arg in args if arg is not NoneType]
    if not isinstance(value, Mapping) or not all(map(dataclasses.is_dataclass, kinds)):
        return problems[0]

    def similarity(kind: Any) -> tuple[int, int]:
        """Count the Literal fields with an allowed value, then the known keys."""
        hints = typing.get_type_hints(kind)
        literals = [key for key in value if typing.get_origin(hints.get(key)) is Literal]
        matching = sum(value[key] in typing.get_args(hints[key]) for key in literals)
        return matching, len(value.keys() & hints.keys())

    return max(zip(kinds, problems, strict=True), key=lambda pair: similarity(pair[0]))[1]


def names_of(assignments: Iterable[str]) -> frozenset[str]:
    """Return the paths that `path=value` settings set, as `override` reads them."""
    return frozenset(assignment.partition("=")[0].strip() for assignment in assignments)


def override(obj: T, assignments: Iterable[str]) -> T:
    """Apply `path=value` settings to a nested frozen dataclass.

    Raises UsageError for unknown or repeated paths, whole tables, and wrong types.

    Values have TOML syntax; a bare word is a string, and a bare `none` is None where the field may be None.
    """
    data, seen = to_dict(obj), dict[str, str]()
    for assignment in assignments:
        path, sign, text = map(str.strip, assignment.partition("="))
        if not sign:
            raise UsageError(f"'{assignment}' is not a setting; write path=value, for example train.steps=500")
        if path in seen:
            raise UsageError(f"{path} is set twice, to {seen[path]} and to {text}; set it once")
        seen[path] = text
        _set(obj, data, path.split("."), text, path)
    return from_dict(type(obj), data)  # at the end, because settings can be right together and wrong one by one


def _set(obj: Any, data: dict[str, Any], path: list[str], text: str, whole: str) -> None:
    """Set one value in `data`, the plain form of `obj`."""
    names = [f.name for f in dataclasses.fields(obj) if f.init]
    name, *rest = path
    if name not in names:
        raise UsageError(f"unknown setting '{whole}'. {suggest(name, names)}")
    current = getattr(obj, name)
    if not rest:
        if dataclasses.is_dataclass(current) and (parts := [f.name for f in dataclasses.fields(current) if f.init]):
            raise UsageError(
                f"'{whole}' is a table, and setting it would put what it does not name back to a default; set its "
                f"parts one by one, for example {whole}.{parts[0]}=..."
            )
        data[name] = to_dict(_parse(text, typing.get_type_hints(type(obj), include_extras=True)[name], whole))
        return
    if not dataclasses.is_dataclass(current):
        raise UsageError(f"unknown setting '{whole}': '{name}' has no parts")
    _set(current, data[name], rest, text, whole)


def _parse(text: str, hint: Any, where: str) -> Any:
    """Read the text as TOML if the result fits the hint, else as a bare word: `--set name=7` sets a string."""
    choices = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    if text == "none" and NoneType in choices:
        return None
    try:
        value, *more = tomllib.loads(f"value = {text}").values()
    except ValueError:  # no TOML, or a number of more than 4300 digits
        return _convert(text, hint, where)
    if more:
        raise UsageError(f"{where} = {text!r}: expected one value, got several lines; give each setting of its own")
    try:
        return _convert(value, hint, where)
    except UsageError:
        if str in choices or Path in choices:
            return _convert(text, hint, where)
        raise
