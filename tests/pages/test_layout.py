"""Rules that hold for every page script."""

import re
import subprocess
import sys
from pathlib import Path

from pages.parts.screens import RAIL, SCREENS, SECTIONS

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "pages"


def test_only_the_package_stands_directly_in_pages():
    """Streamlit turns every other file there into a page of its old scheme, which a deep link runs without `app.py`."""
    assert [path.name for path in PAGES.glob("*.py")] == ["__init__.py"]


def test_each_screen_has_a_script_and_a_place():
    assert [name for name, screen in SCREENS.items() if not (ROOT / screen.path).is_file()] == []
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(SCREENS)
    assert set(RAIL.values()) <= set(SCREENS)
    assert len({Path(screen.path).stem for screen in SCREENS.values()}) == len(SCREENS)


def test_pages_never_interpret_markup():
    """Training text is hostile: no page switches HTML on, or sets it in a component."""
    forbidden = re.compile(r"unsafe_allow_html|innerHTML|insertAdjacentHTML|outerHTML|document\.write")
    found = [str(path) for path in PAGES.rglob("*.py") if forbidden.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_pages_start_without_torch():
    modules = sorted(
        f"pages.parts.{path.stem}" for path in (PAGES / "parts").glob("*.py") if path.stem != "__init__"
    )
    code = (
        f"import sys, {', '.join(modules)}; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
