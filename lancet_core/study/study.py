"""The handle of a study: everything that can be done with it. Shell, screens and notebooks all work through it.

import lancet_core as lancet

study = lancet.open_study("demo")
trace = study.attribute(["Why?", "Because."]).wait()
trace.result.table.head()
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.acts.attribute import Attribution
from lancet_core.acts.cluster import Clustering
from lancet_core.acts.compare import Comparison
from lancet_core.acts.correct import Correction
from lancet_core.acts.evaluate import Evaluation
from lancet_core.acts.heat import Heat
from lancet_core.acts.index import IndexBuilt
from lancet_core.acts.look import Looked
from lancet_core.acts.mine import Mined
from lancet_core.acts.prepare import TemplateFit
from lancet_core.correction.settings import CorrectionSettings, PairSettings
from lancet_core.data.conversations import Asked
from lancet_core.data.samples import Query
from lancet_core.evaluation.settings import MineSettings
from lancet_core.influence.settings import ClusterSettings, GradientSettings, IndexSettings, InfluenceSettings
from lancet_core.models.settings import GenerationSettings
from lancet_core.models.token_list import TokenList
from lancet_core.runs.run import OnStatus, Run, list_runs
from lancet_core.store import studies as store
from lancet_core.store.queries import list_queries
from lancet_core.store.runs import RunFilter, queries_of
from lancet_core.store.studies import StudyRecord
from lancet_core.study import (
    attributions,
    cases,
    changes,
    corrections,
    imports,
    indexes,
    keeping,
    looking,
    mining,
    proofs,
    review,
)
from lancet_core.study.cases import Question, as_queries
from lancet_core.study.creation import Materials, create
from lancet_core.study.pairs import Pairs
from lancet_core.study.queue import Scope
from lancet_core.study.uploads import forget_uploads
from lancet_core.workspace import Workspace, as_workspace


class Study(StudyRecord):
    """A model, its training samples, its scorers, and what was found out about them."""

    def attribute(
        self, query: Question, settings: InfluenceSettings | None = None, *, batch: bool = False, top: int = 0
    ) -> Run[Attribution]:
        """Scores training samples by how much they push the model towards an answer (above 0) or away from it (below 0).

        Args:
            query: A query, `[prompt, response]`, the messages of a conversation that ends with the answer, or several queries.
            settings: Method, recall, damping …: `lancet.preset("linfac-head", recall="all")`; None takes the default.
            batch: Whether the queries of each group are attributed as one.
            top: Scores kept of each sign for each query; 0 keeps all.

        Raises:
            DataError: There is no query, or recall needs a gradient index and there is none.
            JobError: No worker can be started.
        """
        return attributions.attribute(self, as_queries(query), settings, batch=batch, top=top)

    def import_attribution(
        self, path: str | Path, *, queries: Sequence[Query] = (), **settings: Any
    ) -> Run[Attribution]:
        """Enters scores that another tool made (kronfluence, bergson, TRAK, a matrix) as a finished attribution.

        Args:
            path: File or folder, in a form of `data.score_files`.
            queries: Queries in the order of the scores; empty takes those of the study.
            **settings: Fields of `imports.ImportSettings`: `tool`, `negate`, `rows`, `batch`, `query_ids`, `sample_ids`, `experiment`.

        Raises:
            DataError: The scores cannot be read, are not finite, or do not fit queries and samples.
            ConfigError: It is not clear what a row is, or which sign pushes towards the answer.
        """
        return imports.import_attribution(self, path, imports.ImportSettings(**settings), queries=queries)

    def heat(self, run: Run[Attribution], query_id: str, sample_id: str) -> Run[Heat]:
        """Spreads a scored sample's influence over its tokens and units; arguments as in `attributions.heat`."""
        return attributions.heat(self, run, query_id, sample_id)

    def cluster(
        self, settings: ClusterSettings | None = None, *, queries: Sequence[Query] = ()
    ) -> Run[Clustering]:
        """Groups queries that resemble each other, so that each group can be attributed as one; arguments as in `attributions.cluster`."""
        return attributions.cluster(self, settings, queries=queries)

    def build_index(
        self, influence: GradientSettings | None = None, index: IndexSettings | None = None
    ) -> Run[IndexBuilt]:
        """Keeps a few numbers of each sample, from which recall `index` finds any query's candidates; see `indexes.build_index`."""
        return indexes.build_index(self, influence, index)

    def generate(self, prompt: Asked, settings: GenerationSettings | None = None, *, model: str = "") -> str:
        """Lets the model answer a prompt.

        Args:
            prompt: What is asked: a text, or messages.
            settings: Length, temperature and seed.
            model: Folder of another model than the study's, as a corrected one.

        Raises:
            DataError: The prompt is empty.
            JobError: The model host failed.
        """
        with closing(cases.stream_answer(self, prompt, settings, model=model)) as pieces:
            return "".join(pieces)

    def propose_pairs(
        self, run: Run[Attribution], settings: PairSettings | None = None, *, picked: Sequence[str] = ()
    ) -> Pairs:
        """Puts pairs up for review: for one query what its trace shows, for query clusters their pairs in turn.

        Args:
            run: A finished attribution; the review works from it from now on.
            settings: How many pairs, and which samples may enter.
            picked: Ids of samples that come first.

        Raises:
            DataError: No pair can be made.
            JobError: The run is not done.
        """
        groups = queries_of(self.workspace, run.id)
        if len(groups) == 1 and groups[0][0] == groups[0][1]:
            count = settings.count if settings else review.PAIRS_OF_A_CASE
            review.propose_for_case(self, run, groups[0][0], picked=tuple(picked), count=count)
            return Pairs(self, Scope(groups[0][0]))
        review.propose_for_clusters(self, run, settings)
        return Pairs(self, Scope())

    def pairs(self, case_id: str = "") -> Pairs:
        """The pairs of a case and its query cluster; without a case those of the study."""
        return Pairs(self, Scope(case_id))

    def correct(
        self,
        pairs: Pairs | Run[Attribution] | str | Path | None = None,
        settings: CorrectionSettings | None = None,
        *,
        queries: Sequence[Query] = (),
    ) -> Run[Correction]:
        """Trains a copy of the model away from the first and towards the second sample of each pair, and leaves the rest as it is.

        Args:
            pairs: Reviewed pairs, whose approved ones are taken; a file of pairs; or an attribution whose pairs are taken unreviewed.
                None takes all approved pairs of the study.
            settings: Objective and training.
            queries: Queries whose probability is followed; empty takes all of the study.

        Raises:
            DataError: There is no pair, or no sample to retain.
            JobError: No worker can be started.
        """
        if isinstance(pairs, Run):
            source = corrections.attribution_source(self, pairs)
        elif isinstance(pairs, str | Path):
            source = corrections.file_source(self, pairs)
        else:
            source = corrections.reviewed_source(self, pairs.scope if pairs is not None else Scope())
        case_id = pairs.scope.case_id if isinstance(pairs, Pairs) else ""
        return corrections.correct(self, source, settings, queries=queries, case_id=case_id)

    def evaluate(
        self,
        *,
        model: str | Path = "",
        prompts: str | Path = "",
        settings: proofs.ProofSettings | None = None,
    ) -> Run[Evaluation]:
        """Lets a model answer prompts and queries, and measures the answers; see `proofs.evaluate`."""
        return proofs.evaluate(self, model=model, prompts=prompts, settings=settings)

    def compare(
        self,
        after: Run[Correction] | str | Path,
        case: "Query | Sequence[str] | None" = None,
        *,
        prompts: str | Path = "",
        settings: proofs.ProofSettings | None = None,
    ) -> Run[Comparison]:
        """Compares a corrected model with the study's on the same prompts, and says whether it is corrected; see `proofs.compare`."""
        chosen = None if case is None else as_queries(case)[0]
        return proofs.compare(self, after, chosen, prompts=prompts, settings=settings)

    def add_queries(self, queries: str | Path | Sequence[Query] | Run[Mined]) -> int:
        """Adds queries, from a file, as they are, or those that a run mined, and gives how many were new; those that are there already stay.

        Raises:
            DataError: The file cannot be used.
            JobError: The run is not done.
        """
        if isinstance(queries, Run):
            return mining.add_mined(self, queries)
        return changes.add_queries(self, queries)

    def mine_queries(
        self,
        safe_model: str | Path,
        prompts: str | Path,
        settings: MineSettings | None = None,
        generation: GenerationSettings | None = None,
    ) -> Run[Mined]:
        """Finds prompts that this model answers most harmfully beside a model that was trained without the causes; see `mining.mine`.

        `add_queries` takes the finished run.
        """
        return mining.mine(self, safe_model, prompts, settings=settings, generation=generation)

    def change(self, *, on_status: OnStatus | None = None, **values: Any) -> "Study":
        """Changes template, scorers or prompts; runs and decisions stay. See `changes.change`.

        Args:
            on_status: Called whenever the run that measures the samples was looked at.
            **values: Fields of `changes.Changes`: `template`, `harmful_scorer`, `helpful_scorer`, `scores`, `prompts`, `dtype` …; `none` takes
                a scorer or the prompts away.

        Raises:
            ConfigError: Nothing is to be changed.
            StoreError: A run of the study is going.
        """
        return handle(changes.change(self, changes.Changes(**values), on_status))

    @property
    def template_fits(self) -> tuple[TemplateFit, ...]:
        """How likely the model finds its samples under each known template, likeliest first; empty where it was not measured."""
        return changes.template_fits(self)

    def queries(self) -> pd.DataFrame:
        """Lists its queries, oldest first: `id`, `prompt`, `response`, `polarity`, `source`, `category`, `group`, `created_at`."""
        return list_queries(self)

    def sample_cases(self, count: int = 3) -> pd.DataFrame:
        """Picks bad answers that came with the study, each of another category where there are enough; columns as in `queries`."""
        return cases.sample_cases(self, count)

    def runs(self, act: str | None = None) -> list[Run[Any]]:
        """Lists its runs, newest first; with an act (`attribute`, `correct` …) only those of it."""
        return list_runs(self.workspace, RunFilter(study=self.name, act=act))

    def tokens(self, sample_id: str) -> TokenList:
        """Lists the tokens of a training sample as the model reads them, and which count; see `cases.list_tokens`."""
        return cases.list_tokens(self, sample_id)

    def rename(self, name: str) -> "Study":
        """Gives it another name, which nothing of it is lost by; returns it under that name; see `keeping.rename`."""
        return handle(keeping.rename(self, name))

    def export(self, path: str | Path) -> dict[str, int]:
        """Writes samples, queries, prompts, pairs and decisions into a zip file as they are read back; see `keeping.export`."""
        return keeping.export(self, path)

    def delete(self) -> None:
        """Deletes it with everything found out about it, and uploaded files that nothing else names.

        Raises:
            StoreError: A run of it is going.
        """
        store.delete_study(self)
        forget_uploads(self.workspace)


