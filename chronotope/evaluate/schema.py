"""Check JSON values against report.schema.json and name the first place that differs: what was got, what is expected.

Of JSON Schema 2020-12 it knows the keywords that this schema uses, and refuses a schema with others. Unlike there, an
integer is written as one: 1.0 is none.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["SCHEMA", "first_problem", "shown"]

SCHEMA = Path(__file__).with_name("report.schema.json")
LONGEST = 40  # characters of a value in an error
NOTES = {"$schema", "$id", "$defs", "title", "description"}
TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "object": ("an object", lambda value: isinstance(value, dict)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "string": ("a text", lambda value: isinstance(value, str)),
    "integer": ("a whole number", lambda value: type(value) is int),
    "number": ("a number", lambda value: type(value) in (int, float) and math.isfinite(value)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "null": ("null", lambda value: value is None),
}
LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("at least", lambda value, limit: value >= limit),
    "maximum": ("at most", lambda value, limit: value <= limit),
    "exclusiveMinimum": ("more than", lambda value, limit: value > limit),
    "exclusiveMaximum": ("less than", lambda value, limit: value < limit),
}
# By keyword: what is counted, of which type, and whether the limit is the least.
LENGTHS: dict[str, tuple[str, type[Any], bool]] = {
    "minLength": ("characters", str, True),
    "maxLength": ("characters", str, False),
    "minItems": ("entries", list, True),
    "maxItems": ("entries", list, False),
    "minProperties": ("keys", dict, True),
    "maxProperties": ("keys", dict, False),
}

Schema = Mapping[str, Any]


def first_problem(value: Any, part: str = "") -> str:
    """Return the first difference from the schema, or from one of its `$defs`, as a clause; empty if there is none."""
    schema = {"$ref": f"#/$defs/{part}"} if part else _document()
    return next(_problems(value, schema, ""), "")


def shown(value: Any) -> str:
    """Describe a JSON value in a few words: texts and numbers as they are, but short."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    try:
        text = json.dumps(value)
    except ValueError:
        return "a number with thousands of digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


@functools.cache
def _document() -> Schema:
    schema: Schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return schema


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern in which `$` means the end, not also the place before a last line feed."""
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def _problems(value: Any, schema: Schema, place: str) -> Iterator[str]:
    for keyword, rule in schema.items():
        if keyword in NOTES or keyword in ("then", "else"):
            continue
        if keyword in LIMITS:
            words, fits = LIMITS[keyword]
            if type(value) in (int, float) and not fits(value, rule):
                yield _clause(place, value, f"{words} {rule}")
        elif keyword in LENGTHS:
            yield from _wrong_length(value, keyword, rule, place)
        elif keyword == "if":
            branch = "else" if any(_problems(value, rule, place)) else "then"
            yield from _problems(value, schema.get(branch, {}), place)
        else:
            yield from _RULES[keyword](value, rule, schema, place)


def _clause(place: str, value: Any, expected: str) -> str:
    return f"{place.removeprefix('.') or 'the whole'} is {shown(value)}, expected {expected}"


def _wrong_length(value: Any, keyword: str, limit: int, place: str) -> Iterator[str]:
    what, kind, least = LENGTHS[keyword]
    if isinstance(value, kind) and (len(value) < limit if least else len(value) > limit):
        got = f"{place.removeprefix('.') or 'the whole'} has {len(value)} {what}"
        yield f"{got}, expected at {'least' if least else 'most'} {limit}"


def _reference(value: Any, rule: str, schema: Schema, place: str) -> Iterator[str]:
    yield from _problems(value, _document()["$defs"][rule.removeprefix("#/$defs/")], place)


def _wrong_type(value: Any, rule: Any, schema: Schema, place: str) -> Iterator[str]:
    kinds = rule if isinstance(rule, list) else [rule]
    if not any(TYPES[kind][1](value) for kind in kinds):
        yield _clause(place, value, " or ".join(TYPES[kind][0] for kind in kinds))


def _not_equal(value: Any, rule: Any, schema: Schema, place: str) -> Iterator[str]:
    if value != rule or type(value) is not type(rule):
        yield _clause(place, value, shown(rule))


def _not_listed(value: Any, rule: Any, schema: Schema, place: str) -> Iterator[str]:
    if not any(value == one and type(value) is type(one) for one in rule):
        yield _clause(place, value, "one of " + ", ".join(map(shown, rule)))


def _no_match(value: Any, rule: str, schema: Schema, place: str) -> Iterator[str]:
    if isinstance(value, str) and not _pattern(rule).search(value):
        yield _clause(place, value, f"a text that matches {rule}")


def _missing_keys(value: Any, rule: Any, schema: Schema, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name in rule:
            if name not in value:
                yield f"{place.removeprefix('.') or 'the whole'} lacks '{name}'"


def _properties(value: Any, rule: Schema, schema: Schema, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in rule.items():
            if name in value:
                yield from _problems(value[name], inner, f"{place}.{name}")


def _other_keys(value: Any, rule: Any, schema: Schema, place: str) -> Iterator[str]:
    """Check the keys that `properties` does not name: by a schema, or refuse them all."""
    if not isinstance(value, dict):
        return
    known = schema.get("properties", {})
    for name, one in value.items():
        if name not in known and rule is False:
            yield f"{place.removeprefix('.') or 'the whole'} has the unknown key {shown(name)}"
        elif name not in known:
            yield from _problems(one, rule, f"{place}.{_name(name)}")


def _key_names(value: Any, rule: Schema, schema: Schema, place: str) -> Iterator[str]:
    for name in value if isinstance(value, dict) else ():
        yield from _problems(name, rule, f"{place}: the key {_name(name)}")


def _name(key: str) -> str:
    return key if len(key) <= LONGEST else f"{key[:LONGEST]}..."


def _items(value: Any, rule: Schema, schema: Schema, place: str) -> Iterator[str]:
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from _problems(one, rule, f"{place}[{number}]")


def _all_of(value: Any, rule: Any, schema: Schema, place: str) -> Iterator[str]:
    for inner in rule:
        yield from _problems(value, inner, place)


def _any_of(value: Any, rule: Any, schema: Schema, place: str) -> Iterator[str]:
    """Give the problem of the last alternative, the fullest one, where none holds."""
    found = [next(_problems(value, inner, place), "") for inner in rule]
    if all(found):
        yield found[-1]


_RULES: dict[str, Callable[[Any, Any, Schema, str], Iterator[str]]] = {
    "$ref": _reference,
    "type": _wrong_type,
    "const": _not_equal,
    "enum": _not_listed,
    "pattern": _no_match,
    "required": _missing_keys,
    "properties": _properties,
    "additionalProperties": _other_keys,
    "propertyNames": _key_names,
    "items": _items,
    "allOf": _all_of,
    "anyOf": _any_of,
}
