"""Training: a model fine-tuned on samples, which a study then is made of."""

import math
from dataclasses import dataclass
from pathlib import Path

from lancet_core.acts.results import Result
from lancet_core.correction.settings import TrainSettings

SAMPLES = "samples.parquet"
"""Input of the run: the samples, with the turns that count."""
MODEL = "model"


@dataclass(frozen=True)
class TrainRequest:
    """How to train. The samples lie among the inputs of the run.

    Attributes:
        train: Length, rate, adapter.
        samples: How many samples it trains on.
        unpacked: Folder that the model is unpacked to where it is a GGUF file; empty for other models.
        day: The day that templates write which write one (ISO), unless the template names another.
    """

    train: TrainSettings = TrainSettings()
    samples: int = 0
    unpacked: str = ""
    day: str = ""

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return f"{self.samples:,} samples, {self.steps:,} steps"

    @property
    def steps(self) -> int:
        """Optimizer steps that it will take where every sample can be used."""
        return math.ceil(self.train.epochs * math.ceil(self.samples / self.train.batch))


@dataclass(frozen=True)
class Trained(Result):
    """A fine-tuned model.

    Attributes:
        steps: Optimizer steps that were taken.
        first_loss: Mean loss of the first tenth of the steps, in nats per token.
        last_loss: Mean loss of the last tenth.
        samples: Samples that it was trained on.
        tokens: Tokens of theirs that count.
        characters: Characters of their texts; 0 in runs of older versions.
        cut: Samples whose prompt was cut from its left.
        shortened: Samples whose response alone exceeded the context, and was cut from its right.
        unusable: Samples that the template refuses, which were left out.
        is_adapter: Whether the folder holds an adapter alone.
        template: How the texts were written, with the day where it writes one.
        resumed_from: Step that a resumed run went on from, 0 where it ran through.
        seconds: How long it took, since it was resumed.
    """

    steps: int = 0
    first_loss: float = 0.0
    last_loss: float = 0.0
    samples: int = 0
    tokens: int = 0
    characters: int = 0
    cut: int = 0
    shortened: int = 0
    unusable: int = 0
    is_adapter: bool = False
    template: str = ""
    resumed_from: int = 0
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """How far the loss fell."""
        return f"loss {self.first_loss:.2f} to {self.last_loss:.2f} in {self.steps:,} steps"

    @property
    def model(self) -> Path:
        """Folder of the model or adapter, which a study is made of."""
        return self.folder / MODEL
