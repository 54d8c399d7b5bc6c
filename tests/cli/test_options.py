"""Options come from settings dataclasses: names, types, ranges, defaults and help."""

from dataclasses import dataclass

import pytest
import typer

from lancet_core.cli.options import number_or_all, settings_from, with_settings
from lancet_core.config import setting
from lancet_core.errors import ConfigError


@dataclass(frozen=True)
class Oven:
    heat: float = setting(180.0, "Heat in degrees.", minimum=0, maximum=300)
    mode: str = setting("fan", "Mode.", choices=("fan", "grill"))
    light: bool = setting(False, "Light on.")
    minutes: int | None = setting(None, "Minutes; empty waits for ever.")


@dataclass(frozen=True)
class Tray:
    heat: float = setting(180.0, "Heat in degrees.", minimum=0, maximum=300)
    slot: int = setting(2, "Slot.")


@pytest.fixture
def bake():
    baked = []
    app = typer.Typer()

    @app.command()
    @with_settings(Tray, prefix="tray-")
    @with_settings(Oven)
    def bake(name: str = "bread", *, values):
        baked.append((name, settings_from(Oven, values), settings_from(Tray, values, "tray-")))

    def call(*arguments):
        typer.main.get_command(app).main(args=list(arguments), standalone_mode=False)
        return baked[-1]

    return call


def test_defaults_are_those_of_the_dataclass(bake):
    assert bake() == ("bread", Oven(), Tray())


def test_each_field_has_its_option_and_a_prefix_keeps_equal_names_apart(bake):
    given = (
        "--name",
        "cake",
        "--heat",
        "200",
        "--mode",
        "grill",
        "--light",
        "--minutes",
        "5",
        "--tray-heat",
        "90",
    )
    assert bake(*given) == ("cake", Oven(200.0, "grill", True, 5), Tray(heat=90.0))


@pytest.mark.parametrize(
    "given", [("--heat", "301"), ("--mode", "steam"), ("--minutes", "some"), ("--tray-slot", "x")]
)
def test_values_out_of_range_are_refused(bake, given):
    with pytest.raises(typer.BadParameter):
        bake(*given)


def test_all_is_zero_and_words_are_refused():
    assert [number_or_all(text) for text in ("all", "ALL", "0", "7")] == [0, 0, 0, 7]
    for text in ("-1", "some", "1.5"):
        with pytest.raises(ConfigError, match="no amount"):
            number_or_all(text)
