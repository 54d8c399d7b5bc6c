"""Scores of other tools, in the layouts that they write: orientation, sign, number formats, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.lib.format import open_memmap
from safetensors.torch import save_file

from lancet_core.data.score_files import QUERIES, SAMPLES, read_scores
from lancet_core.errors import DataError

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4) - 5.5


def write_bergson(folder: Path, values, kind: str = "float32", unwritten=(), **info) -> Path:
    """Writes a score store as `MemmapSequenceScoreWriter` of bergson 0.26 does; values of bfloat16 as their upper 16 bits."""
    folder.mkdir(parents=True)
    rows, count = values.shape
    stored = np.dtype("<u2") if kind == "bfloat16" else np.dtype(kind)
    pair = 1 << (stored.itemsize + 1 - 1).bit_length()
    names = [f"{name}_{number}" for number in range(count) for name in ("score", "written")]
    offsets = [number * pair + shift for number in range(count) for shift in (0, stored.itemsize)]
    spec = {"names": names, "offsets": offsets, "itemsize": (count * pair + 7) // 8 * 8}
    records = np.memmap(
        folder / "scores.bin",
        dtype=np.dtype(spec | {"formats": [stored, "bool"] * count}),
        mode="w+",
        shape=(rows,),
    )
    for number in range(count):
        column = values[:, number].astype(np.float32)
        records[f"score_{number}"] = (column.view(np.uint32) >> 16) if kind == "bfloat16" else column
        records[f"written_{number}"] = [row not in unwritten for row in range(rows)]
    records.flush()
    about = {"attribute_tokens": False, "num_items": rows, "num_rows": rows, "num_scores": count}
    about |= {"dtype": spec | {"formats": [kind, "bool"] * count}} | info
    (folder / "info.json").write_text(json.dumps(about))
    return folder


def write_trak(folder: Path, values, name: str = "unsafe", finished: int = 1) -> Path:
    """Writes a `save_dir` as `MmapSaver` of trak does."""
    (folder / "scores").mkdir(parents=True)
    memmap = open_memmap(folder / "scores" / f"{name}.mmap", mode="w+", shape=values.shape, dtype=np.float16)
    memmap[:] = values
    memmap.flush()
    about = {
        "num_targets": values.shape[1],
        "scores_path": f"/gone/{name}.mmap",
        "scores_finalized": finished,
    }
    (folder / "experiments.json").write_text(json.dumps({name: about}))
    meta = {"JL dimension": 8, "JL matrix type": "normal", "train set size": len(values)}
    (folder / "metadata.json").write_text(json.dumps(meta))
    return folder


def test_a_matrix_of_numpy_is_read_as_it_lies(tmp_path):
    np.save(tmp_path / "scores.npy", VALUES)
    scores = read_scores(tmp_path / "scores.npy")
    np.testing.assert_array_equal(scores.values, VALUES)
    assert (scores.tool, scores.rows, scores.towards) == ("", "", True)
    np.save(tmp_path / "one.npy", VALUES[0])
    assert read_scores(tmp_path / "one.npy").values.shape == (1, 4)


def test_a_pickle_is_not_read(tmp_path):
    np.save(tmp_path / "scores.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read as an array of numpy"):
        read_scores(tmp_path / "scores.npy")


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_safetensors_of_any_number_format_with_ids(tmp_path, kind):
    ids = {"query_ids": '["p", "q", "r"]', "sample_ids": '["a", "b", "c", "d"]'}
    values = torch.from_numpy(VALUES).to(kind)
    save_file({"influence": values}, tmp_path / "scores.safetensors", metadata=ids)
    scores = read_scores(tmp_path / "scores.safetensors")
    np.testing.assert_array_equal(scores.values, VALUES)
    assert (scores.rows, scores.row_ids, scores.column_ids) == (
        QUERIES,
        ("p", "q", "r"),
        ("a", "b", "c", "d"),
    )
    save_file({"influence": values.T.contiguous()}, tmp_path / "other.safetensors", metadata=ids)
    np.testing.assert_array_equal(read_scores(tmp_path / "other.safetensors").values, VALUES)


def test_kronfluence_by_module_adds_up(tmp_path):
    save_file(
        {"layer.0": torch.from_numpy(VALUES), "layer.1": torch.ones(3, 4)},
        tmp_path / "pairwise_scores.safetensors",
    )
    scores = read_scores(tmp_path)
    np.testing.assert_array_equal(scores.values, VALUES + 1)
    assert (scores.tool, scores.rows, scores.towards) == ("kronfluence", QUERIES, True)
    shutil.move(tmp_path / "pairwise_scores.safetensors", tmp_path / "else.safetensors")
    with pytest.raises(DataError, match=r"holds the tensors layer\.0, layer\.1"):
        read_scores(tmp_path / "else.safetensors")


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_records_of_bergson_are_samples_by_queries(tmp_path, kind):
    folder = write_bergson(tmp_path / "run", VALUES.T, kind)
    (folder / "config.yaml").write_text(
        "steps:\n- score:\n    score_cfg:\n      score: individual\n      higher_is_better: true\n"
    )
    scores = read_scores(folder)
    np.testing.assert_array_equal(scores.values, VALUES.T)
    assert (scores.tool, scores.rows, scores.towards) == ("bergson", SAMPLES, True)


@pytest.mark.parametrize(
    ("config", "towards"),
    [
        ("steps:\n- score:\n    score_cfg:\n      higher_is_better: false\n", False),
        ("run_path: x\nsteps:\n- magic:\n    query_method: none\n", False),
        ("steps:\n- build:\n    index_cfg: {}\n", None),
    ],
)
def test_the_sign_of_bergson_is_what_its_config_says(tmp_path, config, towards):
    write_bergson(tmp_path / "run" / "scores", VALUES.T)
    (tmp_path / "run" / "config.yaml").write_text(config)
    assert read_scores(tmp_path / "run").towards is towards


def test_token_scores_of_bergson_add_up_to_samples(tmp_path):
    tokens = np.arange(10, dtype=np.float32).reshape(5, 2)
    folder = write_bergson(tmp_path / "run", tokens, attribute_tokens=True, num_items=3)
    np.save(folder / "offsets.npy", np.array([0, 2, 2, 5]))
    np.testing.assert_array_equal(read_scores(folder).values, [[2, 4], [0, 0], [18, 21]])
    np.save(folder / "doc_ids.npy", np.array([[1, 0, -1, -1], [-1] * 4, [0, 1, 1, -1]]))
    # Chunk 0 holds a token of samples 1 and 0, chunk 2 one of sample 0 and two of sample 1.
    np.testing.assert_array_equal(read_scores(folder).values, [[6, 8], [14, 17]])


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("offsets.npy", [0, 9, 5], "does not share out"),
        ("offsets.npy", [[0, 2], [3, 5]], "does not share out"),
        ("doc_ids.npy", [[0]], "does not name a sample"),
        ("doc_ids.npy", [[0, 1, -1], [0, -5, 2]], "does not name a sample"),
        ("doc_ids.npy", [[0, 1, 1], [0, 1, 10**12]], "does not name a sample"),
    ],
)
def test_token_scores_that_fit_no_samples_are_refused(tmp_path, name, values, words):
    folder = write_bergson(tmp_path / "run", np.ones((5, 2)), attribute_tokens=True)
    np.save(folder / "offsets.npy", np.array([0, 2, 5]))
    np.save(folder / name, np.array(values))
    with pytest.raises(DataError, match=words):
        read_scores(folder)


@pytest.mark.parametrize("content", [b"\x93NUMPY\x01\x00v\x00{'descr': (", b"\x93NUMPY\x01\x00\x04\x00{{{{"])
def test_a_header_that_is_no_header_is_refused(tmp_path, content):
    (tmp_path / "scores.npy").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as an array of numpy"):
        read_scores(tmp_path / "scores.npy")


def test_what_bergson_did_not_finish_is_refused_with_a_count(tmp_path):
    folder = write_bergson(tmp_path / "run", VALUES.T, unwritten={1, 3})
    with pytest.raises(DataError, match=r"6 of 12 scores in .* were never written"):
        read_scores(folder)
    (folder / "scores.bin").write_bytes(b"short")
    with pytest.raises(DataError, match="no whole score store of bergson"):
        read_scores(folder)


def test_memmaps_of_trak_are_samples_by_targets(tmp_path):
    folder = write_trak(tmp_path / "trak", VALUES.T)
    for place in (folder, folder / "scores" / "unsafe.mmap"):
        scores = read_scores(place)
        np.testing.assert_array_equal(scores.values, VALUES.T)
        assert (scores.tool, scores.rows, scores.towards) == ("TRAK", SAMPLES, True)
    shutil.copy(folder / "scores" / "unsafe.mmap", folder / "scores" / "other.mmap")
    with pytest.raises(DataError, match="experiments other, unsafe; choose one"):
        read_scores(folder)
    assert read_scores(folder, "other").values.shape == (4, 3)
    with pytest.raises(DataError, match="not finished"):
        read_scores(write_trak(tmp_path / "half", VALUES.T, finished=0))


def test_tables_name_rows_and_columns(tmp_path):
    wide = pd.DataFrame(VALUES, index=["p", "q", "r"], columns=["a", "b", "c", "d"])
    wide.to_parquet(tmp_path / "index.parquet")
    wide.rename_axis("query_id").reset_index().to_csv(tmp_path / "named.csv", index=False)
    wide.T.rename_axis("sample_id").to_parquet(tmp_path / "turned.parquet")
    by_index, named, turned = (
        read_scores(tmp_path / name) for name in ("index.parquet", "named.csv", "turned.parquet")
    )
    np.testing.assert_array_equal(by_index.values, VALUES)
    assert (by_index.rows, by_index.row_ids, by_index.column_ids) == (
        "",
        ("p", "q", "r"),
        ("a", "b", "c", "d"),
    )
    assert (named.rows, named.row_ids, turned.rows) == (QUERIES, ("p", "q", "r"), SAMPLES)
    np.testing.assert_array_equal(turned.values, VALUES.T)


def test_long_tables_may_leave_pairs_out(tmp_path):
    rows = [("p", "a", 1.0), ("q", "b", -2.0), ("q", "a", 0.5)]
    table = pd.DataFrame(rows, columns=["query_id", "sample_id", "score"])
    table.to_parquet(tmp_path / "long.parquet")
    scores = read_scores(tmp_path / "long.parquet")
    np.testing.assert_array_equal(scores.values, [[1.0, np.nan], [0.5, -2.0]])
    assert scores.has_gaps
    pd.concat([table, table.head(1)]).to_json(tmp_path / "twice.jsonl", orient="records", lines=True)
    with pytest.raises(DataError, match="1 of 4 rows"):
        read_scores(tmp_path / "twice.jsonl")
    table.assign(score=[1.0, np.inf, np.nan]).to_parquet(tmp_path / "broken.parquet")
    with pytest.raises(DataError, match="2 of 3 scores"):
        read_scores(tmp_path / "broken.parquet")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("scores.pt", b"x", "ends in no known form"),
        ("scores.safetensors", b"x", "no safetensors file"),
        ("scores.parquet", b"x", "no Parquet file"),
        ("scores.csv", b"prompt,response\na,b\n", "has the columns prompt, response"),
        ("scores.mmap", b"x", "cannot be read as an array"),
    ],
)
def test_what_holds_no_scores_is_told(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_scores(tmp_path / name)
    with pytest.raises(DataError, match="holds no scores"):
        read_scores(tmp_path)
