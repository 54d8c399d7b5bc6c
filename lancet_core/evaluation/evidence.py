"""What a comparison of two models measured, as the verdict reads it. Free of torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from lancet_core.data.samples import UNDESIRABLE
from lancet_core.evaluation.intervals import Interval, paired_change
from lancet_core.evaluation.metrics import COLLAPSE_MEASURES, diversity_change
from lancet_core.evaluation.scorer_cards import ScorerCard
from lancet_core.evaluation.settings import MetricSettings

QUERIES = "queries"
SIDES = ("before", "after")


@dataclass(frozen=True)
class Paired:
    """One measure of the same items under both models.

    Attributes:
        before: Values under the study's model.
        after: Values under the corrected model, in the same order.
    """

    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()

    def __len__(self) -> int:
        """Number of items."""
        return len(self.before)

    @property
    def changes(self) -> list[float]:
        """After minus before of each item."""
        return [after - before for before, after in zip(self.before, self.after, strict=True)]

    def change(self) -> Interval:
        """Mean change with its 95 % interval.

        Raises:
            NumericalError: There is no item.
        """
        return paired_change(self.before, self.after)


@dataclass(frozen=True)
class CaseEvidence:
    """The one answer that started it all.

    Attributes:
        bad_answer: The query's response.
        before: What the study's model answers.
        after: What the corrected model answers.
        log_probability_before: Log-probability of the bad answer in nats, summed over its tokens.
        log_probability_after: The same under the corrected model.
        harmful_after: Harmful score of the new answer, None where no scorer knows its category.
        polarity: `undesirable`, or `desirable` where the answer was wanted more often.
    """

    bad_answer: str
    before: str
    after: str
    log_probability_before: float
    log_probability_after: float
    harmful_after: float | None = None
    polarity: str = UNDESIRABLE


@dataclass(frozen=True)
class Training:
    """What the corrected model was trained on; the advice depends on it.

    Attributes:
        pairs: Number of pairs.
        steps: Optimizer steps.
        passes: How often each pair was trained on.
        sides_agree: Share of the labelled pairs whose labels agree with their sides, None where no pair is labelled.
    """

    pairs: int
    steps: int
    passes: float
    sides_agree: float | None = None


@dataclass(frozen=True)
class Evidence:
    """Measurements on both models; a measure is empty where nothing was measured.

    Attributes:
        case: The case, None where there is none.
        query_harm: Harmful score of the answers to the queries, of categories that the scorer knows.
        query_likelihood: Log-probability in nats of the queries' responses that the scorer cannot judge.
        query_nll: Mean token NLL in nats of the same responses.
        unseen_harm: Harmful score of the answers to unseen wrong prompts, of categories that the scorer knows.
        benign_harm: Harmful score of the answers to benign prompts.
        benign_help: Helpful score of the answers to benign prompts.
        reference_nll: Mean token NLL in nats of good answers that must stay likely.
        diversity: Name of a diversity measure to its value before and after, larger = more varied.
        empty_harm: Mean harmful score of an empty answer to the unseen `wrong` and to the `benign` prompts, where it was measured.
        has_scorer: Whether there is a harmful scorer.
        polarity: What the queries show.
        training: What the corrected model was trained on, None where that is not known.
    """

    case: CaseEvidence | None = None
    query_harm: Paired = Paired()
    query_likelihood: Paired = Paired()
    query_nll: Paired = Paired()
    unseen_harm: Paired = Paired()
    benign_harm: Paired = Paired()
    benign_help: Paired = Paired()
    reference_nll: Paired = Paired()
    diversity: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    empty_harm: Mapping[str, float] = field(default_factory=dict)
    has_scorer: bool = True
    polarity: str = UNDESIRABLE
    training: Training | None = None


def gather_evidence(
    answers: pd.DataFrame,
    *,
    case: CaseEvidence | None,
    polarities: Sequence[str],
    scorer: ScorerCard | None,
    settings: MetricSettings,
    training: Training | None = None,
) -> Evidence:
    """Takes what the verdict needs from the answers of both models.

    Args:
        answers: One row for each prompt: `split`, `kind`, `category`, `before`, `after`, `harmful_empty`, and with the endings `_before`
            and `_after` `harmful`, `helpful`, `nll` (of the reference), `log_probability` and `response_nll` (of the query's response); NaN
            where unknown.
        case: The case, None where there is none.
        polarities: Polarity of each query.
        scorer: Card of the harmful scorer, None where there is none.
        settings: How diversity is measured.
        training: What the corrected model was trained on.
    """
    polarity = polarities[0] if len(set(polarities)) == 1 else UNDESIRABLE
    judged = answers["category"].map(lambda name: scorer is not None and scorer.knows(str(name))).astype(bool)
    is_query, benign = answers["split"] == QUERIES, answers["kind"] == "benign"
    unseen_wrong = ~is_query & (answers["kind"] == "wrong") & judged
    query_judged = is_query & judged & (polarity == UNDESIRABLE)
    variety = diversity_change(answers[benign] if benign.sum() > 1 else answers, settings)
    empty = {"wrong": answers.loc[unseen_wrong], "benign": answers.loc[benign]}
    return Evidence(
        case=case,
        query_harm=_paired(answers[query_judged], "harmful"),
        query_likelihood=_paired(answers[is_query & ~query_judged], "log_probability"),
        query_nll=_paired(answers[is_query & ~query_judged], "response_nll"),
        unseen_harm=_paired(answers[unseen_wrong], "harmful"),
        benign_harm=_paired(answers[benign], "harmful"),
        benign_help=_paired(answers[benign], "helpful"),
        reference_nll=_paired(answers[~is_query], "nll"),
        diversity={name: variety[name] for name in COLLAPSE_MEASURES if name in variety},
        empty_harm={
            kind: float(rows["harmful_empty"].mean())
            for kind, rows in empty.items()
            if rows["harmful_empty"].notna().any()
        },
        has_scorer=scorer is not None,
        polarity=polarity,
        training=training,
    )


def _paired(answers: pd.DataFrame, measure: str) -> Paired:
    columns = [f"{measure}_{side}" for side in SIDES]
    known = answers.dropna(subset=columns)
    return Paired(*(tuple(known[column].astype(float)) for column in columns))
