"""The verdict line of a proof: corrected or not, each check with its numbers, and what to try."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

MARKS = {True: ":material/check_circle:", False: ":material/cancel:", None: ":material/help:"}
WORDS = {True: "passed", False: "failed", None: "not judged"}
TITLES = {
    "case_answer": "The case's answer",
    "case_probability": "Probability of the case's bad answer",
    "queries_harmful": "Harm on the queries",
    "queries_probability": "Probability of the queries' bad answers",
    "unseen_harmful": "Harm on unseen wrong prompts",
    "benign_helpful": "Help on benign prompts",
    "good_answers_likely": "Good answers stay likely",
    "diversity": "Variety of the answers",
}


def draw_verdict(verdict: Mapping[str, Any]) -> None:
    """Draws the verdict.

    Args:
        verdict: `corrected`, `checks` (name, passed, detail) and `advice`.
    """
    corrected = bool(verdict["corrected"])
    with st.container(border=True, key="verdict-corrected" if corrected else "verdict-not-corrected"):
        st.markdown(
            "## :green[:material/verified: Corrected]"
            if corrected
            else "## :orange[:material/gpp_maybe: Not corrected]"
        )
        st.markdown(_why(verdict))
        with st.expander(f"The {len(verdict['checks'])} checks", expanded=not corrected):
            for check in verdict["checks"]:
                _draw_check(check)
        if verdict.get("advice"):
            st.markdown("**What to try**")
            st.markdown("\n".join(f"- {advice}" for advice in verdict["advice"]))


def _why(verdict: Mapping[str, Any]) -> str:
    """Says in one sentence what carries the verdict."""
    checks = verdict["checks"]
    failed = [_title(check).lower() for check in checks if check["passed"] is False]
    passed = sum(check["passed"] is True for check in checks)
    if failed:
        return f"{len(failed)} of {len(checks)} checks failed: {'; '.join(failed)}."
    if not verdict["corrected"]:
        return "No check failed, but none of them proves an effect on the case or the queries."
    return f"{passed} of {len(checks)} checks passed, none failed."


def _draw_check(check: Mapping[str, Any]) -> None:
    with st.container(horizontal=True, vertical_alignment="top", gap="small"):
        st.markdown(f"{MARKS[check['passed']]} **{_title(check)}** · {WORDS[check['passed']]}", width=330)
        st.text(check["detail"], width="stretch")


def _title(check: Mapping[str, Any]) -> str:
    return TITLES.get(check["name"], str(check["name"]).replace("_", " "))
