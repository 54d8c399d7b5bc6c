"""Settings as frozen dataclasses whose fields carry help, range and choices.

Command-line options, page forms and `config.json` all come from the same dataclass, so that a setting is described once.
"""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from lancet_core.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """One field of a settings dataclass, as a form or a command line needs it.

    Attributes:
        name: Field name.
        kind: Python type of the value (`int`, `float`, `str`, `bool`), without `| None`.
        default: Default value.
        help: One sentence: what it does, and its unit.
        choices: Accepted values, empty where free.
        minimum: Smallest accepted value, None where unbounded.
        maximum: Largest accepted value, None where unbounded.
        optional: Whether None is accepted.
    """

    name: str
    kind: type
    default: Any
    help: str
    choices: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    optional: bool


def setting(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """Declares a field of a settings dataclass with its help and its accepted values."""
    metadata = {"help": help, "choices": tuple(choices), "minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=metadata)


def describe(settings_class: type) -> list[Setting]:
    """Lists the fields declared with `setting`, in order."""
    hints = typing.get_type_hints(settings_class)
    described = []
    for field in dataclasses.fields(settings_class):
        if "help" not in field.metadata:
            continue
        kind, optional = _plain_type(hints[field.name])
        described.append(
            Setting(name=field.name, kind=kind, default=field.default, optional=optional, **field.metadata)
        )
    return described


def to_dict(settings: Any) -> dict[str, Any]:
    """Turns a settings dataclass, nested ones included, into plain JSON values."""
    return dataclasses.asdict(settings)


def fingerprint(settings: Any) -> str:
    """Hashes settings (a dataclass or plain JSON values) to 12 hexadecimal digits, equal for equal values."""
    plain = to_dict(settings) if dataclasses.is_dataclass(settings) else settings
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def from_dict(settings_class: type[T], values: Mapping[str, Any]) -> T:
    """Builds a settings dataclass from plain values and checks each.

    Args:
        settings_class: A frozen dataclass; fields may be nested dataclasses, and lists or tuples of plain values.
        values: Field names to values. Missing fields take their default.

    Returns:
        The settings.

    Raises:
        ConfigError: A field is unknown, missing without default, of the wrong type or out of range.
    """
    fields = {field.name: field for field in dataclasses.fields(cast(Any, settings_class))}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(
            f"{settings_class.__name__} has no setting {unknown[0]!r}; known settings: {', '.join(sorted(fields))}"
        )
    missing = [
        name
        for name, field in fields.items()
        if name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{settings_class.__name__} needs a value for {', '.join(missing)}")
    hints = typing.get_type_hints(settings_class)
    return settings_class(
        **{name: _checked(fields[name], hints[name], value) for name, value in values.items()}
    )


def _plain_type(hint: Any) -> tuple[type, bool]:
    """Splits `T | None` into T and whether None is accepted."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        return (typing.get_origin(members[0]) or members[0]), len(members) < len(typing.get_args(hint))
    return (typing.get_origin(hint) or hint), False


def _checked(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    kind, optional = _plain_type(hint)
    if value is None and optional:
        return None
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return from_dict(kind, value)
    if kind is tuple and isinstance(value, Sequence) and not isinstance(value, str):
        return _checked_items(hint, value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ConfigError(f"{field.name} is {value!r}; it takes {_article(kind)}")
    _check_range(field, value)
    return value


def _checked_items(hint: Any, values: Sequence[Any]) -> tuple[Any, ...]:
    (item, *_rest) = typing.get_args(hint)
    if dataclasses.is_dataclass(item):
        return tuple(
            from_dict(cast(type, item), value) if isinstance(value, Mapping) else value for value in values
        )
    return tuple(values)


def _check_range(field: dataclasses.Field[Any], value: Any) -> None:
    choices, minimum, maximum = (field.metadata.get(key) for key in ("choices", "minimum", "maximum"))
    if choices and value not in choices:
        raise ConfigError(f"{field.name} is {value!r}; it takes one of {', '.join(choices)}")
    if minimum is not None and value < minimum:
        raise ConfigError(f"{field.name} is {value}; the smallest accepted value is {minimum}")
    if maximum is not None and value > maximum:
        raise ConfigError(f"{field.name} is {value}; the largest accepted value is {maximum}")


def _article(kind: type) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}.get(
        kind, kind.__name__
    )
