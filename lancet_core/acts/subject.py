"""What an act is asked of: a model, its training samples, its scorers. Named by content, never by path."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from lancet_core.config import fingerprint
from lancet_core.evaluation.scorer_cards import ScorerCard, scorer_card, scorer_folder
from lancet_core.models.fingerprints import adapter_base, fingerprint_model
from lancet_core.models.settings import DEVICES, DTYPES, ENCODING

MODEL, SAMPLES, TEMPLATE, SCORERS = "model", "samples", "template", "scorers"
Stamp = tuple[str, int, int]


@dataclass(frozen=True)
class Subject:
    """What an act is asked of.

    Attributes:
        study: Name of the study; empty where there is none yet.
        model: Folder or hub id of the language model.
        samples: Path of the training samples (parquet).
        template: How prompt and response become one text.
        harmful_scorer: The harmful scorer (text of its card, or its folder); empty where there is none.
        helpful_scorer: The helpful scorer; empty where there is none.
        factors: Folder where factors are kept between runs; empty keeps none.
        indexes: Folder of the gradient indexes; empty where there are none.
        dtype: Type of number that the model is loaded with.
        device: Where the model runs: `auto`, `cpu` or `cuda`. Results do not depend on it.
    """

    study: str
    model: str
    samples: str
    template: str = "auto"
    harmful_scorer: str = ""
    helpful_scorer: str = ""
    factors: str = ""
    indexes: str = ""
    dtype: str = DTYPES[0]
    device: str = DEVICES[0]

    @property
    def loading(self) -> dict[str, str]:
        """How its model is loaded, `dtype` and `device`, where that is not the usual way."""
        asked = {"dtype": (self.dtype, DTYPES[0]), "device": (self.device, DEVICES[0])}
        return {name: value for name, (value, usual) in asked.items() if value != usual}

    def contents(self, parts: Collection[str]) -> dict[str, str]:
        """Names the content of some parts (`MODEL`, `SAMPLES`, `TEMPLATE`, `SCORERS`).

        Raises:
            ModelError: A model folder cannot be used.
        """
        named = {
            MODEL: lambda: model_content(self.model) + ("" if self.dtype == DTYPES[0] else f" {self.dtype}"),
            SAMPLES: lambda: samples_content(Path(self.samples)),
            TEMPLATE: lambda: f"{ENCODING} {self.template}",
            SCORERS: lambda: " ".join(map(scorer_content, (self.harmful_scorer, self.helpful_scorer))),
        }
        return {part: named[part]() for part in sorted(parts)}


def model_content(model: str) -> str:
    """Hashes weights, tokenizer and configuration of a model folder; a hub id, and empty, stand for themselves.

    Raises:
        ModelError: The folder holds no model that may be loaded.
    """
    folder = Path(model)
    if not model or not folder.is_dir():
        return model
    stamps = _stamps(folder)
    base = _adapter_base(folder, stamps)
    return _model_content(folder, stamps, () if base is None else _stamps(base))


def scorer_content(scorer: str) -> str:
    """Hashes weights and card of a scorer, statistics included; empty for none.

    Raises:
        ModelError: Its folder or its card cannot be used.
    """
    if not scorer:
        return ""
    folder = Path(scorer_folder(scorer))
    card = _card_of(scorer, _stamps(folder) if folder.is_dir() else ())
    return f"{model_content(card.folder)} {card.content}"


def samples_content(path: Path) -> str:
    """Hashes ids and labels of a table of samples; empty where there is none."""
    return _samples_content(path, _stamp(path)) if path.is_file() else ""


def _stamp(file: Path) -> Stamp:
    """What changes when a file is written, also where its old time is put back: cheap enough for every look at a screen."""
    facts = file.stat()
    return file.name, facts.st_size, facts.st_ctime_ns


def _stamps(folder: Path) -> tuple[Stamp, ...]:
    return tuple(_stamp(file) for file in sorted(folder.iterdir()) if file.is_file())


@lru_cache(maxsize=64)
def _adapter_base(folder: Path, _stamps: tuple[Stamp, ...]) -> Path | None:
    return adapter_base(folder)


@lru_cache(maxsize=64)
def _model_content(folder: Path, _stamps: tuple[Stamp, ...], _base_stamps: tuple[Stamp, ...]) -> str:
    return fingerprint_model(folder)


@lru_cache(maxsize=64)
def _card_of(scorer: str, _stamps: tuple[Stamp, ...]) -> ScorerCard:
    return scorer_card(scorer)


@lru_cache(maxsize=64)
def _samples_content(path: Path, _stamp: Stamp) -> str:
    table = pd.read_parquet(path, columns=["id", "is_safe"])
    return fingerprint(
        [
            table["id"].tolist(),
            table["is_safe"].astype("object").where(table["is_safe"].notna(), None).tolist(),
        ]
    )
