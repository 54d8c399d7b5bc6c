"""Does an act in this process, without a workspace: writes its inputs where a worker finds them, and runs its operation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.acts.results import INPUTS
from lancet_core.acts.subject import Subject
from lancet_core.files import write_json_lines, write_table
from lancet_core.progress import Progress, silent


@dataclass(frozen=True)
class Order:
    """What is asked of what, with the tables that the run is given: rows for `.jsonl`, else a table, each by its file name."""

    subject: Subject
    request: Any
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def changed(self, **values: Any) -> "Order":
        """The same order with other values of its subject or of its request, by their names."""
        subject = {name: value for name, value in values.items() if hasattr(self.subject, name)}
        request = {name: value for name, value in values.items() if name not in subject}
        return replace(
            self, subject=replace(self.subject, **subject), request=replace(self.request, **request)
        )


def perform(run: Callable[..., Any], order: Order, folder: Path, progress: Progress = silent) -> Any:
    """Runs an operation on an order; a second time in one folder resumes it."""
    (folder / INPUTS).mkdir(parents=True, exist_ok=True)
    for name, table in order.inputs.items():
        write = write_table if isinstance(table, pd.DataFrame) else write_json_lines
        write(folder / INPUTS / name, table)
    return replace(run(order.subject, order.request, folder=folder, progress=progress), folder=folder)
