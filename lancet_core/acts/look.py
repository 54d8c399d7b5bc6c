"""Looking at training data before a study is made of it: what would be used, what not and why, and how long it is."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lancet_core.acts.prepare import CUT, TOO_LONG
from lancet_core.acts.results import Result
from lancet_core.config import setting
from lancet_core.data.adapters import AUTO
from lancet_core.data.conversations import LAST, TURNS

SAMPLES, REJECTED = "samples.parquet", "rejected.parquet"
# HH prompts are whole dialogues that carry their own marks.
TEMPLATES = {"hh": "raw"}


def template_for(format: str) -> str:
    """The template of a study for which none was chosen, by the format of its rows."""
    return TEMPLATES.get(format, "auto")


@dataclass(frozen=True)
class LookRequest:
    """Which file is looked at, and how it is read.

    Attributes:
        train: The file, or folder of shards.
        stamp: What changes when the file does.
        day: The day that templates write which write one (ISO), unless the template names another.
    """

    train: str = setting("", "File, or folder of shards, of training samples.")
    format: str = setting(AUTO, "Format of the rows: auto, plain, messages, preference, hh or pku.")
    columns: str = setting("", "Columns that are called otherwise.", name="map")
    turns: str = setting(LAST, "Which of the assistant's turns count.", choices=TURNS)
    too_long: str = setting(CUT, "What becomes of a response longer than the context.", choices=TOO_LONG)
    stamp: str = ""
    day: str = ""

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return f"Training data in {Path(self.train).name or 'a file'}"


@dataclass(frozen=True)
class Looked(Result):
    """What a study of this data would be made of.

    Attributes:
        format: The format that most rows have.
        template: How the conversations are written.
        context: Longest text of the model, in tokens.
        rows: Rows in the file.
        samples: Samples that can be used.
        rejected: Rows or samples that cannot.
        duplicates: Samples left out because an equal one stands before them.
        cut: Samples whose prompt is cut from its left.
        shortened: Samples whose response alone exceeds the context, and is cut from its right.
        labelled: Samples with a label.
        unsafe: Samples labelled unsafe.
    """

    format: str = ""
    template: str = ""
    context: int = 0
    rows: int = 0
    samples: int = 0
    rejected: int = 0
    duplicates: int = 0
    cut: int = 0
    shortened: int = 0
    labelled: int = 0
    unsafe: int = 0

    @property
    def outcome(self) -> str:
        """How many samples can be used."""
        return f"{self.samples:,} samples of {self.rows:,} rows"

    @property
    def table(self) -> pd.DataFrame:
        """The samples that can be used; `tokens` of each before it is cut, and how many of them are `counted`."""
        return pd.read_parquet(self.folder / SAMPLES)

    @property
    def lengths(self) -> pd.Series:
        """Tokens of each sample before it is cut."""
        return pd.read_parquet(self.folder / SAMPLES, columns=["tokens"])["tokens"]

    @property
    def rejected_rows(self) -> pd.DataFrame:
        """What cannot be used: `row` of the file and `reason`."""
        return pd.read_parquet(self.folder / REJECTED)

    @property
    def reasons(self) -> pd.DataFrame:
        """Why rows cannot be used, the most frequent first: `reason`, number of `rows`, and the `first` few of them."""
        return count_reasons(self.rejected_rows)


def count_reasons(rejected: pd.DataFrame, shown: int = 5) -> pd.DataFrame:
    """Groups rejected rows by their reason.

    Args:
        rejected: Columns `row` and `reason`.
        shown: Row numbers that are named for each.

    Returns:
        Columns `reason`, `rows` and `first`, the most frequent reason first.
    """
    rows = [
        (reason, len(numbers), ", ".join(map(str, sorted(numbers)[:shown])))
        for reason, numbers in rejected.groupby("reason", sort=False)["row"]
    ]
    counted = pd.DataFrame(rows, columns=["reason", "rows", "first"])
    return counted.sort_values("rows", ascending=False, kind="stable", ignore_index=True)
