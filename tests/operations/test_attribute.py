"""The operation `attribute`: result files, batches, resume, kept factors, bad input."""

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from lancet_core.acts.attribute import AttributeRequest
from lancet_core.acts.heat import HeatRequest
from lancet_core.acts.subject import Subject
from lancet_core.config import changed
from lancet_core.data.samples import DESIRABLE, Query, Sample, samples_frame
from lancet_core.errors import ConfigError, DataError, ModelError
from lancet_core.influence import fitting, memory, refinement
from lancet_core.influence.curved_model import Source, open_curved_model
from lancet_core.influence.methods import METHODS
from lancet_core.influence.presets import preset
from lancet_core.influence.scores import score_samples
from lancet_core.models.loading import load_language_model
from lancet_core.models.units import UnitModel
from lancet_core.operations import attribute, heat
from lancet_core.progress import silent
from tests.performing import Order, perform
from tests.tiny_models import ARCHITECTURES, save_tiny_model

CHOSEN = {"candidates": 20, "factor_samples": 30, "device": "cpu"}


@pytest.fixture
def order(tiny_model_folder, written_samples, queries):
    return Order(
        Subject("s", str(tiny_model_folder()), str(written_samples)),
        AttributeRequest(queries, preset("linfac", **CHOSEN)),
    )


@pytest.fixture
def run(tmp_path):
    def run(order, name="run", *, progress=silent, **more):
        result = perform(partial(attribute.run, **more), order, tmp_path / name, progress)
        return result, result.scores, pd.read_parquet(result.folder / "tokens.parquet")

    return run


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """Gives the folder of a finished run, the same one every time."""
    folder = tmp_path_factory.mktemp("used")

    def folder_of(order):
        if not (folder / "run").exists():
            perform(attribute.run, order, folder / "run")
        return folder / "run"

    return folder_of


def with_influence(order, **changes):
    return order.changed(influence=changed(order.request.influence, **changes))


def test_each_query_ranks_its_own_candidates(order, run):
    result, scores, tokens = run(order)
    assert list(scores.columns) == ["query_id", "sample_id", "influence", "percentile", "rank"]
    assert scores.groupby("query_id").size().tolist() == [20, 20, 20]
    assert [group.query_id for group in result.queries] == [query.id for query in order.request.queries]
    assert 20 <= result.candidates <= 60
    assert 0.2 < result.chance < 0.8
    for _, own in scores.groupby("query_id"):
        assert own["influence"].is_monotonic_decreasing
        assert own["rank"].tolist() == list(range(1, 21))
    assert tokens.empty


