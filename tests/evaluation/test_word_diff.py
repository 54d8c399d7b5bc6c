from hypothesis import given
from hypothesis import strategies as st

from lancet_core.evaluation.word_diff import shared_words, word_diff


def test_changed_words_are_marked():
    assert word_diff("Yes, it is wise to go.", "No, it is not wise to go.") == [
        ("removed", "Yes, "),
        ("added", "No, "),
        ("equal", "it is "),
        ("added", "not "),
        ("equal", "wise to go."),
    ]


@given(st.text("ab \n", max_size=30), st.text("ab \n", max_size=30))
def test_the_pieces_give_both_texts_word_by_word(before, after):
    pieces = word_diff(before, after)
    assert "".join(text for kind, text in pieces if kind != "removed") == after
    assert "".join(text for kind, text in pieces if kind != "added").split() == before.split()


def test_a_word_removed_behind_the_last_equal_word_stays_a_word():
    assert word_diff("a a", "a") == [("equal", "a"), ("removed", " a")]


def test_shared_words():
    assert shared_words("No it is not", "no it is not") == 1
    assert shared_words("yes", "no") == 0
