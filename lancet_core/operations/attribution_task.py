"""What is attributed to what: queries in groups, and the samples that recall by words left to be scored."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.acts.attribute import WHOLE_BATCH, AttributeRequest, Group
from lancet_core.acts.subject import Subject
from lancet_core.data.samples import Query, read_samples
from lancet_core.errors import ConfigError, DataError
from lancet_core.influence.methods import BM25, INDEX, TFIDF
from lancet_core.influence.recall import most_similar, word_similarities
from lancet_core.influence.settings import RecallSettings


@dataclass(frozen=True)
class Task:
    """What is attributed to what.

    Attributes:
        samples: The study's training samples.
        queries: Distinct queries.
        names: Name of each group: a query's id, or the name of a batch.
        groups: Query indices of each group.
        candidates: Sample rows that each group is scored on, ascending.
    """

    samples: pd.DataFrame
    queries: tuple[Query, ...]
    names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    candidates: tuple[NDArray[np.int64], ...]

    @cached_property
    def ids(self) -> list[str]:
        """Id of each sample row."""
        ids: list[str] = self.samples["id"].tolist()  # ten times as fast as list()
        return ids

    @cached_property
    def all_candidates(self) -> NDArray[np.int64]:
        """Sample rows that any group is scored on, ascending."""
        return np.unique(np.concatenate(self.candidates))

    def with_candidates(self, candidates: Sequence[NDArray[np.int64]]) -> "Task":
        """The same task on other samples."""
        return replace(self, candidates=tuple(candidates))

    def without(self, left_out: Collection[str]) -> "Task":
        """The same task without some samples, given by their ids."""
        if not left_out:
            return self
        kept = ~self.samples["id"].isin(left_out).to_numpy()
        return self.with_candidates([rows[kept[rows]] for rows in self.candidates])

    def describe(self, number: int) -> Group:
        """What the result says of one group."""
        members = [self.queries[index] for index in self.groups[number]]
        return Group(
            query_id=self.names[number],
            members=tuple(query.id for query in members),
            prompt=members[0].prompt,
            polarity=members[0].polarity,
            candidates=len(self.candidates[number]),
        )


def prepare_task(subject: Subject, request: AttributeRequest) -> Task:
    """Reads samples, forms groups and recalls their candidates; those of the gradient index are chosen later.

    Raises:
        DataError: There is no query, an empty recall, or a mixed group.
        ConfigError: Recall by the gradient index was asked of a method that takes no gradients.
    """
    queries = tuple(dict.fromkeys(request.queries))
    if not queries:
        raise DataError("there is no query to attribute; give at least one prompt with its answer")
    settings = request.influence
    if settings.recall.kind == INDEX and not settings.takes_gradients:
        raise ConfigError(
            f"recall by the gradient index needs gradients, which {settings.method} does not take; set recall to all, or choose "
            "linfac-head"
        )
    samples = read_samples(subject.samples, whole=False)
    names, groups = _groups(queries, request.batch)
    candidates = _recalled(settings.recall, samples, queries, groups)
    return Task(samples, queries, names, groups, candidates)


def _groups(queries: Sequence[Query], batch: bool) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Names the groups and lists their members; without batches each query is a group, and batches without names are one batch."""
    if not batch:
        unique = {query.id: number for number, query in reversed(list(enumerate(queries)))}
        ordered = sorted(unique, key=lambda name: unique[name])
        return tuple(ordered), tuple((unique[name],) for name in ordered)
    named = any(query.group for query in queries)
    members: dict[str, list[int]] = {}
    for number, query in enumerate(queries):
        members.setdefault((query.group or query.id) if named else WHOLE_BATCH, []).append(number)
    for name, numbers in members.items():
        if len({queries[number].polarity for number in numbers}) > 1:
            raise DataError(
                f"the query batch {name!r} mixes desirable and undesirable answers, which would cancel; attribute them as two "
                "batches"
            )
    return tuple(members), tuple(tuple(numbers) for numbers in members.values())


def _recalled(
    settings: RecallSettings,
    samples: pd.DataFrame,
    queries: Sequence[Query],
    groups: Sequence[Sequence[int]],
) -> tuple[NDArray[np.int64], ...]:
    """Sample rows of each group: the union of its queries' recalls, ascending."""
    if settings.kind not in {TFIDF, BM25}:
        return tuple(np.arange(len(samples)) for _ in groups)
    similarity = word_similarities(settings.kind, samples, queries, text=settings.text)
    return tuple(
        np.unique(np.concatenate([most_similar(similarity[member], settings.count) for member in group]))
        for group in groups
    )
