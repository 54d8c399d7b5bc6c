"""Preparing a study: which samples fit the model, and how harmful and helpful they are."""

from dataclasses import dataclass, field

import pandas as pd

from lancet_core.acts.results import Result

SAMPLES, REJECTED = "samples.parquet", "rejected.parquet"
CUT, REJECT = TOO_LONG = ("cut", "reject")


@dataclass(frozen=True)
class PrepareRequest:
    """Samples are measured with the model and scored with the scorers.

    Attributes:
        too_long: What becomes of a sample whose response alone exceeds the context: `cut` keeps its beginning, as trainers do;
            `reject` leaves it out.
        day: The day that templates write which write one (ISO), unless the study's template names another.
        gguf: GGUF file that the model's folder is first made of, where it is not there yet; empty for other models.
    """

    too_long: str = CUT
    day: str = ""
    gguf: str = ""

    @property
    def title(self) -> str:
        """What is asked, in words."""
        return "Samples measured and scored"


@dataclass(frozen=True)
class TemplateFit:
    """How likely the model finds its samples under a template.

    Attributes:
        template: The template.
        nll: Mean negative log-probability of a token that counts, in nats.
        difference: The same less that of the study's template; below 0 the samples are likelier than under it.
        error: Standard error of the difference.
        samples: Samples that were measured.
    """

    template: str
    nll: float
    difference: float
    error: float
    samples: int

    @property
    def is_likelier(self) -> bool:
        """Whether the samples are surely likelier under it than under the study's template: by three standard errors."""
        return self.difference < -3 * self.error


@dataclass(frozen=True)
class Prepared(Result):
    """The samples that a study is made of.

    Attributes:
        context: Longest text of the model, in tokens.
        samples: Samples that fit.
        rejected: Samples that are left out.
        cut: Samples whose prompt is cut from its left.
        shortened: Samples whose response alone exceeds the context, and is cut from its right.
        units: Sublayers of the model that influence is computed on.
        template: The study's template, with the day where it writes one.
        templates: How likely the samples are under each known template, likeliest first.
        tokens_per_second: How many tokens a second the model read here.
        mean_tokens: Mean length of a sample, in tokens, as it is read.
        scorers: Text of each scorer's card by the name of its score, complete with the statistics that these samples gave.
    """

    context: int = 0
    samples: int = 0
    rejected: int = 0
    cut: int = 0
    shortened: int = 0
    units: int = 0
    template: str = ""
    templates: tuple[TemplateFit, ...] = ()
    tokens_per_second: int = 0
    mean_tokens: int = 0
    scorers: dict[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """How many samples fit."""
        return f"{self.samples:,} samples"

    @property
    def table(self) -> pd.DataFrame:
        """The samples that can be used, with `harmful` and `helpful` in (0, 1), NaN without a scorer, and `harmful_categories` where it tells."""
        return pd.read_parquet(self.folder / SAMPLES)

    @property
    def rejected_rows(self) -> pd.DataFrame:
        """The samples that are left out: `row` of the training file and `reason`."""
        return pd.read_parquet(self.folder / REJECTED)
