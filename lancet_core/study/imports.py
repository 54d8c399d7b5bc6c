"""Attributions that other tools made: read, laid on the samples and queries of a study, and entered as a finished run."""

import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lancet_core.acts.attribute import IMPORTED, SCORES, AttributeRequest, Attribution, Group, Imported
from lancet_core.acts.results import write_result
from lancet_core.config import fingerprint
from lancet_core.data.samples import Query
from lancet_core.data.score_files import QUERIES, SAMPLES, ForeignScores, read_scores
from lancet_core.errors import ConfigError, DataError
from lancet_core.files import write_table
from lancet_core.influence.methods import ALL
from lancet_core.influence.presets import preset
from lancet_core.influence.results import score_table
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import Run, list_runs
from lancet_core.store.queries import add_queries, read_queries
from lancet_core.store.runs import RunFilter, queries_of
from lancet_core.store.studies import StudyRecord
from lancet_core.study.subjects import subject_of

Matrix = NDArray[np.float64]
LONGEST_NAME = 40


@dataclass(frozen=True)
class ImportSettings:
    """How foreign scores are read.

    Attributes:
        tool: Who made them, shown as the method; empty takes what the file tells, else its name.
        rows: What a row of the matrix is: `queries`, `samples`, or empty to see by ids and shape.
        negate: Whether positive scores push away from the answer; None as the tool does it.
        batch: Whether the scores are of the queries of each group as one.
        experiment: Which scores of a TRAK folder.
        query_ids: Ids of the queries in the order of the matrix; empty takes those of the file, else the order of the queries.
        sample_ids: Ids of the samples likewise; empty takes those of the file, else the order of the study or of the rows of its file.
    """

    tool: str = ""
    rows: str = ""
    negate: bool | None = None
    batch: bool = False
    experiment: str = ""
    query_ids: tuple[str, ...] = ()
    sample_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Axis:
    """The queries or the samples of a study, as an axis of a matrix may name them.

    Attributes:
        what: `queries` or `samples`.
        ids: Their ids, in order.
        rows: Numbers of their rows in the file that they come from, counted from 0; empty where they are not told apart by them.
        length: Rows in that file.
    """

    what: str
    ids: tuple[str, ...]
    rows: tuple[int, ...] = ()
    length: int = 0

    def fits(self, size: int, names: Sequence[str]) -> bool:
        """Whether an axis of a matrix may be this one."""
        if names and not _are_places(names):
            return not set(names).isdisjoint(self.ids)
        return size == len(self.ids) or bool(self.rows and size == self.length)

    def places(self, size: int, names: Sequence[str]) -> dict[str, int]:
        """Ids to their places on an axis of a matrix.

        Raises:
            DataError: A name is unknown or stands twice, or the axis is of another length.
        """
        if names and not _are_places(names):
            unknown = [name for name in names if name not in set(self.ids)]
            if unknown:
                raise DataError(
                    f"{len(unknown)} of {len(names)} ids are no {self.what} of the study, the first {unknown[0]!r}; accepted are "
                    f"ids such as {self.ids[0]}, or no ids and the {self.what} in their order"
                )
            if len(set(names)) < len(names):
                raise DataError(
                    f"{len(names) - len(set(names))} of {len(names)} ids of {self.what} stand twice; name each once"
                )
            if len(names) != size:
                raise DataError(f"{len(names)} ids are given for {size} {self.what}; give one for each")
            return {name: place for place, name in enumerate(names)}
        if size == len(self.ids):
            return {name: place for place, name in enumerate(self.ids)}
        return dict(zip(self.ids, self.rows, strict=True))

    @property
    def sizes(self) -> str:
        """Lengths that are accepted, in words."""
        file = f" or {self.length} (rows of their file)" if self.rows and self.length != len(self.ids) else ""
        return f"{len(self.ids)} {self.what}{file}"