def handle(record: StudyRecord) -> Study:
    """Gives a study as the index knows it its acts."""
    return Study(**{field.name: getattr(record, field.name) for field in fields(StudyRecord)})


def open_study(name: str, *, workspace: str | Path | Workspace | None = None) -> Study:
    """Opens a study by name.

    Args:
        name: Its name.
        workspace: Where it lies; None takes `LANCET_WORKSPACE`, and where that is unset `~/.lancet`.

    Raises:
        StoreError: There is none of this name; the message lists those there are.
    """
    return handle(store.get_study(as_workspace(workspace), name))


def list_studies(*, workspace: str | Path | Workspace | None = None) -> list[Study]:
    """Lists the studies of a workspace, oldest first."""
    return [handle(record) for record in store.list_studies(as_workspace(workspace))]


def create_study(
    name: str,
    *,
    workspace: str | Path | Workspace | None = None,
    on_status: OnStatus | None = None,
    **materials: Any,
) -> Study:
    """Makes a study of a model and the samples it was fine-tuned on.

    Args:
        name: Its name.
        workspace: Where it will lie; None takes `LANCET_WORKSPACE`, and where that is unset `~/.lancet`.
        on_status: Called whenever the run that measures the samples was looked at.
        **materials: Fields of `creation.Materials`: `model` (a folder, a hub id, or a loaded model and tokenizer), `train` (a file,
            a DataFrame or a Dataset), and further `base` (of an adapter), `dtype`, `device`, `harmful_scorer`, `helpful_scorer`, `scores`, `template`, `prompts`, `queries`, `format`.

    Raises:
        StoreError: The name is taken or no name.
        DataError: A file or table cannot be used.
        ModelError: The model or a scorer cannot be used.
        JobError: The run that measures the samples failed.
    """
    return handle(create(as_workspace(workspace), name, Materials(**materials), on_status))


def look_at(*, workspace: str | Path | Workspace | None = None, **materials: Any) -> Run[Looked]:
    """Tells what a study would be made of, before one is: samples, rejected rows with their reasons, lengths in tokens.

    Args:
        workspace: Where the run lies; None as in `create_study`.
        **materials: As in `create_study`: `model` and `train`, and further `format`, `columns`, `turns`, `too_long`, `template`.

    Raises:
        DataError: The training data is no file.
        ModelError: The model cannot be used.
        ConfigError: A choice is none.
        JobError: No worker can be started.
    """
    return looking.look_at(as_workspace(workspace), Materials(**materials))
