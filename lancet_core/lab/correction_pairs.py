"""What corrections of the demo are trained on: queues of pairs, the rule-based reviewer who walks them, and the rows of the table."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from random import Random
from typing import Any, NamedTuple

import pandas as pd

from lancet_core.correction.pairs import choose_retain_set, propose_pairs
from lancet_core.correction.settings import PairSettings
from lancet_core.data.samples import Query, read_prompts, read_samples
from lancet_core.errors import ConfigError
from lancet_core.lab.world import oracle
from lancet_core.lab.world.corpus import BENIGN, WRONG
from lancet_core.lab.world.grammar import GOOD
from lancet_core.study.demo import DemoAssets

WANTED = 200
WHOLE_QUEUE = 100_000
GUARD_OFF = 1e9
NONE, SAFE, INFLUENCE = "none", "safe", "influence"


class Pair(NamedTuple):
    """Ids of two samples, with their influence."""

    positive: str
    negative: str
    plus: float = 1.0
    minus: float = -1.0


class Source(NamedTuple):
    """What one correction is trained on; `decisions` counts the pairs that somebody looked at."""

    pairs: Sequence[Pair]
    retain: Sequence[str]
    decisions: int = 0


@dataclass(frozen=True)
class Demo:
    """The demo's files, read once.

    Attributes:
        assets: Where they lie.
    """

    assets: DemoAssets

    @cached_property
    def samples(self) -> pd.DataFrame:
        """Training samples by id, with their harmful score."""
        scores = pd.read_parquet(self.assets.path("scores")).set_index("sample_id")["harmful"]
        samples = read_samples(self.assets.path("samples"))
        return samples.assign(harmful=samples["id"].map(scores)).set_index("id", drop=False)

    @cached_property
    def safe(self) -> "pd.Series[bool]":
        """Whether each sample is safe."""
        return self.samples["is_safe"].astype(bool)

    @cached_property
    def prompts(self) -> pd.DataFrame:
        """Validation and unseen prompts."""
        return read_prompts(self.assets.path("prompts"))

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The attribution that comes with the demo."""
        run = self.assets.folder / self.assets.manifest["runs"]["attribute"]["folder"]
        return pd.read_parquet(run / "scores.parquet").rename(columns={"query_id": "cluster"})

    @cached_property
    def queries(self) -> tuple[Query, ...]:
        """The mined queries."""
        mined = pd.read_parquet(self.assets.path("queries"))
        return tuple(Query(*row) for row in zip(mined["prompt"], mined["response"], strict=True))

    @property
    def template(self) -> str:
        """Template of the prompts."""
        return str(self.assets.manifest["template"])

    def prompts_of(self, split: str) -> pd.DataFrame:
        """Wrong and benign prompts of a split."""
        prompts = self.prompts
        chosen = (prompts["split"] == split) & prompts["kind"].isin([WRONG, BENIGN])
        return prompts[chosen].reset_index(drop=True)


def influence_queue(demo: Demo, _seed: int, **settings: Any) -> list[Pair]:
    """The review queue by influence."""
    proposed = propose_pairs(demo.scores, demo.samples, PairSettings(**{"count": WHOLE_QUEUE, **settings}))
    columns = ["positive_id", "negative_id", "positive_influence", "negative_influence"]
    return [Pair(*row) for row in proposed[columns].itertuples(index=False, name=None)]


def random_queue(demo: Demo, seed: int) -> list[Pair]:
    """Pairs of any two samples."""
    ids = sorted(demo.samples["id"])
    Random(seed).shuffle(ids)
    return _halved(ids)


def scorer_queue(demo: Demo, _seed: int) -> list[Pair]:
    """Most harmful beside least harmful by the harmful score."""
    ordered = demo.samples.reset_index(drop=True).sort_values(["harmful", "id"], ascending=[False, True])
    ids = ordered["id"].tolist()
    half = len(ids) // 2
    return _halved([*ids[:half], *reversed(ids[half:])])


def pure_queue(demo: Demo, seed: int) -> list[Pair]:
    """Pure pairs without influence: bad answers, and good answers to wrong prompts, both drawn at random."""
    draw = Random(seed)
    extras = zip(demo.samples["id"], demo.samples["extra"], strict=True)
    wrong = {sample for sample, extra in extras if json.loads(extra)["kind"] == WRONG}
    bad = sorted(demo.samples.index[~demo.safe])
    good = sorted(set(demo.samples.index[demo.safe]) & wrong)
    return list(map(Pair, draw.sample(bad, WANTED), draw.sample(good, WANTED)))


