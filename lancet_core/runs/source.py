"""Where the program's own source lies and whether it changed."""

import hashlib
import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent
# Where glibc hands freed memory back at every pass, each pass asks the system for it again, page by page: for a 12-layer, 768-wide
# model 2 of the 15 s of a process's first pass over 8,192 tokens and 1 of 12 later; peak memory is the same (2.9 GB). Both numbers
# or neither: with one alone every tensor is mapped anew, and 2,500 demo samples take 36 s instead of 19.
KEPT_BYTES = str(1 << 30)
KEEPS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": KEPT_BYTES, "MALLOC_TRIM_THRESHOLD_": KEPT_BYTES}


def source_fingerprint() -> str:
    """Hashes names, sizes and times of the package's files: another value means that the code may differ."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        facts = path.stat()
        digest.update(f"{path.relative_to(PACKAGE)}:{facts.st_size}:{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def child_environment() -> dict[str, str]:
    """The environment of a detached process, which finds the package from whatever folder it is started.

    OpenMP threads that wait for each other spin for some microseconds only, then sleep. Two processes that spin as long as the
    default says starve each other (a small model trained 20 to 60 times slower with a load of 10 on two cores); threads that
    sleep at once (`OMP_WAIT_POLICY=PASSIVE`) take .38 s instead of .23 s for a step of correction on an idle machine. Up to 1 GiB
    of freed memory is kept for the next batch.
    """
    others = os.environ.get("PYTHONPATH")
    paths = f"{ROOT}{os.pathsep}{others}" if others else str(ROOT)
    return {"GOMP_SPINCOUNT": "1000", **KEEPS_MEMORY, **os.environ, "PYTHONPATH": paths}
