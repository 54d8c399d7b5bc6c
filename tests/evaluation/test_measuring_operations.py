import json
import shutil

import pandas as pd
import pytest
import torch

from lancet_core.acts.compare import PROMPTS, CompareRequest
from lancet_core.acts.evaluate import EvaluateRequest
from lancet_core.acts.prepare import PrepareRequest
from lancet_core.acts.subject import Subject
from lancet_core.config import to_dict
from lancet_core.data.samples import Prompt, Query, Sample, prompts_frame, read_prompts, samples_frame
from lancet_core.errors import ConfigError, DataError, LancetError
from lancet_core.models.encoding import encode_query
from lancet_core.models.generation import generate
from lancet_core.models.likelihood import response_log_likelihoods
from lancet_core.models.loading import load_language_model
from lancet_core.models.settings import GenerationSettings
from lancet_core.operations import compare, evaluate, prepare
from lancet_core.operations.answering import load_scorers, prompt_table
from lancet_core.progress import silent
from tests.evaluation.test_scorers import save_scorer
from tests.performing import Order, perform
from tests.tiny_models import save_tiny_model
from tests.written_rows import texts

SCORED = ("harmful", "helpful", "harmful_unknown")
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


def asked(inputs, request, model="before", **scorers):
    """An order with the prompts; scorers are named by their folders among the inputs."""
    folders = {f"{name}_scorer": str(inputs / name) for name in scorers if scorers[name]}
    subject = Subject("s", str(inputs / model), str(inputs / "samples.parquet"), **folders)
    return Order(subject, request, {PROMPTS: read_prompts(inputs / "prompts.parquet")})


def test_a_query_of_several_turns_is_answered_after_all_of_them(inputs, tmp_path):
    """Its answer is that to the messages, and its response's log p that of the whole conversation."""
    told = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Yes."}]
    messages = [*told, {"role": "user", "content": "Two?"}]
    query = Query.of([*messages, {"role": "assistant", "content": "No."}], category="law")
    order = Order(
        Subject("s", str(inputs / "before"), str(inputs / "samples.parquet")),
        CompareRequest(str(inputs / "after"), query, (query,), SHORT),
        {PROMPTS: read_prompts(inputs / "prompts.parquet")},
    )
    result = perform(compare.run, order, tmp_path)
    row = result.answers.set_index("prompt_id").loc[query.id]
    lm = load_language_model(str(inputs / "before"))
    assert row["before"] == generate(lm, [messages], "auto", SHORT)[0]
    (log_p,) = response_log_likelihoods(lm, [encode_query(lm, query)])
    assert row["log_probability_before"] == pytest.approx(log_p, rel=1e-5)
    assert row["category"] == result.case.category == "law"


def test_preparation_scores_each_sample(inputs, tmp_path):
    result = perform(prepare.run, asked(inputs, PrepareRequest(), harmful=True), tmp_path)
    samples = pd.read_parquet(tmp_path / "samples.parquet")
    assert len(samples) == result.samples == 5
    assert samples["harmful"].between(0, 1).all()
    assert samples["helpful"].isna().all()


def test_a_scorer_that_measures_the_other_thing_is_refused(inputs, tmp_path):
    order = asked(inputs, PrepareRequest()).changed(harmful_scorer=str(inputs / "helpful"))
    with pytest.raises(ConfigError, match="higher is helpful"):
        perform(prepare.run, order, tmp_path)


def test_evaluation_answers_every_prompt_and_measures_each_split(inputs, tmp_path):
    request = EvaluateRequest(queries=queries(), generation=SHORT)
    result = perform(evaluate.run, asked(inputs, request, harmful=True, helpful=True), tmp_path)
    answers = pd.read_parquet(tmp_path / "answers.parquet")
    assert answers["split"].value_counts().to_dict() == {"unseen": 6, "queries": 3, "validation": 2}
    assert answers[["harmful", "helpful"]].notna().all(axis=None)
    known = answers[answers["split"] == "queries"].set_index("prompt")["category"]
    assert known[texts(0)[0]] == "law"
    assert known[texts(20)[0]] == ""
    metrics = pd.DataFrame(result.metrics).set_index(["split", "kind", "metric"])
    row = metrics.loc[("unseen", "wrong", "harmful")]
    expected = answers[(answers["split"] == "unseen") & (answers["kind"] == "wrong")]["harmful"].mean()
    assert row["value"] == pytest.approx(expected)
    assert row["low"] <= row["value"] <= row["high"]
    assert ("unseen", "benign", "nll") in metrics.index
    json.dumps(to_dict(result), allow_nan=False, default=str)


def test_evaluation_without_prompts_and_queries_is_told(inputs, tmp_path):
    with pytest.raises(DataError, match="nothing to answer"):
        perform(evaluate.run, Order(Subject("s", str(inputs / "before"), ""), EvaluateRequest()), tmp_path)


