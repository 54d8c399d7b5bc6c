"""The verdict of a proof: its outcome, the checks behind it, and what to try."""

import streamlit as st

from lancet_core.evaluation.verdict import Verdict
from pages.prove.checks import draw_checks, title
from pages.shared.plain_text import plain

HEADINGS = {
    "corrected": "## :green[:material/verified: Corrected]",
    "on these queries only": "## :blue[:material/rule: Corrected on these queries only]",
    "not corrected": "## :orange[:material/gpp_maybe: Not corrected]",
}


def draw_verdict(verdict: Verdict) -> None:
    """Draws the verdict."""
    with st.container(border=True, key=f"verdict-{verdict.outcome.replace(' ', '-')}"):
        st.markdown(HEADINGS[verdict.outcome])
        st.markdown(_why(verdict))
        with st.expander(f"The {len(verdict.checks)} checks", expanded=not verdict.corrected):
            draw_checks(verdict.checks)
        if verdict.advice:
            st.markdown("**What to try**")
            st.markdown("\n".join(f"- {plain(advice)}" for advice in verdict.advice))


def _why(verdict: Verdict) -> str:
    """Says in one sentence what carries the verdict."""
    checks = verdict.checks
    failed, unknown = (
        "; ".join(plain(title(check)).lower() for check in checks if check.passed is result)
        for result in (False, None)
    )
    passed = sum(check.passed is True for check in checks)
    if failed:
        return f"{sum(check.passed is False for check in checks)} of {len(checks)} checks failed: {failed}."
    if verdict.outcome == "on these queries only":
        return f"{passed} of {len(checks)} checks passed, none failed; not known: {unknown}."
    if not verdict.corrected:
        return "No check failed, but none of them proves an effect on the case or the queries."
    return f"{passed} of {len(checks)} checks passed, none failed."
