"""Measures the samples of a new study with its model: which fit the context, which are cut, which must be left out."""

from pathlib import Path
from typing import Any

import pandas as pd

from lancet_core.data.samples import read_samples
from lancet_core.files import write_table
from lancet_core.models.encoding import encode_all
from lancet_core.models.loading import Loader, load_language_model
from lancet_core.models.units import find_sublayers
from lancet_core.operations.configs import PrepareConfig
from lancet_core.progress import Progress

SAMPLES_AT_ONCE = 256


def run(
    config: PrepareConfig, folder: Path, progress: Progress, load: Loader = load_language_model
) -> dict[str, Any]:
    """Writes `lengths.parquet`: `sample_id`, `tokens`, `cut_tokens`, `rejected` (the reason, empty where it fits).

    A prompt that does not fit beside its response is cut from its left; a response that alone exceeds the context is
    rejected.

    Args:
        config: The study's model, template and samples.
        folder: The run folder.
        progress: Told after each block of samples.
        load: Loads the model.

    Returns:
        Context in tokens, and how many samples fit, are cut and are rejected.

    Raises:
        DataError: The samples cannot be read.
        ModelError: The model cannot be loaded, or its units are unknown: better told now than at the first attribution.
        ConfigError: The template has no place for the prompt.
    """
    progress("Loading the model")
    lm = load(config.model)
    units = find_sublayers(lm.model)
    samples = read_samples(config.samples)
    texts = list(zip(samples["prompt"], samples["response"], strict=True))
    rows = []
    for start in range(0, len(texts), SAMPLES_AT_ONCE):
        for encoded in encode_all(lm, texts[start : start + SAMPLES_AT_ONCE], config.template):
            if encoded is None:
                reason = f"the response exceeds the model's context of {lm.context} tokens"
                rows.append({"tokens": 0, "cut_tokens": 0, "rejected": reason})
            else:
                rows.append(
                    {"tokens": len(encoded.input_ids), "cut_tokens": encoded.cut_tokens, "rejected": ""}
                )
        progress("Measuring samples", len(rows), len(texts))
    lengths = pd.DataFrame(rows).assign(sample_id=samples["id"].to_numpy())
    write_table(folder / "lengths.parquet", lengths)
    return {
        "context": lm.context,
        "samples": len(lengths),
        "rejected": int((lengths["rejected"] != "").sum()),
        "cut": int((lengths["cut_tokens"] > 0).sum()),
        "units": len(units),
    }
