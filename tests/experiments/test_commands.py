"""`lancet benchmark` on a tiny corpus: what is printed, what is kept, and how it says what is missing."""

import json

import pytest

from lancet_core.cli import benchmark
from lancet_core.cli.main import run
from lancet_core.experiments import corpora
from tests.experiments.conftest import tiny_corpus


@pytest.fixture
def lancet(tmp_path, monkeypatch, capfd):
    corpus = tiny_corpus("other-seed")
    monkeypatch.setattr(corpora, "draw", lambda _name, _recipe: corpus)
    monkeypatch.setattr(benchmark, "TRUTH", tmp_path / "truth")
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capfd.readouterr()
        code = run(["benchmark", *map(str, arguments), "--work", str(tmp_path / "work")])
        return code, *capfd.readouterr()

    return call


def test_bank_table_and_removal(lancet, tmp_path):
    chosen = ("--corpus", "other-seed")
    code, out, err = lancet("attribution", *chosen, "--methods", "tfidf")
    assert code == 0, err
    assert "lancet benchmark bank --corpus other-seed" in err
    assert out.splitlines()[-2].split(" | ")[5] == "–"

    code, out, err = lancet("bank", *chosen, "--subsets", 6, "--json")
    assert code == 0, err
    made = json.loads(out)
    assert (made["subsets"], made["repeats"]) == (6, 6)
    assert (tmp_path / "truth" / "other-seed.safetensors").stat().st_size < 2000

    code, out, err = lancet("attribution", *chosen, "--methods", "tfidf,random")
    assert code == 0, err
    assert out.startswith("other-seed: 60 samples, 3 queries, 2 query batches, 6 retrained models\n")
    assert all(line.split(" | ")[5] != "–" for line in out.splitlines()[-4:-1])

    code, out, err = lancet("removal", *chosen, "--methods", "tfidf", "--batches", 1)
    assert code == 0, err
    assert [line.split(" | ")[0] for line in out.splitlines()[2:]] == [
        "| removed", "| ---", "| tfidf", "| drawn at random",
    ]  # fmt: skip


def test_an_unknown_method_ends_at_once(lancet):
    code, _out, err = lancet("attribution", "--corpus", "other-seed", "--methods", "magic")
    assert code == 2
    assert "magic is no method" in err


def test_the_shipped_demo_is_not_measured_with_other_samples(lancet):
    code, _out, err = lancet("attribution", "--corpus", "demo", "--methods", "tfidf")
    assert code == 2
    assert "made from other samples" in err
