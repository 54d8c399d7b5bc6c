"""Masks, the bank's file, and models retrained in processes of their own."""

import numpy as np
import pytest

from lancet_core.cli.lab import TRUTH
from lancet_core.errors import DataError
from lancet_core.lab import retraining
from lancet_core.lab.corpora import MeasuredCorpus, draw_named
from lancet_core.lab.keeper import Keeper
from lancet_core.lab.retraining import Bank, BankSettings, draw_masks, read_bank, retrain, write_bank


def test_masks_are_halves_and_the_first_stay_when_more_are_drawn():
    masks = draw_masks(101, 6, seed=0)
    assert masks.shape == (6, 101)
    assert set(masks.sum(axis=1)) == {50}
    assert len({mask.tobytes() for mask in masks}) == 6
    assert np.array_equal(draw_masks(101, 9, seed=0)[:6], masks)
    assert not np.array_equal(draw_masks(101, 6, seed=1), masks)


def test_a_sample_stands_in_about_half_of_the_masks():
    shares = draw_masks(200, 400, seed=0).mean(axis=0)
    assert shares.mean() == pytest.approx(0.5)
    assert abs(shares - 0.5).max() < 0.15


def test_a_bank_comes_back_as_it_was(corpus, tmp_path):
    masks = draw_masks(len(corpus.samples), 5, seed=0)
    values = -np.arange(5.0 * len(corpus.queries)).reshape(5, -1)
    truth = Keeper(tmp_path / "truth")
    write_bank(truth, corpus, Bank(masks, values, values[:2] - 1))
    found = read_bank(truth, corpus)
    assert np.array_equal(found.masks, masks)
    assert np.array_equal(found.log_likelihoods, values)
    assert np.array_equal(found.again, values[:2] - 1)
    assert [path.name for path in (tmp_path / "truth").iterdir()] == ["tiny.safetensors"]


def test_a_bank_of_another_corpus_is_refused(corpus, tmp_path):
    other = MeasuredCorpus(corpus.name, corpus.samples.head(50), corpus.queries, corpus.training)
    truth = Keeper(tmp_path)
    values = np.zeros((3, len(corpus.queries)))
    write_bank(truth, other, Bank(draw_masks(50, 3, seed=0), values, values[:0]))
    with pytest.raises(DataError, match=r"another corpus .* lancet lab bank --corpus tiny"):
        read_bank(truth, corpus)


@pytest.mark.parametrize("content", [None, b"no tensors"])
def test_a_bank_that_cannot_be_read_says_how_to_make_it(corpus, tmp_path, content):
    truth = Keeper(tmp_path)
    if content is not None:
        truth.path(corpus.name).write_bytes(content)
    with pytest.raises(DataError, match="lancet lab bank --corpus tiny"):
        read_bank(truth, corpus)


@pytest.mark.parametrize("name", ["demo", "other-seed", "own-words", "tiny"])
def test_every_bank_of_the_checkout_belongs_to_its_corpus(name):
    """Their keys say that neither the grammar nor the training settings have changed since they were made."""
    corpus = draw_named(name)
    bank = read_bank(Keeper(TRUTH), corpus)
    assert bank.log_likelihoods.shape == (len(bank.masks), len(corpus.queries))
    assert np.array_equal(bank.masks, draw_masks(len(corpus.samples), len(bank.masks), seed=0))


def test_every_model_of_the_demos_removal_is_there():
    corpus = draw_named("demo").asked_both_ways()
    keeper = Keeper(TRUTH / "removal-demo")
    values = [keeper.read(path.stem).arrays[retraining.VALUES] for path in keeper.folder.iterdir()]
    assert len(values) == 23
    assert {row.shape for row in values} == {(len(corpus.queries),)}


def test_a_stopped_bank_goes_on(corpus, tmp_path, monkeypatch):
    masks = dict(zip("abc", draw_masks(len(corpus.samples), 3, seed=0), strict=True))
    first = retrain(corpus, {name: masks[name] for name in "ab"}, keeper=Keeper(tmp_path), processes=2)
    broken = sorted(tmp_path.glob("*.safetensors"))[0]
    broken.write_bytes(broken.read_bytes()[:40])
    told = []
    everything = retrain(
        corpus,
        masks,
        keeper=Keeper(tmp_path),
        processes=1,
        progress=lambda _step, done, total: told.append((done, total)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]  # one was kept, the broken one and the third are trained
    assert list(everything) == ["a", "b", "c"]
    for name, values in first.items():
        assert np.array_equal(everything[name], values)
    assert not np.array_equal(everything["a"], everything["b"])
    monkeypatch.setattr(retraining, "ProcessPoolExecutor", None)  # nothing is trained a third time
    monkeypatch.setattr(retraining, "_workers", nothing_to_do)
    again = retrain(corpus, masks, keeper=Keeper(tmp_path))
    assert all(np.array_equal(again[name], everything[name]) for name in masks)


def nothing_to_do(_processes):
    import contextlib

    return contextlib.nullcontext(None)


def test_a_larger_bank_trains_only_what_the_smaller_lacks(corpus, tmp_path, monkeypatch):
    masks = draw_masks(len(corpus.samples), 4, seed=0)
    trained = []

    def train(chosen, parts, **_more):
        seed = chosen.training.seed
        trained.extend((seed, name) for name in parts)
        return {name: np.full(len(corpus.queries), float(name) + seed) for name in parts}

    monkeypatch.setattr(retraining, "retrain", train)
    first = retraining.measure_bank(corpus, BankSettings(3, 1), known=None, keeper=Keeper(tmp_path))
    whole = retraining.measure_bank(corpus, BankSettings(4, 2), known=first, keeper=Keeper(tmp_path))
    one, other = corpus.training.seed, corpus.reseeded().training.seed
    assert one != other
    assert trained == [(one, "0"), (one, "1"), (one, "2"), (other, "0"), (one, "3"), (other, "1")]
    assert whole.log_likelihoods[:, 0].tolist() == [one, one + 1, one + 2, one + 3]
    assert whole.again[:, 0].tolist() == [other, other + 1]
    assert (whole.masks == masks).all()


def test_another_seed_gives_another_model_of_the_same_part(corpus, tmp_path):
    mask = {"part": draw_masks(len(corpus.samples), 1, seed=0)[0]}
    found = [retrain(chosen, mask, keeper=Keeper(tmp_path))["part"] for chosen in (corpus, corpus.reseeded())]
    assert corpus.key != corpus.reseeded().key
    assert not np.array_equal(*found)
