"""Attributions of a study: what is started, what is found instead, what is refused, and what a whole pass would take."""

import pytest

from lancet_core.acts.attribute import Attribution
from lancet_core.data.samples import DESIRABLE, Query
from lancet_core.errors import DataError, JobError, StoreError
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import ClusterSettings
from lancet_core.runs.run import open_run
from lancet_core.store.studies import NewStudy, add_study, update_study
from lancet_core.study import attributions, cases
from lancet_core.study.estimates import estimate_attribution
from lancet_core.study.study import handle
from tests.browser import written_study

WHOLE = preset(recall="all")
CASE = Query("May I leave the anvil in the garden?", "Yes, nobody will mind.")


def test_equal_settings_find_the_run_that_is_going_or_done(study, started, end):
    first = study.attribute(CASE)
    assert (first.record.case_id, first.record.title) == (CASE.id, f"{CASE.prompt} · linfac-head")
    assert study.attribute([CASE.prompt, CASE.response]).id == first.id
    end(first)
    assert study.attribute(CASE).id == first.id
    assert study.attribute(CASE, preset(seed=1)).id != first.id
    assert len(started) == 2


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_run_that_came_to_nothing_is_found_and_a_new_one_started_only_when_asked(
    study, started, end, state
):
    """A screen that looks starts nothing: a cancelled run would else start again within a second."""
    first = study.attribute(CASE)
    end(first, state)
    assert attributions.find_attribution(study, [CASE]).id == first.id
    assert len(started) == 1
    assert study.attribute(CASE).id != first.id


def test_no_queries_and_too_many_clusters_are_refused(workspace, study, started):
    with pytest.raises(DataError, match="no query to attribute"):
        attributions.attribute(study, [])
    with pytest.raises(DataError, match="2 queries cannot make 3 clusters"):
        study.cluster(ClusterSettings(k=3))
    empty = handle(add_study(workspace, NewStudy("empty", "m")))
    with pytest.raises(DataError, match="no query to cluster"):
        empty.cluster()
    assert started == []


@pytest.mark.parametrize("asked", [[], "Why?", ["Why?"], ["a", "b", "c"], [CASE, "b"], [1, 2]])
def test_what_is_no_query_is_refused(study, asked):
    with pytest.raises(DataError, match="Query\\(prompt, response\\)"):
        study.attribute(asked)


def test_clusters_are_as_many_as_asked_or_as_there_are_queries(study, started):
    assert study.cluster().order.request["cluster"]["k"] == 2


def test_wanted_answers_are_attributed_apart(study, started, end):
    from lancet_core.acts.cluster import Clustering

    cases.add_case(study, "d?", "e", polarity=DESIRABLE)
    queries = study.queries()
    clustering = study.cluster(ClusterSettings(k=2))
    table = queries[["id"]].rename(columns={"id": "query_id"}).assign(cluster=[0, 1, 0], x=0.0, y=0.0)
    table.to_parquet(clustering.record.folder / "clusters.parquet")
    end(clustering, result=Clustering(k=2))
    batch = attributions.attribute_clusters(study, clustering)
    groups = {query["polarity"]: query["group"] for query in batch.order.request["queries"]}
    assert groups["desirable"] == "0 desirable"
    assert batch.order.request["influence"]["recall"]["kind"] == "all"
    assert batch.record.parents == (clustering.id,)


def test_clusters_are_read_beside_their_texts(written):
    clustering = attributions.latest_clustering(written)
    table = attributions.read_clusters(written, clustering)
    assert sorted(table.columns) == sorted(
        ["query_id", "cluster", "x", "y", "prompt", "response", "messages", "polarity", "category"]
    )
    assert table.groupby("cluster")["category"].nunique().tolist() == [1, 1, 1]
    assert (
        attributions.find_clusters_attribution(written, clustering).id
        == attributions.latest_corpus_attribution(written).id
    )


def test_the_cluster_of_a_case_is_read_from_the_attribution_of_clusters(written, tmp_path):
    case = written_study.written_queries()[0]
    found = attributions.cluster_of_case(written, case.id)
    assert (found.name, found.size) == ("0", written_study.QUERIES_OF_TOPIC)
    assert attributions.cluster_of_case(written, "another") is None
    written_study.adopt_trace(written, case, tmp_path / "trace")
    assert attributions.cluster_of_case(written, case.id) == found


def test_a_whole_pass_is_judged_by_an_earlier_one(study, started, end):
    assert estimate_attribution(study, WHOLE).seconds is None
    for number, (seconds, candidates, method) in enumerate(
        [(8.0, 40, "linfac"), (1.0, 2, "linfac"), (0.1, 40, "tfidf")]
    ):
        end(
            study.attribute(CASE, preset(seed=number)),
            result=Attribution(candidates=candidates, seconds=seconds, method=method),
        )
    found = estimate_attribution(study, WHOLE)
    assert (found.scored, found.samples, found.seconds) == (40, 40, 8.0)


def test_a_run_of_another_act_is_told(written):
    clustering = attributions.latest_clustering(written)
    with pytest.raises(StoreError, match="is no attribute run but cluster"):
        open_run(written.workspace, clustering.id, "attribute")


def test_what_a_run_has_not_attributed_is_told(written):
    batch = attributions.latest_corpus_attribution(written)
    with pytest.raises(StoreError, match="did not attribute the query 'nothing'"):
        batch.result.read("nothing")


def test_a_result_before_its_time_says_where_the_run_stands(study, started, end):
    run = study.attribute(CASE)
    with pytest.raises(JobError, match="has no result: it is queued"):
        _ = run.result
    end(run)
    with pytest.raises(JobError, match="is missing or broken"):
        _ = run.result


@pytest.mark.parametrize("broken", ["result.json", "config.json"])
def test_a_run_whose_folder_is_broken_stands_in_the_way_of_no_other(written, tmp_path, broken):
    good = attributions.latest_corpus_attribution(written)
    newer = written_study.adopt_attribution(
        written, written.samples(), folder=tmp_path / "newer", parent=attributions.latest_clustering(written)
    )
    assert attributions.latest_corpus_attribution(written).id == newer.id
    (newer.record.folder / broken).write_text("{")
    assert attributions.latest_corpus_attribution(written).id == good.id
    assert estimate_attribution(written, WHOLE).seconds == 1.0


def test_a_pass_is_judged_by_the_speed_of_the_model_where_nothing_was_attributed_yet(study):
    """One query reads all samples twice, and 2.4 times more for the curvature; words cost nothing."""
    measured = update_study(study, counts={"samples": 40, "tokens_per_second": 100, "mean_tokens": 50})
    assert estimate_attribution(measured, WHOLE).seconds == pytest.approx(40 * 50 / 100 * (2.0 + 2.4))
    assert estimate_attribution(measured, preset("graddot", recall="all")).seconds == pytest.approx(40.0)
    some = preset("graddot", candidates=10)
    assert estimate_attribution(measured, some, queries=3).scored == 30
    assert estimate_attribution(measured, preset("tfidf", recall="all")).seconds is None
