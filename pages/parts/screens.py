"""The screens: where each stands, what it is for, and the words in the sidebar."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Screen:
    """One screen of the dashboard.

    Attributes:
        path: Page script, relative to `app.py`.
        title: Name in the sidebar and in the browser's tab.
        icon: Material symbol.
        purpose: What a person does here, in one line.
        step: Step of the rail that is current here, empty where none is.
    """

    path: str
    title: str
    icon: str
    purpose: str
    step: str = ""


SCREENS: dict[str, Screen] = {
    "home": Screen(
        "pages/start/home.py",
        "Home",
        ":material/home:",
        "Start from a bad answer: open one that is known, or ask the model for your own.",
        "Ask",
    ),
    "learn": Screen(
        "pages/start/learn.py",
        "Learn",
        ":material/school:",
        "Four minutes through the whole loop on the demo study, and how to read every number.",
    ),
    "trace": Screen(
        "pages/investigate/trace.py",
        "Trace",
        ":material/troubleshoot:",
        "See which training samples push the model towards this answer, and which push it away.",
        "Trace",
    ),
    "audit": Screen(
        "pages/investigate/audit.py",
        "Audit",
        ":material/rule:",
        "Check how well the influence score tells unsafe training samples from safe ones, and choose a threshold.",
        "Trace",
    ),
    "clusters": Screen(
        "pages/investigate/clusters.py",
        "Clusters",
        ":material/scatter_plot:",
        "See which queries belong together, and trace a group of them as one batch.",
        "Trace",
    ),
    "review": Screen(
        "pages/correct/review.py",
        "Review",
        ":material/fact_check:",
        "Decide pair by pair what the model is to unlearn and what it is to keep.",
        "Review",
    ),
    "correct": Screen(
        "pages/correct/correct.py",
        "Correct",
        ":material/tune:",
        "Train the correction on the approved pairs and watch it work.",
        "Correct",
    ),
    "prove": Screen(
        "pages/correct/prove.py",
        "Prove",
        ":material/verified:",
        "Compare the model before and after, on this case and on prompts it has never seen.",
        "Prove",
    ),
    "runs": Screen(
        "pages/record/runs.py",
        "Runs",
        ":material/history:",
        "Every long operation with its settings, state and results, newest first.",
    ),
}

SECTIONS: dict[str, tuple[str, ...]] = {
    "Start": ("home", "learn"),
    "Investigate": ("trace", "audit", "clusters"),
    "Correct": ("review", "correct", "prove"),
    "Record": ("runs",),
}

RAIL: dict[str, str] = {
    "Ask": "home",
    "Trace": "trace",
    "Review": "review",
    "Correct": "correct",
    "Prove": "prove",
}
