"""Model folders: where they are, whether they may be loaded, and a hash that names their content. Torch-free."""

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lancet_core.errors import ModelError

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
_BLOCK = 1 << 20
_WHOLE_FILE_BYTES = 64 * _BLOCK
_SAMPLED_BLOCKS = 64
_LONGEST_HEADER_BYTES = 100 << 20
_HUB_FILES = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja")
_PICKLED_WEIGHTS = (
    "pytorch_model*.bin", "adapter_model*.bin", "consolidated*.pt", "consolidated*.pth", "model*.pt", "model*.pth",
    "*.ckpt", "*.pkl", "*.pickle",
)  # fmt: skip


def resolve_model(folder_or_id: str | Path) -> Path:
    """Finds the folder of a model, fetching it from the Hub where an id was given.

    Args:
        folder_or_id: A folder, or an id like `organisation/name`; a folder wins.

    Returns:
        The folder, absolute.

    Raises:
        ModelError: There is no such folder and the Hub does not give the model.
    """
    folder = Path(folder_or_id).expanduser()
    if folder.is_dir():
        return folder.resolve()
    name = str(folder_or_id)
    parts = name.split("/")
    if len(parts) > 2 or name.startswith((".", "/", "~")) or not all(parts) or folder.exists():
        raise ModelError(
            f"there is no model folder {name}; give a folder that holds config.json and *.safetensors"
        )
    return _fetch(name)


def check_model_folder(folder: str | Path) -> None:
    """Checks that a folder holds a model that may be loaded: a config and whole safetensors files, no pickled weights.

    An adapter (PEFT) has a config of its own and names the model it belongs to, which is checked as well.

    Raises:
        ModelError: Something is missing, broken or refused.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ModelError(
            f"there is no model folder {folder}; give a folder that holds config.json and *.safetensors"
        )
    base = adapter_base(path)
    if base is None:
        _read_config(path, CONFIG)
    else:
        check_model_folder(base)
    weights = sorted(path.glob("*.safetensors"))
    pickled = sorted({found.name for pattern in _PICKLED_WEIGHTS for found in path.glob(pattern)})
    if pickled:
        raise ModelError(
            f"the model folder {folder} holds pickled weights ({', '.join(pickled)}), which can run code when loaded; "
            "only safetensors are accepted: convert them with save_pretrained and remove the pickled files"
        )
    if not weights:
        raise ModelError(
            f"the model folder {folder} has no *.safetensors file; save the model with save_pretrained, which writes one"
        )
    for shard in [*weights, *_indexed_shards(path)]:
        _check_safetensors(shard)


def adapter_base(folder: Path) -> Path | None:
    """Finds the model that an adapter belongs to; None where the folder holds a whole model.

    Raises:
        ModelError: The adapter does not say which, or that model is missing.
    """
    if (folder / CONFIG).is_file() or not (folder / ADAPTER_CONFIG).is_file():
        return None
    named = _read_config(folder, ADAPTER_CONFIG).get("base_model_name_or_path")
    if not named:
        raise ModelError(
            f"{folder / ADAPTER_CONFIG} does not say which model the adapter belongs to; set base_model_name_or_path"
        )
    beside = folder / str(named)
    return beside.resolve() if beside.is_dir() else resolve_model(str(named))


def fingerprint_model(folder: str | Path) -> str:
    """Hashes config, tokenizer and weights of a model to 16 hexadecimal digits; of an adapter its model as well.

    Weight files above 64 MB are hashed by their header and 64 evenly spaced blocks of 1 MB, so that a large model is named in
    seconds; a change that leaves all of those blocks as they were goes unnoticed.

    Raises:
        ModelError: The folder holds no model that may be loaded.
    """
    path = Path(folder)
    check_model_folder(path)
    digest = hashlib.sha256()
    base = adapter_base(path)
    if base is not None:
        digest.update(fingerprint_model(base).encode())
    names = {CONFIG, ADAPTER_CONFIG, "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    for file in sorted(path.iterdir()):
        if file.name in names or file.suffix in {".safetensors", ".model"}:
            digest.update(f"{file.name}:{file.stat().st_size}".encode())
            for block in _blocks(file):
                digest.update(block)
    return digest.hexdigest()[:16]


def _fetch(name: str) -> Path:
    """Downloads config, tokenizer and safetensors of a Hub model, or takes them from the local cache.

    Raises:
        ModelError: The Hub cannot be reached or has no such model.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = next(
            (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        raise ModelError(
            f"there is no model folder {name}, and the Hub does not give a model of that name: {reason}; "
            "give a folder that holds config.json and *.safetensors"
        ) from error


def _read_config(path: Path, name: str) -> dict[str, Any]:
    config = path / name
    if not config.is_file():
        raise ModelError(f"the model folder {path} has no {name}; give a folder written by save_pretrained")
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"{config} is not JSON: {error}; restore the file") from error
    if not isinstance(content, dict):
        raise ModelError(f"{config} holds no JSON object; restore the file")
    return content


def _indexed_shards(path: Path) -> list[Path]:
    """Weight files that the index promises, so that a missing one is told.

    Raises:
        ModelError: The index is broken.
    """
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        return []
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{index} is broken: {error}; restore the file") from error
    return [path / Path(name).name for name in sorted(names)]


def _check_safetensors(file: Path) -> None:
    """Reads a safetensors header and compares the promised with the real size.

    Raises:
        ModelError: The file is missing, cut short or of another format.
    """
    if not file.is_file():
        raise ModelError(f"the weight file {file} is missing; restore it, or save the model again")
    size = file.stat().st_size
    try:
        promised = _promised_bytes(file)
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise ModelError(
            f"the header of the weight file {file} is broken; copy it again, or save the model again"
        ) from error
    if promised != size:
        raise ModelError(
            f"the weight file {file} holds {size} bytes, its header promises {promised}; copy it again, or save the model again"
        )


def _promised_bytes(file: Path) -> int:
    """Size of a safetensors file by its own header."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(min(length, _LONGEST_HEADER_BYTES)))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return int(8 + length + max(ends, default=0))


def _blocks(file: Path) -> Iterator[bytes]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= _WHOLE_FILE_BYTES:
            while block := stream.read(_BLOCK):
                yield block
            return
        for number in range(_SAMPLED_BLOCKS):
            stream.seek((size - _BLOCK) * number // (_SAMPLED_BLOCKS - 1))
            yield stream.read(_BLOCK)
