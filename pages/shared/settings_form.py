"""Forms made from settings dataclasses, so that a setting is described once."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any, TypeVar

import streamlit as st

from lancet_core.config import Setting, describe, from_dict

T = TypeVar("T")

_COLUMNS = 3


def settings_form(preset: T, *, prefix: str, first: Collection[str]) -> T:
    """Draws one widget for each setting and reads the settings back.

    Values other than the defaults stand in the URL, so that a reload shows the same form.

    Args:
        preset: What the form shows at first: a frozen dataclass whose fields were declared with `lancet_core.config.setting`.
        prefix: Start of the widgets' keys and URL parameters.
        first: Names of the settings that are shown at once; the others lie in a closed block.

    Returns:
        The settings as the form stands.

    Raises:
        ConfigError: A value is out of range.
    """
    described = [replace(each, default=getattr(preset, each.name)) for each in describe(type(preset))]
    shown = [each for each in described if each.name in first]
    others = [each for each in described if each.name not in first and len(each.choices) != 1]
    values = _fields(shown, prefix)
    with st.expander(f"All settings ({len(others)} more)"):
        values |= _fields(others, prefix)
    return from_dict(type(preset), values)


def label(setting_name: str) -> str:
    """A setting's name in words: `learning_rate` becomes `Learning rate`."""
    return setting_name.replace("_", " ").capitalize()


def _fields(described: list[Setting], prefix: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for start in range(0, len(described), _COLUMNS):
        for column, each in zip(st.columns(_COLUMNS), described[start : start + _COLUMNS], strict=False):
            with column:
                values[each.name] = _field(each, f"{prefix}_{each.name}")
    return values


def _field(each: Setting, key: str) -> Any:
    if each.choices:
        return st.selectbox(
            label(each.name),
            each.choices,
            each.choices.index(each.default),
            key=key,
            help=each.help,
            bind="query-params",
        )
    if each.kind is bool:
        return st.toggle(label(each.name), each.default, key=key, help=each.help, bind="query-params")
    if each.kind is str:
        return st.text_input(label(each.name), each.default, key=key, help=each.help, bind="query-params")
    return _number(each, key)


def _number(each: Setting, key: str) -> Any:
    whole = each.kind is int
    return st.number_input(
        label(each.name),
        min_value=None if each.minimum is None else each.kind(each.minimum),
        max_value=None if each.maximum is None else each.kind(each.maximum),
        value=each.default,
        step=1 if whole else _step(each),
        format="%d" if whole else "%.6g",
        key=key,
        help=each.help,
        placeholder="chosen automatically" if each.optional else None,
        bind="query-params",
    )


def _step(each: Setting) -> float:
    """A step of a tenth of the default, so that the arrows neither jump nor crawl."""
    return abs(each.default) / 10 if each.default else 1e-3
