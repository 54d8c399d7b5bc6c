"""Correction: a copy of the model trained on pairs of its training samples."""

from dataclasses import dataclass, field
from pathlib import Path

from lancet_core.acts.results import Result
from lancet_core.correction.settings import CorrectionSettings
from lancet_core.data.samples import Query
from lancet_core.models.settings import GenerationSettings

PAIRS, RETAIN, VALIDATION = "pairs.jsonl", "retain.parquet", "validation.parquet"
"""Inputs of the run: pairs to train on, ids of samples to retain, prompts that the best checkpoint is chosen on."""
MODEL = "model"


@dataclass(frozen=True)
class CorrectRequest:
    """How to correct. Pairs, retain set and validation prompts lie among the inputs of the run.

    Attributes:
        correction: Objective and training.
        queries: Answers whose probability is watched; their polarity decides the sign of the correction.
        generation: How validation prompts are answered.
        pairs: How many pairs it trains on.
    """

    correction: CorrectionSettings = CorrectionSettings()
    queries: tuple[Query, ...] = ()
    generation: GenerationSettings = GenerationSettings()
    pairs: int = 0

    @property
    def title(self) -> str:
        """What is asked, in words."""
        named = "" if self.correction.objective == "ibo" else f"{self.correction.objective}, "
        return f"{named}{self.pairs:,} pairs, {self.correction.steps:,} steps"


@dataclass(frozen=True)
class Correction(Result):
    """A corrected model.

    Attributes:
        steps: Optimizer steps that were taken.
        best_step: Step of the checkpoint that was kept.
        best_score: Its score on the validation prompts; None where none were scored.
        chosen_by: What the checkpoint was chosen by, in words.
        resumed_from: Step that a resumed run went on from, None where it began anew.
        pairs: Pairs that it was trained on.
        passes: How often each pair was trained on.
        sides_agree: Share of the labelled pairs whose labels agree with their sides; None where no pair is labelled.
        retain: Samples that it was held to.
        polarity: Whether the queries are `undesirable` or `desirable`.
        terms: Last value of each term of the loss.
        left_out: Samples that were left out, since what is computed of them is not finite: ids to reasons.
        notes: What a person should know about it.
        seconds: How long it took.
    """

    steps: int = 0
    best_step: int = 0
    best_score: float | None = None
    chosen_by: str = ""
    resumed_from: int | None = None
    pairs: int = 0
    passes: float = 0.0
    sides_agree: float | None = None
    retain: int = 0
    polarity: str = "undesirable"
    terms: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """Which checkpoint was kept."""
        return f"checkpoint of step {self.best_step:,} kept"

    @property
    def model(self) -> Path:
        """Folder of the corrected model, which `from_pretrained` reads."""
        return self.folder / MODEL
