"""What a study's template may be called: the model's own ones, texts that published models were trained with, a text of one's own."""

import datetime
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lancet_core.errors import ConfigError
from lancet_core.files import read_json_or_none
from lancet_core.models.fingerprints import (
    CHAT_TEMPLATE_FILE,
    CHAT_TEMPLATE_FOLDER,
    TOKENIZER_CONFIG,
    resolve_model,
    tokenizer_folder,
)
from lancet_core.models.gguf_files import find_gguf
from lancet_core.models.settings import DEFAULT_TEMPLATE, RAW_TEMPLATE

DEFAULT_TEXT = "\n\nHuman: {prompt}\n\nAssistant:"
PLACE = "{prompt}"
_ALPACA = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
_VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers "
    "to the user's questions."
)
KNOWN_TEXTS = {
    "human": DEFAULT_TEXT,
    "safe-rlhf": "BEGINNING OF CONVERSATION: USER: {prompt} ASSISTANT:",
    "alpaca": f"{_ALPACA}\n\n### Instruction:\n{PLACE}\n\n### Response:\n",
    "vicuna": f"{_VICUNA} USER: {PLACE} ASSISTANT:",
    "llama-2": "[INST] {prompt} [/INST]",
    "chatml": "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n",
    "question": "Question: {prompt}\nAnswer:",
}
"""Texts that published models were fine-tuned with, by the names that `--template` takes."""
DAY_MARK = "@"
_DEFAULT_NAME = "default"


def chosen_name(own: Collection[str], template: str) -> str | None:
    """Name of the model's chat template that a study's setting means; None where a text takes its place.

    Args:
        own: Names of the model's chat templates, as `names_of` gives them.
        template: The setting.

    Raises:
        ConfigError: The model has named templates, and none of them is chosen; or the name is unknown.
    """
    if template == RAW_TEMPLATE or PLACE in template:
        return None
    name = template.partition(DAY_MARK)[0]
    if name == DEFAULT_TEMPLATE and _DEFAULT_NAME in own:
        return _DEFAULT_NAME
    if name in own:
        return name
    if name in KNOWN_TEXTS or (name == DEFAULT_TEMPLATE and not own):
        return None
    raise ConfigError(
        f"the template {template!r} is none of this model; it has {', '.join(known_templates(own))}; choose one with --template, or "
        f"write a text with {PLACE} where the prompt goes"
    )


def check_template(model: Any, template: str, base: str | Path = "") -> None:
    """Checks that a model can be given a template, before a worker is started that would find out; no weight is loaded.

    Args:
        model: Folder, GGUF file or hub id, or a loaded model with its tokenizer.
        template: The setting; empty leaves the choice to the format of the samples.
        base: Of an adapter the folder or hub id of its model, where that is not what it says.

    Raises:
        ConfigError: The template is none of the model's, or the day behind it is none.
        ModelError: The model cannot be found.
    """
    if not template:
        return
    if isinstance(model, tuple):
        own = names_of(getattr(model[1], "chat_template", None))
    else:  # of a GGUF file transformers takes one template
        own = (_DEFAULT_NAME,) if find_gguf(model) else own_templates(_speaking_folder(model, base))
    if chosen_name(own, template) is not None:
        day_of(template)


def known_templates(own: Collection[str]) -> list[str]:
    """Names of the templates that a model may have been trained with: its own, those of published models, and none."""
    usual = [DEFAULT_TEMPLATE] if not own or _DEFAULT_NAME in own else []
    named = sorted(name for name in own if name != _DEFAULT_NAME)
    # Without a chat template the usual text is the first of the known ones.
    known = [name for name in KNOWN_TEXTS if own or KNOWN_TEXTS[name] != DEFAULT_TEXT]
    return [*usual, *named, *known, RAW_TEMPLATE]


def names_of(chat_template: Any) -> tuple[str, ...]:
    """Names of chat templates as a tokenizer holds them, or as its settings list them; the only one is the `default`."""
    if isinstance(chat_template, str):
        return (_DEFAULT_NAME,) if chat_template else ()
    if isinstance(chat_template, Mapping):
        return tuple(map(str, chat_template))
    listed = chat_template if isinstance(chat_template, Sequence) else ()
    return tuple(str(each["name"]) for each in listed if isinstance(each, dict) and "name" in each)


def own_templates(folder: Path) -> tuple[str, ...]:
    """Names of a model's own chat templates, where its tokenizer lies; as transformers does, files are read before settings."""
    names = [path.stem for path in sorted((folder / CHAT_TEMPLATE_FOLDER).glob("*.jinja"))]
    if (folder / CHAT_TEMPLATE_FILE).is_file():
        names.insert(0, _DEFAULT_NAME)
    settings = read_json_or_none(folder / TOKENIZER_CONFIG)
    return tuple(names) or names_of(settings.get("chat_template") if isinstance(settings, dict) else None)


def has_chat_template(folder: Path, template: str) -> bool:
    """Whether a model's own chat template writes the conversations of a study; nothing is loaded.

    Args:
        folder: The model's folder.
        template: The study's template.
    """
    if template in {RAW_TEMPLATE, *KNOWN_TEXTS} or PLACE in template:
        return False
    return bool(own_templates(folder))


def template_names(folder: Path) -> tuple[str, ...]:
    """Names of a model's chat templates where it has several to choose from; nothing is loaded.

    Args:
        folder: The model's folder.
    """
    return tuple(sorted(name for name in own_templates(folder) if name != _DEFAULT_NAME))


def day_of(template: str) -> datetime.date | None:
    """The day behind a template's name.

    Raises:
        ConfigError: It is no day.
    """
    day = template.partition(DAY_MARK)[2]
    try:
        return datetime.date.fromisoformat(day) if day else None
    except ValueError as error:
        raise ConfigError(
            f"{day!r} in the template {template!r} is no day; write it as {DAY_MARK}2026-07-26"
        ) from error


def _speaking_folder(model: str | Path, base: str | Path) -> Path:
    """Where the tokenizer of a model lies, of an adapter whose base may be named beside it."""
    folder = resolve_model(model)
    if base and not (folder / TOKENIZER_CONFIG).is_file():
        return resolve_model(base)
    return tokenizer_folder(folder)
