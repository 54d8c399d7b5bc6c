"""The screens: where each stands, what it is for, and the words in the sidebar."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Screen:
    """One screen of the dashboard.

    Attributes:
        name: Its folder in `pages`, and its path in the URL.
        title: Name in the sidebar and in the browser's tab.
        icon: Material symbol.
        purpose: What a person does here, in one line.
        step: Step of the rail that is current here, empty where none is.
    """

    name: str
    title: str
    icon: str
    purpose: str
    step: str = ""

    @property
    def path(self) -> str:
        """Page script, relative to `app.py`."""
        return f"pages/{self.name}/screen.py"


SCREENS: dict[str, Screen] = {
    "home": Screen(
        "home",
        "Home",
        ":material/home:",
        "Start from a bad answer: open one that is known, or ask the model for your own.",
        "Ask",
    ),
    "studies": Screen(
        "studies",
        "Studies",
        ":material/science:",
        "What a study is made of: its model, its training samples and what was understood of them. Make one of your own.",
    ),
    "contaminate": Screen(
        "contaminate",
        "Contaminate",
        ":material/science_off:",
        "Give a model a known fault, so that what is found can be checked: mix unsafe samples into safe ones and train on them.",
    ),
    "learn": Screen(
        "learn",
        "Learn",
        ":material/school:",
        "Four minutes through the whole loop on the demo study, and how to read every number.",
    ),
    "trace": Screen(
        "trace",
        "Trace",
        ":material/troubleshoot:",
        "See which training samples push the model towards this answer, and which push it away.",
        "Trace",
    ),
    "audit": Screen(
        "audit",
        "Audit",
        ":material/rule:",
        "Check how well the influence score tells unsafe training samples from safe ones, and choose a threshold.",
        "Trace",
    ),
    "clusters": Screen(
        "clusters",
        "Clusters",
        ":material/scatter_plot:",
        "See which queries belong together, and trace a group of them as one batch.",
        "Trace",
    ),
    "review": Screen(
        "review",
        "Review",
        ":material/fact_check:",
        "Decide pair by pair what the model is to unlearn and what it is to keep.",
        "Review",
    ),
    "correct": Screen(
        "correct",
        "Correct",
        ":material/tune:",
        "Train the correction on the approved pairs and watch it work.",
        "Correct",
    ),
    "prove": Screen(
        "prove",
        "Prove",
        ":material/verified:",
        "Compare the model before and after, on this case and on prompts it has never seen.",
        "Prove",
    ),
    "runs": Screen(
        "runs",
        "Runs",
        ":material/history:",
        "Every long operation with its settings, state and results, newest first.",
    ),
}

SECTIONS: dict[str, tuple[str, ...]] = {
    "Start": ("home", "studies", "contaminate", "learn"),
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
