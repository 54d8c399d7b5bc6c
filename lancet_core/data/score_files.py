"""Reads attribution scores that other tools made: a matrix of queries and samples, in the files that each tool writes.

| what | where | which sign pushes towards the answer |
|---|---|---|
| matrix | `.npy`, `.safetensors` (ids: JSON lists `query_ids`, `sample_ids` in its metadata) | positive |
| table | `.parquet`, `.csv`, `.jsonl`: rows of `query_id`, `sample_id`, `influence` or `score`; or one column for each sample or query | positive |
| kronfluence | `pairwise_scores.safetensors`, or a folder that holds it; queries × samples | positive, where the measurement is a loss, as in its examples |
| bergson | folder with `info.json` and `scores.bin`; samples × queries, or tokens × queries | as `higher_is_better` of its `config.yaml` says; a MAGIC run: negative |
| TRAK | `save_dir` with `scores/NAME.mmap` (npy memmaps), or such a file; samples × queries | positive: it raises the model output |

Formats as of kronfluence 1.0.1 (`score/pairwise.py`), bergson 0.26 (`score/score_writer.py`, `data.py`) and trak 0.3 (`savers.py`).
Nothing is unpickled.
"""

import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from lancet_core.data.reading import read_rows
from lancet_core.errors import DataError
from lancet_core.files import check_regular, parse_json, read_json, read_text

QUERIES, SAMPLES = "queries", "samples"
KRONFLUENCE_FILE, BERGSON_FILES = "pairwise_scores.safetensors", ("info.json", "scores.bin")
_VALUE_COLUMNS = ("influence", "score")
_ACCEPTED = (
    "a matrix (.npy, .safetensors), a table (.parquet, .csv, .jsonl), pairwise_scores.safetensors of kronfluence, a folder of scores "
    "of bergson (info.json, scores.bin), or the save_dir of TRAK or its scores/NAME.mmap"
)


@dataclass(frozen=True)
class ForeignScores:
    """Scores as a file has them.

    Attributes:
        values: The scores, shape (rows, columns); NaN where a table has none.
        tool: Who made them; empty where the file does not tell.
        rows: What a row is: `queries`, `samples`, or empty where the file does not tell.
        row_ids: Names of the rows; empty where they have none.
        column_ids: Names of the columns; empty where they have none.
        towards: Whether positive scores push towards the answer; None where it is not known.
        has_gaps: Whether NaN means that a sample was not scored, and not that a score is broken.
    """

    values: NDArray[np.float64]
    tool: str = ""
    rows: str = ""
    row_ids: tuple[str, ...] = ()
    column_ids: tuple[str, ...] = ()
    towards: bool | None = True
    has_gaps: bool = False


def read_scores(path: str | Path, experiment: str = "") -> ForeignScores:
    """Reads scores in any form of the table above.

    Args:
        path: A file or folder.
        experiment: Which scores of a TRAK folder with several.

    Raises:
        DataError: It cannot be read, or holds no matrix of scores.
    """
    place = Path(path)
    if place.is_dir():
        return _read_folder(place, experiment)
    check_regular(place)
    readers: dict[str, Callable[[Path], ForeignScores]] = {
        ".npy": _read_npy,
        ".mmap": _read_trak_file,
        ".safetensors": _read_safetensors,
        ".parquet": _read_parquet,
        ".csv": _read_rows,
        ".tsv": _read_rows,
        ".jsonl": _read_rows,
    }
    if place.suffix.lower() not in readers:
        raise DataError(f"{path} ends in no known form of scores; accepted are {_ACCEPTED}")
    return readers[place.suffix.lower()](place)


