"""The folder that holds everything a person made: database, studies, runs."""

import os
from dataclasses import dataclass
from pathlib import Path

from lancet_core.errors import ConfigError

ENVIRONMENT_VARIABLE = "LANCET_WORKSPACE"
DEFAULT_FOLDER = Path("~/.lancet")


@dataclass(frozen=True)
class Workspace:
    """Paths inside one workspace.

    Attributes:
        folder: Absolute path of the workspace.
    """

    folder: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "lancet.db"

    @property
    def studies(self) -> Path:
        """One sub-folder for each study."""
        return self.folder / "studies"

    @property
    def models(self) -> Path:
        """One sub-folder for each model that was made of another kind of file."""
        return self.folder / "models"

    @property
    def runs(self) -> Path:
        """One sub-folder for each run."""
        return self.folder / "runs"


def open_workspace(folder: str | Path | None = None) -> Workspace:
    """Opens a workspace and makes its folders where they are missing.

    Args:
        folder: The workspace; None takes `LANCET_WORKSPACE`, and where that is unset `~/.lancet`.

    Returns:
        The workspace, its folders in place.

    Raises:
        ConfigError: The folder cannot be made or written.
    """
    chosen = Path(folder or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_FOLDER).expanduser().resolve()
    workspace = Workspace(chosen)
    try:
        workspace.studies.mkdir(parents=True, exist_ok=True)
        workspace.runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the workspace {chosen} cannot be used: {error.strerror}; "
            f"give another folder with --workspace or {ENVIRONMENT_VARIABLE}"
        ) from error
    return workspace


def as_workspace(workspace: str | Path | Workspace | None) -> Workspace:
    """Opens a workspace unless it is open already."""
    return workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
