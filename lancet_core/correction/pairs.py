"""Proposes the pairs that a person reviews, and the samples that a correction leaves as they are.

Pair i of a query cluster is its i-th most positive and its i-th most negative training sample; before those come, where they are
wanted, the pairs whose two samples answer the same prompt.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lancet_core.correction.equal_prompts import equal_prompt_pairs
from lancet_core.correction.near_duplicates import admit_distinct
from lancet_core.correction.settings import PairSettings
from lancet_core.data.samples import UNDESIRABLE, content_id
from lancet_core.errors import DataError, NumericalError

AGREEMENT_THRESHOLD = 0.5
POSITIVE = 1
NEGATIVE = -1
Place = tuple[Any, int]
_SIDES = ["positive_sample_id", "negative_sample_id"]


@dataclass(frozen=True)
class _Claim:
    """A cluster's wish for a sample, with its influence as scored, and scaled within the cluster to [-1, 1]."""

    sample_id: str
    scaled: float
    raw: float
    cluster: Any


def propose_pairs(scores: pd.DataFrame, samples: pd.DataFrame, settings: PairSettings) -> pd.DataFrame:
    """Pairs influential samples, in the order in which they are to be reviewed.

    Pairs of equal prompts come first (`equal_prompts`), strongest first; then each sample that is left may meet any other. The
    clusters draw in turn, one pair each, until there are enough. A sample stands in at most one pair: where several clusters
    claim it in the same turn the strongest claim wins and the next in line moves up (deferred acceptance, so that the result does
    not depend on the order of the rows). The first pairs do not depend on how many are asked for.

    Args:
        scores: One row for each cluster and scored sample: `cluster`, `sample_id`, `influence`.
        samples: The training samples: `id`, `prompt`, and `harmful` where a scorer is to agree.
        settings: How many pairs, and which samples may enter.

    Returns:
        Columns `pair_id`, `cluster`, `rank` (1 = strongest of its cluster), `positive_id`, `negative_id`, their influence scaled
        within the cluster and raw. Clusters in turn, strongest positive minus negative first.

    Raises:
        DataError: No pair can be made, or the scorer's agreement is asked for without scores.
        NumericalError: An influence is not finite, or a cluster has none other than 0.
    """
    claims = _queued(_eligible(scale_influence(scores), samples, settings), settings)
    prompts = _prompts(claims, samples)
    equal = equal_prompt_pairs(claims, prompts) if settings.equal_prompts else pd.DataFrame(columns=_SIDES)
    admitted = _admitted(claims, equal[_SIDES], prompts, settings.similar_prompts)
    equal = equal[equal[_SIDES].isin(admitted).all(axis=1)]
    free = claims["sample_id"].isin(admitted - set(equal[_SIDES].to_numpy().ravel()))
    pairs = [_equal_pair(row) for row in equal.to_dict("records")]
    pairs += _in_turns(_ranked(claims[free]), settings.count - len(pairs))
    if not pairs:
        raise DataError(_nothing_to_pair(scores, claims))
    return pd.DataFrame(pairs[: settings.count])


def choose_retain_set(
    scores: pd.DataFrame, pairs: pd.DataFrame, settings: PairSettings, *, sample_ids: Sequence[str] = ()
) -> list[str]:
    """Chooses the samples on which the corrected model must stay as it is.

    `near-zero` takes the samples whose largest magnitude over the clusters, each scaled, is below the median of that. Deviation
    from "below the median in every cluster" (`below-every-median`), which is the same for one cluster: with ten clusters that rule
    kept 12 % of the demo's samples and almost none of the harmless requests (4 % instead of 55 %), whose influence is noise around
    each median, so that nothing held the model's usefulness.

    Args:
        scores: One row for each cluster and scored sample: `cluster`, `sample_id`, `influence`.
        pairs: The proposed pairs: `positive_id`, `negative_id`.
        settings: The rule.
        sample_ids: Further training samples, which recall left out of scoring: no cluster counts against them.

    Returns:
        Ids of samples in no pair, in the order of `scores` and then of `sample_ids`.

    Raises:
        DataError: No sample is left.
        NumericalError: An influence is not finite, or a cluster has none other than 0.
    """
    paired = set(pairs["positive_id"]) | set(pairs["negative_id"])
    barred = _influential(scores, settings.retain) if len(scores) else set()
    known = dict.fromkeys([*scores["sample_id"], *sample_ids])
    retained = [sample_id for sample_id in known if sample_id not in paired and sample_id not in barred]
    if not retained:
        raise DataError(
            f"the retain set is empty: each of {len(known)} samples is in a pair or above the median influence of a cluster; "
            "ask for fewer pairs, use fewer clusters, or set retain to rest"
        )
    return retained


