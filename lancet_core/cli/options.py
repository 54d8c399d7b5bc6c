"""Turns settings dataclasses into command-line options, so that an option is described once: in its field."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from typer.core import TyperCommand

from lancet_core.cli.output import print_json
from lancet_core.config import REQUIRED, Setting, changed, describe, from_dict
from lancet_core.errors import ConfigError
from lancet_core.influence.methods import METHODS
from lancet_core.influence.presets import preset
from lancet_core.influence.settings import InfluenceSettings
from lancet_core.study.study import Study, open_study
from lancet_core.workspace import ENVIRONMENT_VARIABLE, Workspace, open_workspace

T = TypeVar("T")
Command = Callable[..., None]

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace", help=f"Folder of the workspace; unset: {ENVIRONMENT_VARIABLE}, then ~/.lancet."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.")]

MethodOption = Annotated[
    Literal[METHODS],  # type: ignore[valid-type]
    typer.Option(
        "--method",
        "--preset",
        help="Preset of the settings below (docs/presets.md): linfac-head and others by gradients, paper as printed there; tfidf, "
        "bm25: words in common; embedding: hidden states; random: the control.",
    ),
]

PresetOption = Annotated[
    Literal["usual", "paper"],
    typer.Option(
        "--preset", help="What the settings are unless given: our defaults, or the paper's (docs/presets.md)."
    ),
]

ModelOption = Annotated[str, typer.Option(help="Folder of another model than the study's.")]

# Whole numbers of which 0 means all: the command line takes the word too.
TAKES_ALL = ("factor_samples",)
OF_PRESET = "the preset's"
HELP_WIDTH = {"max_content_width": 100}


class GroupedCommand(TyperCommand):
    """A command whose help lists its options by group: its own first, then those of each part of its settings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes one section for each group, in order of its first option."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
            groups.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


def with_workspace(command: Callable[..., Any]) -> Command:
    """Gives a command `--workspace`, and opens what it works in; gives it `--json` where it is a generator.

    Its first parameter is the open `Study`, whose name is an argument on the command line, or the open `Workspace`. A generator
    yields once, the document that `--json` prints; what it prints after that is for people.

    Args:
        command: The function of the command.
    """
    own = inspect.signature(command)
    opens = next(iter(own.parameters.values())).annotation
    has_json = inspect.isgeneratorfunction(command)
    parameters = [
        item.replace(annotation=StudyArgument) if item.annotation is Study else item
        for item in own.parameters.values()
        if item.annotation is not Workspace and item.name != "values"
    ]
    parameters.append(_added("workspace", WorkspaceOption, None))
    parameters += [_added("as_json", JsonOption, False)] if has_json else []
    parameters += [item for item in own.parameters.values() if item.name == "values"]

    @functools.wraps(command)
    def run(*, workspace: Path | None, **arguments: Any) -> None:
        as_json = has_json and arguments.pop("as_json")
        if opens is Study:
            arguments["study"] = open_study(arguments["study"], workspace=workspace)
        if opens is Workspace:
            arguments["workspace"] = open_workspace(workspace)
        outputs = command(**arguments)
        if not has_json:
            return
        document = next(outputs)
        if as_json:
            print_json(document)
            return
        for _ in outputs:  # printed on the way
            pass

    return _with_parameters(run, parameters)


