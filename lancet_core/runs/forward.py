"""Brings a run to a model host that is not up yet: `python -m lancet_core.runs.forward FOLDER --lock N`.

Whoever starts a run does not wait for the host; this short-lived process does, and holds the run's lock meanwhile.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lancet_core.errors import JobError
from lancet_core.runs import client
from lancet_core.runs.run_folder import RunFolder
from lancet_core.store.run_status import FAILED, QUEUED, Status, now
from lancet_core.workspace import Workspace

FORWARD_MODULE = "lancet_core.runs.forward"
WAITING = "Starting the model host"


def main(arguments: Sequence[str]) -> int:
    """Hands one run over.

    Returns:
        0 when the host has it, 1 otherwise.
    """
    parser = argparse.ArgumentParser(prog=FORWARD_MODULE, description="Hands a run to the model host.")
    parser.add_argument("folder", type=Path, help="the run folder")
    parser.add_argument("--lock", type=int, required=True, help="open file that holds the run's lock")
    asked = parser.parse_args(arguments)
    folder = RunFolder(asked.folder)
    folder.write_status(Status(QUEUED, step=WAITING, updated_at=now()))
    try:
        client.run_warm(Workspace(asked.folder.parents[1]), asked.folder, lock=asked.lock)
    except JobError as error:
        folder.write_status(Status(FAILED, step=WAITING, updated_at=now(), error=str(error)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
