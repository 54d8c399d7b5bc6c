"""Rules that hold for every page script."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from pages.shared.screens import RAIL, SCREENS, SECTIONS

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "pages"


@cache
def imported(path: Path) -> set[str]:
    """Names of the modules of `pages` that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.startswith("pages.")}


def screens_that_use(module: str) -> set[str]:
    """Screens whose scripts import a module, directly or through others."""
    users: set[str] = set()
    reached, waiting = {module}, [module]
    while waiting:
        target = waiting.pop()
        for path in PAGES.rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if target in imported(path) and name not in reached:
                reached.add(name)
                waiting.append(name)
                users |= {path.parent.name} - {"shared"}
    # `app.py` draws the frame of every screen.
    return set(SCREENS) if "pages.shared.frame" in reached else users


def test_only_the_package_stands_directly_in_pages():
    """Streamlit turns every other file there into a page of its old scheme, which a deep link runs without `app.py`."""
    assert [path.name for path in PAGES.glob("*.py")] == ["__init__.py"]


def test_each_screen_has_a_script_and_a_place():
    assert [name for name, screen in SCREENS.items() if not (ROOT / screen.path).is_file()] == []
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(SCREENS)
    assert set(RAIL.values()) <= set(SCREENS)
    assert [name for name, screen in SCREENS.items() if screen.name != name] == []


def test_what_only_one_screen_uses_stands_in_its_folder():
    strays = {}
    for path in (PAGES / "shared").glob("*.py"):
        users = screens_that_use(f"pages.shared.{path.stem}")
        if path.stem != "__init__" and len(users) < 2:
            strays[path.stem] = users
    assert strays == {}


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_uses_its_own_folder_and_the_shared_one(screen: str):
    allowed = {f"pages.{screen}", "pages.shared", "pages"}
    others = {
        target
        for path in (PAGES / screen).glob("*.py")
        for target in imported(path)
        if target.split(".")[0] == "pages" and ".".join(target.split(".")[:2]) not in allowed
    }
    assert others == set()


def test_pages_never_interpret_markup():
    """Training text is hostile: no page switches HTML on, or sets it in a component."""
    forbidden = re.compile(r"unsafe_allow_html|innerHTML|insertAdjacentHTML|outerHTML|document\.write")
    found = [str(path) for path in PAGES.rglob("*.py") if forbidden.search(path.read_text(encoding="utf-8"))]
    assert found == []
