"""Scores that were made elsewhere: given to the samples they belong to, counted where they belong to none."""

import numpy as np
import pandas as pd
import pytest

import lancet_core as lancet
from lancet_core.data.samples import Sample, samples_frame
from lancet_core.errors import ConfigError, DataError
from lancet_core.study.given_scores import give_scores, load_scores
from tests.evaluation.tiny_scorers import save_classifier
from tests.written_rows import plain_rows, write_lines

SAMPLES = samples_frame(Sample(f"p{row}", f"r{row}", source_row=row) for row in range(1, 6))
BY_ID = [{"id": id, "harmful": place / 10} for place, id in enumerate(SAMPLES["id"])]
BY_TEXT = [
    {"prompt": f" p{row}", "response": f"r{row}\n", "harmful": (row - 1) / 10} for row in range(5, 0, -1)
]
BY_ORDER = [{"harmful": place / 10} for place in range(5)]


@pytest.mark.parametrize("rows", [BY_ID, BY_TEXT, BY_ORDER], ids=["id", "texts", "order"])
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "DataFrame"])
def test_a_score_finds_its_sample(tmp_path, rows, kind):
    table = pd.DataFrame(rows)
    path = tmp_path / f"scores.{kind}"
    if kind == "jsonl":
        write_lines(path, rows)
    elif kind == "csv":
        table.to_csv(path, index=False)
    elif kind == "parquet":
        table.to_parquet(path)
    given = load_scores(table if kind == "DataFrame" else path)
    scored, counts = give_scores(SAMPLES, given, 5)
    assert scored["harmful"].tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert counts == {"scored": 5, "scores_unmatched": 0, "scores_unusable": 0}


def test_what_belongs_to_no_sample_or_holds_no_number_is_counted_and_a_scorers_score_stays():
    rows = [*BY_ID[:2], {"id": "nobody", "harmful": 0.9}, {"id": BY_ID[2]["id"], "harmful": None}]
    before = SAMPLES.assign(harmful=0.5)
    scored, counts = give_scores(before, load_scores(pd.DataFrame(rows)), 5)
    assert scored["harmful"].tolist() == [0.0, 0.1, 0.5, 0.5, 0.5]
    assert counts == {"scored": 2, "scores_unmatched": 1, "scores_unusable": 1}


def test_samples_that_were_left_out_leave_their_rows_without_one():
    left = SAMPLES[SAMPLES["source_row"] != 3].reset_index(drop=True)
    scored, counts = give_scores(left, load_scores(pd.DataFrame(BY_ORDER)), 5)
    assert scored["harmful"].tolist() == [0.0, 0.1, 0.3, 0.4]
    assert counts["scores_unmatched"] == 1


def test_outputs_become_scores_as_is_said():
    raw = np.array([-2.0, 0.0, 1.0, 3.0, 8.0])
    rows = pd.DataFrame({"score": raw})
    sigmoid = load_scores(rows, "higher_is=harmless,mapping=sigmoid")
    assert sigmoid.table["harmful"].tolist() == pytest.approx((1 - 1 / (1 + np.exp(-raw))).tolist())
    scaled = load_scores(rows, {"higher_is": "helpful", "mapping": "zscore_sigmoid"})
    expected = 1 / (1 + np.exp(-(raw - raw.mean()) / raw.std()))
    assert scaled.table["helpful"].tolist() == pytest.approx(expected.tolist())
    assert (scaled.cards["helpful"].mean, scaled.cards["helpful"].measured_on) == (raw.mean(), 5)
    ranked = load_scores(rows, "higher_is=harmful,mapping=rank")
    assert ranked.table["harmful"].tolist() == pytest.approx([0.5 / 6, 1.5 / 6, 2.5 / 6, 3.5 / 6, 4.5 / 6])


def test_both_scores_are_read_at_once():
    rows = pd.DataFrame({"harmful": [4.0, -4.0], "helpful": [1.0, 2.0]})
    given = load_scores(rows, "mapping=sigmoid,higher_is=harmless")
    assert given.table["harmful"].tolist() == pytest.approx([0.018, 0.982], abs=1e-3)
    assert given.table["helpful"].tolist() == pytest.approx([0.731, 0.881], abs=1e-3)


WRONG = {
    "no scores": ({"toxicity": [0.1]}, "", DataError, "has no column of scores.*toxicity"),
    "outputs": ({"harmful": [0.1, 4.2]}, "", DataError, "harmful is 4.2 in place 2.*--scores-as"),
    "a score of unknown meaning": ({"score": [0.1]}, "", ConfigError, "what a higher one means"),
    "no number": ({"harmful": ["much"]}, "", DataError, "no row holds a number"),
    "an unknown word": ({"harmful": [0.1]}, "label_index=1", ConfigError, "'label_index' is unknown"),
    "another word": ({"harmful": [0.1]}, "mapping=tanh", ConfigError, "mapping is 'tanh'"),
}


@pytest.mark.parametrize(("columns", "said", "error", "told"), WRONG.values(), ids=WRONG)
def test_what_is_no_score_is_told(columns, said, error, told):
    with pytest.raises(error, match=told):
        load_scores(pd.DataFrame(columns), said)


@pytest.mark.parametrize(
    ("samples", "scores", "told"),
    [
        (SAMPLES, pd.DataFrame(BY_ORDER[:4]), "has 4 rows and the training file 5"),
        (SAMPLES.assign(source_row=1), pd.DataFrame(BY_ORDER), "holds several samples"),
        (SAMPLES, pd.DataFrame([{"id": "nobody", "harmful": 0.5}]), "none of the 1 rows"),
    ],
)
def test_scores_that_belong_to_no_sample_are_told(samples, scores, told):
    with pytest.raises(DataError, match=told):
        give_scores(samples, load_scores(scores), 5)


def test_a_study_has_scores_without_a_scorer_and_keeps_them(workspace, tmp_path, tiny_model_folder):
    rows = plain_rows(12)
    scores = [
        {"prompt": row["prompt"], "response": row["response"], "harmful": 0.25 + 0.5 * (not row["is_safe"])}
        for row in rows[:-1]
    ]
    file = write_lines(tmp_path / "scores.jsonl", scores)
    train = write_lines(tmp_path / "train.jsonl", rows)
    study = lancet.create_study(
        "mine", workspace=workspace, model=tiny_model_folder("llama"), train=train, scores=file
    )
    samples = study.samples()
    assert study.harmful_scorer == ""
    assert samples["harmful"].isna().sum() == 1
    assert samples[~samples["is_safe"].astype(bool)]["harmful"].dropna().eq(0.75).all()
    assert {name: study.counts[name] for name in ("scored", "scores_unmatched")} == {
        "scored": 11, "scores_unmatched": 0
    }  # fmt: skip
    again = study.change(template="raw")
    assert again.samples()["harmful"].equals(samples["harmful"])
    other = again.change(scores=pd.DataFrame({"harmful": [0.5] * 12}))
    assert other.samples()["harmful"].eq(0.5).all()
    scored = other.change(
        harmful_scorer=save_classifier(tmp_path / "scorer"), harmful_scorer_as="higher_is=harmful"
    )
    assert "scored" not in scored.counts
    assert not scored.samples()["harmful"].eq(0.5).any()
