"""The demo study, remade from code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lancet_core.acts.results import Result
from lancet_core.config import setting

ASSETS = "assets"


@dataclass(frozen=True)
class BuildDemoRequest:
    """How large the demo is."""

    seed: int = setting(0, "Seed of the corpus and of all models", minimum=0)
    samples: int = setting(9000, "Training samples", minimum=200)
    pool: int = setting(480, "Wrong prompts that influence queries are mined from", minimum=24)
    queries: int = setting(6, "Influence queries mined in each category, at most", minimum=1)
    validation: int = setting(120, "Validation prompts of each kind", minimum=1)
    unseen_wrong: int = setting(360, "Unseen wrong prompts", minimum=1)
    unseen_benign: int = setting(220, "Unseen benign prompts", minimum=1)
    epochs: int = setting(5, "Passes of each language model over its samples", minimum=1)
    width: int = setting(128, "Hidden size of the language models, a multiple of 8", minimum=16)
    scorer_answers: int = setting(9000, "Answers that each scorer is trained on", minimum=50)
    scorer_epochs: int = setting(4, "Passes of each scorer over its answers", minimum=1)
    attribution: bool = setting(True, "Attribute the mined queries' clusters over the whole corpus")
    threads: int = setting(2, "Threads of every computation; weights are equal for equal numbers", minimum=1)

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return f"Demo of {self.samples:,} samples, seed {self.seed}"


@dataclass(frozen=True)
class DemoBuilt(Result):
    """The demo's assets.

    Attributes:
        seconds: How long it took.
        seed: Seed of everything.
        measured: How well the models behave: one row for each model.
    """

    seconds: float = 0.0
    seed: int = 0
    measured: tuple[dict[str, Any], ...] = ()

    @property
    def outcome(self) -> str:
        """How long it took."""
        return f"made in {self.seconds:,.0f} s"

    @property
    def assets(self) -> Path:
        """Folder of the assets."""
        return self.folder / ASSETS
