"""The drawer of one training sample: which of its tokens and which units of the network make its score, and its raw record."""

import html
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st
from plotly.graph_objects import Bar

from lancet_core.study.study import Study
from pages.shared import figure, frame, numbers, reading, runs, tokens

if TYPE_CHECKING:
    from lancet_core.acts.attribute import TokenHeat
    from lancet_core.acts.heat import Heat
    from lancet_core.runs.run import Run


def open_drawer(
    study: Study,
    sample: Any,
    heat: "TokenHeat | None",
    making: "Run[Heat] | None",
    *,
    count: int,
    on_close: Callable[[], None],
) -> None:
    """Opens the drawer at the right.

    Args:
        study: The study of the sample.
        sample: Row of `Attribution.read`: prompt, response, influence, percentile, rank, harmful, is_safe and the rest.
        heat: Shares of its tokens and units; None where they are not known yet, or the method knows none.
        making: The run that finds them out, while it is going.
        count: Candidates of the trace.
        on_close: Called when a person closes it.
    """

    @st.dialog("Training sample", width="medium", position="right", on_dismiss=on_close)
    def drawer() -> None:
        _draw_facts(sample, count)
        if heat is None:
            reading.show_card(
                reading.Card("", reading.passages(sample.prompt, sample.response)), key="drawer-text"
            )
            if making is not None:
                runs.watch(making)
        else:
            tokens.draw_heat(
                heat.tokens, heat.heat.tolist(), response_start=heat.response_start, key="drawer-heat"
            )
            _draw_units(heat)
        draw_tokens(study, str(sample.sample_id))
        with st.expander("Raw record"):
            st.code(_record(sample), language="json", wrap_lines=True)

    drawer()


def draw_tokens(study: Study, sample_id: str) -> None:
    """Draws the switch that shows a sample's tokens, to be compared with a trainer's."""
    if not st.toggle(
        "Tokens as the model reads them",
        key=f"drawer-tokens-{sample_id}",
        help="The whole conversation as the template writes it. Marked tokens count, as a trainer's mask says.",
    ):
        return
    with frame.problem_shown():
        with st.spinner("Loading the tokenizer"):
            found = study.tokens(sample_id)
        tokens.draw_counted(found, key="drawer-counted")


def label_words(is_safe: Any) -> tuple[str, str] | None:
    """The tag of a sample's label: its kind and its words, None where it has no label."""
    if is_safe is None or pd.isna(is_safe):
        return None
    return ("safe", "labelled safe") if bool(is_safe) else ("unsafe", "labelled unsafe")


def _draw_facts(sample: Any, count: int) -> None:
    label = label_words(sample.is_safe)
    place = numbers.standing(sample.percentile, count, towards=sample.influence > 0)
    influence, harmful, labelled = st.columns([1.6, 1, 1], gap="small")
    influence.metric(
        "Influence score",
        numbers.influence(sample.influence),
        help="How much up-weighting it raises log p(answer).",
    )
    harmful.metric(
        "Harmful score", numbers.score(sample.harmful), help="What the study's scorer says, from 0 to 1."
    )
    labelled.metric(
        "Label", label[1].removeprefix("labelled ") if label else "none", help="From the data set."
    )
    st.caption(
        f"{place.capitalize()}; rank {int(sample.rank):,}, where 1 pushes towards the answer the most."
    )


def _draw_units(heat: "TokenHeat") -> None:
    st.markdown("##### Where in the network")
    plot = figure.figure("Share of the influence score", "", height=70 + 22 * len(heat.units))
    plot.add_trace(
        Bar(
            x=list(heat.unit_influence),
            y=[html.escape(name) for name in heat.units],
            orientation="h",
            marker={"color": [figure.TOWARDS if value > 0 else figure.AWAY for value in heat.unit_influence]},
            hovertemplate="%{y}<br>%{x:+.3g}<extra></extra>",
        )
    )
    plot.update_yaxes(autorange="reversed", nticks=None, showgrid=False)
    figure.show(
        plot, key="drawer-units", alt="Bars: share of each unit of the network in the influence score."
    )


def _record(sample: Any) -> str:
    return json.dumps(sample._asdict(), indent=1, ensure_ascii=False, default=str)
