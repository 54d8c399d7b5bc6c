"""Settings as frozen dataclasses whose fields carry help, range and choices; they nest by what they decide.

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
REQUIRED: Any = dataclasses.MISSING
"""The default of a setting that has none: whoever makes the settings must choose."""


@dataclass(frozen=True)
class Setting:
    """One field of a settings dataclass, as a form or a command line needs it.

    Attributes:
        name: Its name, unique among all parts of the settings.
        path: Where it lies: names of fields, from the outermost.
        kind: Python type of the value (`int`, `float`, `str`, `bool`), without `| None`.
        default: Default value; `REQUIRED` where there is none.
        help: One sentence: what it does, and its unit.
        choices: Accepted values, empty where free.
        minimum: Smallest accepted value, None where unbounded.
        maximum: Largest accepted value, None where unbounded.
        optional: Whether None is accepted.
    """

    name: str
    path: tuple[str, ...]
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
    name: str = "",
    choices: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """Declares a field of a settings dataclass; arguments as in `Setting`, where an empty name takes the field's."""
    metadata = {"help": help, "name": name, "choices": tuple(choices), "minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=metadata)


def describe(settings_class: type) -> list[Setting]:
    """Lists the fields declared with `setting`, those of nested settings included, in order."""
    hints = typing.get_type_hints(settings_class)
    described = []
    for field in dataclasses.fields(settings_class):
        kind, optional = _plain_type(hints[field.name])
        if "help" in field.metadata:
            known = {**field.metadata, "name": field.metadata["name"] or field.name}
            described.append(
                Setting(path=(field.name,), kind=kind, default=field.default, optional=optional, **known)
            )
        elif dataclasses.is_dataclass(kind):
            inner = describe(kind)
            described += [dataclasses.replace(each, path=(field.name, *each.path)) for each in inner]
    return described


def to_dict(settings: Any) -> dict[str, Any]:
    """Turns a settings dataclass, nested ones included, into plain JSON values."""
    return dataclasses.asdict(settings)


def fingerprint(*parts: Any) -> str:
    """Hashes dataclasses and plain JSON values to 12 hexadecimal digits, equal for equal values."""
    plain = [to_dict(part) if dataclasses.is_dataclass(part) else part for part in parts]
    text = json.dumps(plain[0] if len(plain) == 1 else plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def changed(settings: T, **values: Any) -> T:
    """Gives settings with some values changed, wherever they lie in nested ones.

    Args:
        settings: The settings.
        **values: Values by the name that `describe` gives them, which is that of the command-line option.

    Raises:
        ConfigError: A name is unknown, or a value of the wrong type or out of range.
    """
    paths = {each.name: each.path for each in describe(type(settings))}
    plain = to_dict(settings)
    for name, value in values.items():
        if name not in paths:
            raise ConfigError(
                f"{type(settings).__name__} has no setting {name!r}; known settings: {', '.join(sorted(paths))}"
            )
        *parts, last = paths[name]
        inner = plain
        for part in parts:
            inner = inner[part]
        inner[last] = value
    return from_dict(type(settings), plain)


def differences(settings: T, usual: T) -> dict[str, Any]:
    """Lists the values that `changed` would need to make some settings of others: names to values, in order."""
    values = {}
    for each in describe(type(settings)):
        value, other = settings, usual
        for field in each.path:
            value, other = getattr(value, field), getattr(other, field)
        if value != other:
            values[each.name] = value
    return values


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
        raise ConfigError(f"{_name(field)} is {value!r}; it takes {_article(kind)}")
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
        raise ConfigError(f"{_name(field)} is {value!r}; it takes one of {', '.join(choices)}")
    if minimum is not None and value < minimum:
        raise ConfigError(f"{_name(field)} is {value}; the smallest accepted value is {minimum}")
    if maximum is not None and value > maximum:
        raise ConfigError(f"{_name(field)} is {value}; the largest accepted value is {maximum}")


def _name(field: dataclasses.Field[Any]) -> str:
    return field.metadata.get("name") or field.name


def _article(kind: type) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}.get(
        kind, kind.__name__
    )
