"""`lancet generate`, `lancet evaluate` and `lancet compare`: answers, what they measure, and two models side by side."""

from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any

import typer

from lancet_core.cli.following import finish
from lancet_core.cli.options import JsonOption, ModelOption, settings_from, with_settings, with_workspace
from lancet_core.cli.output import print_json, print_line, print_note, print_pieces, print_table
from lancet_core.data.samples import Query
from lancet_core.errors import DataError
from lancet_core.evaluation.settings import MetricSettings, VerdictSettings
from lancet_core.evaluation.verdict import Verdict
from lancet_core.models.settings import GenerationSettings
from lancet_core.study import cases
from lancet_core.study.proofs import ProofSettings
from lancet_core.study.study import Study


@with_settings(GenerationSettings)
@with_workspace
def generate(
    study: Study,
    prompt: Annotated[str, typer.Option(help="What the model is asked.")],
    model: ModelOption = "",
    as_json: JsonOption = False,
    *,
    values: dict[str, Any],
) -> None:
    """Lets the model answer a prompt, and scores the answer where the study has scorers."""
    settings = settings_from(GenerationSettings, values)
    with closing(cases.stream_answer(study, prompt, settings, model=model)) as stream:
        response = "".join(stream) if as_json else print_pieces(stream)
    scores = cases.score_answer(study, prompt, response) if response else {}
    if as_json:
        print_json({"prompt": prompt, "response": response, **scores})
        return
    for name, value in scores.items():
        print_note(f"{name} score {value:.3g}")


@with_settings(GenerationSettings, MetricSettings)
@with_workspace
def evaluate(
    study: Study,
    model: ModelOption = "",
    prompts: Annotated[
        str, typer.Option(help="File of prompts; unset: the study's, without its validation split.")
    ] = "",
    *,
    values: dict[str, Any],
) -> Iterator[Any]:
    """Lets a model answer prompts and queries, and measures the answers."""
    settings = ProofSettings(settings_from(GenerationSettings, values), settings_from(MetricSettings, values))
    run = finish(study.evaluate(model=model, prompts=prompts, settings=settings))
    measures = run.result.measures
    yield {"run": run.id, "metrics": measures, "settings": settings}
    print_table(tuple(measures.columns), measures.values.tolist())
    print_note(f"run {run.id}: {len(run.result.answers):,} answers")


@with_settings(GenerationSettings, MetricSettings, VerdictSettings)
@with_workspace
def compare(
    study: Study,
    after: Annotated[str, typer.Option(help="Folder of the corrected model.")],
    prompt: Annotated[str, typer.Option(help="Prompt of the case that was to be corrected.")] = "",
    response: Annotated[str, typer.Option(help="The bad answer of that case.")] = "",
    prompts: Annotated[
        str, typer.Option(help="File of prompts; unset: the study's, without its validation split.")
    ] = "",
    *,
    values: dict[str, Any],
) -> Iterator[Any]:
    """Compares a corrected model with the study's on the same prompts, and says whether it is corrected."""
    settings = ProofSettings(
        generation=settings_from(GenerationSettings, values),
        metrics=settings_from(MetricSettings, values),
        verdict=settings_from(VerdictSettings, values),
    )
    run = finish(study.compare(after, _read_case(prompt, response), prompts=prompts, settings=settings))
    result = run.result
    yield {"run": run.id, "metrics": result.changes, "verdict": result.verdict, "case": result.case}
    print_table(tuple(result.changes.columns), result.changes.values.tolist())
    print_verdict(result.verdict)
    print_note(f"run {run.id}: {len(result.answers):,} prompts")


def _read_case(prompt: str, response: str) -> Query | None:
    """The case that was given; half of one is refused."""
    if not prompt and not response:
        return None
    if not (prompt.strip() and response.strip()):
        raise DataError("a case needs both --prompt and --response; give both or none")
    return Query(prompt, response)


def print_verdict(verdict: Verdict) -> None:
    """Prints the verdict with its checks, and what to try where it is not corrected."""
    print_line(verdict.headline)
    words = {True: "passed", False: "failed", None: "not known"}
    for check in verdict.checks:
        print_line(f"  {words[check.passed]}: {check.name}: {check.detail}")
    for advice in verdict.advice:
        print_line(f"  try: {advice}")
