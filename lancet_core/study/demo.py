"""The demo study: installed from the assets that come with the checkout."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import lancet_core
from lancet_core.acts.mine import SOURCE
from lancet_core.config import from_dict
from lancet_core.data.samples import Query, read_samples
from lancet_core.errors import DataError, StoreError
from lancet_core.files import read_json, write_table
from lancet_core.influence.settings import ClusterSettings, InfluenceSettings
from lancet_core.runs import launcher
from lancet_core.runs.run import Run
from lancet_core.store import studies as store
from lancet_core.store.queries import add_queries, read_queries
from lancet_core.store.studies import NewStudy, StudyRecord
from lancet_core.study.attributions import cluster_task, clusters_attribution_task
from lancet_core.study.study import Study, handle
from lancet_core.workspace import Workspace, as_workspace

NAME = "demo"
FOLDER = Path(lancet_core.__file__).resolve().parents[1] / "assets" / "demo"
MANIFEST = "demo.json"
COMPUTED = ("README.md", "factors/", "runs/")


@dataclass(frozen=True)
class DemoAssets:
    """What the demo is made of.

    Attributes:
        folder: Folder of all assets.
        manifest: `demo.json`: paths within the folder, and the settings of the runs that come with it.
    """

    folder: Path
    manifest: dict[str, Any]

    def path(self, name: str) -> Path:
        """Path of an asset that the manifest names.

        Raises:
            DataError: The manifest does not name it, or it is missing.
        """
        path = self.folder / str(self.manifest.get(name, ""))
        if name not in self.manifest or not path.exists():
            raise DataError(
                f"the demo's {name} is missing in {self.folder}; restore it, or remake all: lancet demo build"
            )
        return path


def read_assets(folder: Path = FOLDER) -> DemoAssets:
    """Reads the manifest of the demo.

    Raises:
        DataError: It is missing or broken.
    """
    try:
        return DemoAssets(folder, read_json(folder / MANIFEST))
    except DataError as error:
        raise DataError(f"{error}; restore it, or remake the demo: lancet demo build") from error


def install_demo(workspace: str | Path | Workspace | None = None, *, folder: Path = FOLDER) -> Study:
    """Puts the demo study into a workspace: tables, queries, and the runs that come with it; models stay where they are.

    Args:
        workspace: Where to; None takes `LANCET_WORKSPACE`, and where that is unset `~/.lancet`.
        folder: Folder of the assets.

    Returns:
        The study; one that is there already stays as it is.

    Raises:
        DataError: An asset is missing.
        StoreError: The workspace holds a demo that was made from other assets.
    """
    opened, assets = as_workspace(workspace), read_assets(folder)
    known = {study.name: study for study in store.list_studies(opened)}.get(NAME)
    if known is not None:
        return handle(_same(known, assets))
    place = opened.studies / NAME
    place.mkdir(parents=True, exist_ok=True)
    samples = _scored_samples(assets)
    write_table(place / "samples.parquet", samples)
    shutil.copyfile(assets.path("prompts"), place / "prompts.parquet")
    if "factors" in assets.manifest:
        shutil.copytree(assets.path("factors"), place / "factors", dirs_exist_ok=True)
    study = store.add_study(opened, _described(assets, samples))
    _add_mined(study, pd.read_parquet(assets.path("queries")))
    _adopt_runs(study, assets)
    shutil.copyfile(assets.folder / MANIFEST, place / MANIFEST)  # last: it says that all the rest is in place
    return handle(study)


def _same(known: StudyRecord, assets: DemoAssets) -> StudyRecord:
    """Checks that an installed demo was made from these assets.

    Raises:
        StoreError: It was not.
    """
    manifest = known.folder / MANIFEST
    if manifest.is_file() and _contents(read_json(manifest)) == _contents(assets.manifest):
        return known
    raise StoreError(
        f"the study {NAME!r} of this workspace was not made from the assets in {assets.folder}; "
        f"delete it first: lancet study delete {NAME}"
    )


def _contents(manifest: dict[str, Any]) -> dict[str, Any]:
    """Seed and hashes of what the study is made of: weights, scorers and tables.

    What was computed from them may be of another version, and so may what the tokenizers say of themselves.
    """
    hashes: dict[str, str] = manifest.get("sha256", {})
    made_of = {
        name: value
        for name, value in hashes.items()
        if not name.startswith(COMPUTED) and not name.endswith("/tokenizer.json")
    }
    return {"seed": manifest.get("seed"), "sha256": made_of}


def _scored_samples(assets: DemoAssets) -> pd.DataFrame:
    samples = read_samples(assets.path("samples"))
    scores = pd.read_parquet(assets.path("scores")).set_index("sample_id")
    return samples.assign(**{name: samples["id"].map(scores[name]) for name in ("harmful", "helpful")})


def _described(assets: DemoAssets, samples: pd.DataFrame) -> NewStudy:
    counts = {
        "rows": len(samples),
        "samples": len(samples),
        "rejected": 0,
        "labelled": int(samples["is_safe"].notna().sum()),
        "unsafe": int((~samples["is_safe"].fillna(True)).sum()),
    }
    return NewStudy(
        name=NAME,
        model=str(assets.path("model")),
        template=str(assets.manifest["template"]),
        harmful_scorer=str(assets.path("harmful_scorer")),
        helpful_scorer=str(assets.path("helpful_scorer")),
        counts=counts,
    )


def _add_mined(study: StudyRecord, queries: pd.DataFrame) -> None:
    mined = [
        Query(prompt, response, category=category)
        for prompt, response, category in queries[["prompt", "response", "category"]].values
    ]
    add_queries(study, mined, SOURCE)


def _adopt_runs(study: StudyRecord, assets: DemoAssets) -> None:
    """Enters the clustering and the whole-corpus attribution that come with the demo, with the settings they were made with."""
    runs = assets.manifest.get("runs", {})
    if "cluster" not in runs:
        return
    settings = from_dict(ClusterSettings, runs["cluster"]["settings"])
    task = cluster_task(study, settings, queries=read_queries(study))
    record = launcher.adopt(study.workspace, task, results=assets.folder / runs["cluster"]["folder"])
    if "attribute" not in runs:
        return
    influence = from_dict(InfluenceSettings, runs["attribute"]["settings"])
    attribution = clusters_attribution_task(study, Run(study.workspace, record), influence)
    launcher.adopt(study.workspace, attribution, results=assets.folder / runs["attribute"]["folder"])
