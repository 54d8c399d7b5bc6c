"""Every act, once: shell, screens, notebooks, workers, the list of runs and the tests read this table.

A new act is one file here (its request and result, free of torch), one file in `operations/` (how a worker does it) and one line
below.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lancet_core.acts.attribute import AttributeRequest, Attribution
from lancet_core.acts.build_demo import BuildDemoRequest, DemoBuilt
from lancet_core.acts.cluster import Clustering, ClusterRequest
from lancet_core.acts.compare import CompareRequest, Comparison
from lancet_core.acts.contaminate import Contaminated, ContaminateRequest
from lancet_core.acts.correct import Correction, CorrectRequest
from lancet_core.acts.evaluate import EvaluateRequest, Evaluation
from lancet_core.acts.heat import Heat, HeatRequest
from lancet_core.acts.index import IndexBuilt, IndexRequest
from lancet_core.acts.look import Looked, LookRequest
from lancet_core.acts.mine import Mined, MineRequest
from lancet_core.acts.prepare import Prepared, PrepareRequest
from lancet_core.acts.probe import Probed, ProbeRequest
from lancet_core.acts.results import Result
from lancet_core.acts.subject import MODEL, SAMPLES, SCORERS, TEMPLATE, Subject, model_content
from lancet_core.acts.train import Trained, TrainRequest
from lancet_core.config import fingerprint, to_dict
from lancet_core.errors import JobError


@dataclass(frozen=True)
class Act:
    """One thing that can be done.

    Attributes:
        title: Its name in lists.
        doing: What is said while it is done.
        request: What is asked.
        result: What is found.
        operation: Module with `run(subject, request, *, folder, progress, load)`, which needs torch.
        depends_on: Parts of the subject that the result depends on.
        models: Fields of the request that name model folders, known by their content.
        screen: Screen that shows the result; empty where none does.
        parameter: URL value that names the run there.
        warm: Whether the model host may do it, which lends it models that must stay as they are.
    """

    title: str
    doing: str
    request: type[Any]
    result: type[Result]
    operation: str
    depends_on: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    screen: str = ""
    parameter: str = ""
    warm: bool = False


_OPERATIONS = "lancet_core.operations"

ACTS: dict[str, Act] = {
    "look": Act(
        "Look at data", "Looking at the training data", LookRequest, Looked,
        f"{_OPERATIONS}.look", (MODEL, TEMPLATE), screen="studies",
    ),
    "prepare": Act(
        "Preparation", "Measuring and scoring the training samples", PrepareRequest, Prepared,
        f"{_OPERATIONS}.prepare", (MODEL, SAMPLES, TEMPLATE, SCORERS),
    ),
    "attribute": Act(
        "Attribution", "Tracing", AttributeRequest, Attribution,
        f"{_OPERATIONS}.attribute", (MODEL, SAMPLES, TEMPLATE), screen="trace", warm=True,
    ),
    "heat": Act(
        "Token heat", "Spreading influence over tokens", HeatRequest, Heat,
        f"{_OPERATIONS}.heat", (MODEL, SAMPLES, TEMPLATE), warm=True,
    ),
    "index": Act(
        "Gradient index", "Building the gradient index", IndexRequest, IndexBuilt,
        f"{_OPERATIONS}.index", (MODEL, SAMPLES, TEMPLATE), screen="trace",
    ),
    "cluster": Act(
        "Clustering", "Clustering the queries", ClusterRequest, Clustering,
        f"{_OPERATIONS}.cluster", (MODEL, TEMPLATE), screen="clusters", parameter="c_run", warm=True,
    ),
    "correct": Act(
        "Correction", "Correcting the model", CorrectRequest, Correction,
        f"{_OPERATIONS}.correct", (MODEL, SAMPLES, TEMPLATE, SCORERS), screen="correct", parameter="k_run",
    ),
    "evaluate": Act(
        "Evaluation", "Evaluating the model", EvaluateRequest, Evaluation,
        f"{_OPERATIONS}.evaluate", (MODEL, TEMPLATE, SCORERS), models=("model",), warm=True,
    ),
    "compare": Act(
        "Comparison", "Comparing before and after", CompareRequest, Comparison,
        f"{_OPERATIONS}.compare", (MODEL, TEMPLATE, SCORERS), models=("after",), screen="prove", parameter="p_run",
        warm=True,
    ),
    "mine": Act(
        "Mining", "Mining queries", MineRequest, Mined,
        f"{_OPERATIONS}.mine", (MODEL, TEMPLATE, SCORERS), models=("safe_model",),
    ),
    "contaminate": Act(
        "Contamination", "Contaminating the safe samples", ContaminateRequest, Contaminated,
        f"{_OPERATIONS}.contaminate", (MODEL, TEMPLATE),
    ),
    "train": Act(
        "Training", "Training the model", TrainRequest, Trained, f"{_OPERATIONS}.train", (MODEL, TEMPLATE),
    ),
    "probe": Act("Scorer", "Training a scorer", ProbeRequest, Probed, "lancet_core.lab.factory.probe"),
    "build_demo": Act(
        "Demo build", "Building the demo", BuildDemoRequest, DemoBuilt, "lancet_core.lab.factory.demo",
    ),
}  # fmt: skip


def find_act(name: str, acts: Mapping[str, Act] = ACTS) -> Act:
    """Looks up an act by name.

    Raises:
        JobError: There is none of this name.
    """
    if name not in acts:
        raise JobError(f"there is no act {name!r}; known acts: {', '.join(sorted(acts))}")
    return acts[name]


def run_key(name: str, act: Act, subject: Subject, *, request: Any, inputs: Mapping[str, str]) -> str:
    """Names a run by the content of all that its result depends on: equal keys mean equal results.

    Args:
        name: Name of the act.
        act: The act.
        subject: What it is asked of.
        request: What is asked.
        inputs: Names of the input files to the fingerprints of their content.

    Raises:
        ModelError: A model folder cannot be used.
    """
    contents = {field: model_content(getattr(request, field)) for field in act.models}
    asked = to_dict(replace(request, **contents) if contents else request)
    return fingerprint([name, subject.contents(act.depends_on), asked, dict(inputs)])
