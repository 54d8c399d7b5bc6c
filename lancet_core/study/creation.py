"""Makes a study of a model and its training samples, given as files or as objects."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from lancet_core.acts.look import Looked, template_for
from lancet_core.acts.prepare import CUT, TOO_LONG, Prepared, PrepareRequest
from lancet_core.acts.subject import Subject
from lancet_core.config import to_dict
from lancet_core.data.adapters import AUTO
from lancet_core.data.columns import parse_columns
from lancet_core.data.conversations import LAST, TURNS
from lancet_core.data.hub import local_data
from lancet_core.data.inputs import load_prompts, load_queries
from lancet_core.data.loading import Loaded, Rejected, load_samples
from lancet_core.data.objects import write_rows
from lancet_core.data.samples import Query
from lancet_core.errors import ConfigError, DataError, ModelError, StoreError
from lancet_core.evaluation.scorer_cards import HARMFUL, HELPFUL, Declared, resolve_scorer, scorer_card
from lancet_core.files import replacing_folder, write_json, write_json_lines, write_table
from lancet_core.models.adapters import keep_adapter
from lancet_core.models.fingerprints import check_model_folder, resolve_model
from lancet_core.models.gguf_files import check_gguf, find_gguf, unpacked_folder
from lancet_core.models.settings import DEVICES, DTYPES
from lancet_core.models.template_names import check_template
from lancet_core.runs import launcher
from lancet_core.runs.launcher import Task
from lancet_core.runs.run import OnStatus, Run
from lancet_core.store import studies as store
from lancet_core.store.run_status import now
from lancet_core.store.studies import StudyRecord
from lancet_core.study.given_scores import GivenScores, ScoreTable, give_scores, load_scores
from lancet_core.study.making import MAKING, READ, REJECTED, Making, complete, list_making
from lancet_core.workspace import Workspace

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")

GIVEN_MODEL = "model"
FILES = ("train", "prompts", "queries", "scores")


@runtime_checkable
class Saved(Protocol):
    """A loaded model or tokenizer of transformers."""

    def save_pretrained(self, save_directory: Any, **options: Any) -> Any:
        """Writes it to a folder."""


@dataclass(frozen=True)
class Materials:
    """What a study is made of.

    Attributes:
        model: Folder, GGUF file or hub id of the causal language model, or a loaded model with its tokenizer.
        train: Its training samples: a file, a DataFrame, or a Dataset.
        format: Name of a data format, or `auto`.
        columns: Columns named by hand where they are called otherwise, as in `prompt=question,label=is_harmful:inverted`.
        turns: Which of the assistant's turns count in a conversation, as the trainer's loss took them: `last` or `all`.
        too_long: What becomes of a response that exceeds the context: `cut` keeps its beginning, `reject` leaves the sample out.
        harmful_scorer: Folder or hub id of the harmful scorer, empty for none.
        helpful_scorer: Folder or hub id of the helpful scorer, empty for none.
        harmful_scorer_as: What its output means where it is of no known family: `higher_is=harmful,label_index=1`, or a mapping.
        helpful_scorer_as: The same of the helpful scorer.
        scores: Scores of the samples that were made elsewhere: a file or a DataFrame, see `given_scores`; empty for none.
        scores_as: What they mean where they are outputs of a model: `mapping=sigmoid,higher_is=harmless`, or a mapping.
        template: How a prompt is formatted; empty takes `raw` for dialogues (HH) and `auto` for the rest.
        prompts: File of evaluation prompts, empty for none.
        queries: File of influence queries, or queries; empty for none.
        dtype: Type of number that the model is loaded with: `float32`, `bfloat16` or `float64`.
        device: Where the model runs: `auto`, `cpu` or `cuda`.
        base: Of an adapter the folder or hub id of its model, where that is not what the adapter says; empty takes what it says.
    """

    model: "str | Path | tuple[Saved, Saved]"
    train: Any
    format: str = AUTO
    columns: str = field(default="", metadata={"name": "map"})
    turns: str = LAST
    too_long: str = CUT
    harmful_scorer: str | Path = ""
    helpful_scorer: str | Path = ""
    harmful_scorer_as: Declared = ""
    helpful_scorer_as: Declared = ""
    scores: GivenScores = ""
    scores_as: Declared = ""
    template: str = ""
    prompts: str | Path = ""
    queries: "str | Path | Sequence[Query]" = ""
    base: str | Path = ""
    dtype: str = DTYPES[0]
    device: str = DEVICES[0]


def create(
    workspace: Workspace, name: str, materials: Materials, on_status: OnStatus | None = None
) -> StudyRecord:
    """Makes a study: reads the samples, measures each with the model, and scores them.

    Args:
        workspace: Where it will lie.
        name: Its name.
        materials: What it is made of.
        on_status: Called whenever the run that measures the samples was looked at.

    Returns:
        The study; its counts say how many samples were kept, cut, rejected and doubled.

    Raises:
        StoreError: The name is taken or no name.
        DataError: A file cannot be used.
        ModelError: The model or a scorer cannot be used.
        ConfigError: A choice, the template or a mapping of columns is none.
        JobError: The run failed.
        Cancelled: A person stopped it. Whatever goes wrong, no half-made study stays.
    """
    run = begin(workspace, name, materials)
    with _undone(workspace, name):
        run.wait(on_status)
        return complete(workspace, name)


def begin(
    workspace: Workspace, name: str, materials: Materials, look: Run[Looked] | None = None
) -> Run[Prepared]:
    """Starts to make a study and returns at once; when the run is done `complete` enters the study.

    Args:
        workspace: Where it will lie.
        name: Its name.
        materials: What it is made of.
        look: A finished look at the same materials, whose samples are taken instead of reading the file again.

    Raises:
        StoreError: The name is taken or no name.
        DataError: A file cannot be used.
        ModelError: The model or a scorer cannot be used.
        ConfigError: A choice, the template or a mapping of columns is none.
        JobError: No worker can be started, or the look is not done. Whatever goes wrong, nothing stays.
    """
    check_choices(materials)
    _check_free(workspace, name)
    harmful, helpful = _scorers(materials)
    source = None if materials.base else model_source(materials.model)
    check_template(materials.model, materials.template, materials.base)
    loaded = load(materials) if look is None else _looked(look)
    prompts = load_prompts(Path(materials.prompts).expanduser()) if materials.prompts else None
    scores = _scores(materials, loaded)
    queries, origin = _queries(materials)
    folder = workspace.studies / name
    with _undone(workspace, name):
        folder.mkdir(parents=True, exist_ok=True)
        gguf = find_gguf(source) if source is not None else None
        model = source or _keep_model(materials, folder / GIVEN_MODEL)
        if gguf is not None:
            model = str(unpacked_folder(workspace.models, gguf))
        read = folder / READ
        write_table(read, loaded.frame.assign(turns=materials.turns))
        write_json_lines(folder / REJECTED, [asdict(row) for row in loaded.rejected])
        if prompts is not None:
            write_table(folder / "prompts.parquet", prompts)
        if scores is not None:
            scores.write(folder)
        template = materials.template or template_for(loaded.format)
        subject = Subject(
            "", model, str(read), template, harmful, helpful, dtype=materials.dtype, device=materials.device
        )
        request = PrepareRequest(materials.too_long, now().date().isoformat(), str(gguf or ""))
        run: Run[Prepared] = Run(workspace, launcher.start(workspace, Task("prepare", subject, request)))
        given = _plain(
            replace(materials, model=model, base="", **_named(HARMFUL, harmful), **_named(HELPFUL, helpful))
        )
        making = Making(run.id, loaded.rows, loaded.duplicates, given, tuple(queries), origin)
        write_json(folder / MAKING, to_dict(making))
    return run


@contextmanager
def _undone(workspace: Workspace, name: str) -> Iterator[None]:
    """Takes a half-made study away where the block does not end well."""
    with ExitStack() as undo:
        undo.callback(_remove, workspace, name)
        yield
        undo.pop_all()


def _looked(look: Run[Looked]) -> Loaded:
    """What a look read, as if it had been read again."""
    found = look.result
    rejected = [
        Rejected(int(row), str(reason)) for row, reason in found.rejected_rows[["row", "reason"]].values
    ]
    if not found.samples:
        raise DataError(f"no row can be used; first: row {rejected[0].row}: {rejected[0].reason}")
    return Loaded(found.table, rejected, found.format, found.rows, found.duplicates)


def _plain(materials: Materials) -> dict[str, Any]:
    """What was given as text, files by their whole path; a table or queries in memory cannot be named."""
    values = {each.name: getattr(materials, each.name) for each in fields(materials)}
    named = {name: value for name, value in values.items() if isinstance(value, str | Path) and value}
    return {name: _whole(value) if name in FILES else str(value) for name, value in named.items()}


def _whole(path: str | Path) -> str:
    place = Path(path).expanduser()
    return str(place.absolute()) if place.exists() else str(path)  # an id on the Hub stays one


def check_choices(materials: Materials) -> None:
    """Checks what is chosen from a list.

    Raises:
        ConfigError: A choice is none.
    """
    for name, value, choices in (
        ("turns", materials.turns, TURNS),
        ("too_long", materials.too_long, TOO_LONG),
        ("dtype", materials.dtype, DTYPES),
        ("device", materials.device, DEVICES),
    ):
        if value not in choices:
            raise ConfigError(f"{name} is {value!r}; accepted are {', '.join(choices)}")


def _check_free(workspace: Workspace, name: str) -> None:
    store.check_name(name)
    if name in {study.name for study in store.list_studies(workspace)}:
        raise StoreError(store.name_taken(name))
    making = list_making(workspace).get(name)
    if making is not None and not making.record.is_final:
        raise StoreError(
            f"a study {name!r} is being made; choose another name, or stop it: lancet runs cancel {making.id}"
        )
    shutil.rmtree(workspace.studies / name, ignore_errors=True)  # left by a process that was killed half-way


def _remove(workspace: Workspace, name: str) -> None:
    """Takes a half-made study out of index and folder."""
    known = {study.name: study for study in store.list_studies(workspace)}
    if name in known:
        store.delete_study(known[name])
    shutil.rmtree(workspace.studies / name, ignore_errors=True)


def load(materials: Materials) -> Loaded:
    """Reads the training samples; objects go through a file, so that they are read as a file would be.

    Raises:
        DataError: The file cannot be used, or the object is no table.
    """
    train = materials.train
    columns = parse_columns(materials.columns) if materials.columns else None
    if isinstance(train, str | Path):
        return load_samples(local_data(train), materials.format, columns)
    frame = train.to_pandas() if hasattr(train, "to_pandas") else train
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"the training samples are a {type(train).__name__}; give a file, a DataFrame or a Dataset"
        )
    name = f"a {type(train).__name__}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.jsonl"
        try:
            write_rows(path, frame)
            loaded = load_samples(path, materials.format, columns)
        except DataError as error:
            reason = " ".join(str(error).replace(str(path), name).split())
            raise DataError(f"the training samples, {name}, cannot be used: {reason}") from error
    return replace(loaded, frame=loaded.frame.assign(source_file=name))


def _queries(materials: Materials) -> tuple[list[Query], str]:
    """Takes queries as they are, or reads them.

    Raises:
        DataError: The file cannot be used, or something else than queries is given.
    """
    given = materials.queries
    if isinstance(given, str | Path):
        path = Path(given).expanduser()
        return (load_queries(path), path.name) if given else ([], "")
    if not all(isinstance(query, Query) for query in given):
        raise DataError("the queries are given as a file, or as a list of Query(prompt, response)")
    return list(given), "given"


def model_source(model: Any) -> str | None:
    """Makes a model folder absolute and checks it; leaves a hub id as it is, and gives None for a loaded model.

    Of a folder that holds a GGUF file it gives that file.

    Raises:
        ModelError: It is neither a folder of safetensors, nor a GGUF file that can be read here, nor a hub id, nor a loaded model with its tokenizer.
    """
    if isinstance(model, tuple) and len(model) == 2 and all(isinstance(part, Saved) for part in model):
        return None
    if not isinstance(model, str | Path):
        raise ModelError(
            f"the model is a {type(model).__name__}; give a folder, a hub id, or a loaded model with its tokenizer: (model, tokenizer)"
        )
    folder, name = Path(model).expanduser(), str(model)
    gguf = find_gguf(folder)
    if gguf is not None:
        check_gguf(gguf)
        return str(gguf)
    if folder.exists():
        check_model_folder(folder)
        return str(folder.resolve())
    if HUB_ID.fullmatch(name):
        return name
    raise ModelError(
        f"there is no model folder {name}; give a folder saved by save_pretrained, a GGUF file, or a hub id"
    )


def _keep_model(materials: Materials, folder: Path) -> str:
    """Keeps a loaded model and its tokenizer in the study, or an adapter with the base that was named; whole or not at all.

    Raises:
        ModelError: A base was named for a whole model, or the model cannot be used.
    """
    model: Any = materials.model
    if materials.base:
        if isinstance(model, tuple):
            raise ModelError("a loaded model has its base with it; leave base out")
        keep_adapter(resolve_model(model), str(materials.base), folder)
        return str(folder)
    with replacing_folder(folder) as temporary:
        for part in model:
            part.save_pretrained(temporary)
    check_model_folder(folder)
    return str(folder)


def _named(score: str, scorer: str) -> dict[str, str]:
    """Where a scorer lies and what was found of it, as it is given on the command line."""
    card = scorer_card(scorer) if scorer else None
    return {
        f"{score}_scorer": card.folder if card else "",
        f"{score}_scorer_as": card.declaration if card else "",
    }


def _scores(materials: Materials, loaded: Loaded) -> ScoreTable | None:
    """Reads the scores that are given, and checks that they belong to the samples."""
    if isinstance(materials.scores, str | Path) and not materials.scores:
        return None
    scores = load_scores(materials.scores, materials.scores_as)
    give_scores(loaded.frame, scores, loaded.rows)
    return scores


def _scorers(materials: Materials) -> tuple[str, str]:
    """Reads what the scorers are: the texts of their cards, empty for none."""
    return (
        resolve_scorer(materials.harmful_scorer, materials.harmful_scorer_as, column=HARMFUL),
        resolve_scorer(materials.helpful_scorer, materials.helpful_scorer_as, column=HELPFUL),
    )
