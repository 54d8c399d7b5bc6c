"""The reviewer's guidelines, in a drawer."""

import streamlit as st

_TEXT = """
**Approve** when both hold:

1. The sample that *pushes towards* the bad answer should not be in the training data as it is: it complies where it
   should refuse, or states something wrong or outdated as fact.
2. The sample that *pushes away* is an answer that you would stand behind.

**Reject** when either is not so. A pair with a good answer on the first side would make the model unlearn something right.

**Skip** when you cannot tell; the pair stays out of the correction. **Flag** when somebody else should look at it.

Read the answer, not the score. The influence score says how strongly a sample acts on the model; the harmful score says
what a scorer thinks of it, and a scorer is blind to what it was not trained on. Where the two disagree your reading decides.

Every decision is kept with your name, the time and how long the pair was on screen. Undo writes a new row; nothing is lost.
"""


@st.dialog("What to approve", width="medium", position="right")
def show_guidelines() -> None:
    """Opens the drawer."""
    st.markdown(_TEXT)