def import_attribution(
    study: StudyRecord,
    path: str | Path,
    settings: ImportSettings | None = None,
    *,
    queries: Sequence[Query] = (),
) -> Run[Attribution]:
    """Enters scores that another tool made as a finished attribution, or finds the run that has them.

    It is read like our own, its method is shown as imported, and it never answers for one of our methods.

    Args:
        study: The study.
        path: File or folder, in a form of `data.score_files`.
        settings: Tool, sign, and what rows and columns are.
        queries: Queries in the order of the matrix; empty takes those of the study. They become queries of the study.

    Raises:
        DataError: The scores cannot be read, are not finite, or do not fit queries and samples.
        ConfigError: It is not clear what a row is, or which sign pushes towards the answer.
    """
    settings = settings or ImportSettings()
    scores = read_scores(path, settings.experiment)
    tool = _tool_name(settings.tool or scores.tool or Path(path).stem)
    chosen = tuple(queries) or tuple(read_queries(study))
    if not chosen:
        raise DataError(
            f"study {study.name!r} has no query; give the queries that were scored with --queries FILE"
        )
    axes = _query_axis(chosen, batch=settings.batch), _sample_axis(study)
    values, places = _laid(scores, settings, axes)
    values = values if _pushes_towards(scores, settings, path) else -values
    _check_finite(values, places, has_gaps=scores.has_gaps)
    scored = tuple(
        query
        for query, group in zip(chosen, _groups(chosen, batch=settings.batch), strict=True)
        if group in places[0]
    )
    content = fingerprint(
        [hashlib.sha256(values.tobytes()).hexdigest(), *(list(each.items()) for each in places)]
    )
    request = AttributeRequest(
        scored, preset(recall=ALL), batch=settings.batch, imported=Imported(tool, content)
    )
    task = Task("attribute", subject_of(study), request, case_id=scored[0].id if len(scored) == 1 else "")
    known = launcher.find(study.workspace, task)
    if known is not None:
        return Run(study.workspace, known)
    add_queries(study, scored, "imported")
    tables = [_table(name, values[row], places[1]) for name, row in places[0].items()]
    result = _result(study, request, tables, axes[1])
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder) / SCORES, pd.concat(tables, ignore_index=True))
        write_result(Path(folder), result)
        return Run(study.workspace, launcher.adopt(study.workspace, task, results=Path(folder)))


def method_of(request: Mapping[str, Any]) -> str:
    """Names the method of an attribution, ours or another tool's, from its request as the run keeps it; empty where it is unknown."""
    tool = (request.get("imported") or {}).get("tool")
    return f"{IMPORTED}{tool}" if tool else str((request.get("influence") or {}).get("method", ""))


def imported_attributions(study: StudyRecord, case_id: str) -> dict[str, Run[Attribution]]:
    """Finds the newest imported attribution of a case alone by each tool: `imported: kronfluence` to its run."""
    found: dict[str, Run[Attribution]] = {}
    for run in list_runs(study.workspace, RunFilter(study=study.name, act="attribute", within=case_id)):
        alone = dict(queries_of(study.workspace, run.id))[case_id] == case_id
        method = method_of(run.order.request)
        if alone and run.record.is_done and method.startswith(IMPORTED):
            found.setdefault(method, run)
    return found


def _tool_name(name: str) -> str:
    """Makes a name that every table, plot and list can show: letters, digits and `.+_-`, at most 40."""
    return re.sub(r"[^\w.+-]+", " ", name).strip()[:LONGEST_NAME] or "unknown"


def _groups(queries: Sequence[Query], *, batch: bool) -> list[str]:
    return [group for _id, group in AttributeRequest(tuple(queries), batch=batch).grouped_queries]


def _query_axis(queries: Sequence[Query], *, batch: bool) -> _Axis:
    return _Axis(QUERIES, tuple(dict.fromkeys(_groups(queries, batch=batch))))


def _sample_axis(study: StudyRecord) -> _Axis:
    """The samples; by the rows of their file as well where each comes from one of its own."""
    samples = study.samples()
    rows = samples["source_row"]
    length = study.counts.get("rows", 0)
    by_row = rows.is_unique and samples["source_file"].nunique() == 1 and rows.between(1, length).all()
    return _Axis(SAMPLES, tuple(samples["id"]), tuple(rows - 1) if by_row else (), length)


