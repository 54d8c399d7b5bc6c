"""Review: one pair on the screen, decided by single keys; the queue is a query over the store."""

from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.parts import deciding, frame, state
from pages.parts.bulk_approval import draw_bulk_approval
from pages.parts.guidelines import show_guidelines
from pages.parts.pair import Side, pair_cards
from pages.parts.pair_exports import draw_export
from pages.parts.reading import Card, Fact, passages, show_card
from pages.parts.sample_texts import read_samples
from pages.parts.screens import SCREENS
from pages.parts.shortcuts import key_of

if TYPE_CHECKING:
    import pandas as pd

    from lancet_core.store.studies import Study

SHOW = {
    "undecided": "Undecided",
    "approve": "Approved",
    "reject": "Rejected",
    "skip": "Skipped",
    "flag": "Flagged",
    "all": "All",
}
ORDER = {"queue": "Clusters in turn", "influence": "Strongest influence first"}


def show(here: state.Here, study: "Study") -> None:
    """Draws the review of a study."""
    from lancet_core.workbench import reviews

    counts = reviews.counts(here.workspace, study.name)
    if counts["total"] == 0:
        show_without_pairs(here)
        return
    queue = read_queue(here, study)
    deciding.draw_notice()
    show_progress(counts)
    if queue.empty:
        show_empty_queue(study)
    else:
        show_pair(here, study, queue)
    draw_bulk_approval(here, study)
    show_next(here, study, approved=counts["approve"])


def read_queue(here: state.Here, study: "Study") -> "pd.DataFrame":
    """Draws the filters and reads the queue that they describe."""
    from lancet_core.workbench import reviews

    with st.container(horizontal=True, vertical_alignment="bottom", key="review-controls"):
        chosen = st.segmented_control(
            "Show",
            list(SHOW),
            default="undecided",
            required=True,
            format_func=SHOW.__getitem__,
            wrap=True,
            key="r_show",
            bind="query-params",
        )
        order = st.selectbox(
            "Order",
            list(ORDER),
            format_func=ORDER.__getitem__,
            key="r_order",
            bind="query-params",
            width=210,
            help="Clusters in turn covers all kinds of bad answers early; strongest first starts with the clearest ones.",
        )
        queue = reviews.queue(
            here.workspace, study.name, reviewer=here.reviewer, show=str(chosen), order=str(order)
        )
        clusters = ["all", *sorted(queue["cluster"].astype(str).unique(), key=_number_first)]
        cluster = st.selectbox(
            "Cluster",
            clusters,
            format_func=lambda name: "All clusters" if name == "all" else f"Cluster {name}",
            key="r_cluster",
            bind="query-params",
            width=150,
            help="Only pairs that one cluster of queries proposed.",
        )
        st.toggle(
            "Mark differences",
            key="r_diff",
            bind="query-params",
            help="Strikes out the words that only the first sample has and underlines those that only the second has.",
        )
    return (
        queue if cluster == "all" else queue[queue["cluster"].astype(str) == cluster].reset_index(drop=True)
    )


def show_without_pairs(here: state.Here) -> None:
    """Says how pairs come about."""
    if here.case_id:
        why = "No pairs yet. Sending the traced case to review clusters the queries and proposes pairs of samples."
        frame.empty(why, "Trace this case", "trace")
    else:
        frame.empty(
            "No pairs yet. They are proposed for a bad answer: open one and trace it.", "Open a case", "home"
        )


def show_progress(counts: dict[str, int]) -> None:
    """Draws how far the review is."""
    decided = counts["total"] - counts["undecided"]
    parts = [f"{counts[name]:,} {word}" for name, word in deciding.DONE_WORDS.items() if counts.get(name)]
    text = " · ".join([f"{decided:,} of {counts['total']:,} pairs decided", *parts])
    st.progress(decided / counts["total"], text=text)


def show_pair(here: state.Here, study: "Study", queue: "pd.DataFrame") -> None:
    """Draws the pair at hand with its buttons."""
    ids = queue["pair_id"].tolist()
    wanted = state.read(deciding.PAIR)
    place = ids.index(wanted) if wanted in ids else 0
    pair = queue.iloc[place]
    state.write(deciding.PAIR, ids[place])
    deciding.start_clock(ids[place])
    shown = deciding.Shown(
        study.name,
        ids[place],
        None if _is_missing(pair["decision_id"]) else int(pair["decision_id"]),
        ids[place + 1] if place + 1 < len(ids) else "",
    )
    _show_evidence(here, study, pair)
    _show_actions(
        shown, previous=ids[place - 1] if place else "", place=f"Pair {place + 1:,} of {len(ids):,}"
    )


def _show_evidence(here: state.Here, study: "Study", pair: "pd.Series[Any]") -> None:
    samples = read_samples(study)
    towards, away = pair_cards(
        _side(samples, pair, "positive"),
        _side(samples, pair, "negative"),
        marked=bool(st.session_state.get("r_diff")),
    )
    cards = [away, towards] if state.read("r_sides") == "swapped" else [towards, away]
    left, *right = st.columns([0.8, 1, 1], gap="small")
    with left:
        _show_query(here, study, cluster=str(pair["cluster"]))
    for number, (column, card) in enumerate(zip(right, cards, strict=True)):
        with column:
            show_card(card, key=f"review-side-{number}")
    if pair["verdict"]:
        st.caption(
            f"{SHOW[pair['verdict']]} by {_plain(pair['decided_by'])}, {pair['decided_at']:%d %b %Y, %H:%M} UTC."
        )


