"""Model folders: where they are, whether they may be loaded, and a hash that names their content. Torch-free."""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lancet_core.errors import DataError, ModelError
from lancet_core.files import check_regular, read_json

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
BASE = "base_model_name_or_path"
_WHOLE_WEIGHTS = "model.safetensors"
_ADAPTER_WEIGHTS = "adapter_model*.safetensors"
TOKENIZER_CONFIG = "tokenizer_config.json"
CHAT_TEMPLATE_FILE, CHAT_TEMPLATE_FOLDER = "chat_template.jinja", "additional_chat_templates"
_OTHER_CONFIGS = ("tokenizer.json", TOKENIZER_CONFIG, "generation_config.json")
_BLOCK = 1 << 20
_WHOLE_FILE_BYTES = 64 * _BLOCK
_SAMPLED_BLOCKS = 64
_LARGEST_CONFIG_BYTES = 256 << 20
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
    """Checks that a folder holds a model that may be loaded: a config and whole safetensors files, not quantised.

    An adapter (PEFT) has a config of its own and names the model it belongs to, which is checked as well. Pickled weights beside
    safetensors are never read; `ignored_weights` names them.

    Raises:
        ModelError: Something is missing, broken or refused.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ModelError(
            f"there is no model folder {folder}; give a folder that holds config.json and *.safetensors"
        )
    for file in [*path.iterdir(), *(path / CHAT_TEMPLATE_FOLDER).glob("*")]:
        if file.exists() and not (file.is_file() or file.is_dir()):
            _check_readable(file)
    base = adapter_base(path)
    if base is None:
        _check_not_quantised(path)
    else:
        check_model_folder(base)
    for name in _OTHER_CONFIGS:
        if (path / name).exists():
            read_config(path, name)
    weights, pickled = weight_files(path), _pickled(path)
    if pickled and not weights:
        raise ModelError(
            f"the model folder {folder} holds pickled weights ({', '.join(pickled)}), which can run code when loaded; "
            "only safetensors are accepted: convert them with save_pretrained"
        )
    if not weights:
        raise ModelError(
            f"the model folder {folder} has no *.safetensors file; save the model with save_pretrained, which writes one"
        )
    for file in [*weights, *_indexed_shards(path)]:
        weight_shapes(file)


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model; trainers write the model's config beside some adapters.

    Raises:
        ModelError: It holds the weights of both.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        return False
    adapter = set(folder.glob(_ADAPTER_WEIGHTS))
    whole = set(folder.glob("*.safetensors")) - adapter
    if adapter and whole and (folder / CONFIG).is_file():
        raise ModelError(
            f"{folder} holds an adapter and a whole model ({min(file.name for file in whole)}); give a folder with one of them"
        )
    return bool(adapter) or not (folder / CONFIG).is_file()


def adapter_base(folder: Path) -> Path | None:
    """Finds the model that an adapter belongs to; None where the folder holds a whole model.

    Raises:
        ModelError: The adapter does not say which, or that model is missing.
    """
    if not is_adapter(folder):
        return None
    model = read_config(folder, ADAPTER_CONFIG).get(BASE)
    if not isinstance(model, str) or not model:
        raise ModelError(
            f"{folder / ADAPTER_CONFIG} does not say which model the adapter belongs to; name its folder or hub id with --base "
            "(base= in Python)"
        )
    beside = folder / model
    try:
        base = beside.resolve() if beside.is_dir() else resolve_model(model)
    except ModelError as error:
        raise ModelError(
            f"the adapter {folder} belongs to the model {model}, which is not here; say where it lies with --base FOLDER (base= in "
            f"Python): {error}"
        ) from error
    if not (base / CONFIG).is_file() and (base / ADAPTER_CONFIG).is_file():
        raise ModelError(
            f"the adapter {folder} belongs to {base}, which is an adapter itself; merge that one into its model first"
        )
    return base


def tokenizer_folder(folder: Path) -> Path:
    """Where the tokenizer of a model lies: an adapter may have none of its own.

    Raises:
        ModelError: The folder holds an adapter whose model is missing.
    """
    base = adapter_base(folder)
    return folder if base is None or (folder / TOKENIZER_CONFIG).is_file() else base


def weight_files(folder: Path) -> list[Path]:
    """Lists the safetensors files that are loaded of a folder: an adapter's, the whole model's, or the shards that its index names.

    Others may lie beside them, as those of the model's maker in a layout of its own. Where nothing tells, all are.
    """
    if is_adapter(folder):
        return sorted(folder.glob(_ADAPTER_WEIGHTS)) or sorted(folder.glob("*.safetensors"))
    whole = folder / _WHOLE_WEIGHTS
    if whole.is_file():
        return [whole]
    return _indexed_shards(folder) or sorted(folder.glob("*.safetensors"))


def ignored_weights(folder: str | Path) -> list[str]:
    """Names weight files of a model, and of the model below an adapter, that are not read: pickled ones beside safetensors, and safetensors that belong to no index."""
    path = Path(folder)
    if not path.is_dir():
        return []
    read = {file.name for file in weight_files(path)}
    others = {file.name for file in path.glob("*.safetensors")} - read
    base = adapter_base(path)
    below = set() if base is None else set(ignored_weights(base))
    return sorted(others | below | set(_pickled(path)))


def count_parameters(folder: str | Path) -> int:
    """Counts the parameters that lie in a model folder, and those of the model that an adapter belongs to.

    Raises:
        ModelError: There is no such folder, or a weight file is missing or broken.
    """
    path = Path(folder)
    base = adapter_base(path)
    count = sum(math.prod(shape) for file in weight_files(path) for shape in weight_shapes(file).values())
    return count + (count_parameters(base) if base is not None else 0)


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """Reads a JSON file of a model folder.

    Raises:
        ModelError: It is missing or broken, or holds something else than one object.
    """
    config = folder / name
    if not config.exists():
        raise ModelError(f"the model folder {folder} has no {name}; give a folder written by save_pretrained")
    try:
        content = read_json(config, limit=_LARGEST_CONFIG_BYTES)
    except DataError as error:
        raise ModelError(str(error)) from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{config} holds {type(content).__name__}; it takes one JSON object; restore the file"
        )
    return content


def weight_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Reads the names and shapes of the tensors in a safetensors file from its header.

    Raises:
        ModelError: The file is missing, cut short or of another format.
    """
    from safetensors import SafetensorError, safe_open

    if not file.exists():
        raise ModelError(f"the weight file {file} is missing; restore it, or save the model again")
    _check_readable(file)
    try:
        with safe_open(file, framework="np") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"the weight file {file} is broken ({error}); copy it again, or save the model again"
        ) from error


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
        # Without the base's place: its content is hashed.
        own = {name: value for name, value in read_config(path, ADAPTER_CONFIG).items() if name != BASE}
        digest.update(json.dumps(own, sort_keys=True).encode())
    names = {CONFIG, "tokenizer.json", TOKENIZER_CONFIG, CHAT_TEMPLATE_FILE}
    names |= {file.name for file in weight_files(path)}
    named_templates = sorted((path / CHAT_TEMPLATE_FOLDER).glob("*.jinja"))
    for file in [*sorted(path.iterdir()), *named_templates]:
        if file.name in names or file.suffix == ".model" or file in named_templates:
            digest.update(f"{file.name}:{file.stat().st_size}".encode())
            for block in file_blocks(file):
                digest.update(block)
    return digest.hexdigest()[:16]


