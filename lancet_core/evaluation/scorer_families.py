"""The scorers that are published: how each is recognised, and what its output means. Free of torch.

| family | checkpoints | output |
|---|---|---|
| `beaver-cost` | PKU-Alignment/beaver-7b-*-cost | a score head on Llama; above 0 is harmful |
| `beaver-reward` | PKU-Alignment/beaver-7b-*-reward | the same head; higher is more helpful, its zero is arbitrary |
| `beaver-dam` | PKU-Alignment/beaver-dam-7b | 14 harm categories, each a sigmoid; the largest is the harm |
| `ric-harmless`, `ric-helpful` | Ray2333/gpt2-large-*-reward_model | one logit of a pair of texts |
| `guard` | Llama Guard and others that answer "safe" or "unsafe" | log-odds of the answer's first token |
| `classifier` | any sequence classifier | the log-odds of one label |
| `labels` | any whose labels do not exclude each other | the largest label |
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from lancet_core.data.adapters import ANSWER_MARK, QUESTION_MARK
from lancet_core.data.conversations import ASSISTANT, USER, Asked, as_text
from lancet_core.errors import DataError
from lancet_core.files import read_json_or_none, read_text
from lancet_core.models.fingerprints import CONFIG, weight_shapes

PAIR_TEMPLATE, CHAT_TEMPLATE = "pair", "chat"
ONE_LABEL, LABELS, SCORE_HEAD, GUARD = "one label", "labels", "score head", "guard"
CLASSIFIER = "classifier"
# Of beaver-dam-7b, in the order of its labels.
HARM_CATEGORIES = (
    "animal_abuse", "child_abuse", "controversial_topics,politics", "discrimination,stereotype,injustice",
    "drug_abuse,weapons,banned_substance", "financial_crime,property_crime,theft", "hate_speech,offensive_language",
    "misinformation_regarding_ethics,laws_and_safety", "non_violent_unethical_behavior", "privacy_violation", "self_harm",
    "sexually_explicit,adult_content", "terrorism,organized_crime", "violence,aiding_and_abetting,incitement",
)  # fmt: skip
_BEAVER_TEXT = "BEGINNING OF CONVERSATION: USER: {prompt} ASSISTANT:{response}"
_MARK = re.compile(r"\n\n(Human|Assistant):")
Texts = tuple[str, str]


@dataclass(frozen=True)
class Checkpoint:
    """A folder, as far as families are told apart by it.

    Attributes:
        name: Folder or hub id, as it was given.
        folder: Where it lies.
    """

    name: str
    folder: Path

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Its config.json; empty where there is none to read."""
        return _object(self.folder / CONFIG)

    @cached_property
    def tensors(self) -> frozenset[str]:
        """Names of its weights.

        Raises:
            ModelError: A weight file is broken.
        """
        files = sorted(self.folder.glob("*.safetensors"))
        return frozenset(name for file in files for name in weight_shapes(file))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of a classifier's labels, in order."""
        names = self.config.get("id2label")
        return tuple(str(name) for name in names.values()) if isinstance(names, dict) else ()

    @property
    def architecture(self) -> str:
        """Name of the class that it was saved from."""
        names = self.config.get("architectures")
        return str(names[0]) if isinstance(names, list) and names else ""

    @property
    def chat_template(self) -> str:
        """Text of its chat template; empty where it has none."""
        file = self.folder / "chat_template.jinja"
        if file.is_file():
            with suppress(DataError):
                return read_text(file)
        return str(_object(self.folder / "tokenizer_config.json").get("chat_template") or "")

    def is_called(self, pattern: str) -> bool:
        """Whether the name that it was given, its folder or its config bears a name."""
        names = f"{self.name} {self.folder} {self.config.get('_name_or_path', '')}"
        return re.search(pattern, names, re.IGNORECASE) is not None


def _never(_checkpoint: Checkpoint) -> bool:
    return False


def _as_they_are(asked: Asked, response: str, _end: str) -> Texts:
    return asked if isinstance(asked, str) else as_text(asked), response


@dataclass(frozen=True)
class Family:
    """One kind of scorer.

    Attributes:
        about: What it is, for a form.
        reads: What is read: `ONE_LABEL`, `LABELS`, `SCORE_HEAD` or `GUARD`.
        values: What its card says unless somebody says otherwise.
        is_like: Recognises a checkpoint of it.
        texts: Writes what was asked, and the response, as its template takes them; the third argument is the tokenizer's end token.
    """

    about: str
    reads: str = ONE_LABEL
    values: Mapping[str, Any] = field(default_factory=dict)
    is_like: Callable[[Checkpoint], bool] = _never
    texts: Callable[[Asked, str, str], Texts] = _as_they_are


def recognised(checkpoint: Checkpoint) -> str:
    """Names the family of a checkpoint; empty where it is none of those that are known.

    Raises:
        ModelError: A weight file is broken.
    """
    return next((name for name, family in FAMILIES.items() if family.is_like(checkpoint)), "")


def _object(path: Path) -> Mapping[str, Any]:
    content = read_json_or_none(path) if path.is_file() else None
    return content if isinstance(content, dict) else {}


def _is_beaver(kind: str) -> Callable[[Checkpoint], bool]:
    """Recognises a score head by its weights, and its kind by the config, or by the name where the config does not say."""

    def is_like(checkpoint: Checkpoint) -> bool:
        if checkpoint.config.get("model_type") != "llama" or "score_head.weight" not in checkpoint.tensors:
            return False
        said = checkpoint.config.get("score_type")
        return said == kind if said else checkpoint.is_called(rf"-{kind}(\b|_)")

    return is_like


