"""The second step: the same model trained on the set with the unsafe samples, and on the one without."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from lancet_core.acts.contaminate import IMPURE, SAFE, Contaminated
from lancet_core.acts.train import Trained, TrainRequest
from lancet_core.config import from_dict
from lancet_core.correction.settings import TRAIN_PRESETS, TrainSettings
from lancet_core.runs.run import Run, open_run
from lancet_core.study.creation import Materials
from lancet_core.study.estimates import Estimate, estimate_training
from lancet_core.study.recipes import training_recipe
from lancet_core.study.training import train, training_task
from lancet_core.text import lasting
from lancet_core.workspace import Workspace, open_workspace
from pages.shared import frame, runs, state
from pages.shared.cached import cached
from pages.shared.copying import draw_copy
from pages.shared.curves import draw_loss
from pages.shared.materials import ask_model
from pages.shared.numbers import size
from pages.shared.plain_text import plain
from pages.shared.settings_form import settings_form

FIRST_SETTINGS = ("epochs", "adapter", "learning_rate")
PRESETS = {"usual": "Usual", "paper": "As in the paper"}


@dataclass(frozen=True)
class Kind:
    """One of the two models.

    Attributes:
        parameter: URL parameter that names its run.
        name: What it is called.
        file: Its training set.
        meaning: What it is for.
    """

    parameter: str
    name: str
    file: str
    meaning: str


KINDS = (
    Kind("x_impure", "impure", IMPURE, "The model with the fault: a study is made of it."),
    Kind("x_safe", "safe", SAFE, "The model without it: queries are mined beside it."),
)


def show_training(workspace: Workspace, mixed: Contaminated) -> dict[str, Path]:
    """Draws both trainings; returns the folders of the models that are done, by name."""
    st.markdown("### 2 · Train")
    if not any(state.read(kind.parameter) for kind in KINDS):
        ask_training(workspace, mixed)
        return {}
    models: dict[str, Path] = {}
    for kind, column in zip(KINDS, st.columns(2, gap="large"), strict=True):
        with column:
            st.markdown(f"#### The {kind.name} model", help=kind.meaning)
            run_id = state.read(kind.parameter)
            if run_id:
                models |= show_model(kind, open_run(workspace, run_id, "train"))
            else:
                st.caption("It is trained when the other is done.")
    first = state.read(KINDS[0].parameter)
    if KINDS[0].name in models and not state.read(KINDS[1].parameter):
        start_second(workspace, mixed, open_run(workspace, first, "train"))
    asked = [open_run(workspace, run_id, "train") for kind in KINDS if (run_id := state.read(kind.parameter))]
    over = all(run.status.is_final for run in asked)
    if over and st.button("Train others", icon=":material/restart_alt:", key="x-retrain"):
        forget_training()
        st.rerun()
    return models


def forget_training() -> None:
    """Takes both trainings off the screen; the runs stay."""
    for kind in KINDS:
        state.write(kind.parameter, "")


def ask_training(workspace: Workspace, mixed: Contaminated) -> None:
    """Draws base model and settings, and starts the first training."""
    left, right = st.columns(2, gap="large")
    with left:
        base = ask_model(workspace, key="x_base", label="Model to start from")
    with right:
        preset = st.segmented_control(
            "Preset", list(PRESETS), default="usual", required=True, format_func=PRESETS.__getitem__, key="x_train_preset",
            bind="query-params",
        )  # fmt: skip
    settings = settings_form(TRAIN_PRESETS[str(preset)], prefix=f"x_train_{preset}", first=FIRST_SETTINGS)
    if base:
        with frame.problem_shown():
            draw_cost(workspace, mixed, base, settings)
    if frame.next_step(
        "Train both models",
        disabled=not base,
        why="Needs a model to start from.",
        help="The impure one first. Time left is shown with the first steps; both can be cancelled and resumed.",
    ):
        start_training(workspace, mixed, KINDS[0], model=base, settings=settings)
    if base:
        draw_copy(
            lambda: training_recipe(workspace, _materials(mixed, KINDS[0], base), settings), key="train"
        )


def draw_cost(workspace: Workspace, mixed: Contaminated, base: str, settings: TrainSettings) -> None:
    """Says what both trainings would take.

    Raises:
        ModelError: The model cannot be used.
    """
    cost = _estimate(str(workspace.folder), _materials(mixed, KINDS[0], base), settings)
    time = cost.basis if cost.seconds is None else f"each about {lasting(cost.seconds)}, {cost.basis}"
    memory = f"; about {size(cost.memory_bytes)} of memory" if cost.memory_bytes else ""
    samples = f"{mixed.safe + mixed.unsafe:,} and {mixed.safe:,} samples"
    st.caption(f"Two trainings of the same settings, one after the other: {samples}; {plain(time)}{memory}.")


@cached(max_entries=8)
def _estimate(workspace: str, materials: Materials, settings: TrainSettings) -> Estimate:
    place = open_workspace(workspace)
    given = {"model": materials.model, "train": materials.train, "template": materials.template}
    return estimate_training(place, training_task(place, settings, **given))


def start_second(workspace: Workspace, mixed: Contaminated, first: Run[Trained]) -> None:
    """Trains the second model as the first was."""
    settings = from_dict(TrainRequest, first.order.request).train
    start_training(workspace, mixed, KINDS[1], model=str(first.order.subject["model"]), settings=settings)


def start_training(
    workspace: Workspace, mixed: Contaminated, kind: Kind, *, model: str, settings: TrainSettings
) -> None:
    """Starts, or finds, a training and names it in the URL."""
    with frame.problem_shown():
        given = _materials(mixed, kind, model)
        run = train(
            settings, workspace=workspace, model=given.model, train=given.train, template=given.template
        )
        state.write(kind.parameter, run.id)
        st.rerun()


def _materials(mixed: Contaminated, kind: Kind, model: str) -> Materials:
    template = "" if mixed.template == "auto" else mixed.template
    return Materials(model=model, train=str(mixed.files / kind.file), template=template)


def show_model(kind: Kind, run: Run[Trained]) -> dict[str, Path]:
    """Draws one training; returns its model where it is done."""

    def details() -> None:
        draw_loss(run.metrics, key=f"x-{kind.name}")

    status = runs.watch(run, title=f"Training the {kind.name} model", details=details)
    if status.is_final:
        details()
    if status.state != "done":
        return {}
    result = run.result
    st.caption(f"{plain(result.outcome)}, {lasting(result.seconds)}")
    if result.unusable:
        st.caption(f"{result.unusable:,} samples were left out: the template refuses them.")
    st.caption(plain(str(result.model)))
    return {kind.name: result.model}
