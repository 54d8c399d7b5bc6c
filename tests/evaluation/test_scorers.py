import json

import numpy as np
import pytest
import torch

from lancet_core.config import describe
from lancet_core.errors import ConfigError, ModelError, NumericalError
from lancet_core.evaluation.score_mapping import to_unit
from lancet_core.evaluation.scorer_cards import (
    FIELDS,
    ScorerCard,
    ScorerDeclaration,
    parse_declaration,
    resolve_scorer,
    scorer_card,
)
from lancet_core.evaluation.scorers import load_scorer
from tests.tiny_models import byte_level_tokenizer

PROMPTS = ["Is it wise?", "May I keep {response} the kettle in the old barn over night?"]
RESPONSES = ["No.", "Yes, everybody does."]


def save_scorer(folder, labels=1, card=None, seed=0):
    """A Llama classifier with random weights, whose tokenizer has no padding token, as GPT-2's has none."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    tokenizer = byte_level_tokenizer()
    tokenizer.pad_token = None
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=96, num_labels=labels, initializer_range=0.3, pad_token_id=None,
    )  # fmt: skip
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if card is not None:
        (folder / "scorer.json").write_text(json.dumps(card))
    return folder


@pytest.mark.parametrize("template", ["pair", "Q: {prompt} A: {response}"])
def test_padding_does_not_change_a_score(tmp_path, template):
    scorer = load_scorer(save_scorer(tmp_path, card={"higher_is": "harmful", "template": template}))
    together = scorer.score(PROMPTS, RESPONSES)
    alone = [scorer.score([p], [r])["raw"].item() for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    assert together["raw"].tolist() == pytest.approx(alone, abs=1e-5)
    assert together["harmful"].tolist() == pytest.approx((1 / (1 + np.exp(-together["raw"]))).tolist())


def test_harmless_is_turned_and_helpful_has_its_own_column(tmp_path):
    harmless = load_scorer(save_scorer(tmp_path, card={"higher_is": "harmless"})).score(PROMPTS, RESPONSES)
    assert harmless["harmful"].tolist() == pytest.approx((1 - harmless["unit"]).tolist())
    helpful = load_scorer(save_scorer(tmp_path, card={"higher_is": "helpful"})).score(PROMPTS, RESPONSES)
    assert list(helpful.columns) == ["raw", "unit", "helpful"]


def test_one_of_several_labels_gives_its_probability(tmp_path):
    save_scorer(tmp_path, labels=3, card={"higher_is": "harmful", "label_index": 2})
    scorer = load_scorer(tmp_path)
    ids = scorer.tokenizer(PROMPTS[0], RESPONSES[0], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = scorer.model(input_ids=ids).logits.softmax(dim=1)[0, 2].item()
    assert scorer.score(PROMPTS[:1], RESPONSES[:1])["harmful"].item() == pytest.approx(expected, abs=1e-5)


def test_long_texts_are_cut_to_the_context(tmp_path):
    scorer = load_scorer(save_scorer(tmp_path, card={"higher_is": "harmful"}))
    assert np.isfinite(scorer.score(["word " * 300], ["word " * 300])["raw"]).all()


def test_mappings():
    raw = np.array([-1.0, 0.0, 3.0])
    scaled = ScorerCard("f", "helpful", mapping="zscore_sigmoid", mean=1.0, std=2.0)
    assert to_unit(raw, scaled).tolist() == pytest.approx(
        [1 / (1 + np.e), 1 / (1 + np.exp(0.5)), 1 / (1 + np.exp(-1))]
    )
    ranked = ScorerCard("f", "helpful", mapping="rank", reference=(-0.5, 0.5, 1.0))
    assert to_unit(raw, ranked).tolist() == pytest.approx([0.5 / 4, 1.5 / 4, 3.5 / 4])


def test_a_classifier_must_say_what_its_output_means(tmp_path):
    save_scorer(tmp_path)
    with pytest.raises(ModelError, match=r"no scorer\.json"):
        load_scorer(tmp_path)


@pytest.mark.parametrize(
    ("mapping", "told"), [("zscore_sigmoid", "needs mean and std"), ("rank", "rank needs reference")]
)
def test_a_mapping_that_compares_needs_reference_answers(tmp_path, mapping, told):
    scorer = load_scorer(save_scorer(tmp_path, card={"higher_is": "helpful", "mapping": mapping}))
    with pytest.raises(ModelError, match=told):
        scorer.score(PROMPTS, RESPONSES)
    scores, card = scorer.score_reference(PROMPTS, RESPONSES)
    assert card.measured_on == 2
    assert to_unit(scores["raw"].to_numpy(), card).tolist() == scores["helpful"].tolist()
    order = scores["raw"].rank().tolist()
    assert scores["helpful"].rank().tolist() == order


def test_equal_outputs_have_no_scale(tmp_path):
    scorer = load_scorer(save_scorer(tmp_path, card={"higher_is": "helpful", "mapping": "zscore_sigmoid"}))
    with pytest.raises(NumericalError, match="has no scale"):
        scorer.score_reference(PROMPTS[:1], RESPONSES[:1])


DECLARED = {
    "higher_is=harmful,label_index=1": {"higher_is": "harmful", "label_index": 1},
    "template=Q: {prompt}, A:\\n{response},higher_is=harmless": {
        "template": "Q: {prompt}, A:\n{response}",
        "higher_is": "harmless",
    },
    "mapping=zscore_sigmoid,mean=-1.5,std=2": {"mapping": "zscore_sigmoid", "mean": -1.5, "std": 2.0},
    "known_categories=law; medicine,family=labels": {
        "known_categories": ["law", "medicine"],
        "family": "labels",
    },
    "": {},
}


@pytest.mark.parametrize(("typed", "meant"), DECLARED.items())
def test_what_a_scorer_is_can_be_typed(typed, meant):
    assert parse_declaration(typed) == meant


WRONG = {
    "higher=harmful": "says nothing of a scorer",
    "harmful": "says nothing of a scorer",
    "higher_is=evil": "higher_is is 'evil'; it takes one of",
    "label_index=one": "label_index is 'one'; it takes a whole number",
    "std=0": r"std is 0\.0; it takes a number above 0",
    "family=cat": "family is 'cat'; it takes one of",
    "template={prompt}": "template is",
}


@pytest.mark.parametrize(("typed", "told"), WRONG.items())
def test_what_is_typed_wrong_is_told(tmp_path, typed, told):
    with pytest.raises(ConfigError, match=told):
        resolve_scorer(save_scorer(tmp_path), typed, column="harmful")


def test_what_is_declared_wins_over_the_card_beside_the_weights(tmp_path):
    save_scorer(tmp_path, labels=3, card={"higher_is": "harmful", "label_index": 2, "template": "pair"})
    card = scorer_card(resolve_scorer(tmp_path, {"label_index": 1}, column="harmful"))
    assert (card.label_index, card.higher_is, card.family) == (1, "harmful", "classifier")
    assert scorer_card(tmp_path).label_index == 2


def test_a_form_offers_what_can_be_declared():
    assert {field.name for field in describe(ScorerDeclaration)} <= set(FIELDS)
    assert ScorerDeclaration(higher_is="harmful", label_index=0).said == {
        "higher_is": "harmful",
        "label_index": 0,
    }


def test_a_declaration_without_scorer_is_told():
    with pytest.raises(ConfigError, match="but none is given"):
        resolve_scorer("", "higher_is=harmful", column="harmful")
    assert resolve_scorer("", column="harmful") == ""


def test_labels_that_do_not_exclude_each_other_count_by_the_largest(tmp_path):
    save_scorer(tmp_path, labels=3, card={"higher_is": "harmful", "family": "labels"})
    scorer = load_scorer(tmp_path)
    ids = scorer.tokenizer(PROMPTS[0], RESPONSES[0], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = scorer.model(input_ids=ids).logits.sigmoid()[0]
    scores = scorer.score(PROMPTS[:1], RESPONSES[:1])
    assert scores["harmful"].item() == pytest.approx(expected.max().item(), abs=1e-5)
    assert list(scores["harmful_categories"][0]) == ["LABEL_0", "LABEL_1", "LABEL_2"]


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ({"higher_is": "evil"}, "higher_is is 'evil'; it takes one of"),
        ({"higher_is": "harmful", "mapping": "tanh"}, "mapping is 'tanh'"),
        ({"higher_is": "harmful", "template": "{prompt}"}, "template is"),
        ({"higher_is": "harmful", "label_index": 1}, "1 labels; label_index 1 is not among 0 to 0"),
        ([], "takes one JSON object"),
        ({}, "has no higher_is"),
        ({"higher_is": ["harmful"]}, "higher_is is"),
        ({"higher_is": "harmful", "mapping": {}}, "mapping is {}"),
        ({"higher_is": "harmful", "template": 5}, "template is 5"),
        ({"higher_is": "harmful", "label_index": True}, "label_index is True"),
        ({"higher_is": "harmful", "label_index": 1.0}, "label_index is 1.0"),
        ({"higher_is": "harmful", "mean": "much"}, "mean is 'much'"),
        ({"higher_is": "harmful", "std": 0}, "std is 0"),
        ({"higher_is": "harmful", "std": 10**400}, "std is 1000"),
        ({"higher_is": "harmful", "reference": 3}, "reference is 3"),
        ({"higher_is": "harmful", "reference": [1, None]}, "reference is"),
        ({"higher_is": "harmful", "known_categories": "law"}, "known_categories is 'law'"),
        ({"higher_is": "harmful", "known_categories": [5]}, "known_categories is"),
    ],
)
def test_a_bad_card_is_told(tmp_path, card, told):
    with pytest.raises(ModelError, match=told):
        load_scorer(save_scorer(tmp_path, card=card))


def test_a_folder_that_is_no_classifier_is_told(tmp_path):
    with pytest.raises(ModelError, match="there is no model folder"):
        load_scorer(tmp_path / "nowhere")
    (tmp_path / "scorer.json").write_text('{"higher_is": "harmful"}')
    with pytest.raises(ModelError, match=r"has no config\.json"):
        load_scorer(tmp_path)
    (tmp_path / "scorer.json").write_text("{")
    with pytest.raises(ModelError, match="broken JSON"):
        load_scorer(tmp_path)


def test_a_scorer_knows_the_categories_it_names(tmp_path):
    save_scorer(tmp_path, card={"higher_is": "harmful", "known_categories": ["law"]})
    card = scorer_card(tmp_path)
    assert card.knows("law")
    assert not card.knows("medicine")
    assert ScorerCard("f", "harmful").knows("anything")
