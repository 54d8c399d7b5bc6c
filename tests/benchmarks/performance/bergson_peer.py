"""Bergson's index and its EK-FAC on texts of ours; importing this needs bergson.

It reads model and data from disk and knows no prompt but by its labels: −100 stands at prompt tokens.
"""

import time
from pathlib import Path

import datasets
import torch
from bergson import Attributor
from bergson.build import build
from bergson.config.config import (
    DataConfig,
    HessianConfig,
    HessianPipelineConfig,
    IndexConfig,
    PreprocessConfig,
    QuerySetConfig,
    ScoreConfig,
)
from bergson.hessians.pipeline import hessian_pipeline
from bergson.utils.worker_utils import setup_model_and_peft

TOKENS = 2048


def build_and_query(model_folder, samples, queries, *, folder, tell):
    """The index of random projections (16 × 16 of each linear layer, its usual size), then one search for each query."""
    config = _config(model_folder, samples, folder, projection=16)
    _stage(tell, "index", lambda: _build(config))
    _stage(tell, "queries and search", lambda: _search(config, queries))


def ekfac(model_folder, samples, queries, *, folder, tell):
    """Its EK-FAC pipeline: query gradients, factors with corrected eigenvalues, solve, score."""
    config = _config(model_folder, samples, folder, projection=0)
    asked = _written(queries, Path(folder) / "queries.hf")
    _stage(
        tell,
        "all",
        lambda: hessian_pipeline(
            config,
            HessianConfig(method="kfac", ev_correction=True),
            ScoreConfig(),
            PreprocessConfig(),
            HessianPipelineConfig(query=QuerySetConfig(dataset=asked)),
        ),
    )


def _build(config):
    build(config, PreprocessConfig())


def _search(config, queries):
    model, modules = setup_model_and_peft(config)
    index = Attributor(config.run_path)
    for query in queries:
        ids = torch.tensor([query.input_ids])
        labels = ids.clone()
        labels[:, : query.response_start] = -100
        with index.trace(model.base_model, 50, modules=modules):
            model(ids, labels=labels).loss.backward()
            model.zero_grad()


def _config(model_folder, samples, folder, projection):
    return IndexConfig(
        run_path=str(Path(folder) / "index"),
        model=str(model_folder),
        data=DataConfig(dataset=_written(samples, Path(folder) / "samples.hf")),
        projection_dim=projection,
        token_batch_size=TOKENS,
    )


def _written(texts, path):
    rows = [
        {
            "input_ids": list(text.input_ids),
            "labels": [-100] * text.response_start + list(text.input_ids[text.response_start :]),
        }
        for text in texts
    ]
    datasets.Dataset.from_list(rows).save_to_disk(str(path))
    return str(path)


def _stage(tell, name, act):
    started = time.perf_counter()
    act()
    tell(name, time.perf_counter() - started)
