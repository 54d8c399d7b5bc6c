"""Keeping a study: another name, and taking it out as files that LANCET reads back."""

import json
import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from lancet_core.data.samples import Query, read_prompts
from lancet_core.errors import DataError, StoreError
from lancet_core.evaluation.scorer_cards import scorer_folder
from lancet_core.files import read_json_or_none, replacing, write_json, write_json_lines
from lancet_core.store.queries import read_queries
from lancet_core.store.renaming import rename_study
from lancet_core.store.runs import RunFilter, list_runs
from lancet_core.store.studies import StudyRecord, get_study
from lancet_core.study.making import MAKING
from lancet_core.study.review import export_pairs

CONFIG = "config.json"


def rename(study: StudyRecord, name: str) -> StudyRecord:
    """Gives a study another name; its queries, pairs, decisions and runs stay with it.

    Args:
        study: The study.
        name: Letters, digits, `-`, `_` and `.`, at most 64.

    Returns:
        The study under its new name.

    Raises:
        StoreError: A run of it is going, or the name is taken or no name. It is as it was then.
    """
    old, new = study.folder, study.workspace.studies / name
    folders = {
        key: _moved(getattr(study, key), old, new) for key in ("model", "harmful_scorer", "helpful_scorer")
    }

    def move() -> None:
        if new.exists():
            raise StoreError(f"{new} is there already; remove it, or choose another name")
        os.rename(old, new)

    rename_study(study, name, models=folders, move=move)
    renamed = get_study(study.workspace, name)
    for run in list_runs(study.workspace, RunFilter(study=name)):
        _rename_order(run.folder / CONFIG, study.name, renamed.name, (old, new))
    return renamed


def _rename_order(config: Path, old: str, new: str, folders: tuple[Path, Path]) -> None:
    """Lets a run name its study, and the study's files, as they are called now."""
    values = read_json_or_none(config)
    if not isinstance(values, dict):
        return
    subject = {name: _moved(value, *folders) for name, value in values.get("subject", {}).items()}
    if subject.get("study") == old:
        subject["study"] = new
    write_json(config, {**values, "study": new, "subject": subject})


def _moved(value: Any, old: Path, new: Path) -> Any:
    """A path below the old folder, below the new one; anything else as it is."""
    if not isinstance(value, str) or not Path(value).is_relative_to(old):
        return value
    return str(new / Path(value).relative_to(old))


def export(study: StudyRecord, path: str | Path) -> dict[str, int]:
    """Writes samples, queries, prompts, pairs and decisions of a study into one zip file, each as LANCET reads it back.

    Args:
        study: The study.
        path: The file to write.

    Returns:
        Rows of each file in it.

    Raises:
        DataError: The file cannot be written.
    """
    target = Path(path).expanduser()
    if not target.absolute().parent.is_dir():
        raise DataError(f"the folder of {path} does not exist; make it, or give another file")
    with TemporaryDirectory() as place:
        counts = _write_parts(study, Path(place))
        with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(Path(place).iterdir()):
                archive.write(file, file.name)
    return counts


def _write_parts(study: StudyRecord, folder: Path) -> dict[str, int]:
    samples, queries = study.samples(), read_queries(study)
    write_json(folder / "study.json", _described(study))
    write_json_lines(folder / "samples.jsonl", [sample_row(row) for row in samples.to_dict("records")])
    counts = {"samples.jsonl": len(samples)}
    if queries:
        write_json_lines(folder / "queries.jsonl", [query_row(query) for query in queries])
        counts["queries.jsonl"] = len(queries)
    if study.prompts_file is not None:
        prompts = read_prompts(study.prompts_file).drop(columns="id")
        write_json_lines(folder / "prompts.jsonl", [prompt_row(row) for row in prompts.to_dict("records")])
        counts["prompts.jsonl"] = len(prompts)
    for name, format in (("pairs.jsonl", "pairs"), ("decisions.jsonl", "decisions")):
        rows = export_pairs(study, folder / name, format).rows
        if rows:
            counts[name] = rows
        else:
            (folder / name).unlink()
    return counts


def _described(study: StudyRecord) -> dict[str, Any]:
    """What the study is made of, with the names of its folders and not where they lie."""
    made = read_json_or_none(study.folder / MAKING)
    given = dict(made.get("materials", {})) if isinstance(made, dict) else {}
    scorers = {
        name: Path(scorer_folder(getattr(study, name))).name for name in ("harmful_scorer", "helpful_scorer")
    }
    read = {name: given[name] for name in ("format", "columns", "turns", "too_long") if name in given}
    return {"name": study.name, "model": Path(study.model).name, "template": study.template, **scorers, **read,
            "counts": study.counts}  # fmt: skip


def sample_row(sample: dict[Any, Any]) -> dict[str, Any]:
    """Writes a sample as a row that is read back as the same sample: a prompt and its response, or its messages."""
    texts = (
        {"messages": json.loads(sample["messages"])}
        if sample["messages"]
        else {"prompt": sample["prompt"], "response": sample["response"]}
    )
    known = {"is_safe": None if pd.isna(sample["is_safe"]) else bool(sample["is_safe"])}
    return {**texts, **_known(known | {"category": list(sample["categories"])})}


def query_row(query: Query) -> dict[str, Any]:
    """Writes a query as a row of a file of queries, which is read back as the same query."""
    values = {name: value for name, value in asdict(query).items() if value}
    if query.messages:
        values = {name: value for name, value in values.items() if name not in {"prompt", "response"}}
        values["messages"] = json.loads(query.messages)
    return values


def prompt_row(prompt: dict[Any, Any]) -> dict[str, Any]:
    """Writes a prompt as a row of a file of prompts, which is read back as the same prompt."""
    values = _known(prompt)
    history = values.pop("history", "")
    return {**values, "prompt": json.loads(history)} if history else values


def _known(values: dict[Any, Any]) -> dict[str, Any]:
    """Leaves out what is empty or unknown."""
    filled = {
        str(name): value for name, value in values.items() if value is not None and value not in ("", [])
    }
    return {
        name: value for name, value in filled.items() if not isinstance(value, float) or not pd.isna(value)
    }