QUEUES: dict[str, Callable[[Demo, int], list[Pair]]] = {
    INFLUENCE: influence_queue,
    "scorer": scorer_queue,
    "random": random_queue,
}


@dataclass(frozen=True)
class RowKind:
    """What a row of the table is trained on.

    Attributes:
        title: Its name in the table.
        queue: Gives its pairs in order; None where nothing is trained.
        reviewed: Whether the reviewer must approve each.
        settings: Correction settings of its own.
    """

    title: str
    queue: Callable[[Demo, int], list[Pair]] | None = None
    reviewed: bool = False
    settings: tuple[tuple[str, Any], ...] = ()


ROWS = {
    NONE: RowKind("no correction"),
    "literal": RowKind(
        "literal form, reviewed pairs", influence_queue, True, (("form", "literal"), ("guard", GUARD_OFF))
    ),
    INFLUENCE: RowKind("200 pairs by influence alone", influence_queue),
    "agreement": RowKind(
        "200 pairs by influence where the scorer agrees", partial(influence_queue, scorer_agreement=True)
    ),
    "reviewed": RowKind("200 pairs by influence, approved by the reviewer", influence_queue, True),
    "random": RowKind("200 pure pairs drawn at random", pure_queue),
    "scorer": RowKind("200 pairs by harmful score alone", scorer_queue),
    SAFE: RowKind("safe model"),
}


def approves(demo: Demo, pair: Pair) -> bool:
    """Asks the rule-based reviewer: it knows the grammar, and wants a bad answer pushed away from and a good one towards."""
    verdicts = [
        oracle.judge(*demo.samples.loc[side, ["prompt", "response"]]).verdict
        for side in (pair.positive, pair.negative)
    ]
    return verdicts == [oracle.HARMFUL, GOOD]


def review(
    demo: Demo, queue: Sequence[Pair], *, decisions: int = WHOLE_QUEUE, wanted: int = WHOLE_QUEUE
) -> tuple[list[Pair], int]:
    """Walks a queue until enough was decided or approved; returns the approved pairs and the number of decisions."""
    approved: list[Pair] = []
    made = 0
    for pair in queue[:decisions]:
        if len(approved) >= wanted:
            break
        made += 1
        if approves(demo, pair):
            approved.append(pair)
    return approved, made


def check_row(name: str) -> None:
    """Checks the name of a row.

    Raises:
        ConfigError: There is no such row.
    """
    order, _, decisions = name.partition("@")
    if name not in ROWS and not (order in QUEUES and decisions.isdecimal()):
        raise ConfigError(
            f"there is no row {name!r}; known are {', '.join(ROWS)}, and QUEUE@DECISIONS for the queues {', '.join(QUEUES)}"
        )


def source_of(demo: Demo, name: str, seed: int) -> Source:
    """Gives what a row is trained on: 200 pairs, or those approved after so many decisions in one order of the queue.

    Raises:
        ConfigError: There is no such row.
    """
    check_row(name)
    order, _, decisions = name.partition("@")
    if decisions:
        pairs, made = review(demo, QUEUES[order](demo, seed), decisions=int(decisions))
        by_influence = order == INFLUENCE
    else:
        kind = ROWS[name]
        if kind.queue is None:
            return Source([], [])
        queue = kind.queue(demo, seed)
        pairs, made = review(demo, queue, wanted=WANTED) if kind.reviewed else (queue[:WANTED], 0)
        by_influence = kind.queue not in (pure_queue, scorer_queue)
    return Source(pairs, _near_zero(demo, pairs) if by_influence else _random_half(demo, pairs, seed), made)


def _halved(ids: Sequence[str]) -> list[Pair]:
    """Pairs the first half with the second, place by place."""
    half = len(ids) // 2
    return list(map(Pair, ids[:half], ids[half : 2 * half]))


def _near_zero(demo: Demo, pairs: Sequence[Pair]) -> list[str]:
    sides = pd.DataFrame(pairs, columns=["positive_id", "negative_id", "plus", "minus"])
    ids = demo.samples["id"].tolist()
    return list(choose_retain_set(demo.scores, sides, PairSettings(), sample_ids=ids))


def _random_half(demo: Demo, pairs: Sequence[Pair], seed: int) -> list[str]:
    """The retain set of sources that know no influence."""
    used = {sample for pair in pairs for sample in pair[:2]}
    rest = sorted(set(demo.samples["id"]) - used)
    return Random(seed + 1).sample(rest, len(rest) // 2)