def _added(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _with_parameters(command: Command, parameters: Sequence[inspect.Parameter]) -> Command:
    """Tells Typer, which reads signatures, what a command takes."""
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    return command


def with_settings(
    *classes: type, prefix: str = "", everyday: Collection[str] = (), of_preset: bool = False
) -> Callable[[Command], Command]:
    """Gives a command one option for each field of some settings dataclasses.

    The command takes them as one keyword argument `values`, to be handed to `settings_from` or `preset_from`. Where two classes have a field of the
    same name one option sets both. Options of nested settings stand in a group of their own for each part; left out, they are
    None and leave the value of the preset, as `influence_from` reads them.

    Args:
        *classes: Dataclasses declared with `config.setting`.
        prefix: Put before each name ("pair-" gives `--pair-count`).
        everyday: Names of settings that stand among the command's own options.
        of_preset: Whether options that are left out leave the value of a preset, as `preset_from` reads them.

    Returns:
        A decorator for the function of the command.
    """
    fields: dict[str, Setting] = {}
    for settings_class in classes:
        for field in describe(settings_class):
            fields.setdefault(prefix.replace("-", "_") + field.name, field)
    panel = f"Settings {prefix.rstrip('-')}".rstrip()

    def decorate(command: Command) -> Command:
        others = [item for item in inspect.signature(command).parameters.values() if item.name != "values"]
        taken = {item.name for item in others}
        added = [
            _option(name, field, None if name in everyday else _panel(field, panel), of_preset=of_preset)
            for name, field in fields.items()
            if name not in taken
        ]

        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            gathered = dict(arguments.pop("values", {}))
            gathered.update({item.name: arguments.pop(item.name) for item in added})
            command(**arguments, values=gathered)

        return _with_parameters(run, [*others, *added])

    return decorate


def settings_from(settings_class: type[T], values: Mapping[str, Any]) -> T:
    """Builds settings from the options that a command was given.

    Args:
        settings_class: The dataclass.
        values: What `with_settings` gathered; those of other classes are passed over.

    Returns:
        The settings, each value checked.
    """
    names = [field.name for field in describe(settings_class)]
    return from_dict(settings_class, {name: values[name] for name in names if name in values})


def preset_from(presets: Mapping[str, T], preset_name: str, values: Mapping[str, Any], prefix: str = "") -> T:
    """Takes a preset, with what the options that a command was given change of it.

    Args:
        presets: Names to settings.
        preset_name: The one chosen.
        values: What `with_settings` gathered.
        prefix: The prefix that the options have.
    """
    start, chosen = prefix.replace("-", "_"), presets[preset_name]
    given = {field.name: values.get(start + field.name) for field in describe(type(chosen))}
    return changed(chosen, **{name: value for name, value in given.items() if value is not None})


def influence_from(method: str, values: Mapping[str, Any]) -> InfluenceSettings:
    """Takes the preset of a method, with what the options that a command was given change of it.

    Args:
        method: The method.
        values: What `with_settings` gathered; other settings among them are passed over.
    """
    names = {field.name for field in describe(InfluenceSettings)}
    return preset(
        method, **{name: value for name, value in values.items() if name in names and value is not None}
    )


def _panel(field: Setting, panel: str) -> str:
    """The group of an option: the part that the setting lies in, or that of the whole class."""
    return field.path[0].capitalize() if len(field.path) > 1 else panel


def _option(name: str, field: Setting, panel: str | None, *, of_preset: bool) -> inspect.Parameter:
    flag = "--" + name.replace("_", "-")
    kind: Any = Literal[field.choices] if field.choices else field.kind
    may_miss = of_preset or len(field.path) > 1
    extras: dict[str, Any] = {}
    if field.name in TAKES_ALL:
        kind, extras = int, {"parser": number_or_all, "metavar": "N|all"}
    elif field.kind in (int, float) and not field.choices:
        extras = {"min": field.minimum, "max": field.maximum}
    if may_miss:
        usual = OF_PRESET if field.default is REQUIRED else field.default
        extras["show_default"] = False if usual is None else str(usual)
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if field.kind is bool else flag,
        help=field.help,
        rich_help_panel=panel,
        **extras,
    )
    annotation: Any = Annotated[kind | None if field.optional or may_miss else kind, option]  # type: ignore[valid-type]
    return _added(name, annotation, None if may_miss else field.default)


def number_or_all(text: str) -> int:
    """Reads a whole number, or the word `all`, which is 0.

    Raises:
        ConfigError: It is neither.
    """
    if str(text).strip().lower() == "all":
        return 0
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise ConfigError(f"{text!r} is no amount; accepted are a whole number from 1, and all")
    return number