def _check_not_quantised(folder: Path) -> None:
    """Refuses weights in few bits: no gradient passes through them.

    Raises:
        ModelError: The config says that they are.
    """
    found = read_config(folder, CONFIG).get("quantization_config")
    if not found:
        return
    facts = found if isinstance(found, dict) else {}
    bits = next((f"{size}-bit" for size in (4, 8) if facts.get(f"load_in_{size}bit")), "")
    kind = " ".join(
        filter(None, (str(facts.get("quant_method") or ""), bits or str(facts.get("bits") or "")))
    )
    raise ModelError(
        f"the weights in {folder} are quantised ({kind or 'quantization_config'}), and no gradient passes through them; give the model "
        "that they were made from, of an adapter with --base, or save them with dequantize() and save_pretrained where they run"
    )


def _pickled(folder: Path) -> list[str]:
    return sorted({file.name for pattern in _PICKLED_WEIGHTS for file in folder.glob(pattern)})


def _check_readable(file: Path) -> None:
    """Checks that transformers may open a file: a pipe among the tokenizer's files would stop it for ever."""
    try:
        check_regular(file)
    except DataError as error:
        raise ModelError(str(error)) from error


def _fetch(name: str) -> Path:
    """Downloads config, tokenizer and safetensors of a Hub model, or takes them from the local cache."""
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


def _indexed_shards(path: Path) -> list[Path]:
    """Weight files that the index promises, so that a missing one is reported."""
    name = "model.safetensors.index.json"
    if not (path / name).exists():
        return []
    names = read_config(path, name).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(shard, str) for shard in names.values()):
        raise ModelError(f"{path / name} has no weight_map of parameter names to files; restore the file")
    return [path / Path(shard).name for shard in sorted(set(names.values()))]


def file_blocks(file: Path) -> Iterator[bytes]:
    """Gives the blocks of a file that its hash is made of: all up to 64 MB, above that 64 evenly spaced ones."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= _WHOLE_FILE_BYTES:
            while block := stream.read(_BLOCK):
                yield block
            return
        for number in range(_SAMPLED_BLOCKS):
            stream.seek((size - _BLOCK) * number // (_SAMPLED_BLOCKS - 1))
            yield stream.read(_BLOCK)
