"""Options come from settings dataclasses: names, types, ranges, defaults and help."""

import json
from dataclasses import dataclass
from typing import Literal

import pytest
import typer

from lancet_core.cli.options import (
    GroupedCommand,
    JsonOption,
    MethodOption,
    influence_from,
    number_or_all,
    preset_from,
    settings_from,
    with_settings,
    with_workspace,
)
from lancet_core.cli.output import print_line
from lancet_core.config import setting
from lancet_core.errors import ConfigError
from lancet_core.influence.methods import METHODS
from lancet_core.influence.presets import USUAL, preset
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.workspace import Workspace


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
    @with_settings(Tray, prefix="tray-", of_preset=True)
    @with_settings(Oven)
    def bake(name: str = "bread", tray: Literal["usual", "high"] = "usual", *, values):
        chosen = preset_from({"usual": Tray(), "high": Tray(slot=4)}, tray, values, "tray-")
        baked.append((name, settings_from(Oven, values), chosen))

    def call(*arguments):
        typer.main.get_command(app).main(args=list(arguments), standalone_mode=False)
        return baked[-1]

    return call


def test_defaults_are_those_of_the_dataclass(bake):
    assert bake() == ("bread", Oven(), Tray())


def test_options_that_are_left_out_leave_what_the_preset_has(bake):
    assert bake("--tray", "high", "--tray-heat", "90") == ("bread", Oven(), Tray(heat=90.0, slot=4))


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


def test_options_of_nested_settings_leave_what_the_preset_has():
    """Each option alone changes its own setting, under every preset."""
    seen = []
    app = typer.Typer()

    @app.command(cls=GroupedCommand)
    @with_settings(InfluenceSettings, everyday=("recall",))
    def ask(method: MethodOption = USUAL, *, values):
        seen.append(influence_from(method, values))

    def call(*arguments):
        typer.main.get_command(app).main(args=list(arguments), standalone_mode=False)
        return seen[-1]

    assert call() == preset()
    for flag in ("--method", "--preset"):
        assert [call(flag, name) for name in METHODS] == [preset(name) for name in METHODS]
    given = {
        "--damping": ("0.5", {"damping": 0.5}),
        "--head": (None, {"head": True}),
        "--no-head": (None, {"head": False}),
        "--candidates": ("7", {"candidates": 7}),
        "--factor-samples": ("all", {"factor_samples": 0}),
        "--recall-text": ("prompt", {"recall_text": "prompt"}),
        "--dtype": ("bfloat16", {"dtype": "bfloat16"}),
    }
    for option, (value, changes) in given.items():
        arguments = (option,) if value is None else (option, value)
        for name in METHODS:
            assert call("--method", name, *arguments) == preset(name, **changes)
    with pytest.raises(typer.BadParameter):
        call("--damping", "-1")


def test_help_lists_everyday_options_first_and_the_rest_by_part(lancet):
    code, out, _err = lancet("attribute", "--help")
    assert code == 0
    lines = out.splitlines()
    titles = [line.rstrip(":") for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles[:2] == ["Arguments", "Options"]
    assert set(titles[2:]) == {"Units", "Curvature", "Solve", "Compute", "Recall", "Score"}
    everyday = lines[lines.index("Options:") : lines.index("Units:")]
    for option in (
        "--prompt",
        "--response",
        "--queries",
        "--method, --preset",
        "--recall",
        "--candidates",
        "--json",
    ):
        assert any(line.strip().startswith(option) for line in everyday), option


def test_help_of_attribute_fits_two_screens(lancet, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert lancet("attribute", "--help")[1].count("\n") <= 90


@with_workspace
def show(workspace: Workspace, word: str = "tea"):
    yield {"word": word, "folder": str(workspace.folder)}
    print_line(f"{word} for people")


@with_workspace
def ask(workspace: Workspace, word: str = "tea", as_json: JsonOption = False):
    """Streams, and so decides by itself what it prints."""
    print_line(
        json.dumps({"word": word, "folder": str(workspace.folder)}) if as_json else f"{word} for people"
    )


@pytest.mark.parametrize("command", [show, ask])
def test_a_command_prints_its_document_or_something_for_people(command, tmp_path, capfd):
    app = typer.Typer()
    app.command()(command)
    given = ["--word", "milk", "--workspace", str(tmp_path / "here")]
    for more, read, printed in (
        ([], str.strip, "milk for people"),
        (["--json"], json.loads, {"word": "milk", "folder": str(tmp_path / "here")}),
    ):
        typer.main.get_command(app).main(args=[*given, *more], standalone_mode=False)
        assert read(capfd.readouterr().out) == printed
