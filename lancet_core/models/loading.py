"""Loading causal language models and their tokenizers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from lancet_core.errors import ModelError
from lancet_core.models.fingerprints import (
    adapter_base,
    check_model_folder,
    fingerprint_model,
    resolve_model,
)

CONTEXT_WHERE_UNLIMITED = 2048
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
# The default kernel of mixture-of-experts blocks has no float64.
_KERNELS = {"float64": {"experts_implementation": "eager"}}
_UNLIMITED = 1_000_000


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model that is ready to use, in evaluation mode.

    Attributes:
        model: A transformers `PreTrainedModel` with a language modelling head.
        tokenizer: Its tokenizer.
        folder: Where it was loaded from.
        device: Where its parameters lie.
        context: Longest sequence in tokens.
        fingerprint: Hash of config, tokenizer and weights.
    """

    model: Any
    tokenizer: Any
    folder: str
    device: torch.device
    context: int
    fingerprint: str


Loader = Callable[[str], LanguageModel]


def load_language_model(folder_or_id: str, *, device: str = "auto", dtype: str = "float32") -> LanguageModel:
    """Loads a causal language model from safetensors, never running code that comes with it.

    Args:
        folder_or_id: Folder written by `save_pretrained` (of a whole model, or of a PEFT adapter), or an id on the Hub.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.
        dtype: `float32`, `bfloat16` or `float64`.

    Returns:
        The model in evaluation mode, with its tokenizer.

    Raises:
        ModelError: The folder is missing or broken, holds no safetensors or pickled weights, or is of an unknown layout.
    """
    folder = resolve_model(folder_or_id)
    check_model_folder(folder)
    place = choose_device(device)
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        base = adapter_base(folder)
        whole = base or folder
        speaks = folder if (folder / "tokenizer_config.json").is_file() else whole
        tokenizer = AutoTokenizer.from_pretrained(speaks, trust_remote_code=False, local_files_only=True)
        model, loading = AutoModelForCausalLM.from_pretrained(
            whole,
            dtype=_TYPES[dtype],
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **_KERNELS.get(dtype, {}),
        )
        if base is not None:
            from peft import PeftModel  # Only adapters need it, and it takes a second to import.

            model = PeftModel.from_pretrained(model, str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        reason = next(
            (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        raise ModelError(
            f"the model in {folder} cannot be loaded as a causal language model: {reason}; "
            "give a folder that transformers' AutoModelForCausalLM reads without remote code"
        ) from error
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ModelError(
            f"the weights in {folder} lack {len(missing)} parameters of the model ({', '.join(missing[:3])} …); "
            "save the whole model with save_pretrained"
        )
    model = model.to(place).eval()
    return LanguageModel(
        model, tokenizer, str(folder), place, context_length(model, tokenizer), fingerprint_model(folder)
    )


def without_adapter(model: Any) -> Any:
    """Merges an adapter into its model, in place; a whole model stays as it is."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def choose_device(device: str) -> torch.device:
    """Names the device to compute on.

    Raises:
        ModelError: A GPU was asked for and there is none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("device is 'cuda', but PyTorch finds no GPU here; take 'cpu' or 'auto'")
    return torch.device(device)


def context_length(model: Any, tokenizer: Any) -> int:
    """Longest sequence that model and tokenizer declare, in tokens; 2,048 where neither sets a limit (ALiBi models)."""
    config = model.config.get_text_config()
    declared = [
        getattr(config, "max_position_embeddings", None),
        getattr(config, "max_seq_len", None),
        tokenizer.model_max_length,
    ]
    limits = [int(limit) for limit in declared if limit and limit < _UNLIMITED]
    return min(limits, default=CONTEXT_WHERE_UNLIMITED)
