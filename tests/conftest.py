"""Fixtures that all layers use."""

import json
import os
from pathlib import Path

import pytest

from tests.tiny_models import save_tiny_model

SHARED_DATA = Path(
    os.environ.get("LANCET_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data beside the checkout; skips where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip(
            f"no real data: {SHARED_DATA} does not exist; the same schemas are tested on written rows"
        )
    return SHARED_DATA


@pytest.fixture(scope="session")
def shared_cases():
    """The folder of small inputs with a known right answer, beside the real data; skips where it is missing."""
    cases = SHARED_DATA.with_name("cases")
    if not cases.is_dir():
        pytest.skip(f"no cases: {cases} does not exist; each kind is tested on written rows too")
    return cases


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory):
    """Makes the folder of a model with random weights: `tiny_model_folder("gpt2")`, any of `tiny_models.ARCHITECTURES`."""
    made = {}

    def folder_of(architecture="llama"):
        if architecture not in made:
            made[architecture] = save_tiny_model(architecture, tmp_path_factory.mktemp(architecture))
        return made[architecture]

    return folder_of


@pytest.fixture(scope="session")
def tiny_model(tiny_model_folder):
    """Loads such a model: `tiny_model("gpt2", dtype="float64")`; everybody shares it, so leave it as it is."""
    from lancet_core.models.loading import load_language_model

    loaded = {}

    def model_of(architecture="llama", dtype="float32"):
        key = (architecture, dtype)
        if key not in loaded:
            loaded[key] = load_language_model(str(tiny_model_folder(architecture)), device="cpu", dtype=dtype)
        return loaded[key]

    return model_of


@pytest.fixture(scope="module")
def one_thread():
    """Lets torch compute in one thread, so that sums are taken in the same order every time: `pytestmark = usefixtures("one_thread")`."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def lancet(place, monkeypatch, capfd):
    """Calls a command in this process, in the folder `place`: `lancet("study", "list")` gives exit code, stdout and stderr."""
    from lancet_core.cli.main import run

    monkeypatch.setenv("LANCET_WORKSPACE", str(place / "workspace"))
    monkeypatch.chdir(place)

    def call(*arguments):
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def lancet_json(lancet):
    """Calls a command that must succeed; gives the JSON document that it prints."""

    def call(*arguments):
        code, out, err = lancet(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return call


@pytest.fixture
def stop_hosts():
    """Ends the model hosts of the workspaces that it is told of: `stop_hosts(folder)`."""
    from lancet_core.runs.client import stop_host
    from lancet_core.workspace import open_workspace

    folders = []
    yield folders.append
    for folder in folders:
        stop_host(open_workspace(folder))
