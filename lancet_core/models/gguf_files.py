"""Models given as one GGUF file: where it is, whether it can be read here, and a hash that names its content. Torch-free."""

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any

from lancet_core.errors import ModelError
from lancet_core.files import read_json_or_none
from lancet_core.models.fingerprints import file_blocks

SUFFIX = ".gguf"
UNPACKED = "unpacked.json"
_MAGIC = b"GGUF"


def find_gguf(model: str | Path) -> Path | None:
    """Finds the GGUF file that stands for a model.

    Args:
        model: A file, a folder, or an id on the Hub.

    Returns:
        The file, or the only one in a folder without safetensors; None where the model is given otherwise.

    Raises:
        ModelError: The folder holds several such files.
    """
    path = Path(model).expanduser()
    if path.is_file() and path.suffix.lower() == SUFFIX:
        return path.resolve()
    if not path.is_dir() or any(path.glob("*.safetensors")):
        return None
    files = sorted(file for file in path.iterdir() if file.is_file() and file.suffix.lower() == SUFFIX)
    if len(files) > 1:
        raise ModelError(
            f"the folder {path} holds {len(files)} GGUF files ({', '.join(file.name for file in files[:4])}"
            f"{' …' if len(files) > 4 else ''}); give the path of one"
        )
    return files[0].resolve() if files else None


def check_gguf(file: Path) -> None:
    """Checks that a file begins as GGUF does, and that the package is there that transformers reads it with.

    Raises:
        ModelError: It is something else, or the package is missing.
    """
    with file.open("rb") as stream:
        beginning = stream.read(len(_MAGIC))
    if beginning != _MAGIC:
        raise ModelError(
            f"{file} is no GGUF file: it begins with {beginning!r} and not with {_MAGIC!r}; copy it again, or give a folder of "
            "safetensors"
        )
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(
            f"{file} is a GGUF file, and the package that reads those is not installed: pip install gguf"
        )


def unpacked_folder(models: Path, file: Path) -> Path:
    """Names the folder that a GGUF file is unpacked to: by its name and a hash of its content, large ones by evenly spaced blocks.

    Args:
        models: Folder of all unpacked models.
        file: The GGUF file.
    """
    digest = hashlib.sha256(f"{file.stat().st_size}".encode())
    for block in file_blocks(file):
        digest.update(block)
    name = re.sub(r"[^\w.-]", "-", file.stem)
    return models / f"{name}-{digest.hexdigest()[:12]}"


def unpacking_facts(folder: str | Path) -> dict[str, Any]:
    """What was noted when a GGUF file was unpacked to a folder (`UNPACKED`); empty for other models."""
    facts = read_json_or_none(Path(folder) / UNPACKED)
    return facts if isinstance(facts, dict) else {}
