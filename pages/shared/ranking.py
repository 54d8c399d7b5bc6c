"""Both ends of an attribution: the samples that push towards the answers, and those that push away."""

from typing import TYPE_CHECKING, Any

import streamlit as st

from lancet_core.acts.attribute import Attribution, TokenHeat
from lancet_core.acts.heat import Heat
from lancet_core.errors import NumericalError
from lancet_core.evaluation.ranking import RankingReport
from lancet_core.runs.run import Run
from lancet_core.store.run_status import DONE
from lancet_core.study.study import Study
from pages.shared import state
from pages.shared.cached import cached
from pages.shared.numbers import between, influence, percent, score, standing
from pages.shared.ranked import Row, draw_ranked, read_picked
from pages.shared.runs import wait_briefly
from pages.shared.sample_drawer import label_words, open_drawer

if TYPE_CHECKING:
    import pandas as pd


def both_ends(rows: "pd.DataFrame", length: int) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Picks the samples of each sign with the largest absolute scores, strongest first."""
    return (
        rows[rows["influence"] > 0].nlargest(length, "influence"),
        rows[rows["influence"] < 0].nsmallest(length, "influence"),
    )


def draw_both_ends(
    rows: "pd.DataFrame", *, length: int, key: str, parameter: str, pickable: bool = False
) -> None:
    """Draws the two lists side by side; a click on a sample names it in the URL, see `draw_opened`.

    Args:
        rows: Scored samples of one query or batch.
        length: Samples in each list.
        key: Start of the keys of the lists.
        parameter: URL parameter that holds the id of the opened sample.
        pickable: Whether a person can tick samples, see `picked_samples`.
    """
    strongest = float(rows["influence"].abs().max()) or 1.0
    towards, away = both_ends(rows, length)
    ends = ((":orange[▲] Pushes towards", towards), (":blue[▼] Pushes away", away))
    for number, (column, (title, samples)) in enumerate(zip(st.columns(2, gap="large"), ends, strict=True)):
        with column:
            st.markdown(f"#### {title}&ensp;:gray[:small[{_unsafe_words(samples)}]]")
            listed = [
                _row(place, sample, strongest, count=len(rows))
                for place, sample in enumerate(samples.itertuples(), start=1)
            ]
            if not listed:
                st.caption("No candidate pushes this way.")
                continue
            clicked = draw_ranked(
                listed, key=f"{key}-{number}", opened=state.read(parameter), pickable=pickable
            )
            if clicked:
                state.write(parameter, clicked)


@cached(max_entries=32)
def report_of(run: Run[Attribution], query_id: str) -> RankingReport:
    """Measures how a finished attribution ranks unsafe samples.

    Args:
        run: The attribution.
        query_id: Its query, or group of a batch.

    Raises:
        NumericalError: No candidate is labelled unsafe.
    """
    return run.result.audit(query_id)


def draw_worth(run: Run[Attribution], query_id: str) -> None:
    """Says what a ranking is worth: beside chance, and beside the scorer alone; nothing where no candidate is labelled unsafe."""
    try:
        report = report_of(run, query_id)
    except NumericalError:
        return
    alone = "" if report.scorer is None else f" · the harmful scorer alone {score(report.scorer)}"
    measured = between(report.mean.value, report.mean.low, report.mean.high, write=score)
    with st.container(horizontal=True, vertical_alignment="center", key="worth"):
        st.caption(
            f"Finds unsafe samples with average precision {measured} · chance {score(report.chance)}{alone}",
            help="Average precision is 1 where all unsafe candidates stand first, and the share of unsafe ones where order says nothing. "
            "Influence asks what pushed towards this answer, a scorer asks what is harmful: unsafe samples are not always causes.",
        )
        if not report.beats_chance:
            st.badge("No better than chance", icon=":material/casino:", color="orange")
        if report.scorer is not None and report.scorer > (report.mean.high or report.mean.value):
            st.badge("The scorer alone ranks better", icon=":material/info:", color="gray")


def picked_samples(key: str) -> list[str]:
    """Lists the ids of the samples that a person ticked in either list.

    Args:
        key: Start of the keys of the lists.
    """
    return [sample_id for number in range(2) for sample_id in read_picked(f"{key}-{number}")]


def draw_opened(
    study: Study, run: Run[Attribution], query_id: str, *, rows: "pd.DataFrame", parameter: str
) -> None:
    """Opens the drawer of the sample that the URL names, if it is among the rows.

    Args:
        study: The study.
        run: The attribution.
        query_id: Its query, or group of a batch.
        rows: Its rows.
        parameter: URL parameter that holds the id of the opened sample.
    """
    opened = state.read(parameter)
    found = rows[rows["sample_id"] == opened]
    if found.empty:
        return

    sample = next(found.itertuples(index=False))
    heat, making = _heat(study, run, query_id, sample_id=opened)
    open_drawer(
        study,
        sample,
        heat,
        making,
        count=len(rows),
        on_close=lambda: state.write(parameter, ""),
    )


def _heat(
    study: Study, run: Run[Attribution], query_id: str, *, sample_id: str
) -> tuple[TokenHeat | None, Run[Heat] | None]:
    """How a sample's influence is spread, or the run that finds out; neither where the method takes no gradients."""
    kept = run.result.tokens(query_id, sample_id)
    if kept is not None or not run.result.takes_gradients:
        return kept, None
    making = study.heat(run, query_id, sample_id)
    wait_briefly(making)
    return (making.result.heat, None) if making.status.state == DONE else (None, making)


def _row(place: int, sample: Any, strongest: float, *, count: int) -> Row:
    label = label_words(sample.is_safe)
    scored = [("", f"harmful score {score(sample.harmful)}")] if sample.harmful == sample.harmful else []
    return Row(
        sample_id=str(sample.sample_id),
        rank=str(place),
        score=influence(sample.influence),
        length=float(sample.influence) / strongest,
        standing=standing(sample.percentile, count, towards=sample.influence > 0),
        prompt=str(sample.prompt),
        response=str(sample.response),
        tags=(*scored, *([label] if label else [])),
    )


def _unsafe_words(samples: "pd.DataFrame") -> str:
    known = samples["is_safe"].dropna()
    return f"{percent(float((~known.astype(bool)).mean()))} labelled unsafe" if len(known) else ""
