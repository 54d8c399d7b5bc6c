"""Looks at training data as a study would be made of it: at its first rows at once, at all of them in a run of its own."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lancet_core.acts.look import Looked, LookRequest
from lancet_core.acts.subject import Subject
from lancet_core.config import fingerprint
from lancet_core.data.adapters import AUTO
from lancet_core.data.columns import parse_columns
from lancet_core.data.hub import local_data
from lancet_core.data.loading import UnderstoodRow, understand_rows
from lancet_core.errors import DataError
from lancet_core.models.template_names import check_template
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import Run
from lancet_core.store.run_status import now
from lancet_core.study.creation import Materials, check_choices, model_source
from lancet_core.workspace import Workspace

LOOK = "look"


def first_rows(
    train: str | Path, format: str = AUTO, columns: str = "", *, count: int = 20
) -> list[UnderstoodRow]:
    """Reads the first rows of a file of training samples as they are understood; no model is needed.

    Args:
        train: The file.
        format: Name of a format, or `auto`.
        columns: Columns named by hand, as `--map` takes them.
        count: How many rows.

    Raises:
        DataError: The file cannot be read.
        ConfigError: The mapping is none.
    """
    mapping = parse_columns(columns) if columns else None
    return list(islice(understand_rows(local_data(train), format, mapping), count))


def look_at(workspace: Workspace, materials: Materials) -> Run[Looked]:
    """Reads and measures all rows in a run, or finds the run that did: what a study would be made of, before any is.

    Args:
        workspace: Where the run lies.
        materials: What the study would be made of; scorers, queries and prompts do not matter.

    Raises:
        DataError: The training data is no file.
        ModelError: The model is not one.
        ConfigError: A choice or the template is none.
        JobError: No worker can be started.
    """
    return Run(workspace, launcher.find_or_start(workspace, look_task(materials)))


def find_look(workspace: Workspace, materials: Materials) -> Run[Looked] | None:
    """Finds the newest look at the same materials, whatever became of it; starts nothing."""
    record = launcher.find(workspace, look_task(materials))
    return None if record is None else Run(workspace, record)


def look_task(materials: Materials) -> Task:
    """Describes a look completely.

    Raises:
        DataError: The training data is no file.
        ModelError: The model is not one.
        ConfigError: A choice or the template is none.
    """
    check_choices(materials)
    if not isinstance(materials.train, str | Path):
        raise DataError(
            f"only files can be looked at; the training data is a {type(materials.train).__name__}"
        )
    train = local_data(materials.train).absolute()
    # Tokens are those of the base: the adapter's own folder names one that is not here.
    model = model_source(materials.base or materials.model)
    if model is None:
        raise DataError(
            "only the folder or hub id of a model can be looked at the data with; save the model first"
        )
    check_template(model, materials.template)
    request = LookRequest(
        train=str(train),
        format=materials.format,
        columns=materials.columns,
        turns=materials.turns,
        too_long=materials.too_long,
        stamp=stamp_of(train),
        day=now().date().isoformat(),
    )
    return Task(LOOK, Subject("", model, "", materials.template), request)


def stamp_of(path: Path) -> str:
    """Names what a path holds by what changes when it does; cheap enough for every look at a screen."""
    return fingerprint([list(stamp) for stamp in _stamps(path)])


def _stamps(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of each file that is read."""
    place = path if path.exists() else path.parent
    inside = [*place.glob("*"), *place.glob("data/*")] if place.is_dir() else [place]
    files = sorted(file for file in inside if file.is_file())
    for file in files:
        facts = file.stat()
        yield str(file), facts.st_size, facts.st_ctime_ns