def compared(inputs, folder, after, case=None, **scorers):
    request = CompareRequest(str(inputs / after), case, queries(), generation=SHORT)
    result = perform(compare.run, asked(inputs, request, **scorers), folder)
    return result, pd.read_parquet(folder / "answers.parquet")


def test_a_model_compared_with_itself_is_not_corrected(inputs, tmp_path):
    case = Query(texts(30)[0], texts(30)[2])
    result, answers = compared(inputs, tmp_path, "before", case=case, harmful=True, helpful=True)
    assert "validation" not in set(answers["split"])
    assert (answers["before"] == answers["after"]).all()
    assert all(row["change"] == pytest.approx(0) for row in result.metrics)
    assert result.verdict.outcome == "not corrected"
    assert not result.verdict.corrected
    assert result.verdict.advice
    assert result.case.prompt == case.prompt
    assert result.case.log_probability_before == result.case.log_probability_after < 0
    json.dumps(to_dict(result), allow_nan=False, default=str)


@pytest.mark.parametrize("split", ["queries", "unseen"])
def test_a_prompt_that_is_no_query_of_this_comparison_is_answered_in_any_split(inputs, tmp_path, split):
    table = pd.concat(
        [read_prompts(inputs / "prompts.parquet"), prompts_frame([Prompt("Is tea warm?", split)])]
    )
    request = CompareRequest(str(inputs / "after"), None, queries(), generation=SHORT)
    order = asked(inputs, request)
    perform(compare.run, Order(order.subject, request, {PROMPTS: table}), tmp_path)
    answers = pd.read_parquet(tmp_path / "answers.parquet").set_index("prompt")
    assert answers.loc["Is tea warm?", ["before", "after"]].notna().all()
    assert answers.loc["Is tea warm?", ["log_probability_before", "log_probability_after"]].isna().all()
    assert answers["log_probability_before"].count() == len(queries())


def test_what_an_empty_answer_scores_stands_beside_every_score(inputs, tmp_path):
    result, answers = compared(inputs, tmp_path, "after", harmful=True, helpful=True)
    for kind in ("wrong", "benign"):
        rows = answers[(answers["split"] == "unseen") & (answers["kind"] == kind)]
        expected = load_scorers(str(inputs / "harmful"), "").score(
            rows["prompt"].tolist(), [""] * len(rows), silent
        )
        shown = next(
            row
            for row in result.metrics
            if (row["split"], row["kind"], row["metric"]) == ("unseen", kind, "harmful")
        )
        assert shown["empty"] == pytest.approx(expected["harmful"].mean())
    assert all((row["empty"] is not None) == (row["metric"] in SCORED) for row in result.metrics)
    details = " ".join(check.detail for check in result.verdict.checks)
    assert "An empty answer to them scores" in details


def test_the_verdict_knows_what_the_corrected_model_was_trained_on(inputs, tmp_path):
    after = shutil.copytree(inputs / "before", tmp_path / "after")
    training = {"pairs": 51, "steps": 100, "passes": 15.7, "sides_agree": 0.98}
    (after / "correction.json").write_text(json.dumps(training))
    result, _ = compared(inputs, tmp_path, after)
    assert any("51 pairs are few for 100 steps" in advice for advice in result.verdict.advice)


@pytest.mark.parametrize("content", ["", "[]", "3", '{"pairs": "many"}', '{"pairs": 1}', "\x00"])
def test_a_broken_file_about_the_training_is_an_error_that_names_it(inputs, tmp_path, content):
    after = shutil.copytree(inputs / "before", tmp_path / "after")
    (after / "correction.json").write_text(content)
    with pytest.raises(LancetError, match=r"correction\.json"):
        compared(inputs, tmp_path, after)


def test_another_model_without_scorers_is_judged_by_probabilities(inputs, tmp_path):
    result, answers = compared(inputs, tmp_path, "after")
    checks = {check.name: check for check in result.verdict.checks}
    assert checks["queries_harmful"].passed is None
    assert checks["queries_probability"].passed is not None
    answered = answers[answers["split"] == "queries"]
    change = (answered["log_probability_after"] - answered["log_probability_before"]).mean()
    told = next(row for row in result.metrics if row["metric"] == "log_probability")
    assert told["change"] == pytest.approx(change)
    assert result.case is None


def test_harm_in_categories_that_the_scorer_does_not_know_is_told_apart(inputs, tmp_path):
    result, answers = compared(inputs, tmp_path, "after", harmful=True)
    answered = answers[answers["split"] == "queries"]
    told = {row["metric"]: row for row in result.metrics if row["split"] == "queries"}
    for metric, rows in (
        ("harmful", answered["category"] == "law"),
        ("harmful_unknown", answered["category"] == ""),
    ):
        assert told[metric]["n"] == rows.sum() > 0
        assert told[metric]["after"] == pytest.approx(answered.loc[rows, "harmful_after"].mean())


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
    table = prompt_table(path, (Query(prompt, bad),))
    assert len(table) == 1
    assert table.loc[0, "category"] == "law"
