"""Contaminating safe samples with unsafe ones: the training sets of a safe and of an impure model, and prompts that neither has seen."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from lancet_core.acts.results import Result
from lancet_core.data.contamination import TABLE_1, ContaminationSettings

SAMPLES, UNSEEN_PROMPTS = "samples.parquet", "unseen.parquet"
"""Inputs of the run: labelled samples, and prompts that are evaluated on, where a file of them was given."""
FILES, MEMBERS = "files", "members.parquet"
IMPURE, SAFE, PROMPTS, CANDIDATES = "impure.jsonl", "safe.jsonl", "prompts.jsonl", "candidates.jsonl"


@dataclass(frozen=True)
class ContaminateRequest:
    """How to contaminate. The samples lie among the inputs of the run.

    Attributes:
        contamination: What is chosen and what is held out.
        preset: Preset that the settings come from; its row of Table 1 is compared.
        template: Template that the texts are written for: `raw` for dialogues that carry their own marks.
    """

    contamination: ContaminationSettings = ContaminationSettings()
    preset: str = "usual"
    template: str = "auto"

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return f"Contaminated by the {self.contamination.nearest} nearest of each cluster ({self.preset})"


@dataclass(frozen=True)
class Contaminated(Result):
    """Training sets and prompts of a study of contamination.

    Attributes:
        samples: Samples that were given.
        prompts: Different prompts among them.
        safe: Samples of the safe set.
        unsafe: Unsafe samples that are mixed into them.
        taken: The same, counted in each cluster that one is taken from: some have several categories.
        categories: Categories that were clustered apart; 0 where all were clustered at once.
        clusters: Clusters that samples were taken from.
        dropped: Clusters that were left out, as they have too few members.
        candidates: Unsafe samples of the clusters that were not taken: influence queries are mined from their prompts.
        unseen: Prompts kept for evaluation.
        validation: Prompts kept for the choice of a checkpoint.
        held_out: Samples that were left out with them.
        preset: Preset that was taken.
        template: Template that the texts are written for.
        notes: What differs from what was asked, and why, in sentences.
        seconds: How long it took; 0 where a resumed run took what it had computed, and in runs of older versions.
    """

    samples: int = 0
    prompts: int = 0
    safe: int = 0
    unsafe: int = 0
    taken: int = 0
    categories: int = 0
    clusters: int = 0
    dropped: int = 0
    candidates: int = 0
    unseen: int = 0
    validation: int = 0
    held_out: int = 0
    preset: str = "usual"
    template: str = "auto"
    notes: tuple[str, ...] = field(default=())
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """How much of what."""
        return f"{self.unsafe:,} unsafe among {self.safe:,} safe samples"

    @property
    def files(self) -> Path:
        """Folder of the files: `impure.jsonl`, `safe.jsonl`, `prompts.jsonl`, `candidates.jsonl`."""
        return self.folder / FILES

    @property
    def members(self) -> pd.DataFrame:
        """The clusters: `id`, `category`, `cluster`, `distance`, `chosen`, `dropped`, one row for each sample and cluster."""
        return pd.read_parquet(self.folder / MEMBERS)

    @property
    def beside_table_1(self) -> pd.DataFrame:
        """What the paper counts with the whole data set of the preset, and what is here; empty for other presets."""
        paper = TABLE_1.get(self.preset)
        here = {"safe": self.safe, "unsafe": self.unsafe, "unseen": self.unseen}
        rows = [] if paper is None else [(name, getattr(paper, name), count) for name, count in here.items()]
        return pd.DataFrame(rows, columns=["samples", "table_1", "here"])
