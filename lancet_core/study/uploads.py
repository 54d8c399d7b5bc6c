"""Files that a person uploads: kept in the workspace under their content, so that a worker, and a command, can read them."""

import hashlib
import re
from pathlib import Path

from lancet_core.files import replacing
from lancet_core.workspace import Workspace

FOLDER = "uploads"
_UNUSUAL = re.compile(r"[^\w.-]+")
LONGEST_NAME = 80


def keep_upload(workspace: Workspace, name: str, content: bytes | memoryview) -> Path:
    """Keeps a file; the same content under the same name is kept once.

    Args:
        workspace: Where it is kept.
        name: What it is called where it comes from; its ending says how it is read.
        content: Its bytes.

    Returns:
        Where it lies.
    """
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = workspace.folder / FOLDER / digest / _safe(name)
    if not path.is_file():
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return path


def _safe(name: str) -> str:
    """The last part of a name, in letters that every shell and file system takes; its ending stays."""
    words = _UNUSUAL.sub("_", re.split(r"[/\\]", name)[-1]).lstrip(".-_")
    return words[-LONGEST_NAME:] or "data"
