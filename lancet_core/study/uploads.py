"""Files that a person uploads: kept in the workspace under their content while something names them, so that a worker, and a command, can read them."""

import hashlib
import os
import re
import shutil
import time
from pathlib import Path

from lancet_core.errors import DataError
from lancet_core.files import read_text, replacing
from lancet_core.runs.run_folder import CONFIG_FILE
from lancet_core.study.making import MAKING
from lancet_core.workspace import Workspace

FOLDER = "uploads"
_UNUSUAL = re.compile(r"[^\w.-]+")
LONGEST_NAME = 80
KEPT_SECONDS = 24 * 3600


def keep_upload(workspace: Workspace, name: str, content: bytes | memoryview) -> Path:
    """Keeps a file; the same content under the same name is kept once. Older uploads that nothing names go.

    Args:
        workspace: Where it is kept.
        name: What it is called where it comes from; its ending says how it is read.
        content: Its bytes.

    Returns:
        Where it lies.
    """
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = workspace.folder / FOLDER / digest / _safe(name)
    if path.is_file():
        os.utime(path.parent)  # a form holds it; the file's own times are part of what a look is known by
    else:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        forget_uploads(workspace)
    return path


def forget_uploads(workspace: Workspace) -> None:
    """Deletes uploads that nobody held for a day, and that no study, no study being made and no run names."""
    held_since = time.time() - KEPT_SECONDS
    folders = (workspace.folder / FOLDER).glob("*")
    old = [folder for folder in folders if folder.is_dir() and folder.stat().st_mtime < held_since]
    if not old:
        return
    orders = [*workspace.studies.glob(f"*/{MAKING}"), *workspace.runs.glob(f"*/{CONFIG_FILE}")]
    try:
        texts = [read_text(order) for order in orders]
    except DataError:  # what cannot be read, or goes just now, may name any of them
        return
    for folder in old:
        if not any(folder.name in text for text in texts):
            shutil.rmtree(folder, ignore_errors=True)


def _safe(name: str) -> str:
    """The last part of a name, in letters that every shell and file system takes; its ending stays."""
    words = _UNUSUAL.sub("_", re.split(r"[/\\]", name)[-1]).lstrip(".-_")
    return words[-LONGEST_NAME:] or "data"
