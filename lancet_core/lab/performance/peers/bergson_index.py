"""Bergson's index and its EK-FAC on texts of ours; importing this needs bergson.

It reads model and data from disk and knows no prompt but by its labels: −100 stands at prompt tokens.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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

from lancet_core.lab.performance.alone import timed_stage
from lancet_core.models.encoding import Encoded

TOKENS, PROJECTION = 2048, 16


def build_and_query(
    model: Path, samples: Sequence[Encoded], queries: Sequence[Encoded], *, folder: Path
) -> None:
    """Builds the index of random projections (16 × 16 of each linear layer, its usual size), then searches for each query."""
    config = _config(model, samples, folder, projection=PROJECTION)
    timed_stage("index", lambda: build(config, PreprocessConfig()))
    timed_stage("queries and search", lambda: _search(config, queries))


def ekfac(model: Path, samples: Sequence[Encoded], queries: Sequence[Encoded], *, folder: Path) -> None:
    """Runs its EK-FAC pipeline: query gradients, factors with corrected eigenvalues, solve, score."""
    config = _config(model, samples, folder, projection=0)
    query_set = QuerySetConfig(dataset=_written(queries, folder / "queries.hf"))
    stages = (
        HessianConfig(method="kfac", ev_correction=True),
        ScoreConfig(),
        PreprocessConfig(),
        HessianPipelineConfig(query=query_set),
    )
    timed_stage("all", lambda: hessian_pipeline(config, *stages))


def _search(config: Any, queries: Sequence[Encoded]) -> None:
    model, modules = setup_model_and_peft(config)
    index = Attributor(config.run_path)
    for query in queries:
        ids = torch.tensor([query.input_ids])
        labels = torch.tensor([query.labels])
        with index.trace(model.base_model, 50, modules=modules):
            model(ids, labels=labels).loss.backward()
            model.zero_grad()


def _config(model: Path, samples: Sequence[Encoded], folder: Path, *, projection: int) -> Any:
    return IndexConfig(
        run_path=str(folder / "index"),
        model=str(model),
        data=DataConfig(dataset=_written(samples, folder / "samples.hf")),
        projection_dim=projection,
        token_batch_size=TOKENS,
    )


def _written(texts: Sequence[Encoded], path: Path) -> str:
    rows = [{"input_ids": list(text.input_ids), "labels": text.labels} for text in texts]
    datasets.Dataset.from_list(rows).save_to_disk(str(path))
    return str(path)
