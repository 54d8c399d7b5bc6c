"""What a reviewer reads: the answer that a pair was proposed for and why, and the two samples of the pair."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from lancet_core.data.samples import DESIRABLE, Query
from lancet_core.errors import StoreError
from lancet_core.store.pairs import CLUSTER
from lancet_core.store.queries import get_query
from lancet_core.store.runs import queries_of
from lancet_core.study.queue import contradictions
from lancet_core.study.study import Study
from pages.review.pair import Side, pair_cards
from pages.shared import state
from pages.shared.cached import cached
from pages.shared.plain_text import plain
from pages.shared.reading import Card, Fact, passages, show_card
from pages.shared.screens import SCREENS

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Asked:
    """The answer that a pair was proposed for.

    Attributes:
        query: The query; None where it is not kept any more.
        is_mine: Whether it is the case at hand.
    """

    query: Query | None
    is_mine: bool


def asked_for(study: Study, pair: "Mapping[Any, Any]", case_id: str) -> Asked:
    """Finds the answer that a pair was proposed for: the case at hand where it is that, or lies in the pair's cluster."""
    query_id = str(pair["case_id"])
    if pair["origin"] == CLUSTER:
        members = [
            member for member, group in _members(study, str(pair["run_id"])) if group == str(pair["cluster"])
        ]
        query_id = case_id if case_id in members else next(iter(members), "")
    try:
        return Asked(get_query(study, query_id) if query_id else None, query_id == case_id)
    except StoreError:
        return Asked(None, False)


def draw_evidence(
    pair: "pd.Series[Any]", samples: "pd.DataFrame", asked: Asked, *, marked: bool, swapped: bool
) -> None:
    """Draws the query and both samples side by side.

    Args:
        pair: Row of the queue.
        samples: Training samples by id: prompt, response, harmful, is_safe.
        asked: The answer that the pair was proposed for.
        marked: Whether the words in which the samples differ are marked.
        swapped: Whether the sample to be strengthened stands first.
    """
    positive, negative = (samples.loc[pair[f"{side}_id"]] for side in ("positive", "negative"))
    sides = (
        _side(positive, pair["positive_influence"]),
        _side(negative, pair["negative_influence"]),
    )
    towards, away = pair_cards(*sides, marked=marked)
    left, *right = st.columns([0.8, 1, 1], gap="small")
    with left:
        _draw_query(asked, pair)
    for number, (column, card) in enumerate(
        zip(right, (away, towards) if swapped else (towards, away), strict=True)
    ):
        with column:
            show_card(card, key=f"review-side-{number}")
    desirable = asked.query is not None and asked.query.polarity == DESIRABLE
    warnings = contradictions(positive.to_dict(), negative.to_dict(), desirable=desirable)
    if warnings:
        st.caption(f":orange[:material/warning:] {plain(' '.join(warnings))}")


def _draw_query(asked: Asked, pair: "pd.Series[Any]") -> None:
    query = asked.query
    if query is None:
        st.caption("The answer that this pair was proposed for is not kept any more.")
        return
    title = "The wanted answer" if query.polarity == DESIRABLE else "The bad answer"
    show_card(
        Card(
            title,
            passages(query.prompt, query.response, answer_label="Answer of the model"),
            (
                Fact("This is", "your case" if asked.is_mine else "another case"),
                Fact("Why this pair", str(pair["why"])),
            ),
        ),
        key="review-query",
    )
    st.page_link(
        SCREENS["trace"].path,
        label="Its trace",
        icon=":material/troubleshoot:",
        query_params=state.carried(case=query.id),
    )


@cached(max_entries=8)
def _members(study: Study, run_id: str) -> list[tuple[str, str]]:
    """Id and group of each query of an attribution, which do not change."""
    return queries_of(study.workspace, run_id)


def _side(sample: "pd.Series[Any]", influence: float) -> Side:
    return Side(
        prompt=str(sample["prompt"]),
        response=str(sample["response"]),
        influence=float(influence),
        harmful=_known(sample["harmful"], float),
        is_safe=_known(sample["is_safe"], bool),
    )


def _known(value: Any, kind: Any) -> Any:
    return None if pd.isna(value) else kind(value)
