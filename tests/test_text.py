"""The door to terminal and spreadsheet: what acts or hides becomes a mark, what a person reads stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lancet_core.text import harmless_cell, visible, visible_line, visible_pieces
from tests.hostile_texts import TEXTS, acting

READABLE = {
    "latin": "Größe, naïve – “quoted” … ½ × 3 ≤ 4",
    "hebrew": "שלום עולם",
    "arabic": "مرحبا بالعالم",
    "persian": "می‌خواهم",
    "hindi": "क्‍ष क्ष",
    "chinese": "你好，世界",
    "korean": "안녕하세요",
    "combined": "e\u0301 n\u0303",
    "emoji": "👍🏽 ❤️ 👩‍👩‍👧 🏳️‍🌈 ❤️‍🔥 🧑🏿‍🚀 🇩🇪",
    "lines": "one\ntwo\n",
    "wide blanks": "a\u00a0b\u3000c",
}
# Every character that acts or hides, its neighbours in the emoji and scripts that may keep a joiner, and plain ones.
CHARACTERS = st.characters(exclude_categories=()) | st.sampled_from(
    "".join(TEXTS.values()).replace("x", "") + "".join(READABLE.values())
)
ANY_TEXT = st.text(CHARACTERS)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_nothing_that_acts_or_hides_is_left(text):
    assert acting(visible(text)) == set()
    assert "\n" not in visible_line(text)


@pytest.mark.parametrize("text", READABLE.values(), ids=READABLE)
def test_what_people_read_stays(text):
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("a\r\nb\rc", "a\nb\\rc"),
        ("a\tb", "a    b"),
        ("a\u200db", "a\\u200db"),
        ("👩\u200d", "👩\\u200d"),
    ],
)
def test_the_mark_says_which_character_it_was(text, shown):
    assert visible(text) == shown


@given(ANY_TEXT)
def test_any_text_can_be_printed_and_stays_when_shown_again(text):
    shown = visible(text)
    shown.encode("utf-8")
    assert visible(shown) == shown
    assert acting(shown) <= {ascii("\u200c"), ascii("\u200d")}


@given(st.lists(ANY_TEXT))
def test_pieces_show_what_the_whole_shows_wherever_it_is_cut(pieces):
    assert "".join(visible_pieces(pieces)) == visible("".join(pieces))


def test_pieces_are_shown_as_they_come():
    came = []

    def pieces():
        for piece in ("One ", "two ", "three."):
            yield piece
            came.append(piece)

    stream = visible_pieces(pieces())
    assert (next(stream), came) == ("One ", [])
    assert (next(stream), came) == ("two ", ["One "])


@pytest.mark.parametrize("sign", "=+-@\t\r\n＝＋－＠")
def test_a_text_that_a_spreadsheet_would_compute_is_quoted(sign):
    assert harmless_cell(f"{sign}cmd|' /C calc'!A0") == f"'{sign}cmd|' /C calc'!A0"


@pytest.mark.parametrize("value", ["plain", "a=b", "", "'=x", -1.5, 3, None, True])
def test_other_cells_stay(value):
    assert harmless_cell(value) is value
