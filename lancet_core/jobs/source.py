"""Where the program's own source lies and whether it changed."""

import hashlib
import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent


def source_fingerprint() -> str:
    """Hashes names, sizes and times of the package's files: another value means that the code may differ."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        facts = path.stat()
        digest.update(f"{path.relative_to(PACKAGE)}:{facts.st_size}:{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def child_environment() -> dict[str, str]:
    """The environment of a detached process, which finds the package from whatever folder it is started.

    OpenMP threads that wait for each other sleep instead of spinning: with other processes on the cores (a browser, another
    run) spinning made a small model 20 to 60 times slower, measured with a load of 10 on two cores.
    """
    others = os.environ.get("PYTHONPATH")
    paths = f"{ROOT}{os.pathsep}{others}" if others else str(ROOT)
    return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": paths}