def _show_actions(shown: deciding.Shown, *, previous: str, place: str) -> None:
    verdicts = {
        "approve": ("Approve", ":material/check:", "Unlearn the first sample, strengthen the second."),
        "reject": ("Reject", ":material/close:", "This pair would teach something wrong; leave it out."),
        "skip": ("Skip", ":material/redo:", "You cannot tell; the pair stays out of the correction."),
        "flag": (
            "Flag",
            ":material/flag:",
            "Somebody else should look at it; it stays out of the correction.",
        ),
    }
    with st.container(horizontal=True, vertical_alignment="center", key="review-actions"):
        for verdict, (label, icon, help_text) in verdicts.items():
            st.button(
                label,
                key=f"review-{verdict}",
                icon=icon,
                help=help_text,
                shortcut=key_of("review", verdict),
                on_click=deciding.decide,
                args=(shown, verdict),
            )
        _show_moves(shown, previous=previous)
        st.caption(place)


def _show_moves(shown: deciding.Shown, *, previous: str) -> None:
    """Draws undo, next, previous, swap and guidelines."""
    moves = (
        (
            "undo",
            "Undo",
            "Takes back your last decision; the log keeps both.",
            deciding.undo,
            (shown.study,),
            False,
        ),
        (
            "previous",
            "Previous",
            "Looks at the pair before without deciding.",
            deciding.open_pair,
            (previous,),
            not previous,
        ),
        (
            "following",
            "Next",
            "Looks at the next pair without deciding.",
            deciding.open_pair,
            (shown.following,),
            not shown.following,
        ),
        ("swap", "Swap sides", "Puts the other sample first.", _swap_sides, (), False),
    )
    for action, label, help_text, act, arguments, disabled in moves:
        st.button(
            label,
            key=f"review-{action}",
            type="tertiary",
            help=help_text,
            disabled=disabled,
            shortcut=key_of("review", action),
            on_click=act,
            args=arguments,
        )
    if st.button(
        "Guidelines", key="review-guidelines", type="tertiary", shortcut=key_of("review", "guidelines")
    ):
        show_guidelines()


def _show_query(here: state.Here, study: "Study", *, cluster: str) -> None:
    """Draws a bad answer that the pair was proposed for: the case at hand where it lies in the cluster."""
    queries = read_cluster_queries(here, study, cluster)
    if not queries:
        st.caption(f"The queries of cluster {cluster} are not kept any more.")
        return
    number = next((place for place, query in enumerate(queries) if query.id == here.case_id), 0)
    query = queries[number]
    mine = "your case" if query.id == here.case_id else "one of its queries"
    show_card(
        Card(
            "The bad answer" if query.polarity == "undesirable" else "The wanted answer",
            passages(query.prompt, query.response, answer_label="Answer of the model"),
            (Fact("Cluster", f"{cluster}, {len(queries):,} queries"), Fact("Shown", mine)),
        ),
        key="review-query",
    )


def read_cluster_queries(here: state.Here, study: "Study", cluster: str) -> list[Any]:
    """Lists the queries that were attributed together as a cluster."""
    from lancet_core.workbench.attributions import attributed_queries, latest_batch_attribution

    run = latest_batch_attribution(here.workspace, study)
    if run is None:
        return []
    return [query for query in attributed_queries(here.workspace, run.id) if query.group == cluster]


def _side(samples: "pd.DataFrame", pair: "pd.Series[Any]", sign: str) -> Side:
    sample = samples.loc[pair[f"{sign}_id"]]
    return Side(
        prompt=str(sample["prompt"]),
        response=str(sample["response"]),
        influence=float(pair[f"{sign}_influence"]),
        harmful=None if _is_missing(sample["harmful"]) else float(sample["harmful"]),
        is_safe=None if _is_missing(sample["is_safe"]) else bool(sample["is_safe"]),
        cluster=str(pair["cluster"]),
        rank=int(pair["rank"]),
    )


def show_empty_queue(study: "Study") -> None:
    """Says why the filter shows nothing."""
    chosen = str(st.session_state.get("r_show", "undecided"))
    with st.container(border=True, key="review-empty"):
        if chosen == "undecided":
            st.markdown("**Nothing is left to decide here.** Every pair of this queue has a verdict.")
        else:
            st.markdown(f"**No pair is {SHOW[chosen].lower()}** in this queue.")
        st.button(
            "Undo the last decision",
            key="review-undo",
            shortcut=key_of("review", "undo"),
            on_click=deciding.undo,
            args=(study.name,),
        )


def show_next(here: state.Here, study: "Study", *, approved: int) -> None:
    """Draws the step to the correction, and what else can be done with the pairs."""
    if frame.next_step(
        "Start correction",
        disabled=approved == 0,
        why="Approve at least one pair first.",
        help=f"Trains on the {approved:,} approved pairs with the default settings and shows the curves live.",
    ):
        _start_correction(here, study)
    with st.container(horizontal=True, vertical_alignment="center", key="review-more"):
        st.page_link(
            SCREENS["correct"].path,
            label="Look at the settings first",
            icon=":material/tune:",
            query_params=state.carried(),
        )
        draw_export(here, study, approved=approved)


def _start_correction(here: state.Here, study: "Study") -> None:
    from lancet_core.correction.settings import CorrectionSettings
    from lancet_core.workbench import corrections

    run_id = corrections.start_correction(here.workspace, study, settings=CorrectionSettings())
    frame.go("correct", k_run=run_id)


def _number_first(name: str) -> tuple[bool, int, str]:
    return (not name.isdigit(), int(name) if name.isdigit() else 0, name)


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))


def _plain(text: Any) -> str:
    """Writes a person's name without the marks that Markdown reads."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()#+-.!|<>:$~" else letter for letter in str(text))


def _swap_sides() -> None:
    state.write("r_sides", "" if state.read("r_sides") else "swapped")


place = frame.open_screen("review")
if frame.need_study(place) and place.study is not None:
    show(place, place.study)
