"""Pairs as they stand in the review, for notebooks: seen, decided on, handed to a correction."""

from collections.abc import Sequence

import pandas as pd

from lancet_core.correction.pair_files import ReviewedPair
from lancet_core.store import pairs as pair_store
from lancet_core.store.decisions import Decision, Draft
from lancet_core.store.studies import StudyRecord
from lancet_core.study import review
from lancet_core.study.queue import Scope, View, pairs_in_scope, queue


class Pairs:
    """Pairs of a case, or of a study, as they stand in the review."""

    def __init__(self, study: StudyRecord, scope: Scope) -> None:
        self.study, self.scope = study, scope

    @property
    def table(self) -> pd.DataFrame:
        """All of them, decided or not, with their verdicts and the reason why each stands for review."""
        return queue(self.study, View(reviewer="", scope=self.scope, show="all"))

    def approved(self) -> list[ReviewedPair]:
        """The approved ones, with the texts of their samples.

        Raises:
            DataError: A sample is not in the study any more.
        """
        return review.approved_pairs(self.study, self.scope)

    def approve(self, pair_ids: Sequence[str], *, reviewer: str) -> list[Decision]:
        """Approves pairs by id; as `decide`."""
        return self.decide(pair_ids, pair_store.APPROVE, reviewer=reviewer)

    def decide(
        self, pair_ids: Sequence[str], verdict: str, *, reviewer: str, replace: bool = False
    ) -> list[Decision]:
        """Decides on pairs by id, all or none, as one act that one undo takes back.

        Args:
            pair_ids: The pairs.
            verdict: `approve`, `reject`, `skip` or `flag`.
            reviewer: Who decides.
            replace: Whether pairs are decided anew on which another decision holds.

        Returns:
            The decisions that were kept; none for a pair that the reviewer had decided so before.

        Raises:
            StoreError: There is no such pair, or another decision holds on one.
            ConfigError: There is no such verdict, or the reviewer has no name.
        """
        drafts = [Draft(pair_id, verdict, reviewer.strip()) for pair_id in pair_ids]
        return list(review.decide_all(self.study.workspace, drafts, replace=replace).decisions)

    @property
    def equal_prompts(self) -> int:
        """How many have two equal prompts, as a preference (DPO) needs."""
        prompts = self.study.samples().set_index("id")["prompt"]
        pairs = pairs_in_scope(self.study, self.scope)
        return int((pairs["positive_id"].map(prompts) == pairs["negative_id"].map(prompts)).sum())

    def __len__(self) -> int:
        return len(pairs_in_scope(self.study, self.scope))
