"""Remakes the assets of the demo in a worker and puts them in place when all are made. Torch-free."""

import shutil
from pathlib import Path

from lancet_core.acts.build_demo import BuildDemoRequest, DemoBuilt
from lancet_core.acts.subject import Subject
from lancet_core.errors import DataError
from lancet_core.files import replacing_folder
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import OnStatus, Run
from lancet_core.study.demo import FOLDER, MANIFEST
from lancet_core.workspace import Workspace


def remake_assets(
    workspace: Workspace,
    request: BuildDemoRequest,
    *,
    target: Path | None = None,
    on_status: OnStatus | None = None,
) -> tuple[Run[DemoBuilt], Path]:
    """Remakes the demo's assets.

    Args:
        workspace: Where the run lies.
        request: Seed and sizes.
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
    record = launcher.start(workspace, Task("build_demo", Subject("", "", ""), request))
    run: Run[DemoBuilt] = Run(workspace, record)
    assets = run.wait(on_status).result.assets
    with replacing_folder(place) as temporary:
        shutil.copytree(assets, temporary, dirs_exist_ok=True)
    return run, place