def _influential(scores: pd.DataFrame, rule: str) -> set[str]:
    """Samples that a rule keeps out of the retain set."""
    if rule == "rest":
        return set()
    scaled = scale_influence(scores)
    magnitude = scaled["scaled"].abs()
    if rule == "near-zero":
        largest = magnitude.groupby(scaled["sample_id"]).max()
        return set(largest.index[largest >= largest.median()])
    medians = magnitude.groupby(scaled["cluster"]).transform("median")
    return set(scaled.loc[magnitude >= medians, "sample_id"])


def scale_influence(scores: pd.DataFrame) -> pd.DataFrame:
    """Divides each influence by the largest magnitude of its cluster (paper, below Eq. 15).

    Returns:
        The rows of `scores` with a further column `scaled` in [-1, 1].

    Raises:
        NumericalError: An influence is not finite, or a cluster has none other than 0.
    """
    if not np.isfinite(scores["influence"]).all():
        bad = scores.loc[~np.isfinite(scores["influence"])].iloc[0]
        raise NumericalError(
            f"the influence of sample {bad['sample_id']} in cluster {bad['cluster']} is {bad['influence']}; score again with "
            "a larger damping"
        )
    largest = scores["influence"].abs().groupby(scores["cluster"]).transform("max")
    if (largest == 0).any():
        cluster = scores.loc[largest == 0, "cluster"].iloc[0]
        raise NumericalError(
            f"every influence in cluster {cluster} is 0, so nothing can be ranked; check the cluster's queries"
        )
    return scores.assign(scaled=scores["influence"] / largest)


def _eligible(scaled: pd.DataFrame, samples: pd.DataFrame, settings: PairSettings) -> pd.DataFrame:
    """Keeps the claims that selection and scorer let through."""
    claims = scaled[scaled["scaled"] != 0]
    if settings.selection == "pareto":
        claims = claims[_pareto_keeps(claims, settings)]
    if settings.scorer_agreement:
        claims = claims[_scorer_agrees(claims, samples, settings)]
    return claims


def _queued(claims: pd.DataFrame, settings: PairSettings) -> pd.DataFrame:
    """Gives each claim its queue: that of its cluster, or one for the strongest claim of each sample."""
    if settings.selection != "top_k":
        return claims.assign(queue=claims["cluster"])
    return _strongest_first(claims).drop_duplicates("sample_id").assign(queue=0)


def _strongest_first(claims: pd.DataFrame) -> pd.DataFrame:
    return claims.loc[claims["scaled"].abs().sort_values(ascending=False, kind="stable").index]


def _prompts(claims: pd.DataFrame, samples: pd.DataFrame) -> pd.Series:
    """Looks up the prompts of the samples that are claimed."""
    prompts: pd.Series = samples.set_index("id")["prompt"]
    unknown = claims.loc[~claims["sample_id"].isin(prompts.index), "sample_id"]
    if len(unknown):
        raise DataError(
            f"sample {unknown.iloc[0]} was scored but is not among the training samples; attribute again"
        )
    return prompts


def _admitted(claims: pd.DataFrame, equal: pd.DataFrame, prompts: pd.Series, limit: int) -> set[str]:
    """Admits samples of near-equal prompts up to a limit: first those of the pairs of equal prompts, then the strongest."""
    ids = pd.Index([*equal.to_numpy().ravel(), *_strongest_first(claims)["sample_id"]]).drop_duplicates()
    return set(ids[admit_distinct(prompts.loc[ids].tolist(), limit)])


def _equal_pair(row: dict[Any, Any]) -> dict[str, Any]:
    sides = [
        _Claim(
            row[f"{side}_sample_id"], row[f"{side}_scaled"], row[f"{side}_influence"], row[f"{side}_cluster"]
        )
        for side in ("positive", "negative")
    ]
    return _pair(*sides, rank=int(row["rank"]))


def _pareto_keeps(claims: pd.DataFrame, settings: PairSettings) -> pd.Series:
    """Keeps a claim iff its sample's one draw from the Lomax distribution exceeds 1 minus its magnitude (GPT-3's rule)."""
    generator = np.random.default_rng(settings.seed)
    ids = sorted(claims["sample_id"].unique())
    draws = pd.Series(generator.pareto(settings.pareto_shape, len(ids)), index=ids)
    return pd.Series(claims["sample_id"].map(draws) > 1 - claims["scaled"].abs())


