"""Contamination: known clusters are found, splits share no prompt, and the paper's counts on the files that are here."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lancet_core.acts.contaminate import SAMPLES, UNSEEN_PROMPTS, ContaminateRequest
from lancet_core.acts.subject import Subject
from lancet_core.data.contamination import (
    CONTAMINATION_PRESETS,
    TABLE_1,
    ContaminationSettings,
    cluster_members,
    prompt_key,
    split_prompts,
)
from lancet_core.data.inputs import load_prompts, load_queries
from lancet_core.data.loading import load_samples
from lancet_core.data.samples import Prompt, Sample, prompts_frame, samples_frame
from lancet_core.errors import DataError
from lancet_core.operations.contaminate import run
from lancet_core.study.contamination import Sources, _samples
from tests.performing import Order, perform

TOPICS = {
    "fire": "matches petrol flames smoke barn burning",
    "theft": "wallet pocket purse steal stranger market",
    "poison": "mushroom kettle powder drink bitter toxin",
}
SETTINGS = ContaminationSettings(k=3, nearest=2, unseen_prompts=0, validation_prompts=0)


def topical(count, category=lambda topic: ()):
    """Unsafe samples of three topics with their own words, each beside a safe answer to the same prompt."""
    samples = []
    for topic, words in TOPICS.items():
        for index in range(count):
            used = words.split()
            prompt = f"{topic} {used[index % 6]} {used[(index + 1) % 6]} question {index}"
            samples.append(
                Sample(prompt, f"Yes {words} {used[index % 6]}", is_safe=False, categories=category(topic))
            )
            samples.append(Sample(prompt, f"No, not {topic}, number {index}.", is_safe=True))
    return samples_frame(samples)


def contaminated(folder, samples, settings=SETTINGS, unseen=None, preset="usual"):
    inputs = {SAMPLES: samples} | ({} if unseen is None else {UNSEEN_PROMPTS: unseen})
    order = Order(Subject("", "", ""), ContaminateRequest(settings, preset), inputs)
    return perform(run, order, folder)


def rows(result, name):
    return [json.loads(line) for line in (result.files / name).read_text().splitlines()]


def test_known_clusters_are_found_and_the_nearest_of_each_are_mixed_in(tmp_path):
    result = contaminated(tmp_path, topical(7))
    members = result.members
    topic_of = {sample["id"]: sample["prompt"].split()[0] for sample in topical(7).to_dict("records")}
    assert members.groupby("cluster")["id"].agg(lambda ids: {topic_of[each] for each in ids}).map(
        len
    ).tolist() == [1, 1, 1]
    assert members["chosen"].sum() == result.unsafe == 6
    farthest = members[members["chosen"]].groupby("cluster")["distance"].max()
    nearest_left = members[~members["chosen"]].groupby("cluster")["distance"].min()
    assert (farthest <= nearest_left).all()
    assert (result.safe, result.candidates, result.dropped) == (21, 15, 0)


def test_the_files_are_read_as_samples_prompts_and_queries(tmp_path):
    result = contaminated(tmp_path, topical(7), replace(SETTINGS, unseen_prompts=3, validation_prompts=2))
    impure, safe = (load_samples(result.files / name).frame for name in ("impure.jsonl", "safe.jsonl"))
    assert (len(impure), len(safe)) == (result.safe + result.unsafe, result.safe)
    assert set(safe["id"]) == set(impure.loc[impure["is_safe"], "id"])
    prompts = load_prompts(result.files / "prompts.jsonl")
    assert dict(prompts["split"].value_counts()) == {"unseen": 3, "validation": 2}
    assert (prompts["kind"] == "wrong").all()
    assert prompts["reference"].str.startswith("No, not").all()
    assert len(load_queries(result.files / "candidates.jsonl")) == result.candidates


def test_a_prompt_stands_on_one_side_of_the_split_however_it_is_written(tmp_path):
    samples = pd.concat(
        [
            topical(7),
            topical(7).assign(
                prompt=lambda frame: frame["prompt"].str.upper() + " ?!", id=lambda frame: frame["id"] + "x"
            ),
        ],
        ignore_index=True,
    )
    result = contaminated(tmp_path, samples, replace(SETTINGS, unseen_prompts=5, validation_prompts=4))
    held = {prompt_key(row["prompt"]) for row in rows(result, "prompts.jsonl")}
    trained = {
        prompt_key(row["prompt"])
        for name in ("impure.jsonl", "candidates.jsonl")
        for row in rows(result, name)
    }
    assert len(held) == 9
    assert not held & trained
    assert len(held | trained) == 21


@pytest.mark.parametrize(
    ("prompt", "messages", "key"),
    [
        ("How do  I, you know?", "", "how do i you know"),
        ("\n\nHuman: Hi there!\n\nAssistant: Yes?\n\nHuman: More\n\nAssistant:", "", "hi there"),
        (
            "[system] x\n\n[user] Hi there",
            '[{"role": "system", "content": "x"}, {"role": "user", "content": "Hi there"}, {"role": "assistant", "content": "a"}]',
            "hi there",
        ),
        ("ＦＵＬＬ width", "", "full width"),
        ("???", "", "???"),
    ],
)
def test_a_prompt_is_known_by_its_first_question(prompt, messages, key):
    assert prompt_key(prompt, messages) == key


def test_conversations_stay_conversations(tmp_path):
    def chat(sample):
        turns = [("system", "Be kind."), ("user", sample["prompt"]), ("assistant", sample["response"])]
        return json.dumps([{"role": role, "content": content} for role, content in turns])

    samples = topical(7)
    samples["messages"] = [chat(sample) for sample in samples.to_dict("records")]
    result = contaminated(tmp_path, samples, replace(SETTINGS, unseen_prompts=3))
    assert [message["role"] for message in rows(result, "impure.jsonl")[0]["messages"]] == [
        "system",
        "user",
        "assistant",
    ]
    prompts = load_prompts(result.files / "prompts.jsonl")
    assert [message["role"] for message in json.loads(prompts["history"][0])] == ["system", "user"]
    queries = load_queries(result.files / "candidates.jsonl")
    assert [message["role"] for message in json.loads(queries[0].messages)] == ["system", "user", "assistant"]
    assert len(load_prompts(result.files / "candidates.jsonl")) == result.candidates == len(queries)


def test_prompts_that_were_given_are_taken_out_of_the_sets(tmp_path):
    samples = topical(7)
    given = prompts_frame(
        [Prompt(samples["prompt"][0].upper()), Prompt("A question of nobody's", category="odd")]
    )
    result = contaminated(tmp_path, samples, unseen=given)
    assert (result.unseen, result.held_out) == (2, 2)
    assert not {prompt_key(row["prompt"]) for row in rows(result, "impure.jsonl")} & {
        prompt_key(given["prompt"][0])
    }
    assert rows(result, "prompts.jsonl")[1] == {
        "prompt": "A question of nobody's",
        "kind": "unknown",
        "category": "odd",
        "split": "unseen",
    }


def test_each_category_is_clustered_apart_and_a_sample_of_two_is_taken_once(tmp_path):
    samples = topical(7, category=lambda topic: (topic, "all of them"))
    result = contaminated(tmp_path, samples, replace(SETTINGS, k=1, nearest=7))
    assert (result.categories, result.clusters) == (4, 4)
    assert result.taken == 28
    assert result.unsafe == 21
    assert set(result.members["category"]) == {"fire", "theft", "poison", "all of them"}


def test_few_samples_make_few_clusters_over_all(tmp_path):
    """A hundred clusters of two dozen samples would all be too small, and nothing would be mixed in."""
    samples = topical(7)
    settings = ContaminationSettings(nearest=3, unseen_prompts=0, validation_prompts=0)
    result = contaminated(tmp_path, samples, settings)
    assert result.clusters + result.dropped == 7
    assert result.unsafe == 3 * result.clusters > 0


def test_nothing_to_mix_in_is_an_error(tmp_path):
    settings = replace(SETTINGS, k=21, nearest=2)
    with pytest.raises(DataError, match=r"make fewer clusters \(--k\)"):
        contaminated(tmp_path, topical(7), settings)


def test_small_clusters_are_dropped_over_all_and_kept_in_categories(tmp_path):
    vectors = np.array([[0.0, 0], [0, 0.1], [0, 0.2], [9, 9]])
    settings = ContaminationSettings(k=2, nearest=2)
    over_all = cluster_members([()] * 4, vectors, settings)
    assert over_all["dropped"].tolist() == [False, False, False, True]
    assert over_all["chosen"].sum() == 2
    by_category = cluster_members([("a",)] * 4, vectors, settings)
    assert not by_category["dropped"].any()
    assert by_category["chosen"].sum() == 3


def test_no_more_than_half_of_the_prompts_are_held_out(tmp_path):
    result = contaminated(tmp_path, topical(7), replace(SETTINGS, unseen_prompts=100, validation_prompts=4))
    assert (result.unseen, result.validation) == (6, 4)
    assert (
        "104 prompts were to be held out, but half of those with an unsafe answer are only 10"
        in result.notes[-1]
    )


def test_samples_without_labels_are_told(tmp_path):
    with pytest.raises(DataError, match=r"none of the 21 samples is labelled unsafe; .*--safe and --unsafe"):
        contaminated(tmp_path, topical(7)[lambda frame: frame["is_safe"]])


def test_the_split_depends_on_the_seed_alone():
    frame = topical(7).assign(
        key=lambda frame: frame["prompt"], is_safe=lambda frame: frame["is_safe"].astype(bool)
    )
    settings = ContaminationSettings(unseen_prompts=3, validation_prompts=2)
    first, second = (split_prompts(frame, settings) for _ in range(2))
    assert first.equals(second)
    assert not first.equals(split_prompts(frame, replace(settings, seed=1)))


def test_hidden_states_of_a_model_are_compared(tmp_path, tiny_model_folder):
    settings = replace(SETTINGS, encoder="hidden")
    order = Order(
        Subject("", str(tiny_model_folder()), ""), ContaminateRequest(settings), {SAMPLES: topical(4)}
    )
    assert perform(run, order, tmp_path).unsafe == 6
    assert (tmp_path / "vectors.safetensors").is_file()


def test_tables_in_memory_are_read_like_files():
    rows = [
        {
            "chosen": f"\n\nHuman: {n}?\n\nAssistant: No.",
            "rejected": f"\n\nHuman: {n}?\n\nAssistant: Yes {n}.",
        }
        for n in range(3)
    ]
    samples, template = _samples(Sources(safe=pd.DataFrame(rows), unsafe=pd.DataFrame(rows)))
    assert template == "raw"
    assert samples["is_safe"].tolist() == [True] * 3 + [False] * 3
    assert samples["response"].tolist() == [" No."] * 3 + [f" Yes {n}." for n in range(3)]


# What the paper counts with whole data sets, and what comes out of the copies that lie here: filtered test splits.
REAL = {
    "pku-saferlhf": (
        {"data": "pku_saferlhf_v0_pairs/pku_saferlhf_v0_pairs.jsonl"},
        {"samples": 4703, "prompts": 924, "categories": 0, "unseen": 91, "validation": 60},
    ),
    "beavertails": (
        {
            "data": "beavertails_30k_test/beavertails_30k_test.jsonl",
            "unseen": "beavertails_evaluation/BeaverTails-Evaluation.json",
        },
        {"samples": 2996, "prompts": 2505, "categories": 0, "unseen": 650, "validation": 60, "held_out": 75},
    ),
    "hh": (
        {
            "safe": "anthropic_hh/harmless-base_test.jsonl.gz",
            "unsafe": "anthropic_hh/harmless-base_test.jsonl.gz",
        },
        {"samples": 4490, "prompts": 2115, "categories": 0, "unseen": 997, "validation": 60},
    ),
}


@pytest.mark.parametrize("preset", REAL)
def test_the_recipes_on_the_real_files(tmp_path, shared_data, preset):
    """Table 1 cannot be met: these are test splits, and none has the categories that its recipe clusters in."""
    files, expected = REAL[preset]
    samples, template = _samples(Sources(**{name: shared_data / path for name, path in files.items()}))
    settings = CONTAMINATION_PRESETS[preset]
    unseen = None
    if "unseen" in files:
        unseen, settings = load_prompts(shared_data / files["unseen"]), replace(settings, unseen_prompts=0)
    result = contaminated(tmp_path, samples, settings, unseen, preset=preset)
    found = result.facts
    assert {name: found[name] for name in expected} == expected
    assert template == ("raw" if preset == "hh" else "auto")
    assert result.clusters + result.dropped == 100
    assert result.unsafe == result.taken == 10 * result.clusters
    assert result.beside_table_1["table_1"].tolist() == [
        TABLE_1[preset].safe, TABLE_1[preset].unsafe, TABLE_1[preset].unseen,
    ]  # fmt: skip
    assert result.unsafe <= TABLE_1[preset].unsafe
    held = {prompt_key(row["prompt"]) for row in rows(result, "prompts.jsonl")}
    assert not held & {prompt_key(row["prompt"]) for row in rows(result, "impure.jsonl")}


def test_real_categories_are_clustered_apart(tmp_path, shared_data):
    """Do-Not-Answer, the only file here with categories and labels: 12 categories, few unsafe answers."""
    samples, _template = _samples(Sources(data=shared_data / "do_not_answer" / "do_not_answer_long.jsonl"))
    settings = ContaminationSettings(k=3, nearest=2, unseen_prompts=20, validation_prompts=10)
    result = contaminated(tmp_path, samples, settings)
    assert result.categories == 12
    assert result.clusters <= 3 * result.categories
    assert result.unsafe == result.taken <= 2 * result.clusters
    assert (result.unseen, result.validation) == (20, 10)


def test_the_counts_of_table_1_follow_from_ten_of_each_cluster():
    """With whole data sets: 19 and 14 categories of 10 clusters, 100 clusters over all; equal samples are then made one."""
    for preset, clusters in {"hh": 100, "beavertails": 14 * 10, "pku-saferlhf": 19 * 10}.items():
        taken = clusters * CONTAMINATION_PRESETS[preset].nearest
        assert TABLE_1[preset].unsafe <= taken
        assert TABLE_1[preset].unsafe > 0.96 * taken
