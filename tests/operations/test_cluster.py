"""The operation `cluster`."""

import pandas as pd
import pytest

from lancet_core.data.samples import DESIRABLE, Query
from lancet_core.errors import DataError
from lancet_core.influence.settings import ClusterSettings
from lancet_core.operations import cluster
from lancet_core.operations.configs import ClusterConfig


@pytest.mark.parametrize("encoder", ["hidden", "tfidf"])
def test_clusters_and_their_summary(encoder, queries, tiny_model_folder, tmp_path):
    more = (*queries, queries[0], Query("May I?", "Yes.", DESIRABLE))
    config = ClusterConfig("s", str(tiny_model_folder()), "auto", more, ClusterSettings(k=2, encoder=encoder))
    result = cluster.run(config, tmp_path)
    frame = pd.read_parquet(tmp_path / "clusters.parquet")
    assert list(frame.columns) == ["query_id", "cluster", "x", "y"]
    assert frame["query_id"].tolist() == list(dict.fromkeys(query.id for query in more))
    assert result["queries"] == 4
    assert sorted(frame["cluster"].unique()) == list(range(result["k"]))
    assert set(result["terms"]) == {str(number) for number in range(result["k"])}
    assert result["layout"] == "pca"
    own = frame.set_index("query_id")["cluster"]
    assert own[more[-1].id] not in own.drop(more[-1].id).tolist()


def test_no_query_is_told(tiny_model_folder, tmp_path):
    with pytest.raises(DataError, match="no query to cluster"):
        cluster.run(ClusterConfig("s", str(tiny_model_folder()), "auto", ()), tmp_path)
