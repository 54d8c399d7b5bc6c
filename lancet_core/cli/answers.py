"""`lancet generate`, `lancet evaluate` and `lancet compare`: answers, what they measure, and two models side by side."""

from contextlib import closing
from typing import Annotated, Any

import pandas as pd
import typer

from lancet_core.cli.following import RunBar
from lancet_core.cli.options import JsonOption, StudyArgument, WorkspaceOption, settings_from, with_settings
from lancet_core.cli.output import print_json, print_line, print_note, print_table
from lancet_core.data.samples import Query
from lancet_core.errors import DataError
from lancet_core.evaluation.settings import MetricSettings, VerdictSettings
from lancet_core.models.settings import GenerationSettings
from lancet_core.workbench import cases, proofs, studies
from lancet_core.workbench.waiting import finish
from lancet_core.workspace import open_workspace


@with_settings(GenerationSettings)
def generate(
    study: StudyArgument,
    prompt: Annotated[str, typer.Option("--prompt", help="What the model is asked.")],
    model: Annotated[str, typer.Option("--model", help="Folder of another model than the study's.")] = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    *,
    values: dict[str, Any],
) -> None:
    """Lets the model answer a prompt, and scores the answer where the study has scorers."""
    opened = open_workspace(workspace)
    found = studies.show_study(opened, study)
    settings = settings_from(GenerationSettings, values)
    pieces = []
    with closing(cases.answer(opened, found, prompt=prompt, settings=settings, model=model)) as stream:
        for piece in stream:
            pieces.append(piece)
            if not as_json:
                typer.echo(piece, nl=False)
    response = "".join(pieces)
    if not as_json:
        print_line("")
    scores = cases.score_answer(opened, found, prompt=prompt, response=response) if response else {}
    if as_json:
        print_json({"prompt": prompt, "response": response, **scores})
        return
    for name, value in scores.items():
        print_note(f"{name} score {value:.3g}")


@with_settings(GenerationSettings, MetricSettings)
def evaluate(
    study: StudyArgument,
    model: Annotated[str, typer.Option("--model", help="Folder of another model than the study's.")] = "",
    prompts: Annotated[
        str,
        typer.Option("--prompts", help="File of prompts; unset: the study's, without its validation split."),
    ] = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    *,
    values: dict[str, Any],
) -> None:
    """Lets a model answer prompts and queries, and measures the answers."""
    opened = open_workspace(workspace)
    found = studies.show_study(opened, study)
    settings = proofs.ProofSettings(
        generation=settings_from(GenerationSettings, values), metrics=settings_from(MetricSettings, values)
    )
    run_id = proofs.start_evaluation(opened, found, model=model, prompts=prompts, settings=settings)
    with RunBar() as bar:
        finish(opened, run_id, bar)
    evaluation = proofs.read_evaluation(opened, run_id)
    if as_json:
        print_json({"run": run_id, "metrics": evaluation.metrics, "settings": evaluation.settings})
        return
    _print_metrics(evaluation.metrics)
    print_note(f"run {run_id}: {len(evaluation.answers):,} answers")


@with_settings(GenerationSettings, MetricSettings, VerdictSettings)
def compare(
    study: StudyArgument,
    after: Annotated[str, typer.Option("--after", help="Folder of the corrected model.")],
    prompt: Annotated[
        str, typer.Option("--prompt", help="Prompt of the case that was to be corrected.")
    ] = "",
    response: Annotated[str, typer.Option("--response", help="The bad answer of that case.")] = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    *,
    values: dict[str, Any],
) -> None:
    """Compares a corrected model with the study's on the same prompts, and says whether it is corrected."""
    opened = open_workspace(workspace)
    found = studies.show_study(opened, study)
    settings = proofs.ProofSettings(
        generation=settings_from(GenerationSettings, values),
        metrics=settings_from(MetricSettings, values),
        verdict=settings_from(VerdictSettings, values),
    )
    case = _read_case(prompt, response)
    run_id = proofs.compare_models(opened, found, after=after, case=case, settings=settings)
    with RunBar() as bar:
        finish(opened, run_id, bar)
    comparison = proofs.read_comparison(opened, run_id)
    if as_json:
        document = {
            "run": run_id,
            "metrics": comparison.metrics,
            "verdict": comparison.verdict,
            "case": comparison.case,
        }
        print_json(document)
        return
    _print_metrics(comparison.metrics)
    _print_verdict(comparison.verdict)
    print_note(f"run {run_id}: {len(comparison.answers):,} prompts")


def _read_case(prompt: str, response: str) -> Query | None:
    """Reads the case, if one was given.

    Raises:
        DataError: Only half of it was given.
    """
    if not prompt and not response:
        return None
    if not (prompt.strip() and response.strip()):
        raise DataError("a case needs both --prompt and --response; give both or none")
    return Query(prompt, response)


def _print_metrics(metrics: pd.DataFrame) -> None:
    print_table(tuple(metrics.columns), metrics.values.tolist())


def _print_verdict(verdict: dict[str, Any]) -> None:
    """Prints the verdict with its checks, and what to try where it is not corrected."""
    print_line("corrected" if verdict["corrected"] else "not corrected")
    words = {True: "passed", False: "failed", None: "not known"}
    for check in verdict["checks"]:
        print_line(f"  {words[check['passed']]}: {check['name']}: {check['detail']}")
    for advice in verdict["advice"]:
        print_line(f"  try: {advice}")
