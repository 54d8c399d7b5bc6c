"""Templates on the screen Studies: the likeliest is proposed where it is surely so, and a scorer that is upside down shows."""

import pytest

from lancet_core.acts.prepare import TemplateFit
from lancet_core.config import to_dict
from lancet_core.files import write_json
from tests.browser.written_study import NAME
from tests.pages.conftest import Written, draw, texts

OWN = TemplateFit("auto", 4.47, 0.0, 0.0, 32)


@pytest.fixture
def fits(written: Written):
    """Writes what was measured; takes it away afterwards."""

    def write(*measured: TemplateFit) -> None:
        write_json(written.study.templates_file, [to_dict(fit) for fit in measured])

    yield write
    written.study.templates_file.unlink()


@pytest.mark.parametrize(("error", "proposed"), [(0.01, True), (0.02, False)])
def test_the_likeliest_template_is_proposed_where_it_is_surely_so(written: Written, fits, error, proposed):
    fits(TemplateFit("safe-rlhf", 4.42, -0.05, error, 32), OWN)
    app = draw(written.workspace, "studies", study=NAME)
    assert [str(each.value) for each in app.exception] == []
    assert ("The samples are likelier under" in texts(app)) == proposed
    assert [button.label for button in app.button if button.key == "s-take-template"] == (
        ["Take this template"] if proposed else []
    )


def test_a_scorer_that_is_upside_down_shows(written: Written, fits):
    fits(OWN)
    samples = written.study.samples()
    turned = samples.assign(harmful=samples["is_safe"].map({True: 0.9, False: 0.2}).astype("float64"))
    turned.to_parquet(written.study.samples_file, index=False)
    try:
        app = draw(written.workspace, "studies", study=NAME)
        assert "labelled safe 0.90, unsafe 0.20." in texts(app)
        assert "is the scorer upside down?" in texts(app)
    finally:
        samples.to_parquet(written.study.samples_file, index=False)
