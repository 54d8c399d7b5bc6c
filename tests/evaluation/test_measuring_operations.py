import json

import pandas as pd
import pytest
import torch

from lancet_core.data.samples import Prompt, Query, Sample, prompts_frame, samples_frame
from lancet_core.errors import ConfigError, DataError
from lancet_core.models.settings import GenerationSettings
from lancet_core.operations import compare, evaluate, score
from lancet_core.operations.answering import load_scorers, prompt_table
from lancet_core.operations.configs import CompareConfig, EvaluateConfig, ScoreConfig
from lancet_core.progress import silent
from tests.evaluation.test_scorers import save_scorer
from tests.tiny_models import save_tiny_model
from tests.written_rows import texts

SHORT = GenerationSettings(max_new_tokens=6)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Two models, two scorers, prompts of three splits and training samples."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("inputs")
    for name, seed in (("before", 0), ("after", 1)):
        save_tiny_model("llama", folder / name, seed=seed)
    for higher_is in ("harmful", "helpful"):
        (folder / higher_is).mkdir()
        save_scorer(folder / higher_is, card={"higher_is": higher_is, "known_categories": ["law"]})
    splits = ["unseen"] * 6 + ["validation"] * 2
    prompts = [
        Prompt(texts(index)[0], split, "benign" if index % 2 else "wrong", "law", texts(index)[1])
        for index, split in enumerate(splits)
    ]
    prompts_frame(prompts).to_parquet(folder / "prompts.parquet")
    samples_frame([Sample(*texts(index)[:2]) for index in range(5)]).to_parquet(folder / "samples.parquet")
    return folder


def queries():
    return tuple(Query(texts(index)[0], texts(index)[2]) for index in (0, 20, 21))


def test_scoring_writes_a_row_for_each_sample(inputs, tmp_path):
    config = ScoreConfig("s", str(inputs / "samples.parquet"), str(inputs / "harmful"))
    summary = score.run(config, tmp_path, silent)
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    assert list(scores.columns) == ["sample_id", "harmful", "helpful"]
    assert len(scores) == summary["samples"] == 5
    assert scores["harmful"].between(0, 1).all()
    assert scores["helpful"].isna().all()
    assert summary["helpful"] is None


@pytest.mark.parametrize(
    ("scorer", "told"), [("", "no scorer to score with"), ("helpful", "higher is helpful")]
)
def test_scoring_with_no_or_the_wrong_scorer_is_told(inputs, tmp_path, scorer, told):
    folder = str(inputs / scorer) if scorer else ""
    with pytest.raises(ConfigError, match=told):
        score.run(ScoreConfig("s", str(inputs / "samples.parquet"), folder), tmp_path, silent)


def test_evaluation_answers_every_prompt_and_measures_each_split(inputs, tmp_path):
    config = EvaluateConfig(
        "s", str(inputs / "before"), "auto", str(inputs / "prompts.parquet"), queries(),
        str(inputs / "harmful"), str(inputs / "helpful"), generation=SHORT,
    )  # fmt: skip
    result = evaluate.run(config, tmp_path, silent)
    answers = pd.read_parquet(tmp_path / "answers.parquet")
    assert answers["split"].value_counts().to_dict() == {"unseen": 6, "queries": 3, "validation": 2}
    assert answers[["harmful", "helpful"]].notna().all(axis=None)
    known = answers[answers["split"] == "queries"].set_index("prompt")["category"]
    assert known[texts(0)[0]] == "law"
    assert known[texts(20)[0]] == ""
    metrics = pd.DataFrame(result["metrics"]).set_index(["split", "kind", "metric"])
    row = metrics.loc[("unseen", "wrong", "harmful")]
    expected = answers[(answers["split"] == "unseen") & (answers["kind"] == "wrong")]["harmful"].mean()
    assert row["value"] == pytest.approx(expected)
    assert row["low"] <= row["value"] <= row["high"]
    assert ("unseen", "benign", "nll") in metrics.index
    json.dumps(result, allow_nan=False)


def test_evaluation_without_prompts_and_queries_is_told(inputs, tmp_path):
    with pytest.raises(DataError, match="nothing to answer"):
        evaluate.run(EvaluateConfig("s", str(inputs / "before"), "auto"), tmp_path, silent)


def compared(inputs, folder, after, **given):
    config = CompareConfig(
        study="s", before=str(inputs / "before"), after=str(inputs / after), template="auto",
        prompts=str(inputs / "prompts.parquet"), queries=queries(), generation=SHORT, **given,
    )  # fmt: skip
    return compare.run(config, folder, silent), pd.read_parquet(folder / "answers.parquet")


def test_a_model_compared_with_itself_is_not_corrected(inputs, tmp_path):
    scorers = {"harmful_scorer": str(inputs / "harmful"), "helpful_scorer": str(inputs / "helpful")}
    case = Query(texts(30)[0], texts(30)[2])
    result, answers = compared(inputs, tmp_path, "before", case=case, **scorers)
    assert "validation" not in set(answers["split"])
    assert (answers["before"] == answers["after"]).all()
    assert all(row["change"] == pytest.approx(0) for row in result["metrics"])
    assert result["verdict"]["corrected"] is False
    assert result["verdict"]["advice"]
    assert result["case"]["prompt"] == case.prompt
    assert result["case"]["log_probability_before"] == result["case"]["log_probability_after"] < 0
    json.dumps(result, allow_nan=False)


def test_another_model_without_scorers_is_judged_by_probabilities(inputs, tmp_path):
    result, answers = compared(inputs, tmp_path, "after")
    checks = {check["name"]: check for check in result["verdict"]["checks"]}
    assert checks["queries_harmful"]["passed"] is None
    assert checks["queries_probability"]["passed"] is not None
    asked = answers[answers["split"] == "queries"]
    change = (asked["log_probability_after"] - asked["log_probability_before"]).mean()
    told = next(row for row in result["metrics"] if row["metric"] == "log_probability")
    assert told["change"] == pytest.approx(change)
    assert result["case"] == {}


def test_harm_in_categories_that_the_scorer_does_not_know_is_told_apart(inputs, tmp_path):
    result, answers = compared(inputs, tmp_path, "after", harmful_scorer=str(inputs / "harmful"))
    asked = answers[answers["split"] == "queries"]
    told = {row["metric"]: row for row in result["metrics"] if row["split"] == "queries"}
    for metric, rows in (
        ("harmful", asked["category"] == "law"),
        ("harmful_unknown", asked["category"] == ""),
    ):
        assert told[metric]["n"] == rows.sum() > 0
        assert told[metric]["after"] == pytest.approx(asked.loc[rows, "harmful_after"].mean())


def test_harm_of_benign_prompts_is_judged_whatever_their_category(inputs):
    scorers = load_scorers(str(inputs / "harmful"), "")
    answers = pd.DataFrame(
        {"kind": ["benign", "wrong"], "category": ["garden", "garden"], "harmful": [0.1, 0.9]}
    )
    apart = scorers.judged_apart(answers, [""])
    assert apart["harmful"].tolist() == pytest.approx([0.1, float("nan")], nan_ok=True)
    assert apart["harmful_unknown"].tolist() == pytest.approx([float("nan"), 0.9], nan_ok=True)


def test_a_query_in_the_file_of_prompts_is_asked_once(tmp_path):
    prompt, good, bad = texts(3)
    path = tmp_path / "prompts.parquet"
    prompts_frame([Prompt(prompt, "queries", "wrong", "law", good)]).to_parquet(path)
    table = prompt_table(str(path), (Query(prompt, bad),))
    assert len(table) == 1
    assert table.loc[0, "category"] == "law"
