"""Examines installation, machine and workspace: what is found, and what to do about what is not in order.

Torch is imported inside the checks that need it: a broken one is a finding like any other.
"""

import os
import platform
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import pandas as pd
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lancet_core.data.samples import read_samples
from lancet_core.errors import DataError, LancetError
from lancet_core.models.fingerprints import check_model_folder
from lancet_core.store.studies import list_studies
from lancet_core.workbench.demo_assets import FOLDER, DemoAssets, read_assets
from lancet_core.workspace import ENVIRONMENT_VARIABLE, open_workspace

OK, WARNING, FAILED = "ok", "warning", "failed"
LARGEST_DIFFERENCE = 1e-5
SAMPLES_SCORED = 24
# Scoring with the demo's model takes a process 0.7 GiB; screens, model host and a run stand beside each other.
LEAST_MEMORY_GIB = 2.0
LEAST_DISK_GIB = 1.0
MEMORY = Path("/proc/meminfo")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PACKAGE = "lancet"
_DEMO_TABLES = ("samples", "prompts", "queries", "scores")
_DEMO_MODELS = ("model", "safe_model", "harmful_scorer", "helpful_scorer")
# What a broken installation, file or driver raises. PyTorch raises RuntimeError, pyarrow ValueError.
_EXPECTED = (LancetError, ImportError, OSError, RuntimeError, ValueError, LookupError)


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: What was checked.
        state: `ok`, `warning` (something is missing that not everybody needs) or `failed`.
        found: What there is.
        remedy: What to do about it; empty where nothing is to be done.
    """

    name: str
    state: str
    found: str
    remedy: str = ""


Check = Callable[[], list[Finding]]


def examine(workspace: Path | None = None) -> Iterator[Finding]:
    """Makes all checks, one after the other; one that cannot be made is a failed finding and stops no other.

    Args:
        workspace: Folder of the workspace; None takes `LANCET_WORKSPACE`, and where that is unset `~/.lancet`.

    Yields:
        Findings, each as soon as it is known.
    """
    checks: dict[str, Check] = {
        "versions": check_versions,
        "packages": check_packages,
        "device": check_device,
        "memory": check_memory,
        "workspace": partial(check_workspace, workspace),
        "index": partial(check_index, workspace),
        "demo": check_demo,
        "scores": check_scores,
        "browser": check_browser,
        "extras": check_extras,
    }
    for name, check in checks.items():
        yield from attempt(name, check)


def attempt(name: str, check: Check) -> list[Finding]:
    """Makes a check; what stops it becomes a failed finding under its name, with the remedy that the message holds."""
    try:
        return check()
    except LancetError as error:
        found, _, remedy = str(error).partition("; ")
        return [Finding(name, FAILED, found, remedy or "mend what this names")]
    except _EXPECTED as error:
        found = f"cannot be checked: {type(error).__name__}: {error}"
        return [Finding(name, FAILED, found, "mend what this or a line above names, else report this line")]


def check_versions() -> list[Finding]:
    """Tells the version of LANCET, and of Python, against what the installed package asks for."""
    accepted = SpecifierSet(metadata.metadata(_PACKAGE)["Requires-Python"])
    found = f"{platform.python_version()} on {platform.platform()}"
    python = Finding("Python", OK, found)
    if not accepted.contains(platform.python_version(), prereleases=True):
        remedy = "make a new environment with such a Python"
        python = Finding("Python", FAILED, f"{found}, accepted is {accepted}", remedy)
    return [Finding("LANCET", OK, metadata.version(_PACKAGE)), python]


def check_packages() -> list[Finding]:
    """Compares the packages that LANCET needs with the versions that it accepts."""
    return [judge_package(requirement) for requirement in _requirements()]


def check_extras() -> list[Finding]:
    """Compares the packages of the optional extras with the versions that LANCET accepts; a lack is a warning."""
    extras = metadata.metadata(_PACKAGE).get_all("Provides-Extra") or []
    return [judge_package(requirement, extra) for extra in extras for requirement in _requirements(extra)]


def judge_package(requirement: Requirement, extra: str = "") -> Finding:
    """Compares the installed version of a package with the versions that are accepted.

    Args:
        requirement: The package and its versions.
        extra: The optional extra that asks for it, empty where LANCET itself does.
    """
    name = f"{requirement.name} [{extra}]" if extra else requirement.name
    lacking = WARNING if extra else FAILED
    accepted = requirement.specifier
    wanted = shlex.quote(f"{requirement.name}{accepted}")
    remedy = f"{shlex.quote(sys.executable)} -m pip install {wanted}"
    if extra:
        remedy = f"only those who need {extra}: {remedy}"
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding(name, lacking, f"not installed, accepted is {accepted}", remedy)
    if not accepted.contains(installed, prereleases=True):
        return Finding(name, lacking, f"{installed}, accepted is {accepted}", remedy)
    return Finding(name, OK, installed)


def check_device() -> list[Finding]:
    """Names what runs compute on."""
    from torch import cuda, get_num_threads

    if cuda.is_available():
        free, total = cuda.mem_get_info()
        bfloat16 = "bfloat16" if cuda.is_bf16_supported(including_emulation=False) else "no bfloat16"
        found = f"GPU {cuda.get_device_name()}, {_gib(free)} of {_gib(total)} free, {bfloat16}"
        return [Finding("device", OK, found)]
    found = f"CPU {_processor()}, threads: {get_num_threads()}"
    if Path("/dev/nvidia0").exists():
        remedy = "install a PyTorch with CUDA (pytorch.org), and look at the driver with nvidia-smi"
        return [Finding("device", WARNING, f"{found}; PyTorch does not see the NVIDIA GPU", remedy)]
    return [Finding("device", OK, found)]


def check_memory() -> list[Finding]:
    """Tells how much of the machine's memory is free."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if not MEMORY.is_file():
        return [_judge_room("memory", total, f"{_gib(total)} in all", LEAST_MEMORY_GIB)]
    lines = dict(line.split(":", 1) for line in MEMORY.read_text(encoding="utf-8").splitlines())
    free = int(lines["MemAvailable"].split()[0]) << 10
    return [_judge_room("memory", free, f"{_gib(free)} of {_gib(total)} free", LEAST_MEMORY_GIB)]


