"""Numbers, tables and charts as the documents write them."""

from lancet_core.evaluation.intervals import Interval
from lancet_core.lab.markdown import format_interval, format_number, line_chart, table, table_of


def test_numbers_are_written_as_in_the_documents():
    assert [format_number(value) for value in (0.2914, -0.5, 1.0, 0.9996, -12.25, None)] == [
        ".291", "-.500", "1.000", "1.000", "-12.250", "–",
    ]  # fmt: skip


def test_intervals_follow_their_mean():
    several = Interval(0.5, 0.25, 0.75, 9), Interval(0.5, 0.125, 1.0, 4)
    assert format_interval(*several) == ".500 [.250, .750] [.125, 1.000]"
    assert format_interval(Interval(0.5, None, None, 1)) == ".500"
    assert format_interval() == "–"


def test_a_table_is_markdown():
    cells = ("1", 9000, 0.5, 12.345, None, float("nan"), True)
    lines = table("abcdefg", [cells]).splitlines()
    assert lines[:2] == ["| a | b | c | d | e | f | g |", "| --- | --- | --- | --- | --- | --- | --- |"]
    assert lines[2] == "| 1 | 9,000 | 0.500 | 12.3 |  |  | True |"


def test_a_table_of_rows_has_a_column_for_all_that_any_says():
    rows = [{"a": 1, "b": 2}, {"b": 3, "c": 4}]
    assert table_of(rows) == "| a | b | c |\n| --- | --- | --- |\n| 1 | 2 |  |\n|  | 3 | 4 |"


def test_a_chart_starts_at_nought():
    lines = line_chart("peak MB", [(1000, 1.234), (30_000, 5.0)]).splitlines()
    assert lines[3:6] == ['  x-axis ["1,000", "30,000"]', "  y-axis 0 --> 6.00", "  line [1.23, 5.0]"]