def _is_beaver_dam(checkpoint: Checkpoint) -> bool:
    if not checkpoint.architecture.endswith("ForSequenceClassification"):
        return False
    independent = checkpoint.config.get("problem_type") == "multi_label_classification"
    named = set(checkpoint.labels) == set(HARM_CATEGORIES)
    return named or (
        len(checkpoint.labels) == len(HARM_CATEGORIES) and (independent or checkpoint.is_called("beaver-dam"))
    )


def _is_ric(kind: str) -> Callable[[Checkpoint], bool]:
    def is_like(checkpoint: Checkpoint) -> bool:
        return checkpoint.architecture == "GPT2ForSequenceClassification" and checkpoint.is_called(
            rf"gpt2-large-{kind}-reward_model"
        )

    return is_like


def _is_guard(checkpoint: Checkpoint) -> bool:
    return checkpoint.architecture.endswith("ForCausalLM") and "unsafe" in checkpoint.chat_template.lower()


def turns_of(asked: Asked) -> list[tuple[str, str]]:
    """Gives what was asked as turns of user and assistant in turn, the user's first and last: role and text of each.

    The marks of a dialogue (HH) are taken off, what a system or a tool says is part of the user's turn, and turns of one side are joined.
    """
    if not isinstance(asked, str):
        said = [(str(message["role"]), str(message["content"] or "")) for message in asked]
    elif asked.startswith(QUESTION_MARK):
        parts = _MARK.split(asked.removesuffix(ANSWER_MARK))[1:]
        said = [
            (USER if name == "Human" else ASSISTANT, text.strip())
            for name, text in zip(parts[::2], parts[1::2], strict=True)
        ]
    else:
        said = [(USER, asked)]
    sides = [(ASSISTANT if role == ASSISTANT else USER, text) for role, text in said if text]
    if not sides or sides[0][0] == ASSISTANT:
        sides.insert(0, (USER, ""))
    if sides[-1][0] == ASSISTANT:
        sides.append((USER, ""))
    return [
        (role, "\n\n".join(text for _, text in turns)) for role, turns in groupby(sides, lambda side: side[0])
    ]


def answer_to(asked: Asked, response: str) -> str:
    """Gives the response, in a dialogue without the white space that stood behind its mark."""
    is_dialogue = not isinstance(asked, str) or asked.startswith(QUESTION_MARK)
    return response.strip() if is_dialogue else response


def _as_beaver(asked: Asked, response: str, end: str) -> Texts:
    """Writes earlier turns as Safe-RLHF did: an answer follows its mark at once, and the end token it."""
    marks = {USER: "USER: {} ASSISTANT:", ASSISTANT: f"{{}}{end}"}
    text = "".join(marks[role].replace("{}", said, 1) for role, said in turns_of(asked))
    return text.removeprefix("USER: ").removesuffix(" ASSISTANT:"), answer_to(asked, response)


def _as_dialogue(asked: Asked, response: str, _end: str) -> Texts:
    """Ends the prompt where the answer begins, as the pairs did that RiC's models were trained on."""
    if not isinstance(asked, str):
        marks = {USER: QUESTION_MARK, ASSISTANT: ANSWER_MARK}
        asked = "".join(f"{marks[role]} {said}" for role, said in turns_of(asked))
    return asked.removesuffix(ANSWER_MARK) + ANSWER_MARK, response.strip()


FAMILIES: dict[str, Family] = {
    "beaver-cost": Family(
        "Beaver cost model (PKU-Alignment): above 0 is harmful.", SCORE_HEAD,
        {"higher_is": "harmful", "template": _BEAVER_TEXT}, _is_beaver("cost"), _as_beaver,
    ),
    "beaver-reward": Family(
        "Beaver reward model (PKU-Alignment): higher is more helpful.", SCORE_HEAD,
        {"higher_is": "helpful", "template": _BEAVER_TEXT, "mapping": "zscore_sigmoid"}, _is_beaver("reward"), _as_beaver,
    ),
    "beaver-dam": Family(
        "beaver-dam (PKU-Alignment): 14 harm categories, the largest counts.", LABELS,
        {"higher_is": "harmful", "template": _BEAVER_TEXT + "{eos}"}, _is_beaver_dam, _as_beaver,
    ),
    "ric-harmless": Family(
        "RiC's harmlessness reward (Ray2333): higher is more harmless.",
        values={"higher_is": "harmless", "template": PAIR_TEMPLATE}, is_like=_is_ric("harmless"), texts=_as_dialogue,
    ),
    "ric-helpful": Family(
        "RiC's helpfulness reward (Ray2333): higher is more helpful.",
        values={"higher_is": "helpful", "template": PAIR_TEMPLATE}, is_like=_is_ric("helpful"), texts=_as_dialogue,
    ),
    "guard": Family(
        "A guard that answers safe or unsafe (Llama Guard).", GUARD,
        {"higher_is": "harmful", "template": CHAT_TEMPLATE}, _is_guard,
    ),
    CLASSIFIER: Family("Any sequence classifier: one of its labels."),
    "labels": Family("Any classifier whose labels do not exclude each other: the largest counts.", LABELS),
}  # fmt: skip
PUBLISHED = tuple(name for name, family in FAMILIES.items() if family.is_like is not _never)
"""Families that a checkpoint is recognised as by itself."""
