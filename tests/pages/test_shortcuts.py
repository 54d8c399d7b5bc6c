"""No two actions of a screen share a key, no key is Streamlit's own, and pages name keys through the registry only."""

import ast
from pathlib import Path

import pytest

from pages.shared.screens import SCREENS
from pages.shared.shortcuts import EVERYWHERE, KEYS

PAGES = Path(__file__).resolve().parents[2] / "pages"
RESERVED = {"C", "R"}


def test_each_screen_has_an_entry():
    assert set(KEYS) == set(SCREENS)


@pytest.mark.parametrize("screen", KEYS)
def test_no_key_is_used_twice(screen: str):
    keys = [*EVERYWHERE.values(), *KEYS[screen].values()]
    assert len(keys) == len(set(keys))
    assert not RESERVED & set(keys)
    assert all(len(key) == 1 and key.isalnum() for key in keys)


def test_pages_name_keys_through_the_registry():
    strays = [
        f"{path.relative_to(PAGES)}:{keyword.value.lineno}"
        for path in PAGES.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "shortcut"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is not None
    ]
    assert strays == []


def test_every_primary_button_is_the_next_step():
    primaries = [
        str(path.relative_to(PAGES))
        for path in PAGES.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "type"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value == "primary"
    ]
    assert primaries == ["shared/frame.py"]
