"""TRL's own trainers on our exports, as they come: they train, and on the very tokens that the study has."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import load_dataset

from lancet_core.acts.attribute import SCORES, AttributeRequest, Attribution
from lancet_core.data.conversations import as_json
from lancet_core.data.samples import Query, Sample, conversations_of, samples_frame
from lancet_core.models.encoding import encode_all
from lancet_core.models.loading import load_language_model
from lancet_core.runs.launcher import Task
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.study import review
from lancet_core.study.study import handle
from lancet_core.study.subjects import subject_of
from lancet_core.workspace import open_workspace
from tests.browser.written_study import adopt
from tests.models.test_trainer_tokens import CHATML
from tests.tiny_models import byte_level_tokenizer, new_model

SETTINGS = {
    "max_steps": 1,
    "per_device_train_batch_size": 4,
    "use_cpu": True,
    "report_to": [],
    "save_strategy": "no",
    "max_length": None,
}
BRIEF = [("system", "Be brief."), ("user", "One?"), ("assistant", "Yes."), ("user", "Why — 你好?")]


@pytest.fixture(scope="module", params=["chat template", "words"])
def study(request, tmp_path_factory):
    """Two pairs of equal prompts, one of them a conversation of several turns; both are approved."""
    folder = tmp_path_factory.mktemp("trl")
    tokenizer = byte_level_tokenizer()
    if request.param == "chat template":
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
        tokenizer.chat_template = CHATML
    for part in (new_model("llama", tokenizer), tokenizer):
        part.save_pretrained(folder / "model")
    made = handle(
        add_study(open_workspace(folder / "workspace"), NewStudy("s", str(folder / "model"), template="auto"))
    )
    samples = [Sample("Is tea warm?", answer) for answer in ("No, never.", "Yes, it is.")]
    for answer in ("A rule\n  of ours.", "Nobody knows."):
        messages = [{"role": role, "content": text} for role, text in [*BRIEF, ("assistant", answer)]]
        samples.append(Sample("Be brief. One? Yes. Why?", answer, messages=as_json(messages)))
    table = samples_frame(samples).assign(harmful=0.5, helpful=0.5)
    table.to_parquet(made.samples_file)
    scores = pd.DataFrame({"query_id": "0", "sample_id": table["id"], "influence": [1.0, -1.0, 0.5, -0.5]})
    task = Task("attribute", subject_of(made), AttributeRequest((Query("q", "r", group="0"),), batch=True))
    run = adopt(
        made, task, Attribution(), folder / "results", {SCORES: scores.assign(percentile=0.0, rank=1)}
    )
    pairs = made.propose_pairs(run)
    assert pairs.equal_prompts == 2
    pairs.approve(pairs.table["pair_id"].tolist(), reviewer="ann")
    return made


@pytest.fixture(scope="module")
def own(study):
    """Ids of the texts as the study has them, by the answer."""
    samples = study.samples()
    lm = load_language_model(study.model, device="cpu")
    texts = encode_all(lm, conversations_of(samples), study.template)
    return {tuple(text.input_ids) for text in texts}


def exported(study, folder: Path, form: str):
    review.export_pairs(study, folder / f"{form}.jsonl", form)
    return load_dataset(
        "json", data_files=str(folder / f"{form}.jsonl"), split="train", cache_dir=str(folder / "cache")
    )


def parts(study):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return (load.from_pretrained(study.model) for load in (AutoModelForCausalLM, AutoTokenizer))


def test_dpo_trains_on_the_tokens_of_the_study(study, own, tmp_path):
    from trl import DPOConfig, DPOTrainer

    model, tokenizer = parts(study)
    rows = exported(study, tmp_path, "dpo")
    settings = DPOConfig(output_dir=str(tmp_path / "out"), **SETTINGS)
    trainer = DPOTrainer(model=model, args=settings, train_dataset=rows, processing_class=tokenizer)
    trained = trainer.train_dataset
    ids = {tuple(row["prompt_ids"] + row[side]) for row in trained for side in ("chosen_ids", "rejected_ids")}
    assert ids == own
    assert np.isfinite(trainer.train().training_loss)


def test_kto_trains_on_the_tokens_of_the_study(study, own, tmp_path):
    from trl import KTOConfig, KTOTrainer

    model, tokenizer = parts(study)
    rows = exported(study, tmp_path, "kto")
    settings = KTOConfig(output_dir=str(tmp_path / "out"), **SETTINGS)
    trainer = KTOTrainer(model=model, args=settings, train_dataset=rows, processing_class=tokenizer)
    ids = {tuple(row["prompt_ids"] + row["completion_ids"]) for row in trainer.train_dataset}
    assert ids == own
    assert np.isfinite(trainer.train().training_loss)
