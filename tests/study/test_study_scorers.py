"""What a study keeps of its scorers: the card with its statistics, which names them in every run."""

import json
import math

import pandas as pd
import pytest

import lancet_core as lancet
from lancet_core.acts.subject import SCORERS
from lancet_core.errors import ConfigError
from lancet_core.evaluation.scorer_cards import scorer_card
from lancet_core.study.subjects import subject_of
from tests.evaluation.tiny_scorers import save_beaver, save_classifier
from tests.written_rows import plain_rows, write_lines

ROWS = plain_rows(12)


@pytest.fixture(scope="module")
def scorers(tmp_path_factory):
    place = tmp_path_factory.mktemp("scorers")
    return {
        "cost": save_beaver(place / "beaver-7b-v1.0-cost"),
        "reward": save_beaver(place / "beaver-7b-v1.0-reward", "reward"),
        "dam": save_classifier(place / "dam", labels=14, problem_type="multi_label_classification"),
        "plain": save_classifier(place / "plain", labels=3),
    }


@pytest.fixture
def study(workspace, tiny_model_folder, scorers):
    return lancet.create_study(
        "mine", workspace=workspace, model=tiny_model_folder("llama"), train=pd.DataFrame(ROWS),
        harmful_scorer=scorers["dam"], helpful_scorer=scorers["reward"],
    )  # fmt: skip


def test_statistics_are_taken_of_the_samples_once_and_kept_with_the_study_and_its_runs(study):
    card = scorer_card(study.helpful_scorer)
    assert (card.family, card.measured_on) == ("beaver-reward", 12)
    samples = study.samples()
    odds = [math.log(score / (1 - score)) for score in samples["helpful"]]
    assert sum(odds) == pytest.approx(0, abs=1e-3)
    run = study.evaluate(prompts=prompts_of(study)).wait()
    assert json.loads(run.order.subject["helpful_scorer"])["mean"] == card.mean
    kept = json.loads((run.folder.path / "scorers.json").read_text())
    assert (kept["helpful"]["mean"], kept["helpful"]["std"]) == (card.mean, card.std)
    assert kept["harmful"]["family"] == "beaver-dam"


def prompts_of(study):
    return write_lines(study.folder / "asked.jsonl", [{"prompt": "b?"}])


def test_each_sample_keeps_its_categories(study):
    samples = study.samples()
    of_each = pd.DataFrame(samples["harmful_categories"].tolist())
    assert of_each.shape == (12, 14)
    assert of_each.max(axis=1).tolist() == pytest.approx(samples["harmful"].tolist(), abs=1e-3)


def test_what_is_said_of_a_scorer_is_part_of_its_content(study, scorers):
    before, helpful = subject_of(study).contents([SCORERS]), study.samples()["helpful"].tolist()
    said = study.change(harmful_scorer=scorers["plain"], harmful_scorer_as="higher_is=harmful,label_index=1")
    first, scores = subject_of(said).contents([SCORERS]), said.samples()["harmful"]
    other = said.change(harmful_scorer_as={"higher_is": "harmful", "label_index": 2})
    assert scorer_card(other.harmful_scorer).label_index == 2
    assert len({str(content) for content in (before, first, subject_of(other).contents([SCORERS]))}) == 3
    assert not scores.equals(other.samples()["harmful"])
    assert "harmful_categories" not in other.samples()
    assert other.samples()["helpful"].tolist() == helpful


def test_a_command_makes_the_same_study_again(study):
    """What the study was made of says where the scorers lie and what was found of them."""
    made = json.loads((study.folder / "materials.json").read_text())["materials"]
    assert made["harmful_scorer_as"] == "family=beaver-dam"
    assert made["helpful_scorer_as"] == "family=beaver-reward"
    assert scorer_card(made["harmful_scorer"]).family == "beaver-dam"


def test_a_scorer_that_is_said_wrong_makes_no_study(workspace, tiny_model_folder, scorers):
    with pytest.raises(ConfigError, match="label_index is -1"):
        lancet.create_study(
            "mine", workspace=workspace, model=tiny_model_folder("llama"), train=pd.DataFrame(ROWS),
            harmful_scorer=scorers["plain"], harmful_scorer_as={"higher_is": "harmful", "label_index": -1},
        )  # fmt: skip
    assert lancet.list_studies(workspace=workspace) == []
