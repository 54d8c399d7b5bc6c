"""The groups that the index knows of an attribution are those that the operation scores."""

import pandas as pd
import pytest

from lancet_core.acts.attribute import AttributeRequest
from lancet_core.acts.subject import Subject
from lancet_core.data.samples import Query, Sample, samples_frame
from lancet_core.influence.presets import preset
from lancet_core.operations.attribution_task import prepare_task

A, B, C = (Query(prompt, "Yes.") for prompt in "abc")
IN_GROUPS = (Query("a", "Yes.", group="1"), Query("b", "Yes.", group="2"), Query("c", "Yes.", group="1"))


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("queries", [(A,), (A, B, C), IN_GROUPS, (*IN_GROUPS[:2], C)])
def test_a_query_is_found_under_the_name_that_its_scores_have(tmp_path, queries, batch):
    samples_frame([Sample("a", "b"), Sample("c", "d")]).to_parquet(tmp_path / "samples.parquet")
    request = AttributeRequest(queries, preset(recall="all"), batch=batch)
    task = prepare_task(Subject("s", "m", str(tmp_path / "samples.parquet")), request)
    scored = {
        task.queries[member].id: name
        for name, members in zip(task.names, task.groups, strict=True)
        for member in members
    }
    assert dict(request.grouped_queries) == scored
    assert pd.Series(dict(request.grouped_queries)).nunique() == len(task.names)
