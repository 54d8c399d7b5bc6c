"""What screens keep between reruns belongs to one study, as it stands."""

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from lancet_core.data.samples import read_samples as read_table
from lancet_core.influence.presets import preset
from lancet_core.store.queries import get_query
from lancet_core.study.attributions import find_attribution
from lancet_core.study.queue import View, queue
from lancet_core.study.study import Study, open_study
from pages.review.sample_texts import read_samples
from pages.shared.ranking import report_of
from tests.browser.written_study import NAME
from tests.pages.conftest import Written, draw


@pytest.fixture
def other(written: Written, tmp_path: Path) -> Study:
    """A study of the same name in another workspace, whose samples read otherwise."""
    folder = tmp_path / "workspace"
    shutil.copytree(written.workspace.folder, folder, ignore=shutil.ignore_patterns("*.sock"))
    study = open_study(NAME, workspace=folder)
    rewrite(study, prompt="What does the other study ask?")
    return study


def rewrite(study: Study, **columns: object) -> None:
    """Replaces whole columns of the samples."""
    read_table(study.samples_file).assign(**columns).to_parquet(study.samples_file, index=False)


def cards(app: AppTest) -> str:
    """What the components of a screen are given to show."""
    return "\n".join(str(card.proto) for card in app.get("bidi_component"))


def test_review_shows_the_samples_of_its_own_study(written: Written, other: Study):
    pair = queue(written.study, View("somebody")).iloc[0]
    own = str(written.study.samples().set_index("id").loc[pair["positive_id"], "prompt"])
    for study, shown, hidden in (
        (written.study, own, "the other study"),
        (other, "the other study", own),
        (written.study, own, "the other study"),
    ):
        app = draw(study.workspace, "review", study=NAME)
        assert not app.exception
        assert shown in cards(app)
        assert hidden not in cards(app)


def test_samples_that_were_scored_anew_are_read_anew(other: Study):
    assert set(read_samples(other)["prompt"]) == {"What does the other study ask?"}
    rewrite(other, prompt="And now?")
    assert set(read_samples(other)["prompt"]) == {"And now?"}


def test_a_ranking_is_judged_anew_by_new_scores(written: Written, other: Study):
    run = find_attribution(other, [get_query(other, written.case)], preset())
    assert run is not None
    before = report_of(run, written.case).scorer
    rewrite(other, harmful=0.5)
    assert report_of(run, written.case).scorer != before
