"""A run is a folder: what was asked, where it stands, what it measured, what it said, and what came out.

| file | written by | holds |
|---|---|---|
| `config.json` | launcher | act, subject, request, study, case, parents, versions |
| `inputs/` | launcher | tables that the run was given |
| `status.json` | worker, by rename | `store.run_status.Status` |
| `lock` | launcher, then worker | held while the worker lives |
| `worker.json` | launcher or host | process id of the worker |
| `cancel` | whoever cancels | nothing; it is there |
| `metrics.jsonl` | worker | one line for each measurement |
| `log.txt` | worker | its output |
| `result.json` and tables | worker | the results |
"""

import importlib.metadata
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lancet_core.errors import JobError
from lancet_core.files import read_json_or_none, write_json
from lancet_core.runs.source import source_fingerprint
from lancet_core.store import run_status
from lancet_core.store.run_status import Status

if TYPE_CHECKING:
    import pandas as pd

CONFIG_FILE, WORKER_FILE, CANCEL_FILE = "config.json", "worker.json", "cancel"
METRICS_FILE, LOG_FILE, INPUTS_FOLDER = "metrics.jsonl", "log.txt", "inputs"
PROTOCOL_FILES = (CONFIG_FILE, run_status.STATUS_FILE, run_status.LOCK_FILE, WORKER_FILE, CANCEL_FILE)
PACKAGES = ("lancet", "torch", "transformers", "numpy", "pandas", "safetensors", "peft", "scikit-learn")
LOG_TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class Order:
    """What a run was asked to do.

    Attributes:
        act: Name of the act.
        subject: What it was asked of, as plain values.
        request: What was asked, as plain values.
        key: Fingerprint of both by content.
        study: Study it belongs to, None where it belongs to none.
        case_id: Query at hand when it was started, empty where there was none.
        parents: Ids of the runs whose results it uses.
    """

    act: str
    subject: dict[str, Any]
    request: dict[str, Any]
    key: str
    study: str | None = None
    case_id: str = ""
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunFolder:
    """Reads a run folder; every file may be missing, half written or broken.

    Attributes:
        path: The folder; its name is the run's id.
    """

    path: Path

    @property
    def id(self) -> str:
        """Id of the run."""
        return self.path.name

    @property
    def log(self) -> Path:
        """The log file."""
        return self.path / LOG_FILE

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.path / run_status.LOCK_FILE

    @property
    def order(self) -> Order:
        """What the run was asked to do.

        Raises:
            JobError: `config.json` is missing or broken.
        """
        values = read_json_or_none(self.path / CONFIG_FILE)
        if not isinstance(values, dict) or not ({"act", "request"} <= set(values) or "config" in values):
            raise JobError(
                f"{self.path / CONFIG_FILE} is missing or broken; delete the run and start it again"
            )
        return Order(  # before schema 0003 an act was called an operation, and its request a config
            act=str(values.get("act") or values.get("operation")),
            subject=values.get("subject", {}),
            request=values.get("request") or values.get("config") or {},
            key=values.get("key", ""),
            study=values.get("study"),
            case_id=values.get("case_id", ""),
            parents=tuple(values.get("parents", ())),
        )

    @property
    def inputs(self) -> Path:
        """The folder of the tables that the run was given."""
        return self.path / INPUTS_FOLDER

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the software that the run was asked with."""
        values = read_json_or_none(self.path / CONFIG_FILE)
        return dict(values.get("versions", {})) if isinstance(values, dict) else {}

    def status(self) -> Status:
        """Where the run stands."""
        return run_status.read_status(self.path)

    def is_alive(self) -> bool:
        """Whether a worker holds the run."""
        return run_status.is_locked(self.path)

    def worker_pid(self) -> int | None:
        """Process id of the worker; meaningful only while the run is alive."""
        values = read_json_or_none(self.path / WORKER_FILE)
        return values.get("pid") if isinstance(values, dict) else None

    def metrics(self) -> "pd.DataFrame":
        """Measurements in the order of their making: `stage`, `step`, `total`, `seconds` since the start, then values.

        Lines of one stage and step are joined; where a resumed run measured a step again, the later value stands.
        """
        import pandas as pd  # not needed by the worker that writes

        rows = _read_lines(self.path / METRICS_FILE)
        if not rows:
            return pd.DataFrame(columns=["stage", "step", "total", "seconds"])
        frame = pd.DataFrame(rows)
        return frame.groupby(["stage", "step"], sort=False, as_index=False).last()

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of the log."""
        if not self.log.is_file():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def request_cancel(self) -> None:
        """Asks the worker to stop at its next step."""
        (self.path / CANCEL_FILE).touch()

    def cancel_requested(self) -> bool:
        """Whether somebody asked the worker to stop."""
        return (self.path / CANCEL_FILE).exists()

    def clear_cancel(self) -> None:
        """Takes the wish to stop back, before a resume."""
        (self.path / CANCEL_FILE).unlink(missing_ok=True)

    def write_order(self, order: Order) -> None:
        """Writes `config.json`, with the versions of the software."""
        values = {
            "act": order.act,
            "study": order.study,
            "case_id": order.case_id,
            "parents": list(order.parents),
            "key": order.key,
            "versions": _versions(),
            "subject": order.subject,
            "request": order.request,
        }
        write_json(self.path / CONFIG_FILE, values)

    def write_worker(self, pid: int) -> None:
        """Names the process that works on the run."""
        write_json(self.path / WORKER_FILE, {"pid": pid})

    def write_status(self, status: Status) -> None:
        """Replaces `status.json` whole."""
        run_status.write_status(self.path, status)


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Reads JSON lines; a half-written one is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and {"stage", "step"} <= set(row):
            rows.append(row)
    return rows


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "source": source_fingerprint()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
