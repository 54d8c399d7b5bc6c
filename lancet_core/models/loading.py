"""Loading causal language models and their tokenizers."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from lancet_core.errors import ModelError
from lancet_core.models.adapters import check_adapter
from lancet_core.models.fingerprints import (
    ADAPTER_CONFIG,
    CONFIG,
    adapter_base,
    check_model_folder,
    count_parameters,
    fingerprint_model,
    read_config,
    resolve_model,
    tokenizer_folder,
    weight_shapes,
)
from lancet_core.models.needs import Need, free_for_this_process, require

CONTEXT_WHERE_UNLIMITED = 2048
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
# The default kernel of mixture-of-experts blocks has no float64.
_KERNELS = {"float64": {"experts_implementation": "eager"}}
_UNLIMITED = 1_000_000
_LARGEST_SHARE_MISSING = 0.75
# Where PEFT keeps a model, and what it puts around modules that are trained whole.
_INSIDE = "base_model.model."
_WRAPPERS = ("modules_to_save", "original_module")
_CAUSAL = re.compile(r"(ForCausalLM|LMHeadModel|LMHead)$")
_CAUSAL_NAMES = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
_LOADING_ERRORS = (
    OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError, ImportError, SafetensorError,
)  # fmt: skip


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model that is ready to use, in evaluation mode.

    Attributes:
        model: A transformers `PreTrainedModel` with a language modelling head; None where only texts are encoded.
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


Loader = Callable[..., LanguageModel]
"""Gives a model by its folder or hub id; takes `device` and `dtype` where these are not the usual ones."""


def load_language_model(folder_or_id: str, *, device: str = "auto", dtype: str = "float32") -> LanguageModel:
    """Loads a causal language model from safetensors, never running code that comes with it.

    Args:
        folder_or_id: Folder written by `save_pretrained` (of a whole model, or of a PEFT adapter), or an id on the Hub.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.
        dtype: `float32`, `bfloat16` or `float64`.

    Returns:
        The model in evaluation mode, with its tokenizer.

    Raises:
        ModelError: The folder is missing or broken, holds pickled weights or others than the model has, is of an unknown layout,
            or its tokenizer has more tokens than the model has embeddings.
    """
    folder = resolve_model(folder_or_id)
    check_model_folder(folder)
    place = choose_device(device)
    base = adapter_base(folder)
    if base is not None:
        check_adapter(folder)
    _check_causal(base or folder)
    model = load_pretrained(
        AutoModelForCausalLM,
        base or folder,
        "a causal language model",
        dtype=_TYPES[dtype],
        **_KERNELS.get(dtype, {}),
    )
    if base is not None:
        model = _with_adapter(model, folder)
    tokenizer = load_tokenizer(tokenizer_folder(folder), model)
    model = model.to(place).eval()
    return LanguageModel(
        model,
        tokenizer,
        str(folder),
        place,
        context_length(model.config, tokenizer),
        fingerprint_model(folder),
    )


def _check_causal(folder: Path) -> None:
    """Refuses what its config says is no causal language model, before its weights are told to lack a head.

    Raises:
        ModelError: It is a classifier, reward model, encoder, or a model of texts and other things.
    """
    named = read_config(folder, CONFIG).get("architectures")
    architectures = [str(name) for name in named] if isinstance(named, list) else []
    if architectures and not any(_CAUSAL.search(name) or name in _CAUSAL_NAMES for name in architectures):
        raise ModelError(
            f"{folder} holds a {' and '.join(architectures)}, which is no causal language model; give one whose config.json names a "
            "…ForCausalLM, as LlamaForCausalLM"
        )


def load_speech(folder_or_id: str) -> LanguageModel:
    """Loads the tokenizer of a model and its longest text without its weights: `model` is None, and nothing can be computed.

    Raises:
        ModelError: The folder is missing or broken.
    """
    folder = resolve_model(folder_or_id)
    check_model_folder(folder)
    base = adapter_base(folder)
    with loading_errors(folder, "a model"):
        config = AutoConfig.from_pretrained(base or folder, trust_remote_code=False, local_files_only=True)
    tokenizer = _read_tokenizer(tokenizer_folder(folder))
    context = context_length(config, tokenizer)
    return LanguageModel(None, tokenizer, str(folder), torch.device("cpu"), context, "")


def load_pretrained(auto: Any, folder: Path, kind: str, **options: Any) -> Any:
    """Loads a model from safetensors; whatever its weights and its layout do not have in common refuses it.

    transformers draws the weights that a file lacks by chance and passes over those that the model has no place for: a
    classifier without its head would give other scores at every load. What a model class itself declares as tied or as left
    over from older versions is no difference.

    Args:
        auto: Class of transformers to load with, as `AutoModelForCausalLM`.
        folder: A checked model folder.
        kind: What the folder is to hold, for the message.
        options: Further arguments of `from_pretrained`.

    Raises:
        ModelError: The folder is broken, of an unknown layout, or holds other weights than the model has.
    """
    with loading_errors(folder, kind):
        _check_size(auto, folder)
        model, loading = auto.from_pretrained(
            folder,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are listed with the others
            **options,
        )
    mismatched = [
        f"{name} of {tuple(stored)} and not {tuple(expected)}"
        for name, stored, expected in loading["mismatched_keys"]
    ]
    check_weights(
        folder, missing=loading["missing_keys"], unexpected=loading["unexpected_keys"], mismatched=mismatched
    )
    return model


def _check_size(auto: Any, folder: Path) -> None:
    """Refuses a config that describes a far larger model than the weights are, before memory is taken for it.

    Raises:
        ModelError: It does.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    with torch.device("meta"):
        described = sum(each.numel() for each in auto.from_config(config).parameters())
    stored = count_parameters(folder)
    if stored < (1 - _LARGEST_SHARE_MISSING) * described:
        raise ModelError(
            f"the weights in {folder} are {stored:,} parameters, but its config.json describes a model of {described:,}; "
            "give a folder that save_pretrained wrote"
        )


