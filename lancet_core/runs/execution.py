"""Does what a run folder asks for and writes down how it ended; shared by the worker and the model host."""

import errno
import importlib
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from lancet_core.config import from_dict
from lancet_core.errors import Cancelled, LancetError
from lancet_core.runs.operations import Operation, find_operation, load_config_class
from lancet_core.runs.reporting import FolderProgress
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store.run_status import CANCELLED, DONE, FAILED, Status

DISK_FULL_SIGNS = ("no space left on device", "os error 28")
MEMORY_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory")


def execute(
    folder: RunFolder,
    operations: Mapping[str, Operation],
    *,
    progress: FolderProgress | None = None,
    load: Callable[[str], Any] | None = None,
) -> Status:
    """Runs the operation of a folder to its end, whatever that is.

    Args:
        folder: The run folder; the caller holds its lock.
        operations: Names to operations.
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
        folder.write_result(_run(folder, operations, progress, load))
        return progress.finish(DONE)
    except Cancelled:
        return progress.finish(CANCELLED)
    except LancetError as error:
        return progress.finish(FAILED, str(error))
    except Exception as error:  # noqa: BLE001 — the last frame: whatever happened is told, its trace goes to the log
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
    operations: Mapping[str, Operation],
    progress: FolderProgress,
    load: Callable[[str], Any] | None,
) -> dict[str, Any]:
    order = folder.order
    operation = find_operation(order.operation, operations)
    config = from_dict(load_config_class(operation), order.config)
    run = importlib.import_module(operation.module).run
    lent = {} if load is None else {"load": load}
    summary: dict[str, Any] = run(config, folder.path, progress, **lent)
    return summary
