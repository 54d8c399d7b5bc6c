"""Rows of the table on a tiny corpus: measures of made-up scores, and real scores computed once."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lancet_core.acts.attribute import SCORES, AttributeRequest
from lancet_core.acts.subject import Subject
from lancet_core.errors import NumericalError
from lancet_core.lab import corpora, scoring
from lancet_core.lab.attribution import (
    BATCH,
    BATCH_LDS,
    CATEGORY,
    LDS,
    RECALLED,
    WHOLE,
    Yardstick,
    attribution_table,
    measure_all,
)
from lancet_core.lab.factory.training import TrainingSettings
from lancet_core.lab.retraining import Bank, draw_masks
from lancet_core.lab.scoring import CorpusScores, StageClock, score_corpus
from lancet_core.lab.variants import chosen_settings
from lancet_core.lab.world.corpus import CorpusSettings
from lancet_core.models.settings import DEFAULT_TEMPLATE
from lancet_core.operations import attribute


def made_up(bench, scores):
    """The same scores for every query and batch."""
    return CorpusScores(
        np.stack([scores] * len(bench.singles), axis=1),
        np.stack([scores] * len(bench.batches), axis=1),
        None,
        1.5,
    )


@pytest.fixture
def yardstick(bench):
    masks = draw_masks(len(bench.corpus.samples), 20, seed=0)
    truth = masks @ np.random.default_rng(0).normal(size=(masks.shape[1], len(bench.singles)))
    return Yardstick(bench, Bank(masks, truth, truth[:0]))


def test_a_perfect_ranking_has_precision_one_everywhere(yardstick):
    row = yardstick.measure(made_up(yardstick.bench, yardstick.unsafe + np.linspace(0, 0.1, 60)))
    assert [row.intervals[name][0].value for name in (RECALLED, WHOLE, CATEGORY, BATCH)] == [1.0] * 4
    assert [row.intervals[name][-1].n for name in (WHOLE, BATCH, LDS)] == [3, 2, 20]


def test_equal_scores_have_the_precision_of_chance(yardstick):
    row = yardstick.measure(made_up(yardstick.bench, np.random.default_rng(1).normal(size=60)))
    flat = yardstick.precision(np.zeros((60, 3)), [yardstick.everything] * 3)
    chance = yardstick.unsafe.mean()
    assert flat.value == pytest.approx(chance)
    assert yardstick.chance()[WHOLE] == f"{chance:.3f}"[1:]
    assert row.intervals[WHOLE][0].value != pytest.approx(chance)


def test_a_category_holds_its_own_samples(yardstick):
    for query, places in zip(yardstick.bench.corpus.queries, yardstick.same_category, strict=True):
        categories = yardstick.bench.corpus.samples["categories"].iloc[places]
        assert {tuple(found) for found in categories} == {(query.group,)}
        assert len(places) == 20


def test_scores_that_the_bank_was_made_from_predict_it(yardstick):
    """Truth is the sum of drawn influence: its own scores reach 1 for queries, and so do their means for batches."""
    bench = yardstick.bench
    drawn = np.random.default_rng(0).normal(size=(60, 3))
    batches = np.stack([drawn[:, members].mean(axis=1) for members in bench.batches.values()], axis=1)
    row = yardstick.measure(CorpusScores(drawn, batches, 2.0, 1.0))
    assert row.intervals[LDS][0].value == pytest.approx(1.0)
    assert row.intervals[BATCH_LDS][0].value == pytest.approx(1.0)


def test_without_a_bank_there_is_no_datamodeling_score(bench):
    row = Yardstick(bench, None).measure(made_up(bench, np.arange(60.0)))
    assert (row.intervals[LDS], row.intervals[BATCH_LDS]) == ((), ())


def test_second_models_tell_how_noisy_the_truth_is(yardstick):
    first = yardstick.bank.log_likelihoods
    noise = np.random.default_rng(1).normal(size=first.shape)
    assert yardstick.repeated(yardstick.single_members) == ()
    for again, expected in ((first[:8], 1.0), (-first, -1.0), (noise, 0.0)):
        other = replace(yardstick, bank=replace(yardstick.bank, again=again))
        for members in (other.single_members, other.batch_members):
            found, _over_models = other.repeated(members)
            assert found.value == pytest.approx(expected, abs=0.3 if expected == 0 else 1e-9)
    table = attribution_table(other, {}).splitlines()
    assert table[-2].startswith("| same halves, another seed |")
    assert table[-2].count("|") == table[-1].count("|")


def test_a_missing_score_is_no_zero(yardstick):
    scores = np.arange(60.0)
    scores[3] = np.nan
    with pytest.raises(NumericalError, match="not finite"):
        yardstick.measure(made_up(yardstick.bench, scores))


def test_one_pass_gives_what_two_runs_give(bench, tmp_path):
    """Queries and batches in one pass have the scores of a run for queries and a run for batches."""
    settings = chosen_settings(["linfac"])["linfac"]
    found = score_corpus(bench, settings)
    ids = bench.corpus.samples["id"]
    for batch, values, names in (
        (False, found.singles, bench.singles),
        (True, found.batches, list(bench.batches)),
    ):
        subject = Subject("tiny", str(bench.model), str(bench.samples_path), DEFAULT_TEMPLATE)
        request = AttributeRequest(bench.corpus.queries, settings, batch=batch)
        folder = tmp_path / f"batch-{batch}"
        attribute.run(subject, request, folder=folder)
        table = pd.read_parquet(folder / SCORES)
        wide = table.pivot(index="sample_id", columns="query_id", values="influence").loc[ids, list(names)]
        assert values == pytest.approx(wide.to_numpy(), rel=1e-4, abs=1e-4 * abs(values).max())
    assert found.fit_seconds > 0


def test_a_stopped_table_goes_on_and_is_printed_again(yardstick, monkeypatch):
    rows = chosen_settings(["linfac", "tfidf", "random"])
    told = []
    first = measure_all(yardstick, {"linfac": rows["linfac"]})
    monkeypatch.setattr(scoring.attribute, "run", counted(told, scoring.attribute.run))
    whole = measure_all(yardstick, rows, lambda step, *_counts, **_values: told.append(step))
    assert whole["linfac"] == first["linfac"]
    assert told.count("run") == 2
    assert any(step.startswith("2/3 tfidf: ") for step in told)
    assert measure_all(yardstick, rows) == whole
    assert told.count("run") == 2
    lines = attribution_table(yardstick, whole).splitlines()
    columns = ("method", RECALLED, WHOLE, CATEGORY, BATCH, LDS, BATCH_LDS, "fit, s", "score, s")
    assert lines[0] == f"| {' | '.join(columns)} |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| linfac", "| tfidf", "| random", "| chance"]
    assert all(line.count("|") == len(columns) + 1 for line in lines)


def test_another_bank_measures_again_and_scores_nothing_again(yardstick, monkeypatch):
    rows = chosen_settings(["tfidf"])
    before = measure_all(yardstick, rows)["tfidf"]
    monkeypatch.setattr(scoring.attribute, "run", None)
    other = Yardstick(
        yardstick.bench, replace(yardstick.bank, log_likelihoods=-yardstick.bank.log_likelihoods)
    )
    after = measure_all(other, rows)["tfidf"]
    assert after.intervals[WHOLE] == before.intervals[WHOLE]
    assert after.intervals[LDS][0].value == pytest.approx(-before.intervals[LDS][0].value)


def test_a_broken_file_is_computed_again(yardstick):
    rows = chosen_settings(["random"])
    before = measure_all(yardstick, rows)["random"]
    for name in ("rows", "scores"):
        (file,) = (yardstick.bench.work / name).iterdir()
        file.write_bytes(b"{")
    after = measure_all(yardstick, rows)["random"]
    assert replace(after, score_seconds=before.score_seconds) == before


def test_the_clock_counts_each_stage(monkeypatch):
    times = iter([0.0, 1.0, 3.0, 6.0, 10.0])
    monkeypatch.setattr(scoring.time, "perf_counter", lambda: next(times))
    clock = StageClock(lambda *_arguments, **_values: None)
    for stage in ("fit", "score", "score", "end"):
        clock(stage)
    assert clock.seconds == {"": 1.0, "fit": 2.0, "score": 7.0}


def test_recipes_have_the_names_that_the_command_takes():
    from typing import get_args

    from lancet_core.cli.lab import CorpusOption

    (names, _option) = get_args(CorpusOption)
    assert set(get_args(names)) == set(corpora.recipes(None))


def test_a_corpus_of_own_words_tells_bad_answers_by_words():
    drawn = corpora.draw(
        "words", corpora.Recipe(CorpusSettings(samples=400, own_words=True), TrainingSettings(seed=2))
    )
    unsafe = ~drawn.samples["is_safe"].astype(bool)
    words = [
        set(" ".join(part).split())
        for part in (drawn.samples["response"][unsafe], drawn.samples["response"][~unsafe])
    ]
    assert words[0] - words[1] & {word for query in drawn.queries for word in query.response.split()}


def counted(told, function):
    def run(*arguments, **keywords):
        told.append("run")
        return function(*arguments, **keywords)

    return run
