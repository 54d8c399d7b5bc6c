"""Recall by TF-IDF, and the tables of scores."""

import numpy as np
import pandas as pd
import pytest

from lancet_core.data.samples import Query
from lancet_core.errors import DataError
from lancet_core.influence.recall import build_tfidf, most_similar, similarities, word_similarities
from lancet_core.influence.results import ends, ends_by_sign, score_table
from lancet_core.influence.words import words_of

SAMPLES = pd.DataFrame(
    {
        "prompt": ["keep the kettle", "keep the kettle", "ask a nurse", "x"],
        "response": ["yes it is wise", "no it is not wise", "she will help", "?"],
    }
)


def test_the_same_text_has_similarity_one_and_no_shared_word_zero():
    index = build_tfidf(SAMPLES)
    (values,) = similarities(index, [("keep the kettle", "yes it is wise")])
    assert values[0] == pytest.approx(1.0, abs=1e-6)
    assert values[2] == 0.0
    assert most_similar(values, 10).tolist() == [0, 1]
    assert most_similar(values, 1).tolist() == [0]


def test_prompts_alone_do_not_see_the_response():
    (values,) = similarities(build_tfidf(SAMPLES, "prompt"), [("keep the kettle", "she will help")])
    assert values[0] == values[1] > 0 == values[2]


def test_an_empty_recall_is_told():
    (values,) = similarities(build_tfidf(SAMPLES), [("zebra", "quagga")])
    with pytest.raises(DataError, match="recall to all"):
        most_similar(values, 5)


def test_samples_without_words_are_told():
    with pytest.raises(DataError, match="no word"):
        build_tfidf(pd.DataFrame({"prompt": ["?"], "response": ["!"]}))


def test_the_table_ranks_and_counts_percentiles():
    table = score_table("q", ["a", "b", "c", "d"], np.array([-2.0, 3.0, 0.0, 0.0]))
    assert table["sample_id"].tolist() == ["b", "c", "d", "a"]
    assert table["rank"].tolist() == [1, 2, 3, 4]
    assert table["percentile"].tolist() == [100.0, 75.0, 75.0, 25.0]
    assert ends(table, 1)["sample_id"].tolist() == ["b", "a"]
    assert len(ends(table, 9)) == 4
    assert ends_by_sign(table, 3)["sample_id"].tolist() == ["b", "a"]


@pytest.mark.parametrize("kind", ["tfidf", "bm25"])
@pytest.mark.parametrize(
    ("samples", "query"),
    [
        (["如何清洗生锈的水壶", "今天的天气怎么样"], "生锈的水壶怎么清洗"),
        (["さびたやかんの洗い方", "今日の天気"], "やかんのさび"),
        (["วิธีล้างกาน้ำ", "อากาศ"], "ล้างกา"),
        (["clean the rusty kettle", "the weather"], "a RUSTY kettle"),
        (["ヤカンの洗い方", "天気"], "ﾔｶﾝを洗う"),
        (["녹슨 주전자를 청소", "오늘 날씨"], "주전자의 녹"),
        (["كيف أنظف غلاية صدئة", "ما حال الطقس"], "تنظيف الغلاية الصدئة"),
        (["كَيْفَ أُنَظِّفُ الغَلَّايَةَ", "الطقس"], "والغلاية"),
        (["איך מנקים קומקום", "מזג האוויר"], "קומקום חלוד"),
        (["जंग लगी केतली", "आज मौसम"], "केतली की जंग"),
        (["Как ОЧИСТИТЬ чайник", "Погода"], "чайник"),
        (["Wie reinige ich Käse", "Das Wetter"], "ka\u0308se"),
        (["what does 🫖 mean", "what does 🚗 mean"], "🫖"),
        (["ＡＢＣ とは", "DEF とは"], "abc"),
    ],
)
def test_words_are_found_in_any_script(kind, samples, query):
    frame = pd.DataFrame({"prompt": samples, "response": ["-", "-"]})
    similarity = word_similarities(kind, frame, [Query(query, "-")], text="prompt+response")
    assert most_similar(similarity[0], 2)[0] == 0


def test_words_of_a_text_are_its_own():
    assert words_of("Clean the RUSTY kettle, 2 x 2.") == ["clean", "the", "rusty", "kettle", "2", "x", "2"]
    assert words_of("生锈的 kettle！") == ["生", "锈", "的", "kettle"]
    assert words_of("केतली साफ") == ["कतल", "सफ"]
    assert words_of("がか") == ["が", "か"]
    assert words_of("👍🏽 !") == ["👍", "🏽"]
    assert words_of("السلام الى") == ["سلام", "الى"]