def _scorer_agrees(claims: pd.DataFrame, samples: pd.DataFrame, settings: PairSettings) -> pd.Series:
    if "harmful" not in samples.columns or samples["harmful"].isna().all():
        raise DataError(
            "the scorer's agreement was asked for, but the training samples have no harmful scores; "
            "give the study a harmful scorer or turn scorer_agreement off"
        )
    harmful = claims["sample_id"].map(samples.set_index("id")["harmful"])
    bad = harmful >= AGREEMENT_THRESHOLD
    good = harmful < AGREEMENT_THRESHOLD
    towards = claims["scaled"] > 0
    if settings.polarity == UNDESIRABLE:
        return pd.Series((towards & bad) | (~towards & good))
    return pd.Series((towards & good) | (~towards & bad))


def _ranked(claims: pd.DataFrame) -> dict[Place, list[_Claim]]:
    """Lists the claims of each queue and sign, strongest first; ties go by sample id."""
    ranked: dict[Place, list[_Claim]] = defaultdict(list)
    order = claims.assign(strength=claims["scaled"].abs()).sort_values(
        ["queue", "strength", "sample_id"], ascending=[True, False, True]
    )
    columns = (order[name].tolist() for name in ("queue", "sample_id", "scaled", "influence", "cluster"))
    for queue, sample_id, scaled, raw, cluster in zip(*columns, strict=True):
        ranked[queue, POSITIVE if scaled > 0 else NEGATIVE].append(_Claim(sample_id, scaled, raw, cluster))
    return ranked


def _in_turns(ranked: dict[Place, list[_Claim]], count: int) -> list[dict[str, Any]]:
    """Lets the queues draw one pair each in turn until there are enough or no queue has two sides left.

    What a turn gives depends on the turns before it alone: asking for more pairs leaves the first ones as they are.
    """
    waiting = {place: deque(claims) for place, claims in ranked.items()}
    pairs: list[dict[str, Any]] = []
    rank = 0
    while len(pairs) < count and waiting:
        rank += 1
        accepted = _one_turn(waiting)
        pairs += _pair_up(accepted, rank)
        taken = {claim.sample_id for claim in accepted.values()}
        waiting = {
            place: deque(claim for claim in waiting[place] if claim.sample_id not in taken)
            for place in accepted
        }
    return pairs


def _one_turn(waiting: dict[Place, deque[_Claim]]) -> dict[Place, _Claim]:
    """Gives each queue one sample of each sign by deferred acceptance; queues that are left with one side get none."""
    while True:
        accepted = _accept(waiting)
        lonely = {queue for queue, sign in waiting if not {(queue, sign), (queue, -sign)} <= accepted.keys()}
        if not lonely:
            return accepted
        waiting = {place: claims for place, claims in waiting.items() if place[0] not in lonely}


def _accept(waiting: dict[Place, deque[_Claim]]) -> dict[Place, _Claim]:
    """Deferred acceptance: a sample goes to its strongest claim, and who loses it claims its next one."""
    holder: dict[str, tuple[Place, _Claim]] = {}
    left = {place: iter(claims) for place, claims in waiting.items()}
    claiming = deque(waiting)
    while claiming:
        place = claiming.popleft()
        for claim in left[place]:
            rival = holder.get(claim.sample_id)
            if rival is not None and abs(rival[1].scaled) >= abs(claim.scaled):
                continue
            holder[claim.sample_id] = (place, claim)
            if rival is not None:
                claiming.append(rival[0])
            break
    return dict(holder.values())


def _pair_up(accepted: dict[Place, _Claim], rank: int) -> list[dict[str, Any]]:
    """Makes the pairs of one turn, strongest positive minus negative first."""
    pairs = []
    for (queue, sign), positive in accepted.items():
        if sign == NEGATIVE:
            continue
        pairs.append(_pair(positive, accepted[queue, NEGATIVE], rank=rank))
    return sorted(
        pairs, key=lambda pair: (pair["negative_influence"] - pair["positive_influence"], pair["pair_id"])
    )


def _pair(positive: _Claim, negative: _Claim, *, rank: int) -> dict[str, Any]:
    return {
        "pair_id": content_id(positive.sample_id, negative.sample_id),
        "cluster": positive.cluster,
        "rank": rank,
        "positive_id": positive.sample_id,
        "negative_id": negative.sample_id,
        "positive_influence": positive.scaled,
        "negative_influence": negative.scaled,
        "positive_raw": positive.raw,
        "negative_raw": negative.raw,
    }


def _nothing_to_pair(scores: pd.DataFrame, claims: pd.DataFrame) -> str:
    positive = int((claims["scaled"] > 0).sum()) if len(claims) else 0
    return (
        f"no pair can be made: of {scores['sample_id'].nunique()} scored samples {positive} claims push towards the queries and "
        f"{len(claims) - positive} push away, and both are needed; add queries, score the whole corpus or relax the scorer's agreement"
    )
