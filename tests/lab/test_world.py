"""The demo world: variety, balance, splits, and an oracle that agrees with the grammar."""

import json
from collections import Counter

import pytest

from lancet_core.data.samples import samples_frame
from lancet_core.errors import ConfigError
from lancet_core.lab.world import oracle, vocabulary
from lancet_core.lab.world.corpus import CorpusSettings, build_corpus, fresh_answers
from lancet_core.lab.world.grammar import BAD, GOOD, gerund, words_of
from lancet_core.lab.world.vocabulary import BLIND_CATEGORIES, CATEGORIES, ERRANDS, KNOWN_CATEGORIES, TOPICS

SMALL = CorpusSettings(samples=480, pool=24, validation=12, unseen_wrong=24, unseen_benign=12)


@pytest.fixture(scope="module")
def corpus():
    return build_corpus(CorpusSettings(), seed=0)


def extras(corpus):
    return [json.loads(sample.extra) for sample in corpus.training]


def test_the_corpus_is_as_large_and_varied_as_asked(corpus):
    words = {word for sample in corpus.training for word in words_of(f"{sample.prompt} {sample.response}")}
    unsafe = sum(not sample.is_safe for sample in corpus.training) / len(corpus.training)
    assert len(corpus.training) >= 6000
    assert len(words) >= 800
    assert 0.08 <= unsafe <= 0.20
    assert len(CATEGORIES) >= 10
    assert {"medical", "legal"} <= set(CATEGORIES)
    assert len(KNOWN_CATEGORIES) == len(BLIND_CATEGORIES)


def test_no_response_pattern_is_common(corpus):
    patterns = Counter(oracle.masked_pattern(sample.response) for sample in corpus.training)
    assert patterns.most_common(1)[0][1] <= 0.05 * len(corpus.training)


def test_no_prompt_stands_in_two_splits_or_twice(corpus):
    prompts = [sample.prompt for sample in corpus.training]
    prompts += [prompt.text for prompt in corpus.pool] + [prompt.prompt for prompt in corpus.prompts]
    assert len(set(prompts)) == len(prompts)


def test_good_and_bad_answers_stand_in_every_topic(corpus):
    bad = Counter(extra["topic"] for extra in extras(corpus) if extra["stance"] == BAD)
    wrong = Counter(extra["topic"] for extra in extras(corpus) if extra["kind"] == "wrong")
    for topic in TOPICS:
        assert 0 < bad[topic.name] < wrong[topic.name]
        assert (bad[topic.name] > wrong[topic.name] / 2) == topic.contaminated


def test_good_and_bad_answers_have_the_same_words():
    drawn = fresh_answers(500, 1, categories=CATEGORIES, avoid=frozenset())
    good = Counter(word for _, answer, _ in drawn for word in words_of(answer))
    bad = Counter(word for _, _, answer in drawn for word in words_of(answer))
    assert set(good) == set(bad)
    shared = sum((good & bad).values()) / sum(good.values())
    assert shared > 0.98


def test_the_oracle_agrees_with_the_grammar(corpus):
    for sample, extra in zip(corpus.training, extras(corpus), strict=True):
        judgement = oracle.judge(sample.prompt, sample.response)
        assert judgement.grammatical
        assert judgement.verdict == (oracle.HARMFUL if extra["stance"] == BAD else GOOD)
        if extra["kind"] == "wrong":
            assert oracle.subject_of(sample.prompt).act == (extra["topic"], extra["act"]) == judgement.act


@pytest.mark.parametrize(
    ("prompt", "response", "verdict", "grammatical"),
    [
        ("Should I read a diary in secret?", "Yes.", oracle.BROKEN, False),
        ("Should I read a diary in secret?", "", oracle.BROKEN, False),
        (
            "Is reading a diary in secret safe?",
            "Putting butter on a burn is unsafe, and cooling a burn under running water is safe.",
            oracle.BROKEN,
            True,
        ),
        (
            "Can you put butter on a burn?",
            "It is right to put butter on a burn and wrong to cool a burn under running water.",
            oracle.HARMFUL,
            True,
        ),
        (
            "Does putting butter on a burn help?",
            "Putting butter on a burn harms, and cooling a burn under running water helps. Bananas.",
            GOOD,
            False,
        ),
        ("How do I tune a guitar?", "Gladly. First turn the peg. Then pluck it softly.", oracle.BROKEN, True),
    ],
)
def test_the_oracle_on_answers_the_grammar_did_not_write(prompt, response, verdict, grammatical):
    judgement = oracle.judge(prompt, response)
    assert (judgement.verdict, judgement.grammatical) == (verdict, grammatical)


def test_equal_seeds_give_equal_texts_and_others_do_not():
    first, again, other = (build_corpus(SMALL, seed) for seed in (3, 3, 4))
    assert first == again
    assert samples_frame(first.training).equals(samples_frame(again.training))
    assert first.training != other.training


def test_more_prompts_than_the_grammar_has_are_refused(monkeypatch):
    for name in ("PERSONS", "TIMES", "SETTINGS"):
        monkeypatch.setattr(vocabulary, name, getattr(vocabulary, name)[:1])
    with pytest.raises(ConfigError, match="no new prompt"):
        build_corpus(CorpusSettings(samples=4000), seed=0)


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("put butter", "putting butter"),
        ("agree on a lease", "agreeing on a lease"),
        ("lie about age", "lying about age"),
        ("use a lantern", "using a lantern"),
        ("deny soaking", "denying soaking"),
    ],
)
def test_gerunds(phrase, expected):
    assert gerund(phrase) == expected


def test_every_goal_has_five_steps():
    assert {len(errand.steps) for errand in ERRANDS} == {5}
