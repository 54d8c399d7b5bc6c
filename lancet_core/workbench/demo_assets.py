"""The demo study: installed from the assets that come with the checkout, and those assets remade."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import lancet_core
from lancet_core.config import from_dict
from lancet_core.data.samples import Query, read_samples
from lancet_core.errors import DataError, StoreError
from lancet_core.files import replacing_folder
from lancet_core.influence.settings import ClusterSettings, InfluenceSettings
from lancet_core.operations.configs import BuildDemoConfig
from lancet_core.runs import launcher
from lancet_core.store import studies as store
from lancet_core.store.queries import add_queries
from lancet_core.store.runs import RunRecord
from lancet_core.store.studies import NewStudy, Study
from lancet_core.workbench.attributions import cluster_attribution_config, clusters_config
from lancet_core.workbench.cases import study_queries
from lancet_core.workbench.waiting import OnStatus, finish
from lancet_core.workspace import Workspace

NAME = "demo"
FOLDER = Path(lancet_core.__file__).resolve().parents[1] / "assets" / "demo"
MANIFEST = "demo.json"
TABLES = ("samples.parquet", "prompts.parquet", "scores.parquet")
MINED = "mined"


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
    path = folder / MANIFEST
    try:
        return DemoAssets(folder, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(
            f"the demo has no readable {path}; restore it, or remake all: lancet demo build"
        ) from error


def install(workspace: Workspace, folder: Path = FOLDER) -> Study:
    """Puts the demo study into a workspace: tables, queries, and the runs that come with it; models stay where they are.

    Args:
        workspace: Where to.
        folder: Folder of the assets.

    Returns:
        The study; one that is there already stays as it is.

    Raises:
        DataError: An asset is missing.
        StoreError: The workspace holds a demo that was made from other assets.
    """
    assets = read_assets(folder)
    known = {study.name: study for study in store.list_studies(workspace)}.get(NAME)
    if known is not None:
        return _same(known, assets)
    place = workspace.studies / NAME
    place.mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        shutil.copyfile(assets.path(table.removesuffix(".parquet")), place / table)
    if "factors" in assets.manifest:
        shutil.copytree(assets.path("factors"), place / "factors", dirs_exist_ok=True)
    study = store.add_study(workspace, _described(assets, place))
    _add_mined(workspace, pd.read_parquet(assets.path("queries")))
    _adopt_runs(workspace, study, assets)
    shutil.copyfile(assets.folder / MANIFEST, place / MANIFEST)  # last: it says that all the rest is in place
    return study


def rebuild(
    workspace: Workspace,
    config: BuildDemoConfig,
    *,
    target: Path | None = None,
    on_status: OnStatus | None = None,
) -> tuple[RunRecord, Path]:
    """Remakes the demo's assets in a worker and puts them in place when all are made.

    Args:
        workspace: Where the run lies.
        config: Seed and sizes.
        target: Folder of the assets; None takes those of the checkout.
        on_status: Told where the run stands.

    Returns:
        The run, and the folder of the assets.

    Raises:
        JobError: The run failed.
        Cancelled: A person stopped it.
        DataError: The folder holds something that is no demo.
    """
    place = (target or FOLDER).expanduser().resolve()
    if place.exists() and any(place.iterdir()) and not (place / MANIFEST).is_file():
        raise DataError(f"{place} holds something that is no demo; give a new folder with --out")
    run = finish(workspace, launcher.start(workspace, "build_demo", config), on_status)
    with replacing_folder(place) as temporary:
        shutil.copytree(run.folder / "assets", temporary, dirs_exist_ok=True)
    return run, place


def _same(known: Study, assets: DemoAssets) -> Study:
    """Checks that an installed demo was made from these assets.

    Raises:
        StoreError: It was not.
    """
    manifest = known.folder / MANIFEST
    if manifest.is_file() and json.loads(manifest.read_text(encoding="utf-8")) == assets.manifest:
        return known
    raise StoreError(
        f"the study {NAME!r} of this workspace was not made from the assets in {assets.folder}; "
        f"delete it first: lancet study delete {NAME}"
    )


def _described(assets: DemoAssets, place: Path) -> NewStudy:
    samples = read_samples(place / "samples.parquet")
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


def _add_mined(workspace: Workspace, queries: pd.DataFrame) -> None:
    mined = [
        Query(prompt, response)
        for prompt, response in zip(queries["prompt"], queries["response"], strict=True)
    ]
    categories = dict(zip((query.id for query in mined), queries["category"], strict=True))
    add_queries(workspace, NAME, mined, MINED, categories=categories)


def _adopt_runs(workspace: Workspace, study: Study, assets: DemoAssets) -> None:
    """Enters the clustering and the whole-corpus attribution that come with the demo, with the settings they were made with."""
    runs = assets.manifest.get("runs", {})
    if "cluster" not in runs:
        return
    settings = from_dict(ClusterSettings, runs["cluster"]["settings"])
    config = clusters_config(study, settings=settings, queries=study_queries(workspace, study))
    results = assets.folder / runs["cluster"]["folder"]
    clusters = launcher.adopt(workspace, "cluster", config, results=results, study=study.name)
    if "attribute" not in runs:
        return
    influence = from_dict(InfluenceSettings, runs["attribute"]["settings"])
    attribution = cluster_attribution_config(workspace, study, cluster_run_id=clusters, settings=influence)
    results = assets.folder / runs["attribute"]["folder"]
    launcher.adopt(
        workspace, "attribute", attribution, results=results, study=study.name, parents=(clusters,)
    )
