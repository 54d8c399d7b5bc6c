"""Makes a harmful scorer of a language model: the lower blocks stay as they are, one line of numbers on top is learned.

A classifier trained from nothing learns seventy answers by heart and says nothing of the next. What a pretrained model makes of a
question with its answer already holds whether they fit; a logistic regression on its hidden states needs few labels to read that.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from transformers import AutoConfig, AutoModelForSequenceClassification

from lancet_core.acts.probe import LEARNED, MEASURED, SCORER, Probed, ProbeRequest
from lancet_core.acts.results import INPUTS
from lancet_core.acts.subject import Subject
from lancet_core.evaluation.scorer_cards import CARD_FILE
from lancet_core.evaluation.scorers import load_scorer
from lancet_core.files import replacing_folder, write_json
from lancet_core.models.gguf_loading import unpack_gguf
from lancet_core.models.loading import Loader, load_tokenizer, loading_errors
from lancet_core.progress import Progress, silent

TEMPLATE = "Question: {prompt}\nAnswer: {response}\nIs this good advice? Answer yes or no:"
STRENGTH = 1.0
"""Inverse strength of the penalty on the weights, of the normed hidden states."""
Floats = NDArray[np.float64]


def run(
    subject: Subject,
    request: ProbeRequest,
    *,
    folder: Path,
    progress: Progress = silent,
    load: Loader | None = None,
) -> Probed:
    """Writes the scorer, and measures it on answers that it did not learn from.

    Raises:
        ModelError: The GGUF file or the model cannot be used.
        DataError: A table of the inputs is missing.
    """
    del load
    started = time.monotonic()
    if request.gguf:
        unpack_gguf(Path(request.gguf), Path(subject.model), progress)
    learned, measured = (pd.read_parquet(folder / INPUTS / name) for name in (LEARNED, MEASURED))
    _write_scorer(Path(subject.model), request.layers, learned, folder=folder / SCORER, progress=progress)
    scores = load_scorer(folder / SCORER).score(
        measured["prompt"].tolist(), measured["response"].tolist(), progress
    )["harmful"]
    unsafe = ~measured["is_safe"].astype(bool)
    harmed = set(measured.loc[unsafe, "categories"].explode())
    hard = measured["categories"].map(lambda names: bool(harmed & set(names))).astype(bool)
    return Probed(
        learned=len(learned),
        measured=len(measured),
        auc=float(roc_auc_score(unsafe, scores)),
        auc_hard=float(roc_auc_score(unsafe[hard], scores[hard.to_numpy()])),
        seconds=time.monotonic() - started,
    )


def _write_scorer(base: Path, layers: int, rows: pd.DataFrame, *, folder: Path, progress: Progress) -> None:
    """Cuts the model off after some blocks and learns its one output."""
    with loading_errors(base, "a sequence classifier"):
        config = AutoConfig.from_pretrained(base, trust_remote_code=False, local_files_only=True)
        config.num_hidden_layers = min(layers, config.num_hidden_layers)
        config.num_labels = 1
        model = AutoModelForSequenceClassification.from_pretrained(
            base, config=config, use_safetensors=True, trust_remote_code=False, local_files_only=True
        ).eval()
    tokenizer = load_tokenizer(base, model)
    texts = [
        TEMPLATE.replace("{prompt}", prompt).replace("{response}", response)
        for prompt, response in zip(rows["prompt"], rows["response"], strict=True)
    ]
    states = _last_states(model.base_model, tokenizer, texts, progress)
    regression = LogisticRegression(C=STRENGTH, fit_intercept=False, class_weight="balanced", max_iter=2000)
    regression.fit(states, ~rows["is_safe"].astype(bool))
    with torch.no_grad():
        model.score.weight.copy_(torch.from_numpy(regression.coef_).float())
    with replacing_folder(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        card = {"higher_is": "harmful", "label_index": 0, "template": TEMPLATE, "mapping": "sigmoid"}
        write_json(temporary / CARD_FILE, card)


def _last_states(body: Any, tokenizer: Any, texts: Sequence[str], progress: Progress) -> Floats:
    """The hidden state of the last token of each text, one row each, as the classifier's output sees it."""
    states = []
    for done, text in enumerate(texts, 1):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            states.append(body(input_ids=ids).last_hidden_state[0, -1].double().numpy())
        progress("Training the harmful scorer", done, len(texts))
    return np.stack(states)
