"""A study's number type and device reach its runs and their keys."""

import pandas as pd
import pytest

import lancet_core as lancet
from lancet_core.acts.subject import MODEL
from lancet_core.errors import ConfigError
from lancet_core.influence.presets import preset
from lancet_core.study.subjects import computed_as, subject_of
from tests.written_rows import plain_rows

ROWS = pd.DataFrame(plain_rows(8))
SETTINGS = {"recall": "all", "factor_samples": 0}


def test_a_study_in_half_precision_is_attributed_in_it(workspace, tiny_model_folder):
    study = lancet.create_study(
        "mine",
        workspace=workspace,
        model=tiny_model_folder("llama"),
        train=ROWS,
        dtype="bfloat16",
        device="cpu",
    )
    query = ["May I?", "Yes, you may."]
    run = study.attribute(query, preset("linfac", **SETTINGS)).wait()
    compute = run.order.request["influence"]["compute"]
    assert (compute["dtype"], compute["device"]) == ("bfloat16", "cpu")
    assert run.order.subject["dtype"] == "bfloat16"
    whole = study.change(dtype="float32")
    assert (study.dtype, whole.dtype, whole.device) == ("bfloat16", "float32", "cpu")
    again = whole.attribute(query, preset("linfac", **SETTINGS)).wait()
    assert again.id != run.id
    scores = [each.result.scores.set_index("sample_id")["influence"] for each in (run, again)]
    assert not scores[0].equals(scores[1].loc[scores[0].index])


def test_results_depend_on_the_number_type_and_not_on_the_device(study):
    subject = subject_of(study)
    named = {name: subject_of(study.change(**change)).contents([MODEL]) for name, change in CHANGES.items()}
    assert named["device"] == subject.contents([MODEL]) != named["dtype"]


CHANGES = {"device": {"device": "cpu"}, "dtype": {"dtype": "bfloat16"}}


def test_settings_that_name_a_type_keep_it(study):
    changed = study.change(dtype="bfloat16", device="cpu")
    asked = preset("linfac", dtype="float64", **SETTINGS)
    assert computed_as(changed, asked) == asked
    assert computed_as(changed, preset("linfac")).compute.dtype == "bfloat16"
    assert computed_as(study, preset("linfac")) == preset("linfac")


@pytest.mark.parametrize("wrong", [{"dtype": "int8"}, {"device": "tpu"}])
def test_what_is_no_choice_is_refused(study, wrong, workspace):
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"{name} is .* accepted are"):
        study.change(**wrong)
    with pytest.raises(ConfigError, match=f"{name} is .* accepted are"):
        lancet.create_study("other", workspace=workspace, model="m", train=ROWS, **wrong)
