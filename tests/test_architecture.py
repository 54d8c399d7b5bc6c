"""Who may import whom, and what must start without torch (measured in a fresh process, not read from the text)."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Each layer may import itself, the layers named here, and the ground.
GROUND = {"errors", "config", "progress", "text", "files", "workspace"}
SCIENCES = {"influence", "correction", "evaluation"}
BELOW = {
    "data": set(),
    "models": {"data"},
    **{science: {"models", "data"} for science in SCIENCES},
    "acts": {*SCIENCES, "models", "data"},
    "store": {"data"},
    "operations": {"acts", *SCIENCES, "models", "data"},
    # Operations are named in texts: what starts and shows runs does not load torch.
    "runs": {"store", "acts", *SCIENCES, "models", "data"},
}
BELOW["study"] = {"runs", *BELOW["runs"]}
BELOW["pages"] = {"study", *BELOW["study"]}
BELOW["lab"] = {"operations", "study", *BELOW["study"]}
BELOW["cli"] = {"lab", *BELOW["lab"]}

# The ground itself stands in this order: each may import those before it.
GROUND_ORDER = ["errors", "config", "progress", "text", "files", "workspace"]

# Modules that start without torch and transformers.
TORCH_FREE_LAYERS = ("data", "acts", "store", "study", "cli")
TORCH_FREE_MODULES = (
    "lancet_core",
    "lancet_core.errors",
    "lancet_core.config",
    "lancet_core.progress",
    "lancet_core.files",
    "lancet_core.text",
    "lancet_core.workspace",
    "lancet_core.runs.launcher",
    "lancet_core.runs.client",
    "lancet_core.runs.run_folder",
    "lancet_core.runs.run",
    "lancet_core.models.settings",
    "lancet_core.models.fingerprints",
    "lancet_core.models.gguf_files",
    "lancet_core.influence.methods",
    "lancet_core.influence.presets",
    "lancet_core.influence.settings",
    "lancet_core.influence.recall",
    "lancet_core.correction.settings",
    "lancet_core.correction.pairs",
    "lancet_core.correction.pair_files",
    "lancet_core.evaluation.settings",
    "lancet_core.evaluation.ranking",
    "lancet_core.evaluation.intervals",
    "lancet_core.evaluation.diversity",
    "lancet_core.evaluation.datamodels",
    "lancet_core.evaluation.evidence",
    "lancet_core.evaluation.verdict",
    "lancet_core.evaluation.scorer_cards",
    "lancet_core.lab.variants",
    "lancet_core.lab.markdown",
    "lancet_core.lab.factory.remaking",
    "lancet_core.lab.world.corpus",
    "lancet_core.lab.world.oracle",
)
HEAVY = ("torch", "transformers", "umap", "numba")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for folder in ("lancet_core", "pages")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def layer_of(module: str) -> str | None:
    """The layer of a module of ours; None for other people's, and for the package itself."""
    parts = module.split(".")
    if parts[0] == "pages":
        return "pages"
    return parts[1] if parts[0] == "lancet_core" and len(parts) > 1 else None


def is_screen(module: str) -> bool:
    """Whether a module is a page script, which draws when it is imported."""
    return layer_of(module) == "pages" and module.endswith(".screen")


def imported_modules(module: str) -> set[str]:
    """Everything that a module's text imports, inside functions too, but for types alone."""
    found = set()
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    unseen = for_types_only(tree)
    for node in ast.walk(tree):
        if node in unseen:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found.add(node.module)
            found.update(
                f"{node.module}.{alias.name}"
                for alias in node.names
                if f"{node.module}.{alias.name}" in MODULES
            )
    return found


def is_allowed(source: str, target: str) -> bool:
    if source == target:
        return True
    if source in GROUND:
        return target in GROUND_ORDER[: GROUND_ORDER.index(source)]
    return target in GROUND or target in BELOW[source]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module):
    source = layer_of(module)
    if source is None:
        return
    wrong = {
        name
        for name in imported_modules(module)
        if (layer := layer_of(name)) and not is_allowed(source, layer)
    }
    assert not wrong


def test_the_three_sciences_never_meet():
    assert all(not (SCIENCES - {science}) & BELOW[science] for science in SCIENCES)


