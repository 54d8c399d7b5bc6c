"""What pyproject.toml declares is what the code imports; pip installs every file of the package; what is declared is pinned."""

import ast
import importlib.metadata
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
OURS = {"lancet_core", "pages", "tests"}
# Libraries that the laboratory compares with, if they are there, and the browser that it walks the screens with.
LABORATORY = ROOT / "lancet_core" / "lab"
NEEDED_BY_TRAINER = "accelerate"


def names(requirements):
    return {canonicalize_name(Requirement(text).name) for text in requirements}


DECLARED = names(PROJECT["dependencies"])
DEV = names(PROJECT["optional-dependencies"]["dev"])
ON_DEMAND = names(PROJECT["optional-dependencies"]["gguf"])


@cache
def known():
    """Modules of what is installed, each with the packages that bring it."""
    return importlib.metadata.packages_distributions()


@cache
def imported(path):
    """Packages that a file's text imports, inside functions too, by the names that pip knows."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.partition(".")[0])
    others = modules - set(sys.stdlib_module_names) - OURS
    return {canonicalize_name(known()[module][0]) for module in others if module in known()}


PRODUCT = [
    path
    for path in (ROOT / "app.py", *(ROOT / "lancet_core").rglob("*.py"), *(ROOT / "pages").rglob("*.py"))
    if not path.is_relative_to(LABORATORY)
]


def test_what_the_product_imports_is_declared():
    assert {name for path in PRODUCT for name in imported(path)} <= DECLARED | ON_DEMAND


@pytest.mark.parametrize("name", sorted(DECLARED - {NEEDED_BY_TRAINER}))
def test_what_is_declared_is_imported(name):
    files = [*PRODUCT, *LABORATORY.rglob("*.py")]
    assert any(name in imported(path) for path in files)


def test_every_file_of_the_package_is_installed():
    package = ROOT / "lancet_core"
    patterns = SETTINGS["tool"]["setuptools"]["package-data"]["lancet_core"]
    installed = {path for pattern in patterns for path in package.glob(pattern)}
    data = {path for path in package.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}}
    assert installed == data
    folders = {path.parent for path in package.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_constraints_pin_what_is_declared():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    assert pinned >= DECLARED | DEV | ON_DEMAND
