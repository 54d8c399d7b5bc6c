"""Recipes: the command, and the lines of Python, that ask for what a screen asks for.

Both are made of the same request: what differs from the defaults becomes options and arguments. Texts of whatever kind are quoted so
that shell and Python read them as they are.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from lancet_core.acts.attribute import AttributeRequest
from lancet_core.acts.cluster import ClusterRequest
from lancet_core.acts.compare import CompareRequest
from lancet_core.acts.correct import PAIRS, CorrectRequest
from lancet_core.acts.evaluate import EvaluateRequest
from lancet_core.acts.index import IndexRequest
from lancet_core.acts.mine import MINING_GENERATION, PROMPTS, MineRequest
from lancet_core.acts.table import ACTS
from lancet_core.config import describe, differences, from_dict, to_dict
from lancet_core.correction.pair_files import read_pairs
from lancet_core.correction.settings import CorrectionSettings, TrainSettings
from lancet_core.data.contamination import CONTAMINATION_PRESETS, ContaminationSettings
from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError, StoreError
from lancet_core.evaluation.settings import MetricSettings, MineSettings, VerdictSettings
from lancet_core.influence.presets import PRESETS, USUAL
from lancet_core.influence.settings import ClusterSettings, GradientSettings, IndexSettings, InfluenceSettings
from lancet_core.models.settings import GenerationSettings
from lancet_core.runs.run import Run
from lancet_core.store.pairs import review_source
from lancet_core.store.queries import read_queries
from lancet_core.store.studies import StudyRecord, get_study
from lancet_core.study.contamination import Sources
from lancet_core.study.creation import Materials
from lancet_core.study.making import read_making
from lancet_core.study.queue import EVERYTHING, Scope
from lancet_core.study.recipe_texts import Recipe, Step, command_of, opening, place_of, written
from lancet_core.study.review import approved_pairs
from lancet_core.workspace import Workspace


def recipe_of(run: Run[Any]) -> Recipe | None:
    """Gives the recipe of a run; None where no command asks for it, or another version did."""
    make = _OF_ACT.get(run.record.act)
    if make is None or run.record.study is None:
        return None
    try:
        request = from_dict(ACTS[run.record.act].request, run.order.request)
    except ConfigError:
        return None
    study = get_study(run.workspace, run.record.study)
    step = make(study, request, run)
    return None if step is None else written(study.workspace, step, study.name)


def creation_recipe(workspace: Workspace, name: str, materials: Materials) -> Recipe | None:
    """Gives the recipe of a study; None where it was made of objects in memory."""
    given = {each.name: getattr(materials, each.name) for each in fields(materials)}
    options = {
        each.metadata.get("name", each.name): given[each.name]
        for each in fields(materials)
        if given[each.name] and given[each.name] != each.default
    }
    if not all(isinstance(value, str) for value in options.values()) or not (
        materials.model and materials.train
    ):
        return None
    arguments = [
        repr(name),
        *(f"{key}={value!r}" for key, value in given.items() if value and value != _usual(Materials, key)),
    ]
    step = Step(
        ("study", "create", name), options, "lancet.create_study", arguments, "study.counts", is_run=False
    )
    return written(workspace, step, "")


def contamination_recipe(
    workspace: Workspace, sources: Sources, settings: ContaminationSettings, *, preset: str
) -> Recipe:
    """Gives the recipe of a contamination from files."""
    given = {each.name: str(getattr(sources, each.name)) for each in fields(sources)}
    named = {name: value for name, value in given.items() if value and value != _usual(Sources, name)}
    usual = CONTAMINATION_PRESETS[preset]
    options = named | {"preset": preset, "out": "contaminated"} | differences(settings, usual)
    own = settings != usual
    arguments = [
        *([f"ContaminationSettings(**{to_dict(settings)!r})"] if own else []),
        *(f"{name}={value!r}" for name, value in named.items()),
        f"preset={preset!r}",
    ]
    imports = [f"from {ContaminationSettings.__module__} import ContaminationSettings"] if own else []
    shown = "run.result.outcome, run.result.files"
    return written(
        workspace,
        Step(("contaminate",), options, "lancet.contaminate", arguments, shown, imports=imports),
        "",
    )


def training_recipe(workspace: Workspace, materials: Materials, settings: TrainSettings) -> Recipe:
    """Gives the recipe of a training on a file."""
    names = ("model", "train", "template")
    named = {name: str(value) for name in names if (value := getattr(materials, name))}
    options = named | {"out": "trained"} | differences(settings, TrainSettings())
    arguments = [
        _settings("TrainSettings", settings, TrainSettings()),
        *(f"{name}={value!r}" for name, value in named.items()),
    ]
    imports = [f"from {TrainSettings.__module__} import TrainSettings"]
    return written(
        workspace,
        Step(("train",), options, "lancet.train", arguments, "run.result.model", imports=imports),
        "",
    )


def study_recipe(study: StudyRecord) -> Recipe | None:
    """Gives the recipe of a study that is there; None where it was made of objects in memory, or by an older version."""
    try:
        given = read_making(study.folder).materials
        return creation_recipe(study.workspace, study.name, Materials(**given))
    except (StoreError, TypeError):
        return None


def correction_recipe(study: StudyRecord, settings: CorrectionSettings, scope: Scope) -> Recipe:
    """Gives the recipe of a correction from the approved pairs of a scope."""
    case = scope.case_id if scope.reach != EVERYTHING else ""
    return written(study.workspace, _correction(study, settings, case=case), study.name)


def review_recipe(study: StudyRecord, case_id: str) -> Recipe:
    """Gives the recipe of a review: its pairs are proposed from the attribution that it works from, and listed."""
    source = review_source(study, case_id)
    run_id = source.run_id if source is not None else ""
    place = place_of(study.workspace)
    propose = ("pairs", "propose", study.name)
    options = {"attribution": run_id} if run_id else {}
    command = "\n".join(
        [
            command_of(propose, options | place),
            command_of(("pairs", "list", study.name), ({"case": case_id} if case_id else {}) | place),
        ]
    )
    lines = [*opening(study.workspace, study.name)]
    if run_id:
        lines += [
            f"run = next(run for run in study.runs('attribute') if run.id == {run_id!r})",
            "pairs = study.propose_pairs(run)",
        ]
    else:
        lines.append(f"pairs = study.pairs({repr(case_id) if case_id else ''})")
    return Recipe(command, "\n".join([*lines, "print(pairs.table)"]))


def audit_recipe(runs: Sequence[Run[Any]], query: str) -> Recipe | None:
    """Gives the recipe of an audit of some attributions: each of them, and what it is worth.

    Args:
        runs: Finished attributions, of one study.
        query: Id of the query, or name of the batch, that is audited.
    """
    workspace, study = runs[0].workspace, str(runs[0].record.study)
    asked = [recipe for run in runs if (recipe := recipe_of(run)) is not None]
    commands = [command_of(("audit", study, run.id), {"query": query} | place_of(workspace)) for run in runs]
    audits = [
        f"run = next(run for run in study.runs('attribute') if run.id == {run.id!r})\nprint(run.result.audit({query!r}).worth)"
        for run in runs
    ]
    return Recipe(
        "\n".join([*(recipe.command for recipe in asked), *commands]),
        "\n".join([*opening(workspace, study), *audits]),
    )


def _usual(kind: type[Any], name: str) -> Any:
    return next(each.default for each in fields(kind) if each.name == name)


def _query(query: Query) -> str:
    usual = Query(query.prompt, query.response)
    others = [
        f"{each.name}={getattr(query, each.name)!r}"
        for each in fields(query)
        if getattr(query, each.name) != getattr(usual, each.name)
    ]
    return f"lancet.Query({', '.join([repr(query.prompt), repr(query.response), *others])})"


def _listed(queries: Sequence[Query]) -> str:
    return "[\n" + "".join(f"        {_query(query)},\n" for query in queries) + "    ]"


def _settings(name: str, settings: Any, usual: Any) -> str:
    """A settings dataclass as Python source, with what differs; empty where nothing does."""
    changed = differences(settings, usual)
    if not changed:
        return ""
    places = {each.name: each.path[-1] for each in describe(type(settings))}
    return f"{name}({', '.join(f'{places[key]}={value!r}' for key, value in changed.items())})"


def _influence(settings: GradientSettings, usual: GradientSettings) -> tuple[dict[str, Any], str]:
    """Settings of influence as options, and as Python source."""
    changed = differences(settings, usual)
    named = {"method": settings.method} if settings.method != USUAL else {}
    source = ", ".join([repr(settings.method), *(f"{key}={value!r}" for key, value in changed.items())])
    return named | changed, f"lancet.preset({source})"


def _typed(query: Query) -> bool:
    """Whether a query can be given by options: a file holds what these cannot say."""
    plain = not (query.messages or query.group) and query.polarity == Query("", "").polarity
    return plain and all(_fits_argument(text) for text in (query.prompt, query.response, query.span))


def _fits_argument(text: str) -> bool:
    return "\x00" not in text and not any(unicodedata.category(letter) == "Cs" for letter in text)


def _attribution(study: StudyRecord, request: AttributeRequest, _run: Run[Any]) -> Step | None:
    if request.imported.tool:
        return None
    settings = request.influence
    options, source = _influence(settings, PRESETS[settings.method])
    usual = AttributeRequest(())
    for name in ("batch", "top"):
        if getattr(request, name) != getattr(usual, name):
            options[name] = getattr(request, name)
    further = [f"{name}={options[name]!r}" for name in ("batch", "top") if name in options]
    queries = request.queries
    arguments = [_query(queries[0]) if len(queries) == 1 else _listed(queries), source, *further]
    if len(queries) == 1 and _typed(queries[0]):
        options = _case(queries[0]) | options
        queries = ()
    return Step(
        ("attribute", study.name), options, "study.attribute", arguments, "run.result.table.head()", queries
    )


def _case(query: Query) -> dict[str, Any]:
    texts = {"prompt": query.prompt, "response": query.response, "span": query.span}
    return {name: text for name, text in texts.items() if text}


def _clustering(study: StudyRecord, request: ClusterRequest, _run: Run[Any]) -> Step:
    options = differences(request.cluster, ClusterSettings())
    own = [query.id for query in request.queries] == [query.id for query in read_queries(study)]
    arguments = [_settings("lancet.ClusterSettings", request.cluster, ClusterSettings())]
    queries = () if own else request.queries
    if queries:
        arguments.append(f"queries={_listed(queries)}")
    return Step(("cluster", study.name), options, "study.cluster", arguments, "run.result.terms", queries)


def _indexing(study: StudyRecord, request: IndexRequest, _run: Run[Any]) -> Step:
    usual: InfluenceSettings = PRESETS[request.influence.method]
    options, source = _influence(request.influence, usual.of_gradients)
    options |= differences(request.index, IndexSettings())
    arguments = [source, _settings("lancet.IndexSettings", request.index, IndexSettings())]
    return Step(("index", "build", study.name), options, "study.build_index", arguments, "run.result.outcome")


def _corrected(study: StudyRecord, request: CorrectRequest, run: Run[Any]) -> Step:
    """The correction of a run: from the approved pairs where they are still the same, else from those that the run keeps."""
    file = run.folder.inputs / PAIRS
    trained = {pair.pair_id for pair in read_pairs(file)}
    for case in dict.fromkeys([run.record.case_id, ""]):
        if {pair.pair_id for pair in approved_pairs(study, Scope(case))} == trained:
            return _correction(study, request.correction, case=case)
    return _correction(study, request.correction, file=str(file))


def _correction(study: StudyRecord, settings: CorrectionSettings, *, case: str = "", file: str = "") -> Step:
    options = ({"case": case} if case else {"pairs": file} if file else {}) | differences(
        settings, CorrectionSettings()
    )
    pairs = f"study.pairs({case!r})" if case else repr(file) if file else "study.pairs()"
    arguments = [pairs, _settings("lancet.CorrectionSettings", settings, CorrectionSettings())]
    return Step(("correct", study.name), options, "study.correct", arguments, "run.result.model")


def _evaluation(study: StudyRecord, request: EvaluateRequest, _run: Run[Any]) -> Step:
    options = ({"model": request.model} if request.model else {}) | _proof_options(request)
    arguments = [f"model={request.model!r}"] if request.model else []
    source, imports = _proof_settings(request)
    return Step(
        ("evaluate", study.name),
        options,
        "study.evaluate",
        arguments + source,
        "run.result.measures",
        imports=imports,
    )


def _comparison(study: StudyRecord, request: CompareRequest, _run: Run[Any]) -> Step:
    case = _case(request.case) if request.case is not None else {}
    options = {"after": request.after} | case | _proof_options(request)
    arguments = [repr(request.after), *([_query(request.case)] if request.case is not None else [])]
    source, imports = _proof_settings(request)
    return Step(
        ("compare", study.name), options, "study.compare", arguments + source, "run.result.verdict.headline",
        imports=imports,
    )  # fmt: skip


def _mining(study: StudyRecord, request: MineRequest, run: Run[Any]) -> Step:
    prompts = str(run.folder.inputs / PROMPTS)
    options = {"safe_model": request.safe_model, "prompts": prompts} | differences(
        request.mine, MineSettings()
    )
    options |= differences(request.generation, MINING_GENERATION)
    arguments = [repr(request.safe_model), repr(prompts)]
    imports = []
    for name, settings, usual in (
        ("settings", request.mine, MineSettings()),
        ("generation", request.generation, MINING_GENERATION),
    ):
        if settings != usual:
            kind = type(settings)
            arguments.append(f"{name}={kind.__name__}(**{to_dict(settings)!r})")
            imports.append(f"from {kind.__module__} import {kind.__name__}")
    return Step(
        ("queries", "mine", study.name), options, "study.mine_queries", arguments, "run.result.table",
        imports=imports,
    )  # fmt: skip


_PROOF: dict[str, type[Any]] = {
    "generation": GenerationSettings,
    "metrics": MetricSettings,
    "verdict": VerdictSettings,
}


def _proof_options(request: Any) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, kind in _PROOF.items():
        if hasattr(request, name):
            options |= differences(getattr(request, name), kind())
    return options


def _proof_settings(request: Any) -> tuple[list[str], list[str]]:
    """The settings of a proof where they are not the usual ones, as an argument, and what has to be imported for it."""
    parts, imports = [], []
    for name, kind in _PROOF.items():
        if hasattr(request, name) and getattr(request, name) != kind():
            parts.append(f"{name}={_settings(kind.__name__, getattr(request, name), kind())}")
            imports.append(f"from {kind.__module__} import {kind.__name__}")
    return ([f"settings=lancet.ProofSettings({', '.join(parts)})"] if parts else []), imports


_OF_ACT: dict[str, Callable[[StudyRecord, Any, Run[Any]], Step | None]] = {
    "attribute": _attribution,
    "cluster": _clustering,
    "index": _indexing,
    "correct": _corrected,
    "evaluate": _evaluation,
    "compare": _comparison,
    "mine": _mining,
}
