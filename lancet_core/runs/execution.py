"""Does what a run folder asks for and writes down how it ended; shared by the worker and the model host."""

import errno
import importlib
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lancet_core.acts.results import Result, write_result
from lancet_core.acts.subject import Subject
from lancet_core.acts.table import Act, find_act
from lancet_core.config import from_dict
from lancet_core.errors import Cancelled, LancetError
from lancet_core.runs.reporting import FolderProgress
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store.run_status import CANCELLED, DONE, FAILED, Status

LOADING = "lancet_core.models.loading"
DISK_FULL_SIGNS = ("no space left on device", "os error 28")
MEMORY_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory")


def execute(
    folder: RunFolder,
    acts: Mapping[str, Act],
    *,
    progress: FolderProgress | None = None,
    load: Callable[..., Any] | None = None,
) -> Status:
    """Does the act of a run folder to its end, whatever that is.

    Args:
        folder: The run folder; the caller holds its lock.
        acts: Names to acts.
        progress: Where it reports to; None reports to the folder.
        load: Gives the operation its language models; None lets it load them itself.

    Returns:
        How it ended.

    Raises:
        OSError: Not even the status can be written.
    """
    progress = progress or FolderProgress(folder)
    try:
        progress.begin()
        result = _run(folder, acts, progress, load)
        write_result(folder.path, result)
        return progress.finish(DONE, outcome=result.outcome)
    except Cancelled:
        return progress.finish(CANCELLED)
    except LancetError as error:
        return progress.finish(FAILED, str(error))
    except Exception as error:  # noqa: BLE001 — the last frame: whatever happened is reported, its trace goes to the log
        status = progress.finish(FAILED, explain(error))
        progress.log(traceback.format_exc())
        return status


def explain(error: Exception) -> str:
    """Says in words what an error that nobody foresaw means to the person who waits for the run."""
    text = f"{type(error).__name__}: {error}"
    lowered = text.lower()
    if getattr(error, "errno", None) == errno.ENOSPC or any(sign in lowered for sign in DISK_FULL_SIGNS):
        return "the disk is full; free some space and resume the run: what was finished is kept"
    if isinstance(error, MemoryError) or any(sign in lowered for sign in MEMORY_SIGNS):
        return f"out of memory; choose smaller batches, shorter texts or fewer samples ({text})"
    return f"internal error: {text}; the log has the trace"


def _run(
    folder: RunFolder,
    acts: Mapping[str, Act],
    progress: FolderProgress,
    load: Callable[..., Any] | None,
) -> Result:
    order = folder.order
    act = find_act(order.act, acts)
    subject, request = from_dict(Subject, order.subject), from_dict(act.request, order.request)
    run = importlib.import_module(act.operation).run
    lent = _loader(subject, load)
    result: Result = run(subject, request, folder=folder.path, progress=progress, **lent)
    return result


def _loader(subject: Subject, load: Callable[..., Any] | None) -> dict[str, Any]:
    """What gives an operation its models, with the number type and on the device of the subject; empty where that is its usual way."""
    if load is None and not subject.loading:
        return {}
    if load is None:
        load = importlib.import_module(LOADING).load_language_model
    return {"load": partial(load, **subject.loading)}
