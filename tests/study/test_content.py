"""Runs are found again by the content of model, samples and scorers, never by where these lie."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lancet_core.acts.subject import model_content
from lancet_core.acts.table import ACTS
from lancet_core.data.samples import Sample, samples_frame
from lancet_core.errors import JobError
from lancet_core.models.fingerprints import fingerprint_model
from lancet_core.study import review
from lancet_core.study.queue import View, queue
from tests.browser import written_study

CASE = ["What is new?", "Nothing at all."]
STARTS = {
    "attribute": lambda study, _after: study.attribute(CASE),
    "heat": lambda study, _after: heat(study),
    "cluster": lambda study, _after: study.cluster(),
    "index": lambda study, _after: study.build_index(),
    "correct": lambda study, _after: study.correct(),
    "evaluate": lambda study, after: study.evaluate(model=after),
    "compare": lambda study, after: study.compare(after, CASE),
    "mine": lambda study, after: study.mine_queries(after, study.folder / "asked.jsonl"),
}


def heat(study):
    """Opens the first sample of the clusters' attribution."""
    run = [each for each in study.runs("attribute") if each.record.is_done][-1]
    row = run.result.scores.iloc[0]
    return study.heat(run, row["query_id"], row["sample_id"])


# The gradient index lies in a place of its own: a build that is done is gone through again, never found.
FOUND = [act for act in STARTS if act != "index"]


@pytest.fixture
def study(written, tmp_path):
    """The written study with an approved pair and scorers."""
    review.decide(written.workspace, queue(written, View("ada"))["pair_id"][0], "approve", reviewer="ada")
    folders = {}
    for name in ("harmful", "helpful"):
        folders[f"{name}_scorer"] = str(written_study.write_model_folder(tmp_path / name))
        (written.folder / "asked.jsonl").write_text('{"prompt": "What is old?"}')
        (tmp_path / name / "model" / "scorer.json").write_text(f'{{"higher_is": "{name}"}}')
    return replace(written, **folders)


@pytest.fixture
def after(tmp_path):
    return written_study.write_model_folder(tmp_path / "after")


def train(folder) -> None:
    """Replaces the weights of a model in their file: other numbers of the same size, and the file's old time."""
    file = Path(folder) / "model.safetensors"
    facts = file.stat()
    save_file({"weight": np.ones((4, 4), dtype=np.float32)}, file)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)


CHANGES = {
    "model": lambda study, _after: train(study.model),
    "samples": lambda study, _after: relabel(study),
    "scorers": lambda study, _after: train(study.harmful_scorer),
    "card": lambda study, _after: (Path(study.helpful_scorer) / "scorer.json").write_text('{"higher_is": "helpful", "label_index": 1}'),
    "after": lambda _study, after: train(after),
}  # fmt: skip


def relabel(study) -> None:
    samples = study.samples()
    samples["is_safe"] = ~samples["is_safe"]
    samples.to_parquet(study.samples_file)


def depends(act: str, part: str) -> bool:
    named = {"card": "scorers"}.get(part, part)
    return named in ACTS[act].depends_on or (part == "after" and bool(ACTS[act].models))


def test_every_act_of_a_study_is_here():
    assert set(STARTS) == set(ACTS) - {"prepare", "look", "build_demo", "contaminate", "train", "probe"}


@pytest.mark.parametrize("part", CHANGES)
@pytest.mark.parametrize("act", STARTS)
def test_what_is_replaced_in_place_starts_a_new_run_where_the_result_depends_on_it(
    study, after, started, end, act, part
):
    first = STARTS[act](study, after)
    assert STARTS[act](study, after).id == first.id
    end(first)
    CHANGES[part](study, after)
    again = STARTS[act](study, after)
    assert (again.record.key != first.record.key) == depends(act, part)
    if act in FOUND:
        assert (again.id != first.id) == depends(act, part)


@pytest.mark.parametrize("act", STARTS)
def test_equal_content_elsewhere_is_the_same(study, after, started, end, tmp_path, act):
    first = STARTS[act](study, after)
    end(first)
    copies = {
        name: str(shutil.copytree(getattr(study, name), tmp_path / f"copy of {name}"))
        for name in ("model", "harmful_scorer", "helpful_scorer")
    }
    again = STARTS[act](replace(study, **copies), shutil.copytree(after, tmp_path / "copy of after"))
    assert again.record.key == first.record.key
    if act in FOUND:
        assert again.id == first.id


def test_another_build_of_one_index_is_not_started_beside_the_first(study, started):
    first = study.build_index()
    train(study.model)
    with pytest.raises(JobError, match=f"another build of this index is going: {first.id}"):
        study.build_index()


def test_scores_that_a_scorer_gave_are_no_other_samples(study):
    """A study is scored once, when it is made; what influence is computed on are the texts and labels."""
    from lancet_core.acts.subject import samples_content

    before = samples_content(study.samples_file)
    study.samples().assign(harmful=0.5).to_parquet(study.samples_file)
    assert samples_content(study.samples_file) == before
    samples_frame([Sample("a", "b")]).to_parquet(study.samples_file)
    assert samples_content(study.samples_file) != before


def test_an_adapter_is_another_when_the_model_below_it_is(tmp_path):
    base = written_study.write_model_folder(tmp_path / "base")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(f'{{"base_model_name_or_path": "{base}"}}')
    save_file({"lora": np.zeros((2, 2), dtype=np.float32)}, adapter / "adapter_model.safetensors")
    before = model_content(str(adapter))
    assert before == model_content(str(adapter)) == fingerprint_model(adapter)
    train(base)
    assert model_content(str(adapter)) != before
