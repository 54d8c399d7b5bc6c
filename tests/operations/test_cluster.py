"""The operation `cluster`."""

import pytest

from lancet_core.acts.cluster import ClusterRequest
from lancet_core.acts.subject import Subject
from lancet_core.data.samples import DESIRABLE, Query
from lancet_core.errors import DataError
from lancet_core.influence.settings import ClusterSettings
from lancet_core.operations import cluster
from tests.performing import Order, perform


@pytest.mark.parametrize("encoder", ["hidden", "tfidf"])
def test_clusters_and_their_summary(encoder, queries, tiny_model_folder, tmp_path):
    more = (*queries, queries[0], Query("May I?", "Yes.", DESIRABLE))
    request = ClusterRequest(more, ClusterSettings(k=2, encoder=encoder))
    result = perform(cluster.run, Order(Subject("s", str(tiny_model_folder()), ""), request), tmp_path)
    frame = result.assignments
    assert list(frame.columns) == ["query_id", "cluster", "x", "y"]
    assert frame["query_id"].tolist() == list(dict.fromkeys(query.id for query in more))
    assert result.queries == 4
    assert sorted(frame["cluster"].unique()) == [str(number) for number in range(result.k)]
    assert set(result.terms) == {str(number) for number in range(result.k)}
    assert result.layout == "pca"
    own = frame.set_index("query_id")["cluster"]
    assert own[more[-1].id] not in own.drop(more[-1].id).tolist()


def test_no_query_is_told(tiny_model_folder, tmp_path):
    with pytest.raises(DataError, match="no query to cluster"):
        perform(cluster.run, Order(Subject("s", str(tiny_model_folder()), ""), ClusterRequest(())), tmp_path)
