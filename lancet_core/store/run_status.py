"""Where a run stands, read from its folder: `status.json` and the lock that its worker holds while it lives.

A worker holds an exclusive `flock` on `lock` from before its first status until it ends, however it ends. So a status that
says *running* without a held lock means that the worker died; this is found by reading, nobody has to write it.
"""

import fcntl
import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from lancet_core.files import read_json_or_none, write_json

QUEUED, RUNNING, DONE, FAILED, CANCELLED = STATES = ("queued", "running", "done", "failed", "cancelled")
FINAL_STATES = (DONE, FAILED, CANCELLED)
STATUS_FILE, LOCK_FILE = "status.json", "lock"
DIED = "the worker died; resume it"
UNREADABLE = "status.json is missing or unreadable and no worker is alive; resume it"


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Status:
    """Where a run stands.

    Attributes:
        state: `queued`, `running`, `done`, `failed` or `cancelled`.
        step: Name of the stage, empty before the first.
        done: Units of work finished in this stage.
        total: Units of work in this stage, None where unknown.
        started_at: When the worker started (UTC), None before.
        updated_at: When this was written (UTC).
        eta_seconds: Seconds left in this stage, None where unknown.
        error: Why it failed; empty otherwise.
        outcome: What it found, in a few words; empty before it is done.
    """

    state: str
    step: str = ""
    done: int = 0
    total: int | None = None
    started_at: datetime | None = None
    updated_at: datetime | None = None
    eta_seconds: float | None = None
    error: str = ""
    outcome: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in FINAL_STATES


def read_status(folder: Path) -> Status:
    """Reads where a run stands; a run that says it is going and holds no lock has failed."""
    found = _parse(folder / STATUS_FILE)
    if found is not None and found.is_final:
        return found
    if is_locked(folder):
        return found or Status(RUNNING)
    found = _parse(folder / STATUS_FILE)  # it may have ended between the first look and the lock
    if found is None:
        return Status(FAILED, error=UNREADABLE)
    return found if found.is_final else replace(found, state=FAILED, eta_seconds=None, error=DIED)


def write_status(folder: Path, status: Status) -> None:
    """Replaces `status.json` whole.

    Raises:
        OSError: It cannot be written; the one before stays.
    """
    values = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(status).items()
    }
    write_json(folder / STATUS_FILE, values)


def is_locked(folder: Path) -> bool:
    """Whether a live worker holds the run."""
    return is_locked_file(folder / LOCK_FILE)


def is_locked_file(path: Path) -> bool:
    """Whether a live process holds the lock on a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _parse(path: Path) -> Status | None:
    values = read_json_or_none(path)
    if not isinstance(values, dict) or values.get("state") not in STATES:
        return None
    try:
        return Status(
            state=values["state"],
            step=str(values.get("step") or ""),
            done=int(values.get("done") or 0),
            total=None if values.get("total") is None else int(values["total"]),
            started_at=_moment(values.get("started_at")),
            updated_at=_moment(values.get("updated_at")),
            eta_seconds=None if values.get("eta_seconds") is None else float(values["eta_seconds"]),
            error=str(values.get("error") or ""),
            outcome=str(values.get("outcome") or ""),
        )
    except (TypeError, ValueError):
        return None


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)
