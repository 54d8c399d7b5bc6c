"""A scorer read off a language model: what its hidden states say about labelled answers."""

from dataclasses import dataclass
from pathlib import Path

from lancet_core.acts.results import Result
from lancet_core.config import setting

LEARNED, MEASURED = "learned.parquet", "measured.parquet"
"""Inputs of the run: labelled answers that the scorer learns from, and others that it is measured on."""
SCORER = "scorer"


@dataclass(frozen=True)
class ProbeRequest:
    """Where in the model is read.

    Attributes:
        gguf: GGUF file that the model's folder is first made of, where it is not there yet; empty for other models.
        layers: Blocks that are kept.
    """

    gguf: str = ""
    layers: int = setting(18, "Blocks of the model below the place that is read", minimum=1)

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return f"A scorer read off after {self.layers} blocks"


@dataclass(frozen=True)
class Probed(Result):
    """A scorer.

    Attributes:
        learned: Answers that it learned from.
        measured: Labelled answers that it was measured on, none of which it learned from.
        auc: How well it tells the unsafe ones of these from the safe ones.
        auc_hard: The same among the categories that have unsafe answers: there the topic gives nothing away.
        seconds: How long it took.
    """

    learned: int = 0
    measured: int = 0
    auc: float = 0.0
    auc_hard: float = 0.0
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """What it is worth."""
        return f"AUC {self.auc:.3f} on {self.measured:,} answers that it never saw, {self.auc_hard:.3f} within their categories of harm"

    @property
    def scorer(self) -> Path:
        """Folder of the scorer."""
        return self.folder / SCORER