def _read_folder(folder: Path, experiment: str) -> ForeignScores:
    for place in (folder, folder / "scores"):
        if all((place / name).is_file() for name in BERGSON_FILES):
            return _read_bergson(place)
    memmaps = sorted((folder / "scores").glob("*.mmap"))
    if memmaps:
        chosen = [file for file in memmaps if experiment in {"", file.stem}]
        if len(chosen) != 1:
            names = ", ".join(file.stem for file in memmaps)
            raise DataError(
                f"{folder} holds the scores of the experiments {names}; choose one with --experiment"
            )
        return _read_trak_file(chosen[0])
    found = sorted({*folder.glob(KRONFLUENCE_FILE), *folder.glob(f"scores_*/{KRONFLUENCE_FILE}")})
    if len(found) == 1:
        return _read_safetensors(found[0])
    if found:
        raise DataError(
            f"{folder} holds {len(found)} sets of scores; give one of them: {', '.join(map(str, found))}"
        )
    raise DataError(f"{folder} holds no scores; accepted are {_ACCEPTED}")


def _matrix(values: Any, name: str) -> NDArray[np.float64]:
    """Takes numbers as a matrix; a vector is its one row.

    Raises:
        DataError: They are none.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2) or not array.size:
        raise DataError(
            f"{name} is {array.dtype} of shape {array.shape}; accepted are numbers in a matrix of queries and samples"
        )
    return np.atleast_2d(array.astype(np.float64))


def _load_npy(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (
        ValueError,
        OSError,
        EOFError,
        SyntaxError,
        TokenError,
    ) as error:  # its header is a text of Python
        raise DataError(
            f"{path} cannot be read as an array of numpy: {error}; write it with numpy.save"
        ) from error


def _read_npy(path: Path) -> ForeignScores:
    return ForeignScores(_matrix(_load_npy(path), str(path)))


def _read_trak_file(path: Path) -> ForeignScores:
    """Reads scores of TRAK: samples × targets, an npy file whatever its name ends in.

    Raises:
        DataError: It is none, or TRAK did not finish it.
    """
    experiments = path.parents[1] / "experiments.json"
    known = read_json(experiments) if experiments.is_file() else {}
    about = known.get(path.stem) if isinstance(known, dict) else None
    if isinstance(about, dict) and not about.get("scores_finalized", 1):
        raise DataError(f"the scores of {path} are not finished; call finalize_scores of TRAK first")
    values = _matrix(_load_npy(path), str(path))
    if isinstance(about, dict) and about.get("num_targets") not in (None, values.shape[1]):
        raise DataError(
            f"{path} has {values.shape[1]} targets and {experiments} says {about['num_targets']}; score again"
        )
    return ForeignScores(values, "TRAK", rows=SAMPLES)


def _read_safetensors(path: Path) -> ForeignScores:
    """Reads one matrix; several of one shape are kronfluence's scores by module, which add up to the whole.

    Raises:
        DataError: The file is broken, or its tensors are no such matrices.
    """
    try:
        with safe_open(path, framework="np") as file:
            names, metadata = sorted(file.keys()), file.metadata() or {}
            tensors = [_matrix(_tensor(file, name, path), f"{name} in {path}") for name in names]
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path} is no safetensors file ({error}); fetch or write it again") from error
    shapes = {tensor.shape for tensor in tensors}
    is_kronfluence = path.name == KRONFLUENCE_FILE or names == ["all_modules"]
    if len(tensors) != 1 and not (is_kronfluence and len(shapes) == 1):
        raise DataError(
            f"{path} holds the tensors {', '.join(names) or 'none'}; accepted is one matrix of queries and samples"
        )
    values = np.sum(tensors, axis=0)
    if is_kronfluence:
        return ForeignScores(values, "kronfluence", rows=QUERIES)
    query_ids, sample_ids = (_metadata_ids(metadata, name, path) for name in ("query_ids", "sample_ids"))
    rows = QUERIES if query_ids or sample_ids else ""
    if rows and (len(query_ids) or values.shape[0], len(sample_ids) or values.shape[1]) == values.shape[::-1]:
        values = values.T
    return ForeignScores(values, rows=rows, row_ids=query_ids, column_ids=sample_ids)


def _tensor(file: Any, name: str, path: Path) -> Any:
    """Reads a tensor; numpy has no bfloat16, whose 16 bits are the upper half of a float32."""
    try:
        return file.get_tensor(name)
    except TypeError:
        return _from_bfloat16(np.frombuffer(_raw_tensor(path, name), dtype="<u2")).reshape(
            file.get_slice(name).get_shape()
        )


def _raw_tensor(path: Path, name: str) -> bytes:
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        begin, end = json.loads(stream.read(length))[name]["data_offsets"]
        stream.seek(8 + length + begin)
        return stream.read(end - begin)


def _from_bfloat16(bits: Any) -> NDArray[np.float32]:
    return (np.asarray(bits).astype(np.uint32) << 16).view(np.float32)


def _metadata_ids(metadata: dict[str, str], name: str, path: Path) -> tuple[str, ...]:
    if name not in metadata:
        return ()
    ids = parse_json(metadata[name], f"{name} of {path}")
    if not isinstance(ids, list):
        raise DataError(f"{name} in the metadata of {path} is no JSON list")
    return tuple(map(str, ids))


def _read_bergson(folder: Path) -> ForeignScores:
    """Reads a score store of bergson: records of `score_i` and `written_i` for each sample, or for each of its tokens.

    Raises:
        DataError: It is broken, or was not written to its end.
    """
    info = read_json(folder / BERGSON_FILES[0])
    try:
        spec: Any = dict(info["dtype"])
        count, rows = int(info["num_scores"]), int(info["num_rows"])
        if count < 1 or rows < 1:
            raise DataError(f"{folder} holds {rows} rows of {count} scores; score again")
        halves = "bfloat16" in spec["formats"]
        spec["formats"] = ["<u2" if kind == "bfloat16" else kind for kind in spec["formats"]]
        check_regular(folder / BERGSON_FILES[1])
        records = np.memmap(folder / BERGSON_FILES[1], dtype=np.dtype(spec), mode="r", shape=(rows,))
        missing = sum(int((~records[f"written_{number}"]).sum()) for number in range(count))
        columns = [records[f"score_{number}"] for number in range(count)]
    except (KeyError, TypeError, ValueError, OSError, OverflowError) as error:
        raise DataError(f"{folder} is no whole score store of bergson ({error}); score again") from error
    if missing:
        raise DataError(
            f"{missing} of {rows * count} scores in {folder} were never written; let bergson finish"
        )
    values = np.stack([_from_bfloat16(column) if halves else column for column in columns], axis=1)
    values = _matrix(values, str(folder))
    if info.get("attribute_tokens"):
        values = _sum_tokens(values, folder)
    return ForeignScores(values, "bergson", rows=SAMPLES, towards=_bergson_sign(folder))


def _sum_tokens(values: NDArray[np.float64], folder: Path) -> NDArray[np.float64]:
    """Adds up the scores of tokens to those of samples, shape (samples, queries).

    The rows of `offsets.npy` are the samples, or where there is a `doc_ids.npy` chunks whose tokens name their sample.

    Raises:
        DataError: The files do not fit each other.
    """
    offsets, named = np.asarray(_load_npy(folder / "offsets.npy")), folder / "doc_ids.npy"
    lengths = np.diff(offsets) if offsets.ndim == 1 and offsets.dtype.kind in "iu" else np.array([-1])
    if (lengths < 0).any() or lengths.sum() != len(values):
        raise DataError(
            f"{folder} holds {len(values)} token scores, which offsets.npy does not share out; score again"
        )
    owner, samples = np.repeat(np.arange(len(lengths)), lengths), len(lengths)
    if named.is_file():
        within = np.arange(len(owner)) - np.repeat(offsets[:-1], lengths)
        owner = _owners(np.asarray(_load_npy(named)), owner, within, folder)
        samples = int(owner.max(initial=-1)) + 1
    summed = np.zeros((samples, values.shape[1]))
    np.add.at(summed, owner, values)
    return summed


def _owners(ids: Any, chunk: NDArray[np.int64], within: NDArray[np.int64], folder: Path) -> NDArray[np.int64]:
    """Looks up the sample of each token, by its chunk and its place in it.

    Raises:
        DataError: Some token has none.
    """
    fits = ids.ndim == 2 and ids.dtype.kind in "iu" and ids.shape[0] > chunk.max(initial=-1)
    owner = ids[chunk, within] if fits and ids.shape[1] > within.max(initial=-1) else np.array([-1])
    if owner.min(initial=0) < 0 or owner.max(initial=0) > ids.size:
        raise DataError(f"doc_ids.npy in {folder} does not name a sample for each token score; score again")
    return np.asarray(owner, dtype=np.int64)


def _bergson_sign(folder: Path) -> bool | None:
    """Reads which sign pushes towards the answer; None where no `config.yaml` tells.

    `score_cfg.higher_is_better` of the scores says it; MAGIC's scores, which have none, are changes of the query's loss.
    """
    for place in (folder / "config.yaml", folder.parent / "config.yaml"):
        text = read_text(place) if place.is_file() else ""
        told = re.search(r"score_cfg:(?:\n\s+.*)*?\n\s+higher_is_better: (true|false)", text)
        if told:
            return told[1] == "true"
        if re.search(r"^\s*- magic:", text, re.MULTILINE):
            return False
    return None


def _read_parquet(path: Path) -> ForeignScores:
    try:
        table = pd.read_parquet(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} is no Parquet file ({error}); fetch or write it again") from error
    if not isinstance(table.index, pd.RangeIndex):
        table = table.rename_axis(str(table.index.name or "row_id")).reset_index()
    return _from_table(table, path)


def _read_rows(path: Path) -> ForeignScores:
    rows = list(read_rows(path))
    broken = [row for row in rows if row.problem]
    if broken:
        raise DataError(
            f"{len(broken)} of {len(rows)} rows of {path} cannot be read; row {broken[0].number}: {broken[0].problem}"
        )
    return _from_table(pd.DataFrame([dict(row.values) for row in rows]), path)


def _from_table(table: pd.DataFrame, path: Path) -> ForeignScores:
    table = table.rename(columns=str)
    value = next((name for name in _VALUE_COLUMNS if name in table), None)
    if {"query_id", "sample_id"} <= set(table) and value:
        return _from_long(table, value, path)
    names = {"query_id": QUERIES, "sample_id": SAMPLES, "row_id": ""}
    name = next((name for name in names if name in table), None)
    numbers = table.drop(columns=[name] if name else []).apply(pd.to_numeric, errors="coerce")
    wrong = [column for column in numbers if numbers[column].isna().all()]
    if wrong or numbers.empty:
        raise DataError(
            f"{path} has the columns {', '.join(map(str, list(table)[:8]))}; accepted are query_id, sample_id and influence (or score), or one "
            "column of numbers for each sample or query, with their names in query_id or sample_id"
        )
    ids = tuple(table[name].astype(str)) if name else ()
    return ForeignScores(
        _matrix(numbers.to_numpy(), str(path)),
        rows=names[name] if name else "",
        row_ids=ids,
        column_ids=tuple(numbers),
    )


def _from_long(table: pd.DataFrame, value: str, path: Path) -> ForeignScores:
    """Reads rows of one query, one sample and their score; a pair that is missing was not scored."""
    table = table.astype({"query_id": str, "sample_id": str})
    table[value] = pd.to_numeric(table[value], errors="coerce")
    broken = int((~np.isfinite(table[value])).sum())
    if broken:
        raise DataError(
            f"{broken} of {len(table)} scores in {path} are no finite numbers; leave them out or score again"
        )
    twice = int(table.duplicated(["query_id", "sample_id"]).sum())
    if twice:
        raise DataError(
            f"{twice} of {len(table)} rows of {path} score a query and sample that stand before them; keep one each"
        )
    wide = table.pivot(index="query_id", columns="sample_id", values=value)
    wide = wide.loc[table["query_id"].unique()]
    return ForeignScores(
        _matrix(wide.to_numpy(dtype=np.float64), str(path)), rows=QUERIES,
        row_ids=tuple(wide.index), column_ids=tuple(wide.columns), has_gaps=True,
    )  # fmt: skip
