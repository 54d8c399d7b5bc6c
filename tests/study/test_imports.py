"""Imported attributions: laid on samples and queries, entered as a run of their own method, read like our own."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lancet_core.data.samples import Query, Sample, samples_frame
from lancet_core.errors import ConfigError, DataError
from lancet_core.influence.methods import METHODS
from lancet_core.influence.presets import preset
from lancet_core.store.queries import add_queries
from lancet_core.store.studies import NewStudy, add_study
from lancet_core.study.attributions import find_attribution
from lancet_core.study.imports import imported_attributions
from lancet_core.study.study import handle
from lancet_core.workspace import open_workspace
from tests.data.test_score_files import write_bergson, write_trak

SAMPLES, FILE_ROWS = 5, 7
KEPT_ROWS = (1, 2, 4, 5, 7)
VALUES = np.array([[3.0, -1.0, 0.5, 0.0, -2.0], [-4.0, 1.0, 2.0, -0.5, 0.25]])


@pytest.fixture
def study(tmp_path: Path):
    """Five samples of a file of seven rows, of which rows 3 and 6 were rejected or doubled; two queries."""
    workspace = open_workspace(tmp_path / "workspace")
    made = handle(
        add_study(workspace, NewStudy("s", "some/model", counts={"rows": FILE_ROWS, "samples": SAMPLES}))
    )
    samples = [
        Sample(
            f"Question {row}?",
            f"Answer {row}",
            is_safe=row % 2 == 0,
            source_file="train.jsonl",
            source_row=row,
        )
        for row in KEPT_ROWS
    ]
    samples_frame(samples).assign(harmful=0.5, helpful=0.5).to_parquet(made.samples_file)
    add_queries(made, [Query("Why?", "Because."), Query("How?", "So.")], "file")
    return made


@pytest.fixture
def ids(study):
    return study.samples()["id"].tolist()


def save(path: Path, values) -> Path:
    np.save(path, values)
    return path


def influence(run, study) -> np.ndarray:
    """Scores as queries × samples of the study, from what the run keeps."""
    table = run.result.scores.pivot(index="query_id", columns="sample_id", values="influence")
    return table.loc[study.queries()["id"], study.samples()["id"]].to_numpy()


def test_a_matrix_in_the_order_of_the_study_becomes_a_finished_run(study, tmp_path):
    run = study.import_attribution(save(tmp_path / "mine.npy", VALUES))
    np.testing.assert_array_equal(influence(run, study), VALUES)
    assert run.record.is_done
    assert run.result.method == "imported: mine"
    assert run.record.title == "2 queries · imported: mine"
    top = run.result.read(study.queries()["id"][0]).iloc[0]
    assert (top["response"], top["influence"], top["rank"]) == ("Answer 1", 3.0, 1)
    assert run.result.chance == pytest.approx(3 / 5)
    assert 0 < run.result.audit().mean.value <= 1
    found = run.result.retrieval()
    # Rows 1, 5 and 7 are unsafe: places 1, 4 and 5 of the first query; 5, 4 and 3 of the second.
    assert (found.recall_at_50, found.mrr) == (1.0, pytest.approx((1 + 1 / 3) / 2))
    assert study.runs("attribute")[0].id == run.id
    again = study.import_attribution(save(tmp_path / "mine.npy", VALUES))
    assert again.id == run.id
    assert study.import_attribution(save(tmp_path / "mine.npy", VALUES * 2)).id != run.id


def test_imported_scores_spread_over_no_tokens(study, ids, tmp_path):
    run = study.import_attribution(save(tmp_path / "mine.npy", VALUES))
    with pytest.raises(ConfigError, match="come from no gradient of ours"):
        study.heat(run, study.queries()["id"][0], ids[0])


def test_the_transpose_and_the_rows_of_the_training_file_are_recognised(study, tmp_path):
    wide = np.full((2, FILE_ROWS), np.nan)
    wide[:, [row - 1 for row in KEPT_ROWS]] = VALUES
    for number, values in enumerate((VALUES.T, wide, wide.T)):
        run = study.import_attribution(save(tmp_path / f"{number}.npy", values))
        np.testing.assert_array_equal(influence(run, study), VALUES)


def test_ids_place_rows_and_columns_in_any_order(study, ids, tmp_path):
    queries = study.queries()["id"].tolist()
    turned = pd.DataFrame(VALUES, index=queries, columns=ids).iloc[::-1, [4, 1, 0, 2, 3]]
    turned.to_parquet(tmp_path / "scores.parquet")
    np.testing.assert_array_equal(
        influence(study.import_attribution(tmp_path / "scores.parquet"), study), VALUES
    )
    some = save(tmp_path / "some.npy", VALUES[:, [4, 0, 2]])
    run = study.import_attribution(some, sample_ids=(ids[4], ids[0], ids[2]))
    assert run.result.candidates == 3
    assert run.result.read(queries[0])["influence"].tolist() == [3.0, 0.5, -2.0]


def test_a_table_of_our_own_attribution_comes_back_as_it_went(study, ids, tmp_path):
    run = study.import_attribution(save(tmp_path / "mine.npy", VALUES))
    run.result.table.to_parquet(tmp_path / "out.parquet")
    np.testing.assert_array_equal(
        influence(study.import_attribution(tmp_path / "out.parquet"), study), VALUES
    )


def test_an_import_never_answers_for_a_method_of_ours(study, tmp_path):
    query = Query("Why?", "Because.")
    run = study.import_attribution(save(tmp_path / "one.npy", VALUES[0]), queries=[query], tool="ekfac")
    assert run.result.method == "imported: ekfac"
    assert not run.result.takes_gradients
    for method in METHODS:
        for recall in ("all", "tfidf"):
            assert find_attribution(study, [query], preset(method, recall=recall)) is None
    assert list(imported_attributions(study, query.id)) == ["imported: ekfac"]


@pytest.mark.parametrize(("negate", "sign"), [(None, -1), (False, 1), (True, -1)])
def test_the_sign_follows_the_tool_unless_it_is_told(study, tmp_path, negate, sign):
    folder = write_bergson(tmp_path / "run" / "scores", VALUES.T.astype(np.float32)).parent
    (folder / "config.yaml").write_text("steps:\n- magic:\n    seed: 0\n")
    run = study.import_attribution(folder, negate=negate)
    np.testing.assert_array_equal(influence(run, study), sign * VALUES)
    assert run.result.method == "imported: bergson"


def test_a_sign_that_is_not_known_is_asked_for(study, tmp_path):
    folder = write_bergson(tmp_path / "run", VALUES.T.astype(np.float32))
    with pytest.raises(ConfigError, match="--no-negate where positive"):
        study.import_attribution(folder)
    np.testing.assert_array_equal(influence(study.import_attribution(folder, negate=False), study), VALUES)


def test_scores_of_trak_are_laid_on_the_rows_of_the_training_file(study, tmp_path):
    wide = np.zeros((FILE_ROWS, 2))
    wide[[row - 1 for row in KEPT_ROWS]] = VALUES.T
    run = study.import_attribution(write_trak(tmp_path / "trak", wide))
    np.testing.assert_array_equal(influence(run, study), VALUES)
    assert run.result.method == "imported: TRAK"


def test_a_batch_has_one_row_for_each_group(study, tmp_path):
    queries = [
        Query("Why?", "Because.", group="a"),
        Query("How?", "So.", group="b"),
        Query("Who?", "I.", group="b"),
    ]
    run = study.import_attribution(save(tmp_path / "groups.npy", VALUES), queries=queries, batch=True)
    assert [(group.query_id, len(group.members)) for group in run.result.queries] == [("a", 1), ("b", 2)]
    assert len(study.propose_pairs(run)) == 2
    assert len(study.queries()) == 3


@pytest.mark.parametrize(
    ("values", "settings", "error", "words"),
    [
        (VALUES[:, :3], {}, DataError, "2 × 3 and fit neither way to 2 queries and 5 samples or 7"),
        (
            np.where(VALUES > 1, np.nan, VALUES),
            {},
            DataError,
            "2 of 10 scores are not finite, the first of query",
        ),
        (VALUES, {"sample_ids": ("x", "y", "z", "u", "v")}, DataError, "2 × 5 and fit neither way"),
        (VALUES, {"rows": "columns"}, ConfigError, "rows is 'columns'"),
    ],
)
def test_what_does_not_fit_is_told_with_counts(study, tmp_path, values, settings, error, words):
    with pytest.raises(error, match=words):
        study.import_attribution(save(tmp_path / "scores.npy", values), **settings)
    assert study.runs("attribute") == []


def test_unknown_ids_are_counted(study, ids, tmp_path):
    scores = save(tmp_path / "scores.npy", VALUES)
    with pytest.raises(DataError, match="2 of 5 ids are no samples of the study, the first 'x'"):
        study.import_attribution(scores, sample_ids=("x", *ids[:3], "y"))
    with pytest.raises(DataError, match="1 of 5 ids of samples stand twice"):
        study.import_attribution(scores, sample_ids=(*ids[:4], ids[0]))


def test_a_square_matrix_needs_to_be_told_what_a_row_is(study, tmp_path):
    queries = [Query(f"Q{n}", "A") for n in range(SAMPLES)]
    square = save(tmp_path / "square.npy", np.arange(25.0).reshape(5, 5))
    with pytest.raises(ConfigError, match="--rows queries or --rows samples"):
        study.import_attribution(square, queries=queries)
    run = study.import_attribution(square, queries=queries, rows="samples")
    table = run.result.scores.set_index(["query_id", "sample_id"])["influence"]
    assert table[queries[1].id, study.samples()["id"][0]] == 1.0


def test_the_shell_imports_and_says_how_to_go_on(study, ids, tmp_path, monkeypatch, capfd):
    from lancet_core.cli.main import run

    monkeypatch.setenv("LANCET_WORKSPACE", str(tmp_path / "workspace"))
    scores = save(tmp_path / "scores.npy", -VALUES[:, ::-1])
    (tmp_path / "ids.txt").write_text("\n".join(ids[::-1]) + "\n")
    arguments = [
        "attribution",
        "import",
        "s",
        str(scores),
        "--sample-ids",
        str(tmp_path / "ids.txt"),
        "--negate",
    ]
    assert run([*arguments, "--tool", "their own", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    (imported,) = study.runs("attribute")
    assert (told["run"], told["summary"]["method"]) == (imported.id, "imported: their own")
    np.testing.assert_array_equal(influence(imported, study), VALUES)
    assert run(arguments) == 0
    assert "lancet pairs propose s --attribution" in capfd.readouterr().err
    assert run(["attribution", "import", "s", str(tmp_path / "nowhere.npy")]) == 2


def test_facts_are_audited_without_labels(study, ids, tmp_path, monkeypatch, capfd):
    from lancet_core.cli.main import run

    monkeypatch.setenv("LANCET_WORKSPACE", str(tmp_path / "workspace"))
    facts = [["paris"], [], ["rome"], [], []]
    samples = study.samples().assign(is_safe=pd.Series([None] * SAMPLES, dtype="boolean"), categories=facts)
    samples.to_parquet(study.samples_file)
    queries = [Query("Where?", "Paris.", category="paris"), Query("And?", "Rome.", category="rome")]
    study.import_attribution(save(tmp_path / "facts.npy", VALUES), queries=queries)
    assert run(["audit", "s", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)["date_lm"]
    assert (told["relevant"], told["queries"], told["recall_at_50"], told["mrr"]) == ("category", 2, 1.0, 1.0)
    assert run(["audit", "s"]) == 0
    assert "MRR 1.000" in capfd.readouterr().out
