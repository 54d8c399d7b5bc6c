"""Settings nested by what they decide: names, keys of what depends on them, and presets against the table in the docs."""

from pathlib import Path

import pytest

from lancet_core.config import REQUIRED, changed, describe, differences, from_dict, to_dict
from lancet_core.correction.settings import (
    PAPER_CORRECTION,
    PAPER_PAIRS,
    CorrectionSettings,
    PairSettings,
)
from lancet_core.errors import ConfigError
from lancet_core.influence.methods import GRADIENT_METHODS, METHODS
from lancet_core.influence.presets import PAPER_CLUSTERS, PRESETS, preset
from lancet_core.influence.settings import ClusterSettings, InfluenceSettings

SETTINGS = {each.name: each for each in describe(InfluenceSettings)}
PAGE = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")


def another_value(setting):
    """A valid value that is not the usual one."""
    usual = differences(preset(), preset()).get(setting.name)
    for field in setting.path:
        usual = getattr(usual if usual is not None else preset(), field)
    if setting.kind is bool:
        return not usual
    if setting.choices:
        return next(choice for choice in setting.choices if choice != usual)
    return (usual or 1) + 1


def tables():
    """The tables of the page: header and rows, as lists of cells."""
    found, last = [], ""
    for line in PAGE.splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if line.startswith("|") and not last.startswith("|"):
            found.append((cells, []))
        elif line.startswith("|") and set(line) - set("|- "):
            found[-1][1].append(cells)
        last = line
    return found


def written(value):
    """A value as the page writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def values_of(settings):
    """Every value by its name."""
    values = {}
    for each in describe(type(settings)):
        value = settings
        for field in each.path:
            value = getattr(value, field)
        values[each.name] = value
    return values


def test_every_setting_has_a_name_of_its_own():
    names = [each.name for each in describe(InfluenceSettings)]
    assert len(set(names)) == len(names) > 15


@pytest.mark.parametrize("name", SETTINGS)
def test_one_setting_is_changed_and_nothing_else(name):
    value = another_value(SETTINGS[name])
    other = changed(preset(), **{name: value})
    assert differences(other, preset()) == {name: value}
    assert changed(other, **differences(preset(), other)) == preset()
    assert from_dict(InfluenceSettings, to_dict(other)) == other


@pytest.mark.parametrize("name", SETTINGS)
def test_keys_follow_the_parts_that_they_depend_on(name):
    """Factors: units, curvature and precision; whitened gradients: the damping too; neither recall, scores nor the machine."""
    other = changed(preset(), **{name: another_value(SETTINGS[name])})
    of_factors = SETTINGS[name].path[0] in {"units", "curvature"} or name == "dtype"
    of_gradients = of_factors or SETTINGS[name].path[0] == "solve"
    assert (other.factor_key != preset().factor_key) == of_factors
    assert (other.gradient_key != preset().gradient_key) == of_gradients


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"magic": 1}, "no setting 'magic'; known settings: candidates, "),
        ({"method": "ekfac"}, "no setting 'method'"),
        ({"recall": "magic"}, "recall is 'magic'; it takes one of tfidf, bm25, index, all"),
        ({"damping": -1.0}, "damping is -1.0; the smallest accepted value is 0.0"),
        ({"head": "yes"}, "head is 'yes'; it takes true or false"),
        ({"last_blocks": 1.5}, "last_blocks is 1.5; it takes a whole number"),
    ],
)
def test_what_is_not_accepted_is_named(values, words):
    with pytest.raises(ConfigError, match=words):
        preset(**values)


def test_an_unknown_method_is_named():
    with pytest.raises(ConfigError, match="no method 'magic'; known are linfac-head, "):
        preset("magic")
    with pytest.raises(ConfigError, match="no method 'magic'; known are linfac-head, "):
        from_dict(InfluenceSettings, {**to_dict(preset()), "method": "magic"})


def test_presets_are_complete_and_named():
    assert list(PRESETS) == list(METHODS)
    assert all(settings.method == name for name, settings in PRESETS.items())
    assert REQUIRED not in values_of(preset()).values()


@pytest.mark.parametrize("method", METHODS)
def test_the_page_has_every_preset_with_its_values(method):
    header, rows = tables()[0]
    (row,) = [row for row in rows if row[0] == method]
    if method not in GRADIENT_METHODS:
        header, row = header[:3], row[:3]
    values = values_of(PRESETS[method])
    assert dict(zip(header[1:], row[1:], strict=True)) == {name: written(values[name]) for name in header[1:]}


def test_the_page_has_every_value_that_differs_between_presets():
    shown = set(tables()[0][0])
    for method in GRADIENT_METHODS:
        assert set(differences(PRESETS[method], PRESETS["paper"])) <= shown


def test_the_page_has_the_values_that_all_presets_share():
    _, rows = tables()[1]
    shown = set(tables()[0][0])
    values = values_of(preset())
    assert {row[0]: row[1] for row in rows} == {
        name: written(value) for name, value in values.items() if name not in shown
    }


@pytest.mark.parametrize("method", [method for method in GRADIENT_METHODS if method != "paper"])
def test_the_page_says_where_each_preset_departs_from_the_paper(method):
    _, rows = tables()[2]
    (told,) = [row[1] for row in rows if row[0] == method]
    own = set(differences(PRESETS[method], PRESETS["paper"])) - {"candidates"}
    assert {name.strip("`") for name in told.split(", ")} == own


@pytest.mark.parametrize(
    ("number", "paper", "usual"),
    [
        (3, PAPER_PAIRS, PairSettings()),
        (4, PAPER_CORRECTION, CorrectionSettings()),
        (5, PAPER_CLUSTERS, ClusterSettings(k=1, encoder="tfidf")),
    ],
)
def test_the_page_has_what_the_paper_chooses_beside_our_defaults(number, paper, usual):
    _, rows = tables()[number]
    values, defaults = values_of(paper), values_of(type(usual)())
    assert set(differences(paper, usual)) <= {row[0] for row in rows}
    for name, printed, ours, *_why in rows:
        assert (printed, ours) == (written(values[name]), written(defaults[name]))
