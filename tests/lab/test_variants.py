import pytest

from lancet_core.config import from_dict, to_dict
from lancet_core.errors import ConfigError
from lancet_core.influence.methods import CORRECTED, GRADIENT_METHODS, KRONECKER, METHODS
from lancet_core.influence.presets import PRESETS
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.lab.variants import VARIANTS, chosen_settings


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_valid_settings_of_a_gradient_method(name):
    settings = VARIANTS[name]
    assert from_dict(InfluenceSettings, to_dict(settings)) == settings
    assert settings.method in GRADIENT_METHODS
    assert name.startswith(f"{settings.method}, ")
    assert settings != PRESETS[settings.method]


def test_no_two_variants_are_the_same():
    assert len({str(to_dict(settings)) for settings in VARIANTS.values()}) == len(VARIANTS)


def test_every_method_is_measured_over_the_whole_corpus():
    rows = chosen_settings(METHODS, variants=True)
    assert list(rows)[: len(METHODS)] == list(METHODS)
    assert set(rows) == {*METHODS, *VARIANTS}
    assert {settings.recall.kind for settings in rows.values()} == {"all"}


def test_variants_of_other_methods_stay_out():
    rows = chosen_settings(["graddot", "tfidf"], variants=True)
    assert {settings.method for settings in rows.values()} == {"graddot", "tfidf"}
    assert len(rows) > 2


def test_variants_are_chosen_by_a_part_of_their_name():
    rows = chosen_settings(["ekfac"], variants=True, named="as linfac-head")
    assert list(rows) == [
        "ekfac",
        *(f"ekfac, {kind}, all else as linfac-head" for kind in (CORRECTED, KRONECKER)),
    ]
    assert chosen_settings(["ekfac"], named="as linfac-head") == rows
    with pytest.raises(ConfigError, match="holds 'magic'; known are ekfac, "):
        chosen_settings(["ekfac"], variants=True, named="magic")


@pytest.mark.parametrize(("methods", "named"), [(["linfac", "magic"], "magic"), ([], "nothing")])
def test_an_unknown_method_is_named(methods, named):
    with pytest.raises(ConfigError, match=f"{named} is no method .* linfac"):
        chosen_settings(methods)