def load_tokenizer(folder: Path, model: Any) -> Any:
    """Loads a tokenizer and checks that the model has an embedding for each of its tokens.

    Args:
        folder: Folder of the tokenizer.
        model: The model that it belongs to; it may have more embeddings than there are tokens (padded vocabularies).

    Raises:
        ModelError: The folder has no usable tokenizer, or it has a token that the model has no embedding for.
    """
    tokenizer = _read_tokenizer(folder)
    rows = model.get_input_embeddings().weight.shape[0]
    beyond = sorted((number, token) for token, number in tokenizer.get_vocab().items() if number >= rows)
    if beyond:
        number, token = beyond[0]
        raise ModelError(
            f"the tokenizer in {folder} has tokens without an embedding in the model: {len(beyond)}, the first {token!r:.60} with "
            f"number {number} of {rows} embeddings; give the tokenizer that the model was trained with, or save the model again "
            "after resize_token_embeddings"
        )
    return tokenizer


def _read_tokenizer(folder: Path) -> Any:
    with loading_errors(folder, "a tokenizer"):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def _with_adapter(model: Any, folder: Path) -> Any:
    """Puts a PEFT adapter around a model, whose embeddings are resized as they were for it."""
    from peft import (
        PeftModel,
        get_peft_model_state_dict,
    )  # Only adapters need it, and it takes a second to import.

    stored = _adapter_shapes(folder)
    whole = read_config(folder, ADAPTER_CONFIG).get("modules_to_save") or ()
    check_weights(
        folder,
        missing=[name for name in whole if not any(f".{name}." in f".{key}" for key in stored)],
        unexpected=(),
        mismatched=(),
    )
    with loading_errors(folder, "an adapter"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is checked below
        _resize_embeddings(model, stored)
        model = PeftModel.from_pretrained(model, str(folder), local_files_only=True)
        loading = model.load_adapter(str(folder), model.active_adapter, local_files_only=True)
        expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    # Written twice by PEFT where the embeddings were resized: as it reads it, and by the names of its wrappers.
    twice = {name for name in stored if any(f".{part}." in name for part in _WRAPPERS)}
    check_weights(
        folder,
        missing=set(expected) - set(stored),
        unexpected=set(loading.unexpected_keys) - twice,
        mismatched=(),
    )
    return model


def _adapter_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an adapter's tensors."""
    files = sorted(folder.glob("*.safetensors"))
    return {name: shape for file in files for name, shape in weight_shapes(file).items()}


def _resize_embeddings(model: Any, stored: Mapping[str, tuple[int, ...]]) -> None:
    """Gives a model as many embeddings as the adapter holds: tokens were added before it was trained; all of them are loaded after."""
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    tables = {name for name, module in model.named_modules() if module is inputs or module is outputs}
    rows = {
        shape[0]
        for name, shape in stored.items()
        if name.endswith(".weight")
        and name.removeprefix(_INSIDE).removesuffix(".weight").removesuffix(".base_layer") in tables
    }
    if len(rows) == 1 and rows != {len(inputs.weight)}:
        model.resize_token_embeddings(rows.pop(), mean_resizing=False)


def check_weights(
    folder: Path, *, missing: Iterable[str], unexpected: Iterable[str], mismatched: Iterable[str]
) -> None:
    """Checks that files and model have the same weights.

    Raises:
        ModelError: They differ.
    """
    differences = [
        f"{difference} ({', '.join(sorted(names)[:3])}{' …' if len(names) > 3 else ''})"
        for names, difference in (
            (list(missing), "lack parameters that the model has"),
            (list(unexpected), "hold parameters that the model has no place for"),
            (list(mismatched), "hold parameters of another shape"),
        )
        if names
    ]
    if differences:
        raise ModelError(
            f"the weights in {folder} {', and '.join(differences)}; save the whole model again with save_pretrained, from the "
            "class that its config.json names"
        )


@contextmanager
def loading_errors(folder: Path, kind: str) -> Iterator[None]:
    """Keeps transformers' progress bar and its report of weights away, and turns what it raises into one sentence.

    Raises:
        ModelError: transformers raised something.
    """
    bars, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    except _LOADING_ERRORS as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next(
            (line for line in lines if "size mismatch" in line), (lines or [type(error).__name__])[0]
        )
        raise ModelError(
            f"{folder} cannot be loaded as {kind}: {reason}; "
            "give a folder that transformers reads with save_pretrained's files and without remote code"
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


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


def require_room(what: str, need: Need, place: torch.device, ways_out: str) -> None:
    """Refuses what does not fit into the memory of a device, before anything is allocated; arguments as of `needs.require`.

    Raises:
        ConfigError: It does not fit.
    """
    free = free_for_this_process() if place.type == "cpu" else int(torch.cuda.mem_get_info(place)[0])
    require(what, need.on(place.type), free, ways_out)


def context_length(config: Any, tokenizer: Any) -> int:
    """Longest sequence that model and tokenizer declare, in tokens; 2,048 where neither sets a limit (ALiBi models)."""
    config = config.get_text_config()
    declared = [
        getattr(config, "max_position_embeddings", None),
        getattr(config, "max_seq_len", None),
        tokenizer.model_max_length,
    ]
    limits = [int(limit) for limit in declared if limit and limit < _UNLIMITED]
    return min(limits, default=CONTEXT_WHERE_UNLIMITED)
