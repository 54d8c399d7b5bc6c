"""Turns settings dataclasses into command-line options, so that an option is described once: in its field."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from lancet_core.config import Setting, describe, from_dict
from lancet_core.errors import ConfigError
from lancet_core.workspace import ENVIRONMENT_VARIABLE

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

# Whole numbers of which 0 means all: the command line takes the word too.
TAKES_ALL = ("factor_samples",)


def with_settings(
    *classes: type, prefix: str = "", without: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Gives a command one option for each field of some settings dataclasses.

    The command takes them as one keyword argument `values`, to be handed to `settings_from`. Where two classes have a
    field of the same name one option sets both.

    Args:
        *classes: Dataclasses declared with `config.setting`.
        prefix: Put before each name ("pair-" gives `--pair-count`).
        without: Names of fields that are no matter of the command: they get no option and keep their default.

    Returns:
        A decorator for the function of the command.
    """
    fields: dict[str, Setting] = {}
    for settings_class in classes:
        for field in describe(settings_class):
            if field.name in without:
                continue
            fields.setdefault(prefix.replace("-", "_") + field.name, field)
    panel = f"Settings {prefix.rstrip('-')}".rstrip()

    def decorate(command: Command) -> Command:
        own = inspect.signature(command)
        kept = [item for item in own.parameters.values() if item.name != "values"]
        taken = {item.name for item in kept}
        added = [_option(name, field, panel) for name, field in fields.items() if name not in taken]

        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            gathered = dict(arguments.pop("values", {}))
            gathered.update({item.name: arguments.pop(item.name) for item in added})
            command(**arguments, values=gathered)

        parameters = [*kept, *added]
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in parameters}
        return run

    return decorate


def settings_from(settings_class: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """Builds settings from the options that a command was given.

    Args:
        settings_class: The dataclass.
        values: What `with_settings` gathered.
        prefix: The prefix its options have.

    Returns:
        The settings, each value checked.
    """
    start = prefix.replace("-", "_")
    names = [field.name for field in describe(settings_class)]
    chosen = {name: values[start + name] for name in names if start + name in values}
    return from_dict(settings_class, chosen)


def _option(name: str, field: Setting, panel: str) -> inspect.Parameter:
    flag = "--" + name.replace("_", "-")
    kind: Any = Literal[field.choices] if field.choices else field.kind
    extras: dict[str, Any] = {}
    if field.name in TAKES_ALL:
        kind, extras = int, {"parser": number_or_all, "metavar": "N|all"}
    elif field.kind in (int, float) and not field.choices:
        extras = {"min": field.minimum, "max": field.maximum}
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if field.kind is bool else flag,
        help=field.help,
        rich_help_panel=panel,
        **extras,
    )
    annotation: Any = Annotated[kind | None if field.optional else kind, option]  # type: ignore[valid-type]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation
    )


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
