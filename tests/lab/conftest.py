"""A corpus of sixty samples and three queries, and a model of width 16 that trains on it in a second."""

import pytest

from lancet_core.lab import corpora, scoring
from lancet_core.lab.factory.training import TrainingSettings
from lancet_core.lab.world.corpus import CorpusSettings

TRAINING = TrainingSettings(epochs=1, batch=16, width=16, layers=2)
GROUPS = ("animals", "medical")


def tiny_corpus(name="tiny"):
    """Sixty samples of two categories and of none, two queries of the one and one of the other."""
    whole = corpora.draw(name, corpora.Recipe(CorpusSettings(samples=600), TrainingSettings(seed=3)))
    samples = whole.samples
    mine = samples["categories"].map(lambda found: not len(found) or found[0] in GROUPS)
    chosen = samples[mine].groupby(samples["categories"].map(tuple)).head(20).reset_index(drop=True)
    both = list(zip(whole.queries, whole.good_answers, strict=True))
    asked = [pair for pair in both if pair[0].group == "animals"][:2]
    asked += [pair for pair in both if pair[0].group == "medical"][:1]
    queries, good_answers = zip(*asked, strict=True)
    return corpora.MeasuredCorpus(name, chosen, queries, TRAINING, good_answers)


@pytest.fixture(scope="session")
def corpus():
    return tiny_corpus()


@pytest.fixture(scope="session")
def trained(corpus, tmp_path_factory):
    """Folder of the model that is trained on all of it."""
    return scoring.trained_on_all(corpus, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def bench(corpus, trained, tmp_path):
    return scoring.Bench(corpus, trained, tmp_path / "work")
