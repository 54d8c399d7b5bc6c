"""Unpacks a GGUF file to an ordinary model: transformers reads its weights and rebuilds its tokenizer."""

import json
import math
import shutil
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils.quantization_config import GgufConfig

from lancet_core.errors import ModelError
from lancet_core.files import replacing_folder, write_json
from lancet_core.models.gguf_files import UNPACKED
from lancet_core.models.loading import LanguageModel, check_weights, context_length, loading_errors
from lancet_core.progress import Progress

BYTES_OF_A_WEIGHT = 4
_BROKEN = (ValueError, KeyError, IndexError, TypeError, OverflowError, struct.error, OSError, UnicodeError)


@dataclass(frozen=True)
class GgufFacts:
    """What a GGUF file says of itself.

    Attributes:
        architecture: Its name in GGUF, as `llama`.
        types: How its tensors are stored, as `Q4_1`.
        parameters: How many it holds.
        tokens: Size of its vocabulary.
        parts: Files that the model is split into.
    """

    architecture: str
    types: tuple[str, ...]
    parameters: int
    tokens: int
    parts: int

    @property
    def bytes_unpacked(self) -> int:
        """Size of the model as safetensors of 32-bit numbers."""
        return self.parameters * BYTES_OF_A_WEIGHT


def read_facts(file: Path) -> GgufFacts:
    """Reads what stands before the tensors of a GGUF file.

    Raises:
        ModelError: The file is broken.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
        architecture = reader.fields["general.architecture"].contents()
        split = reader.fields.get("split.count")
        return GgufFacts(
            architecture=str(architecture),
            types=tuple(sorted({tensor.tensor_type.name for tensor in reader.tensors})),
            parameters=sum(math.prod(map(int, tensor.shape)) for tensor in reader.tensors),
            tokens=len(reader.fields["tokenizer.ggml.tokens"].data),
            parts=1 if split is None else int(split.contents()),
        )
    except _BROKEN as error:
        raise ModelError(
            f"the GGUF file {file} is broken ({type(error).__name__}: {error}); copy it again"
        ) from error


def unpack_gguf(file: Path, folder: Path, progress: Progress) -> None:
    """Writes a GGUF file as safetensors of 32-bit numbers with tokenizer, chat template, and a note of what was done (`UNPACKED`).

    Args:
        file: The GGUF file.
        folder: Folder of the model; one that is there already stays as it is.
        progress: Told what is unpacked, and how large it becomes.

    Raises:
        ModelError: The file is broken, one part of several, of an unknown architecture, or larger unpacked than the disk has room.
    """
    if folder.is_dir():
        return
    started = time.monotonic()
    progress(f"Reading {file.name}")
    facts = read_facts(file)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _check_room(file, facts, folder.parent)
    types, millions = ", ".join(facts.types), facts.parameters / 1e6
    progress(f"Unpacking {millions:,.0f} million {types} weights to {facts.bytes_unpacked / 1e6:,.0f} MB")
    model, tokenizer = load_gguf(file, facts)
    progress("Writing safetensors")
    with replacing_folder(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        megabytes = sum(part.stat().st_size for part in temporary.glob("*.safetensors")) / 1e6
        seconds = round(time.monotonic() - started, 1)
        note = {"file": file.name, "types": types, "megabytes": round(megabytes), "seconds": seconds}
        write_json(temporary / UNPACKED, note)


def load_gguf_speech(file: Path) -> LanguageModel:
    """Loads the tokenizer of a GGUF file and its longest text without its weights, as `load_speech` does.

    Raises:
        ModelError: The file is broken, or its tokenizer is of an unknown kind.
    """
    facts = read_facts(file)
    with loading_errors(file, "a model"):
        config = AutoConfig.from_pretrained(file.parent, **_source(file))
    tokenizer = _load_tokenizer(file, facts)
    return LanguageModel(
        None, tokenizer, str(file), torch.device("cpu"), context_length(config, tokenizer), ""
    )


def load_gguf(file: Path, facts: GgufFacts) -> tuple[Any, Any]:
    """Loads model and tokenizer of a GGUF file, its weights unpacked to 32-bit numbers.

    transformers marks what it read as quantized, which can be neither trained nor saved: the weights are put into a model without
    that mark. Where its package of kernels is installed it would keep them packed, and fetch the kernels, unless told otherwise.

    Args:
        file: A whole GGUF file.
        facts: What it says of itself.

    Returns:
        The model in evaluation mode, and its tokenizer with the chat template of the file.

    Raises:
        ModelError: The file is of an architecture that transformers does not read, or holds other weights than such a model has.
    """
    tokenizer = _load_tokenizer(file, facts)
    with loading_errors(file, "a causal language model"):
        packed, loading = AutoModelForCausalLM.from_pretrained(
            file.parent,
            **_source(file),
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
        )
    check_weights(
        file,
        missing=loading["missing_keys"],
        unexpected=loading["unexpected_keys"],
        mismatched=[str(name) for name, *_ in loading["mismatched_keys"]],
    )
    return _unmarked(packed), tokenizer


def _source(file: Path) -> dict[str, Any]:
    return {"gguf_file": file.name, "trust_remote_code": False, "local_files_only": True}


def _check_room(file: Path, facts: GgufFacts, folder: Path) -> None:
    if facts.parts > 1:
        raise ModelError(
            f"{file} is one of {facts.parts} parts of a model; join them first with llama.cpp's llama-gguf-split --merge"
        )
    free = shutil.disk_usage(folder).free
    if facts.bytes_unpacked > free:
        raise ModelError(
            f"{file} takes {facts.bytes_unpacked / 1e9:.1f} GB unpacked, and the disk of {folder} has {free / 1e9:.1f} GB left; "
            "make room, or choose another workspace with --workspace"
        )


def _unmarked(packed: Any) -> Any:
    """Puts the weights of a model into one that does not know of quantization; nothing is copied."""
    config = type(packed.config).from_dict(
        {name: value for name, value in packed.config.to_dict().items() if name != "quantization_config"}
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(packed.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = packed.generation_config
    return model.eval()


def _load_tokenizer(file: Path, facts: GgufFacts) -> Any:
    """Loads the tokenizer without tokens that the file lacks: transformers adds GPT-2's end of text to every byte-level vocabulary."""
    with loading_errors(file, "a tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **_source(file))
    surplus = {token for token, number in tokenizer.get_vocab().items() if number >= facts.tokens}
    if not surplus:
        return tokenizer
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    backend["added_tokens"] = [token for token in backend["added_tokens"] if token["id"] < facts.tokens]
    roles = {role: str(token) for role, token in tokenizer.special_tokens_map.items() if token not in surplus}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(backend)),
        chat_template=tokenizer.chat_template,
        model_max_length=tokenizer.model_max_length,
        clean_up_tokenization_spaces=False,
        **roles,
    )