def for_types_only(tree: ast.AST) -> set[ast.AST]:
    """Everything below `if TYPE_CHECKING:`."""
    guards = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    )
    return {inner for guard in guards for statement in guard.body for inner in ast.walk(statement)}


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other (Tarjan's strongly connected components of more than one)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in graph[node]:
            if target not in order:
                visit(target)
            if target in stack:
                low[node] = min(low[node], low[target])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in order:
            visit(node)
    return found


def test_cycles_are_seen():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_module_imports_itself_on_a_way_round():
    """Inside a floor as well, and wherever in the text the import stands."""
    graph = {
        module: {name for name in imported_modules(module) if name in MODULES} - {module}
        for module in MODULES
    }
    assert cycles(graph) == []


def parameters_of(module: str) -> list[tuple[str, list[ast.arg]]]:
    """Every function with its parameters."""
    return [
        (f"{module}.{node.name}", [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
        for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def is_kind(parameter: ast.arg, names: set[str], types: set[str]) -> bool:
    annotation = "" if parameter.annotation is None else ast.unparse(parameter.annotation)
    if annotation in {"StudyArgument", "WorkspaceOption"}:  # what a person typed in a shell
        return False
    return parameter.arg in names or bool(set(re.findall(r"\w+", annotation)) & types)


def test_no_function_takes_a_workspace_and_a_study():
    """A study knows its workspace."""
    both = [
        name
        for module in MODULES
        for name, parameters in parameters_of(module)
        if any(is_kind(each, {"workspace"}, {"Workspace"}) for each in parameters)
        and any(is_kind(each, {"study"}, {"Study", "StudyRecord"}) for each in parameters)
    ]
    assert both == []


def taken_apart(module: str) -> list[str]:
    """Places where a result is read by a string key."""
    places = []
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            owner, key = node.value, node.slice.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            owner, key = node.func.value, getattr(node.args[0], "value", None) if node.args else None
        else:
            continue
        name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
        if isinstance(key, str) and name in {"result", "summary"}:
            places.append(f"{module}:{node.lineno}")
    return places


def test_no_reader_takes_a_result_apart_by_string_keys():
    """Results are dataclasses, so that a name that is gone is found by mypy."""
    readers = [module for module in MODULES if layer_of(module) in {"pages", "cli", "study"}]
    assert [place for module in readers for place in taken_apart(module)] == []


def test_the_table_knows_every_layer():
    assert {layer_of(module) for module in MODULES} - {None} == set(BELOW) | GROUND


def run_fresh(code: str) -> str:
    outcome = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def test_every_module_imports():
    names = [name for name in MODULES if not is_screen(name)]
    # They need libraries that are no dependency.
    skipped = {name for name in names if name.startswith("lancet_core.lab.performance.peers.")}
    run_fresh(
        f"import importlib\nfor name in {[name for name in names if name not in skipped]!r}:\n    importlib.import_module(name)"
    )


def heavy_after(statement: str) -> list[str]:
    return json.loads(
        run_fresh(
            f"{statement}\nimport json, sys\nprint(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
        )
    )


def test_torch_free_modules_start_without_torch():
    layers = [name for name in MODULES if layer_of(name) in TORCH_FREE_LAYERS]
    statement = f"import importlib\nfor name in {[*TORCH_FREE_MODULES, *layers]!r}:\n    importlib.import_module(name)"
    assert heavy_after(statement) == []


@pytest.mark.parametrize("module", ["lancet_core.cli.main", "lancet_core.study.study"])
def test_what_starts_often_starts_without_heavy_libraries(module):
    """Each of these takes half a second and more; they are imported where they are used."""
    heavy = ["torch", "transformers", "sklearn", "scipy", "nltk", "umap", "plotly"]
    script = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    outcome = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert outcome.stdout.strip() == "[]"


def test_pages_start_without_torch():
    parts = [name for name in MODULES if layer_of(name) == "pages" and not is_screen(name)]
    statement = f"import importlib\nfor name in {parts!r}:\n    importlib.import_module(name)"
    assert heavy_after(statement) == []
    screens = [name for name in MODULES if is_screen(name)]
    named = {target for screen in screens for target in imported_modules(screen)}
    assert not {name for name in named if name.split(".")[0] in HEAVY}


def test_pages_and_cli_use_no_sql():
    upper = [name for name in MODULES if layer_of(name) in ("pages", "cli")]
    assert not [
        name for name in upper if any(target.startswith("sqlalchemy") for target in imported_modules(name))
    ]


def test_whatever_is_kept_between_reruns_stands_in_its_key():
    """Streamlit leaves arguments that begin with `_` out of the key: one study would be shown for another."""
    left_out = [
        f"{module}.{node.name}({argument.arg})"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if layer_of(module) == "pages"
        and isinstance(node, ast.FunctionDef)
        and any("cache" in ast.unparse(decorator) for decorator in node.decorator_list)
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        if argument.arg.startswith("_")
    ]
    assert left_out == []


def test_nothing_but_the_package_file_stands_directly_in_pages():
    # Streamlit turns every other file there into a page of its own old scheme.
    assert [path.name for path in (ROOT / "pages").glob("*.py")] == ["__init__.py"]


def test_package_files_hold_a_docstring_only():
    for module, path in MODULES.items():
        if path.name == "__init__.py" and module != "lancet_core":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert ast.get_docstring(tree), module
            assert len(tree.body) == 1, module


def test_files_and_functions_keep_their_budgets():
    lengths = []
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, f"{module} is longer than 400 lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lengths.append(
                    (body[-1].end_lineno - body[0].lineno + 1 if body else 0, f"{module}.{node.name}")
                )
    lengths.sort()
    longest = lengths[-1]
    assert longest[0] <= 60, f"{longest[1]} has {longest[0]} lines"
    assert lengths[int(len(lengths) * 0.95)][0] <= 40


def test_one_broad_except_in_all():
    broad = []
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None
                or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
            ):
                broad.append(module)
    assert broad == ["lancet_core.runs.execution"]
