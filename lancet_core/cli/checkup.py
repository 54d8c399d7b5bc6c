"""The checks of `lancet doctor`: what a person can act on in this installation, machine and workspace.

A check returns what there is, or raises an error that says what is wrong and, after a semicolon, what to do. Libraries
are imported inside the checks that need them: a broken one is a finding like any other.
"""

import platform
import shlex
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

import pandas as pd

from lancet_core.data.samples import read_samples
from lancet_core.errors import ConfigError, DataError, LancetError, NumericalError
from lancet_core.models.fingerprints import check_model_folder
from lancet_core.runs import client
from lancet_core.store.studies import list_studies
from lancet_core.study.demo import FOLDER, read_assets
from lancet_core.workspace import ENVIRONMENT_VARIABLE, Workspace

# Scoring with the demo's model takes a process 0.7 GiB; screens, model host and a run stand beside each other.
LEAST_MEMORY_GIB, LEAST_DISK_GIB = 2.0, 1.0
LARGEST_DIFFERENCE, SAMPLES_SCORED = 1e-5, 24
# Packages whose next major version changes what LANCET uses.
PACKAGES = ("torch", "transformers", "streamlit")


class Warned(LancetError):
    """Something works, and may not for long."""


def check_versions() -> str:
    """Compares the versions of Python and of packages that matter with those that LANCET accepts."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    accepted = {"Python": SpecifierSet(metadata.metadata("lancet")["Requires-Python"])}
    accepted |= {need.name: need.specifier for need in map(Requirement, metadata.requires("lancet") or ())}
    installed = {"Python": platform.python_version()} | {name: _version(name) for name in PACKAGES}
    wrong = [
        name
        for name, version in installed.items()
        if not version or not accepted[name].contains(version, prereleases=True)
    ]
    detail = ", ".join(f"{name} {version or 'is missing'}" for name, version in installed.items())
    if not wrong:
        return f"LANCET {metadata.version('lancet')}, {detail}"
    wanted = " ".join(shlex.quote(f"{name}{accepted[name]}") for name in wrong)
    how = "make a new environment with" if "Python" in wrong else "pip install"
    raise ConfigError(f"{detail}, and some are not accepted; {how} {wanted}")


def check_device() -> str:
    """Says what runs compute on."""
    from torch import cuda, get_num_threads

    if cuda.is_available():
        free, total = cuda.mem_get_info()
        bfloat16 = "bfloat16" if cuda.is_bf16_supported(including_emulation=False) else "no bfloat16"
        return f"GPU {cuda.get_device_name()}, {_gib(free)} of {_gib(total)} free, {bfloat16}"
    detail = f"CPU ({platform.machine()}), threads: {get_num_threads()}"
    if Path("/dev/nvidia0").exists():
        remedy = "install a PyTorch with CUDA (pytorch.org), and look at the driver with nvidia-smi"
        raise Warned(f"{detail}, and PyTorch does not see the NVIDIA GPU; {remedy}")
    return detail


def check_memory() -> str:
    """Says how much of the machine's memory is free."""
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{_gib(memory.available)} of {_gib(memory.total)} free"
    if memory.available < LEAST_MEMORY_GIB * 2**30:
        raise Warned(f"{detail}, advised are {LEAST_MEMORY_GIB:g} GiB; close other programs")
    return detail


def check_disk(workspace: Workspace) -> str:
    """Says how much room is left where the workspace lies."""
    free = shutil.disk_usage(workspace.folder).free
    detail = f"{_gib(free)} free at {workspace.folder}"
    if free < LEAST_DISK_GIB * 2**30:
        raise Warned(f"{detail}, advised is {LEAST_DISK_GIB:g} GiB; delete what is not needed")
    return detail


def check_workspace(workspace: Workspace) -> str:
    """Writes into the workspace."""
    try:
        with tempfile.TemporaryFile(dir=workspace.runs):
            return f"{workspace.folder} can be written"
    except OSError as error:
        raise ConfigError(
            f"{workspace.runs} cannot be written: {error.strerror}; "
            f"give another folder with --workspace or {ENVIRONMENT_VARIABLE}"
        ) from error


def check_host(workspace: Workspace) -> str:
    """Tells of the process that keeps models loaded: its memory, what it holds and how to end it."""
    facts = client.host_facts(workspace)
    if facts is None:
        return "no model is kept loaded"
    return (
        f"process {facts['pid']} keeps {len(facts['models'])} models loaded in {_gib(facts['memory'])}, {facts['runs']} runs in it; "
        "it unloads them after ten idle minutes and ends after an hour, or now: lancet runs host --stop"
    )


def check_index(workspace: Workspace) -> str:
    """Reads the database of the workspace."""
    return f"{workspace.database.name} can be read, studies: {len(list_studies(workspace))}"


def check_demo(folder: Path = FOLDER) -> str:
    """Checks that the demo's models, tables and runs are whole."""
    assets = read_assets(folder)
    for model in ("model", "safe_model", "harmful_scorer", "helpful_scorer"):
        check_model_folder(assets.path(model))
    for table in ("samples", "prompts", "queries", "scores"):
        _read_table(assets.path(table))
    for run in assets.manifest.get("runs", {}).values():
        if not (folder / str(run["folder"])).is_dir():
            raise DataError(f"the demo lacks {folder / str(run['folder'])}; restore it from the checkout")
    return f"{folder} is whole"


def check_scores() -> str:
    """Checks that scores do not depend on the batch, on samples of the demo."""
    from lancet_core.operations import batch_dependence

    assets = read_assets()
    samples, queries = read_samples(assets.path("samples")), _read_table(assets.path("queries"))
    scored = samples.iloc[:: max(1, len(samples) // SAMPLES_SCORED)].head(SAMPLES_SCORED)
    scores = batch_dependence.score_in_batches(
        str(assets.path("model")),
        samples=list(zip(scored["prompt"], scored["response"], strict=True)),
        query=(str(queries["prompt"].iloc[0]), str(queries["response"].iloc[0])),
        template=str(assets.manifest["template"]),
    )
    return judge_scores(batch_dependence.largest_difference(scores))


def judge_scores(difference: float) -> str:
    """Says whether scores depend on the batch; `difference` is the largest one, in units of the largest score."""
    detail = f"change with the batch by {difference:.1e} of the largest, accepted is {LARGEST_DIFFERENCE:.0e}"
    if difference <= LARGEST_DIFFERENCE:
        return detail
    raise NumericalError(
        f"{detail}; attribute with --dtype float64 or --device cpu, or on a GPU set NVIDIA_TF32_OVERRIDE=0 and check again"
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}; restore it from the checkout") from error


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
