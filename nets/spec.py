"""Specifications: frozen dataclasses that describe a network, checked when made, and their JSON form.

The JSON of a specification is an object of its fields plus "kind", the name of its class; tuples are lists.
The type of a field says what it may hold: one statement for the type checker, the constructor and the file
reader.
"""

from __future__ import annotations

import dataclasses
import math
import types
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from games.refusal import RefusedError


class SpecError(RefusedError):
    """A specification that describes no network: the message is one line."""


@dataclass(frozen=True)
class Range:
    """The numbers that a field may hold, both ends included."""

    low: float
    high: float = math.inf

    def __str__(self) -> str:
        return f"of at least {self.low}" if self.high == math.inf else f"from {self.low} to {self.high}"


Count = Annotated[int, Range(1)]
CountOrZero = Annotated[int, Range(0)]
Probability = Annotated[float, Range(0, 0.999)]


@dataclass(frozen=True)
class Spec:
    """What every specification shares: a name for its class, and fields checked against their types."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for name, hint in _field_types(type(self)).items():
            object.__setattr__(self, name, fit(getattr(self, name), hint, f"{self.kind}: {name}"))


def to_json(spec: Spec) -> dict[str, Any]:
    """Return the JSON form of a specification; `fit` reads it back."""
    fields = {field.name: _json_value(getattr(spec, field.name)) for field in dataclasses.fields(spec)}
    return {"kind": spec.kind, **fields}


def fit(value: Any, hint: Any, where: str) -> Any:
    """Return a value as an object of type `hint`, a parsed JSON value too: lists as tuples, objects as specs.

    `hint` is a specification class, a scalar or tuple type of such, or a union. Raises SpecError, which says
    `where`.
    """
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for option in options:
        if get_origin(option) is tuple:
            if isinstance(value, (list, tuple)):
                return _fit_tuple(value, get_args(option), where)
        elif _accepts(option, value):
            return value
    classes = {option.kind: option for option in options if isinstance(option, type) and issubclass(option, Spec)}
    if classes and isinstance(value, dict):
        return _fit_object(value, classes, where)
    raise SpecError(f"{where} must be {' or '.join(map(_describe, options))}, not {value!r:.60}")


def _fit_tuple(value: list[Any] | tuple[Any, ...], hints: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if hints[-1] is ...:
        hints = hints[:1] * len(value)
    if len(hints) != len(value):
        raise SpecError(f"{where} must have {len(hints)} items, not {len(value)}")
    return tuple(fit(item, hint, f"{where}[{i}]") for i, (item, hint) in enumerate(zip(value, hints, strict=True)))


def _fit_object(value: dict[str, Any], classes: dict[str, type[Spec]], where: str) -> Spec:
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in classes:
        raise SpecError(f"{where}: kind {kind!r:.60} is not known, only {', '.join(sorted(classes))}")
    fields = dataclasses.fields(classes[kind])
    known = [field.name for field in fields]
    for name in value:
        if name not in (*known, "kind"):
            raise SpecError(f"{where} ({kind}): field {name!r:.60} is not known, only {', '.join(known)}")
    for field in fields:
        if field.default is dataclasses.MISSING and field.name not in value:
            raise SpecError(f"{where} ({kind}): field {field.name!r} is missing")
    return classes[kind](**{name: value[name] for name in known if name in value})


def _accepts(option: Any, value: Any) -> bool:
    """Whether a value is of a type that is neither a tuple nor a union."""
    if get_origin(option) is Annotated:
        base, limits = get_args(option)
        return _accepts(base, value) and limits.low <= value <= limits.high
    if get_origin(option) is Literal:
        return any(value is choice or (isinstance(value, str) and value == choice) for choice in get_args(option))
    if option is int or option is float:
        if isinstance(value, float):
            return option is float and math.isfinite(value)
        return isinstance(value, int) and not isinstance(value, bool)
    return value is None if option in (None, type(None)) else isinstance(value, option)


def _describe(option: Any) -> str:
    if get_origin(option) is Annotated:
        base, limits = get_args(option)
        return f"{_describe(base)} {limits}"
    if get_origin(option) is Literal:
        return " or ".join(repr(choice) for choice in get_args(option))
    if get_origin(option) is tuple:
        return "a list"
    words = {int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
    return words.get(option) or str(getattr(option, "kind", option))


def _field_types(cls: type[Spec]) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _json_value(value: Any) -> Any:
    if isinstance(value, Spec):
        return to_json(value)
    return [_json_value(item) for item in value] if isinstance(value, tuple) else value
