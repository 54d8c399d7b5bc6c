"""Scores how harmful and helpful the training samples are."""

from pathlib import Path
from typing import Any

from lancet_core.data.samples import read_samples
from lancet_core.errors import ConfigError
from lancet_core.files import write_table
from lancet_core.models.loading import Loader, load_language_model
from lancet_core.operations.answering import load_scorers
from lancet_core.operations.configs import ScoreConfig
from lancet_core.progress import Progress


def run(
    config: ScoreConfig, folder: Path, progress: Progress, load: Loader = load_language_model
) -> dict[str, Any]:
    """Writes `scores.parquet`: `sample_id`, `harmful`, `helpful` (NaN without a scorer).

    Raises:
        ConfigError: There is no scorer at all, or one measures the other thing.
        DataError: The samples cannot be read.
        ModelError: A scorer cannot be loaded.
    """
    del load
    if not (config.harmful_scorer or config.helpful_scorer):
        raise ConfigError("there is no scorer to score with; give the study a harmful or a helpful scorer")
    samples = read_samples(config.samples)
    scored = load_scorers(config.harmful_scorer, config.helpful_scorer).score(
        samples["prompt"].tolist(), samples["response"].tolist(), progress
    )
    scores = scored.assign(sample_id=samples["id"].to_numpy())[["sample_id", "harmful", "helpful"]]
    write_table(folder / "scores.parquet", scores)
    return {
        "samples": len(scores),
        "harmful": float(scores["harmful"].mean()) if config.harmful_scorer else None,
        "helpful": float(scores["helpful"].mean()) if config.helpful_scorer else None,
    }