def check_workspace(folder: Path | None) -> list[Finding]:
    """Writes into the workspace, and tells how much room is left where it lies.

    Raises:
        ConfigError: The workspace cannot be made.
    """
    workspace = open_workspace(folder)
    free = shutil.disk_usage(workspace.folder).free
    disk = _judge_room("disk", free, f"{_gib(free)} free at {workspace.folder}", LEAST_DISK_GIB)
    try:
        with tempfile.TemporaryFile(dir=workspace.runs):
            pass
    except OSError as error:
        found = f"{workspace.runs} cannot be written: {error.strerror}"
        remedy = f"give another folder with --workspace or {ENVIRONMENT_VARIABLE}"
        return [Finding("workspace", FAILED, found, remedy), disk]
    return [Finding("workspace", OK, f"{workspace.folder} can be written"), disk]


def check_index(folder: Path | None) -> list[Finding]:
    """Reads the database of the workspace.

    Raises:
        ConfigError: The workspace cannot be made.
        StoreError: The database cannot be read.
    """
    workspace = open_workspace(folder)
    count = len(list_studies(workspace))
    return [Finding("index", OK, f"{workspace.database.name} can be read, studies: {count}")]


def check_demo(folder: Path = FOLDER) -> list[Finding]:
    """Looks whether the assets of the demo are whole.

    Raises:
        DataError: A part is missing or broken.
        ModelError: A model or scorer is missing or broken.
    """
    assets = read_assets(folder)
    for table in _DEMO_TABLES:
        _read_table(assets, table)
    for model in _DEMO_MODELS:
        check_model_folder(assets.path(model))
    runs = {name: folder / str(run["folder"]) for name, run in assets.manifest.get("runs", {}).items()}
    lost = [str(place) for place in runs.values() if not place.is_dir()]
    if "factors" in assets.manifest:
        assets.path("factors")
    if lost:
        raise DataError(
            f"the demo lacks {', '.join(lost)}; restore what is missing, or remake all: lancet demo build"
        )
    return [Finding("demo", OK, f"{folder} is whole")]


def check_scores() -> list[Finding]:
    """Scores samples of the demo in different batches.

    Raises:
        DataError: The demo is broken.
        ModelError: Its model is.
        NumericalError: A score is not finite, or all are 0.
    """
    from lancet_core.operations import batch_dependence

    assets = read_assets()
    samples = read_samples(assets.path("samples"))
    queries = _read_table(assets, "queries")
    spread = samples.iloc[:: max(1, len(samples) // SAMPLES_SCORED)].head(SAMPLES_SCORED)
    found = batch_dependence.score_in_batches(
        str(assets.path("model")),
        samples=list(zip(spread["prompt"], spread["response"], strict=True)),
        query=(str(queries["prompt"].iloc[0]), str(queries["response"].iloc[0])),
        template=str(assets.manifest["template"]),
    )
    return [judge_scores(batch_dependence.largest_difference(found))]


def judge_scores(difference: float) -> Finding:
    """Says whether scores depend on the batch.

    Args:
        difference: Largest difference between scores of the same samples in different batches, in units of the largest score.
    """
    found = f"change with the batch by {difference:.1e} of the largest, accepted is {LARGEST_DIFFERENCE:.0e}"
    if difference <= LARGEST_DIFFERENCE:
        return Finding("scores", OK, found)
    remedy = (
        "attribute with --dtype float64 or --device cpu; on a GPU set NVIDIA_TF32_OVERRIDE=0 and check again"
    )
    return Finding("scores", FAILED, found, remedy)


def check_browser() -> list[Finding]:
    """Looks for the Chromium that the browser tests drive."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found:
        return [Finding("Chromium", OK, found)]
    remedy = "only those who run the browser tests: apt install chromium, or playwright install chromium"
    return [Finding("Chromium", WARNING, f"no {', '.join(BROWSERS)} on the PATH", remedy)]


def _requirements(extra: str = "") -> list[Requirement]:
    """Lists what the installed package declares: what it needs, or what an extra adds to that."""
    declared = [Requirement(line) for line in metadata.requires(_PACKAGE) or []]
    return [one for one in declared if _applies(one, extra) and not (extra and _applies(one))]


def _applies(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _judge_room(name: str, free_bytes: int, found: str, least_gib: float) -> Finding:
    if free_bytes >= least_gib * 2**30:
        return Finding(name, OK, found)
    remedy = (
        "close other programs" if name == "memory" else "delete runs that are not needed, or free some space"
    )
    return Finding(name, WARNING, f"{found}, advised are {least_gib:g} GiB", remedy)


def _read_table(assets: DemoAssets, name: str) -> pd.DataFrame:
    """Reads a table of the demo.

    Raises:
        DataError: It is missing or broken.
    """
    path = assets.path(name)
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {error}; restore it, or remake all: lancet demo build"
        ) from error


def _processor() -> str:
    """Names the processor; its architecture where the system does not say more."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