def _are_places(names: Sequence[str]) -> bool:
    """Whether names only count: 0, 1, 2 …, as a table without names has them."""
    return all(name == str(place) for place, name in enumerate(names))


def _laid(
    scores: ForeignScores, settings: ImportSettings, axes: tuple[_Axis, _Axis]
) -> tuple[Matrix, tuple[dict[str, int], dict[str, int]]]:
    """Turns the matrix to queries × samples, and finds the place of each query and sample in it.

    Raises:
        DataError: It does not fit the study.
        ConfigError: It fits in both ways.
    """
    rows = settings.rows or scores.rows
    if rows not in {"", QUERIES, SAMPLES}:
        raise ConfigError(f"rows is {rows!r}; it takes {QUERIES} or {SAMPLES}")
    ways = [
        (values, (settings.query_ids or queries, settings.sample_ids or samples))
        for what, values, queries, samples in (
            (QUERIES, scores.values, scores.row_ids, scores.column_ids),
            (SAMPLES, scores.values.T, scores.column_ids, scores.row_ids),
        )
        if rows in {"", what}
    ]
    fitting = [
        way for way in ways
        if all(axis.fits(size, names) for axis, size, names in zip(axes, way[0].shape, way[1], strict=True))
    ]  # fmt: skip
    if not fitting:
        raise DataError(
            f"the scores are {scores.values.shape[0]} × {scores.values.shape[1]} and fit neither way to {axes[0].sizes} and "
            f"{axes[1].sizes}; give the queries with --queries FILE, or ids with --query-ids and --sample-ids"
        )
    if len(fitting) > 1:
        raise ConfigError(
            f"the scores are {scores.values.shape[0]} × {scores.values.shape[1]}: a row may be a query or a sample; say which with "
            "--rows queries or --rows samples"
        )
    values, names = fitting[0]
    return values, (axes[0].places(values.shape[0], names[0]), axes[1].places(values.shape[1], names[1]))


def _pushes_towards(scores: ForeignScores, settings: ImportSettings, path: str | Path) -> bool:
    if settings.negate is not None:
        return not settings.negate
    if scores.towards is None:
        raise ConfigError(
            f"{path} does not tell which sign pushes towards the answer: its config.yaml is missing; give --no-negate where positive "
            "scores push towards it (bergson score), or --negate where negative ones do (bergson magic)"
        )
    return scores.towards


def _check_finite(values: Matrix, places: tuple[dict[str, int], dict[str, int]], *, has_gaps: bool) -> None:
    used = values[np.ix_(list(places[0].values()), list(places[1].values()))]
    wrong = ~np.isfinite(used) if not has_gaps else np.isinf(used)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{int(wrong.sum())} of {used.size} scores are not finite, the first of query {list(places[0])[row]} and sample "
            f"{list(places[1])[column]}; score again, or leave these samples out and give --sample-ids"
        )


def _table(name: str, values: NDArray[np.float64], samples: dict[str, int]) -> pd.DataFrame:
    influence = values[list(samples.values())]
    known = ~np.isnan(influence)
    return score_table(
        name, [sample for sample, scored in zip(samples, known, strict=True) if scored], influence[known]
    )


def _result(
    study: StudyRecord, request: AttributeRequest, tables: Sequence[pd.DataFrame], axis: _Axis
) -> Attribution:
    samples = study.samples().set_index("id")
    scored = pd.unique(pd.concat([table["sample_id"] for table in tables]))
    labels = samples.loc[scored, "is_safe"].dropna().astype(bool)
    members: dict[str, list[Query]] = {}
    for query, group in zip(request.queries, _groups(request.queries, batch=request.batch), strict=True):
        members.setdefault(group, []).append(query)
    groups = [
        Group(name, tuple(query.id for query in each), each[0].prompt, each[0].polarity, len(table))
        for (name, each), table in zip(members.items(), tables, strict=True)
    ]
    return Attribution(
        queries=tuple(groups),
        candidates=len(scored),
        method=request.method,
        recall=ALL if len(scored) == len(axis.ids) else "",
        chance=float((~labels).mean()) if len(labels) else None,
        notes=(
            f"these scores were made by another tool ({request.imported.tool}) and are shown as they came",
        ),
    )