@pytest.mark.parametrize("method", ["linfac", "linfac-head"])
def test_a_sample_that_is_opened_is_spread_as_it_was_scored(order, run, tmp_path, method):
    """The heat of one sample, made afterwards, adds up to the score that it got among all, alone and in a batch."""
    for batch in (False, True):
        asked = with_influence(order, recall="all").changed(influence=preset(method, **CHOSEN), batch=batch)
        result, scores, _ = run(asked, f"{method}-{batch}")
        group = result.queries[0]
        members = tuple(query for query in order.request.queries if query.id in group.members)
        own = scores[scores["query_id"] == group.query_id]
        for row in (own.iloc[0], own.iloc[len(own) // 2]):
            request = HeatRequest(members, group.query_id, row["sample_id"], asked.request.influence)
            spread = perform(
                heat.run, replace(order, request=request), tmp_path / f"heat-{row['rank']}-{batch}"
            )
            tolerance = 1e-5 * own["influence"].abs().max()
            assert spread.influence == pytest.approx(row["influence"], abs=tolerance)
            assert spread.heat.heat.sum() == pytest.approx(row["influence"], abs=tolerance)
            assert len(spread.heat.heat) == len(spread.heat.tokens)


def test_a_sample_that_is_not_there_cannot_be_spread(order, tmp_path):
    request = HeatRequest(order.request.queries, "batch", "nowhere", order.request.influence)
    with pytest.raises(DataError, match="no sample 'nowhere'"):
        perform(heat.run, replace(order, request=request), tmp_path)


def test_tokens_and_units_add_up_and_read_as_the_text(order, run, written_samples):
    _, scores, tokens = run(order.changed(queries=order.request.queries[:1]))
    texts = pd.read_parquet(written_samples).set_index("id")
    joined = tokens.merge(scores, on=["query_id", "sample_id"])
    scale = scores["influence"].abs().max()
    for row in joined.itertuples():
        assert sum(row.heat) == pytest.approx(row.influence, abs=1e-5 * scale)
        assert sum(row.unit_influence) == pytest.approx(row.influence, abs=1e-5 * scale)
        assert len(row.heat) == len(row.tokens)
        sample = texts.loc[row.sample_id]
        assert "".join(row.tokens[row.response_start :]) == f" {sample['response']}</s>"
        assert "".join(row.tokens[: row.response_start]) == f"<s>\n\nHuman: {sample['prompt']}\n\nAssistant:"


def test_a_single_query_is_scored_and_spread_in_one_pass(order, run):
    _, together, _ = run(order)
    _, alone, tokens = run(order.changed(queries=order.request.queries[:1]), "alone")
    assert len(tokens) == 20
    first = together[together["query_id"] == order.request.queries[0].id]
    assert alone["sample_id"].tolist() == first["sample_id"].tolist()
    np.testing.assert_allclose(
        alone["influence"], first["influence"], atol=1e-5 * first["influence"].abs().max()
    )


def test_the_head_alone_gives_what_goes_through_it(order, run):
    """The curvature of each unit is its own: without the others the head's part stays as it is, at response tokens."""
    whole = preset("linfac-head", **CHOSEN | {"normalise": "none", "recall": "all"})
    whole = order.changed(influence=whole, queries=order.request.queries[:1])
    _, _, everything = run(whole)
    _, _, alone = run(with_influence(whole, tracked="head"), "alone")
    both = everything.merge(alone, on=["query_id", "sample_id"], suffixes=("", "_alone"))
    scale = alone["unit_influence"].map(lambda parts: abs(parts[0])).max()
    assert len(both) == 60
    for row in both.itertuples():
        (head,) = row.units_alone
        through_head = row.unit_influence[list(row.units).index(head)]
        assert row.unit_influence_alone == pytest.approx([through_head], abs=1e-5 * scale)
        assert not np.any(row.heat_alone[: row.response_start])


def test_a_batch_is_the_mean_of_its_queries(order, run):
    whole = with_influence(order, recall="all")
    _, single, _ = run(whole)
    result, batch, _ = run(whole.changed(batch=True), "batch")
    assert [group.query_id for group in result.queries] == ["batch"]
    mean = single.groupby("sample_id")["influence"].mean()
    np.testing.assert_allclose(
        batch.set_index("sample_id")["influence"].loc[mean.index], mean, atol=1e-5 * mean.abs().max()
    )


def test_groups_are_named_and_never_mixed(order, run):
    first, second, third = order.request.queries
    grouped = order.changed(
        batch=True,
        queries=(replace(first, group="1"), replace(second, group="1"), replace(third, group="2")),
    )
    result, scores, _ = run(grouped)
    assert sorted(scores["query_id"].unique()) == ["1", "2"]
    assert result.queries[0].members == (first.id, second.id)
    mixed = grouped.changed(
        queries=(replace(first, group="1"), replace(second, group="1", polarity=DESIRABLE))
    )
    with pytest.raises(DataError, match="mixes desirable and undesirable"):
        run(mixed)


def test_polarity_does_not_turn_the_score(order, run):
    _, undesirable, _ = run(order)
    _, desirable, _ = run(
        order.changed(queries=tuple(replace(q, polarity=DESIRABLE) for q in order.request.queries)),
        "other",
    )
    pd.testing.assert_frame_equal(undesirable, desirable)


def test_top_keeps_both_ends(order, run):
    _, whole, _ = run(order)
    _, kept, _ = run(order.changed(top=2), "top")
    for query, own in kept.groupby("query_id"):
        every = whole[whole["query_id"] == query]
        expected = [*every[every["influence"] > 0].index[:2], *every[every["influence"] < 0].index[-2:]]
        assert own["rank"].tolist() == every.loc[expected, "rank"].tolist()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_ranks_the_same_candidates(order, run, method):
    result, scores, _ = run(order.changed(influence=preset(method, **CHOSEN)))
    assert result.method == method
    assert len(scores) == 60
    assert scores["influence"].nunique() > 10
    again = run(order.changed(influence=preset(method, **CHOSEN)), "again")[1]
    pd.testing.assert_frame_equal(scores, again)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_passes(order, run, tiny_model_folder, architecture):
    alone = order.changed(queries=order.request.queries[:1])
    _, scores, tokens = run(alone.changed(model=str(tiny_model_folder(architecture))))
    assert np.isfinite(scores["influence"]).all()
    assert len(tokens.iloc[0]["units"]) == 4


def test_factors_are_kept_and_used_again(order, run, tmp_path, monkeypatch):
    keeping = order.changed(factors=str(tmp_path / "factors"))
    _, first, _ = run(keeping)
    assert len(list((tmp_path / "factors").glob("*.safetensors"))) == 1
    monkeypatch.setattr(fitting, "fit_factors", None)  # would fail if it were called
    _, second, _ = run(with_influence(keeping, damping=0.1, candidates=15), "again")
    assert len(second) == 45
    joined = first.merge(second, on=["query_id", "sample_id"])
    np.testing.assert_allclose(
        joined["influence_x"], joined["influence_y"], atol=1e-5 * first["influence"].abs().max()
    )


def test_factors_of_another_model_are_refused(order, run, tmp_path):
    keeping = order.changed(factors=str(tmp_path / "factors"))
    run(keeping)
    other = str(save_tiny_model("llama", tmp_path / "other", seed=1))
    (kept,) = (tmp_path / "factors").glob("*.safetensors")
    ours, theirs = (
        load_language_model(order.subject.model).fingerprint,
        load_language_model(other).fingerprint,
    )
    kept.rename(kept.with_name(kept.name.replace(ours, theirs)))
    with pytest.raises(ModelError, match="another model"):
        run(keeping.changed(model=other))


class Killed(Exception):
    pass


def test_a_killed_pass_goes_on_from_its_last_whole_shard(order, run, monkeypatch):
    monkeypatch.setattr(attribute, "SHARD_SAMPLES", 16)
    whole = with_influence(order, recall="all")
    _, expected, _ = run(whole, "uninterrupted")

    def kill(step, done=0, total=None, **values):
        if step == attribute.STAGE and done == 32:
            raise Killed

    with pytest.raises(Killed):
        run(whole, "killed", progress=kill)
    told = []
    _, resumed, _ = run(whole, "killed", progress=lambda step, done=0, total=None: told.append((step, done)))
    assert (attribute.STAGE, 0) not in told
    assert (attribute.STAGE, 32) in told
    pd.testing.assert_frame_equal(resumed, expected)


def test_a_caller_may_keep_the_model_warm(order, run):
    calls = []

    def load(folder):
        calls.append(folder)
        return load_language_model(folder)

    run(order.changed(influence=changed(order.request.influence, device="auto")), load=load)
    assert calls == [order.subject.model]


def test_no_query_is_told(order, run):
    with pytest.raises(DataError, match="no query to attribute"):
        run(order.changed(queries=()))


def test_an_empty_recall_is_told(order, run):
    with pytest.raises(DataError, match="shares a word"):
        run(order.changed(queries=(Query("zebra", "quagga"),)))


def test_long_prompts_and_long_responses_are_cut(order, run, tmp_path):
    samples = [
        Sample("kettle " * 400, "Yes.", True),
        Sample("kettle", "Yes. " * 400, False),
        Sample("kettle", "No.", True),
    ]
    path = tmp_path / "long.parquet"
    samples_frame(samples).to_parquet(path)
    result, scores, _ = run(
        with_influence(order.changed(samples=str(path), queries=order.request.queries[:1]), recall="all")
    )
    assert (result.candidates, result.too_long, result.cut, len(scores)) == (3, 0, 2, 3)


def test_a_query_longer_than_the_context_is_told(order, run):
    with pytest.raises(DataError, match="context of 160 tokens"):
        run(order.changed(queries=(Query("kettle", "Yes. " * 400),)))


def test_what_a_person_should_know_is_told(order, run):
    """Factors from fewer samples than dimensions, and the parameters that no unit covers."""
    few, untracked = run(order)[0].notes
    assert few.startswith("the curvature was estimated from 30 samples, fewer than the 32 dimensions")
    assert "model.embed_tokens" in untracked
    (alone,) = run(with_influence(order, factor_samples=40), "more")[0].notes
    assert alone == untracked
    (graddot,) = run(order.changed(influence=preset("graddot", **CHOSEN)), "graddot")[0].notes
    assert graddot == untracked


@pytest.mark.parametrize(
    "chosen",
    [
        {"pooling": "expand"},
        {"eigenvalues": "corrected"},
        {"units": "linears"},
        {"fisher": "generated"},
        {"tracked": "attention"},
        {"last_blocks": 1},
        {"merge_blocks": 2},
        {"refine_steps": 2},
        {"normalise": "self"},
        {"damping": 0.01},
    ],
    ids=lambda chosen: next(iter(chosen)),
)
def test_every_setting_moves_the_scores(order, run, chosen):
    _, usual, _ = run(order)
    _, moved, _ = run(with_influence(order, **chosen), "moved")
    joined = usual.merge(moved, on=["query_id", "sample_id"])
    assert len(joined) == 60
    assert np.isfinite(joined["influence_y"]).all()
    relation = np.corrcoef(joined["influence_x"], joined["influence_y"])[0, 1]
    assert relation < 0.99999


@pytest.mark.parametrize(
    "changes",
    [
        {"influence": {"recall": "bm25"}},
        {"influence": {"recall_text": "prompt"}},
        {"influence": {"damping": 0.5}},
        {"influence": {"normalise": "self"}},
        {"influence": {"refine_steps": 2}},
        {"influence": {"fisher": "empirical"}},
        {"influence": {"units": "linears"}},
        {"template": "raw"},
        {"batch": True},
        {"queries": -1},
    ],
    ids=str,
)
def test_kept_shards_are_those_of_the_same_scores(order, run, used, tmp_path, monkeypatch, changes):
    """A run folder that holds whole shards of other scores gives what an empty one does."""
    monkeypatch.setattr(attribute, "SHARD_SAMPLES", 4)
    shutil.copytree(used(order), tmp_path / "used")
    own = dict(changes)
    influence = changed(order.request.influence, **own.pop("influence", {}))
    queries = order.request.queries[:: own.pop("queries", 1)]
    other = order.changed(influence=influence, queries=queries, **own)
    _, expected, _ = run(other, "empty")
    _, scores, _ = run(other, "used")
    pd.testing.assert_frame_equal(scores, expected)


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("method", ["linfac", "linfac-head"])
def test_each_step_of_refinement_is_one_pass(order, run, method, steps):
    begun = []

    def follow(step, done=0, total=None, **values):
        if step.startswith(refinement.STAGE) and done == 0:
            begun.append(step)

    refined = preset(method, **CHOSEN, refine_steps=steps)
    run(order.changed(influence=refined), progress=follow)
    assert begun == [f"{refinement.STAGE}, step {step} of {steps}" for step in range(1, steps + 1)]


def test_scores_do_not_depend_on_the_order_of_units(order, tmp_path):
    samples = pd.read_parquet(order.subject.samples)
    settings = changed(order.request.influence, recall="all", max_tokens=4096)
    source = Source(order.subject.model, samples, "auto", settings, "", tmp_path)
    curved = open_curved_model(source, silent)
    rotated = replace(curved, network=UnitModel(curved.network.lm, curved.network.units[::-1]))
    texts = list(curved.encode_rows(np.arange(20)).values())
    found = []
    for own in (curved, rotated):
        directions = own.directions(texts[:2], [(0,), (1,)], progress=silent)
        found.append(
            score_samples(
                own.network, encoded=texts, directions=directions, max_tokens=4096, tell=lambda done: None
            )
        )
    np.testing.assert_allclose(*found, rtol=0, atol=1e-5 * np.abs(found[0]).max())


def test_factors_that_would_not_fit_are_refused_before_the_run(order, run, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**6)
    with pytest.raises(ConfigError, match=r"need .* GB, 0\.0 GB are free"):
        run(order)


def test_half_precision_keeps_the_ranking(order, run):
    """bfloat16 passes with float32 sums; the tiny model is random, so that its scores spread widely."""
    whole = with_influence(order, recall="all", factor_samples=0)
    _, full, _ = run(whole)
    _, half, _ = run(with_influence(whole, dtype="bfloat16"), "half")
    joined = full.merge(half, on=["query_id", "sample_id"])
    for _, own in joined.groupby("query_id"):
        assert own["influence_x"].corr(own["influence_y"], method="spearman") > 0.95
