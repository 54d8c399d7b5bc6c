"""Studies made from objects and from files, by the public names; whatever goes wrong leaves no half-made study."""

import datasets
import pandas as pd
import pytest

import lancet_core as lancet
from lancet_core.data.samples import Query
from lancet_core.errors import DataError, JobError, ModelError, StoreError
from lancet_core.runs import launcher
from lancet_core.study import making
from tests.tiny_models import save_adapter, save_tiny_model
from tests.written_rows import plain_rows, query_rows, write_lines

ROWS = pd.DataFrame(plain_rows(12))


@pytest.fixture(scope="module")
def loaded(tiny_model_folder):
    """A loaded model and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_model_folder("llama")
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def nothing_stays(workspace):
    """Checks afterwards that neither a study nor its folder is there."""
    yield
    assert lancet.list_studies(workspace=workspace) == []
    assert list(workspace.studies.iterdir()) == []


def test_a_study_is_made_of_files(workspace, tmp_path, tiny_model_folder):
    files = {
        "train": write_lines(tmp_path / "train.jsonl", plain_rows(12)),
        "queries": write_lines(tmp_path / "queries.jsonl", query_rows(2)),
        "prompts": write_lines(tmp_path / "prompts.jsonl", [{"prompt": "b?"}]),
    }
    study = lancet.create_study("mine", workspace=workspace, model=tiny_model_folder("llama"), **files)
    assert study.counts["samples"] == len(study.samples()) == 12
    assert study.queries()["source"].tolist() == ["queries.jsonl"] * 2
    assert study.prompts_file is not None
    assert study.samples()["harmful"].isna().all()
    assert study.runs() == []
    assert lancet.open_study("mine", workspace=workspace.folder) == study


@pytest.mark.parametrize("kind", ["DataFrame", "Dataset"])
def test_a_study_is_made_of_objects(workspace, loaded, kind):
    train = ROWS if kind == "DataFrame" else datasets.Dataset.from_pandas(ROWS)
    queries = [Query(row["prompt"], row["response"]) for row in query_rows(2)]
    study = lancet.create_study("mine", workspace=workspace, model=loaded, train=train, queries=queries)
    assert study.samples()["prompt"].tolist() == ROWS["prompt"].tolist()
    assert study.samples()["is_safe"].tolist() == ROWS["is_safe"].tolist()
    assert set(study.samples()["source_file"]) == {f"a {kind}"}
    assert study.queries()["id"].tolist() == [query.id for query in queries]
    assert study.model == str(study.folder / "model")


def test_an_adapter_whose_base_lies_elsewhere_is_kept_with_it(workspace, tmp_path):
    base = save_tiny_model("llama", tmp_path / "moved")
    save_adapter(base, tmp_path / "adapter", modules_to_save=["lm_head"])
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(config.read_text().replace(str(base), "/where/it/was/trained"))
    with pytest.raises(ModelError, match="which is not here; say where it lies with --base"):
        lancet.create_study("mine", workspace=workspace, model=tmp_path / "adapter", train=ROWS)
    study = lancet.create_study(
        "mine", workspace=workspace, model=tmp_path / "adapter", base=base, train=ROWS
    )
    assert study.model == str(study.folder / "model")
    assert study.counts["samples"] == len(ROWS)


WRONG = {
    "a list of rows": ({"train": plain_rows(2)}, DataError, "the training samples are a list"),
    "other columns": ({"train": pd.DataFrame({"a": ["b"]})}, DataError, "a DataFrame"),
    "no rows": ({"train": ROWS.head(0)}, DataError, ""),
    "values that are no texts": (
        {"train": pd.DataFrame({"prompt": [1], "response": [[2]]})},
        DataError,
        "prompt is 1",
    ),
    "two columns of one name": (
        {"train": pd.DataFrame([["a", "b", "c"]], columns=["prompt", "response", "response"])},
        DataError,
        "two columns are called 'response'",
    ),
    "a file that is not there": ({"train": "nowhere.jsonl"}, DataError, "nowhere.jsonl"),
    "a model without its tokenizer": ({"model": "LOADED"}, ModelError, "with its tokenizer"),
    "words for a model": ({"model": ("some/model", "some/tokenizer")}, ModelError, "with its tokenizer"),
    "a base for a whole model": ({"base": "/nowhere"}, ModelError, "is no adapter"),
    "a number for a model": ({"model": 3}, ModelError, "with its tokenizer"),
    "no model folder": ({"model": "/nowhere"}, ModelError, "no model folder"),
    "a scorer that is not there": ({"harmful_scorer": "/nowhere"}, ModelError, "/nowhere"),
    "queries that are none": ({"queries": [("a", "b")]}, DataError, "queries"),
    "a name that is none": ({"name": "../up"}, StoreError, "cannot name a study"),
}


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize(("given", "error", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_used_is_told_in_one_sentence(
    workspace, loaded, tiny_model_folder, given, error, words
):
    given = (
        {name: loaded[0] if value == "LOADED" else value for name, value in given.items()}
        if "model" in given
        else given
    )
    values = {"name": "mine", "model": tiny_model_folder("llama"), "train": ROWS, **given}
    with pytest.raises(error, match=words or None) as caught:
        lancet.create_study(values.pop("name"), workspace=workspace, **values)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, JobError("it failed"), OSError(28, "full"), RuntimeError("odd")]
)
@pytest.mark.parametrize("place", ["run", "entering", "queries"])
def test_a_study_that_is_not_finished_leaves_nothing(workspace, tiny_model_folder, monkeypatch, error, place):
    def fail(*_given, **_named):
        raise error

    if place == "run":
        monkeypatch.setattr(launcher, "start", fail)
    else:
        module, name = {"entering": (making.store, "add_study"), "queries": (making, "add_queries")}[place]
        monkeypatch.setattr(module, name, fail)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        lancet.create_study("mine", workspace=workspace, model=tiny_model_folder("llama"), train=ROWS)


def test_a_name_is_taken_once_and_the_first_study_stays(workspace, tiny_model_folder):
    first = lancet.create_study("mine", workspace=workspace, model=tiny_model_folder("llama"), train=ROWS)
    with pytest.raises(StoreError, match="already a study 'mine'"):
        lancet.create_study("mine", workspace=workspace, model=tiny_model_folder("llama"), train=ROWS)
    assert len(first.samples()) == 12


def test_the_parts_of_the_public_handle_have_words():
    for name in (name for name in dir(lancet.Study) if not name.startswith("_")):
        assert getattr(lancet.Study, name).__doc__, name
