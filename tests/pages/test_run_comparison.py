"""Settings and results of runs side by side."""

from pages.runs.run_comparison import differing_settings, flat_settings, results_side_by_side


def test_nested_settings_become_one_level() -> None:
    flat = flat_settings(
        {"correction": {"steps": 20, "beta": 0.1}, "queries": [{"prompt": "p"}], "units": ["a", "b"]}
    )
    assert flat == {
        "correction.steps": "20",
        "correction.beta": "0.1",
        "queries": "1 entries",
        "units": "['a', 'b']",
    }


def test_only_differing_settings_are_listed_and_a_missing_one_is_a_dash() -> None:
    table = differing_settings({"a": {"k": 1, "seed": 0}, "b": {"k": 2, "seed": 0, "extra": "x"}})
    assert table.to_dict("records") == [
        {"setting": "k", "a": "1", "b": "2"},
        {"setting": "extra", "a": "–", "b": "x"},
    ]


def test_results_leave_out_what_is_no_plain_value() -> None:
    table = results_side_by_side({"a": {"steps": 20, "terms": {"x": 1}}, "b": {"steps": 30}})
    assert table.to_dict("records") == [{"setting": "steps", "a": "20", "b": "30"}]
