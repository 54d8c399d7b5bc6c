"""Adapters of PEFT: the model that one belongs to, which kinds are taken, and a copy that names another base. Torch-free."""

import shutil
from pathlib import Path
from typing import Any

from lancet_core.errors import ModelError
from lancet_core.files import replacing_folder, write_json
from lancet_core.models.fingerprints import (
    ADAPTER_CONFIG,
    BASE,
    CHAT_TEMPLATE_FOLDER,
    check_model_folder,
    is_adapter,
    read_config,
)

_KEPT = {".json", ".safetensors", ".model", ".txt", ".jinja"}
# What they train stands in front of the prompt or beside the blocks, so that tokens and positions are no longer the text's.
_PROMPTS = (
    "PROMPT_TUNING",
    "MULTITASK_PROMPT_TUNING",
    "P_TUNING",
    "PREFIX_TUNING",
    "CPT",
    "CARTRIDGE",
    "ADAPTION_PROMPT",
)
_TASKS = (None, "CAUSAL_LM")


def check_adapter(folder: Path) -> None:
    """Refuses adapters that no causal language model can be read with exactly.

    Raises:
        ModelError: The adapter trains prompts instead of weights, is for another task, or wakes at certain tokens alone.
    """
    config = read_config(folder, ADAPTER_CONFIG)
    kind, task = config.get("peft_type"), config.get("task_type")
    if kind in _PROMPTS:
        raise ModelError(
            f"the adapter {folder} is of the kind {kind}, which puts trained vectors before the text instead of changing weights; "
            "accepted are adapters that change weights, as LoRA, DoRA, rsLoRA or IA3"
        )
    if config.get("alora_invocation_tokens") or kind == "XLORA":
        raise ModelError(
            f"the adapter {folder} acts on some tokens alone ({'activated LoRA' if kind != 'XLORA' else kind}), so that it is no fixed "
            "change of the model's weights; give one that acts on all, as LoRA does"
        )
    if task not in _TASKS:
        raise ModelError(
            f"the adapter {folder} is for the task {task}; a language model takes one that was trained for CAUSAL_LM"
        )


def keep_adapter(folder: Path, base: str, target: Path) -> None:
    """Writes a copy of an adapter that names another base, whole or not at all.

    Args:
        folder: The adapter.
        base: Folder of the model that it belongs to, or its id on the Hub.
        target: Folder of the copy.

    Raises:
        ModelError: The folder holds no adapter, or adapter or base cannot be used.
    """
    if not is_adapter(folder):
        raise ModelError(
            f"a base was given ({base}), but {folder} is no adapter: it has no {ADAPTER_CONFIG}, or holds a whole model; leave --base out"
        )
    config: dict[str, Any] = read_config(folder, ADAPTER_CONFIG)
    place = Path(base).expanduser()
    with replacing_folder(target) as temporary:
        for file in [*folder.iterdir(), *(folder / CHAT_TEMPLATE_FOLDER).glob("*.jinja")]:
            if file.suffix in _KEPT and file.is_file():
                copy = temporary / file.relative_to(folder)
                copy.parent.mkdir(exist_ok=True)
                shutil.copyfile(file, copy)
        write_json(
            temporary / ADAPTER_CONFIG, {**config, BASE: str(place.resolve()) if place.exists() else base}
        )
        check_adapter(temporary)
        check_model_folder(temporary)
