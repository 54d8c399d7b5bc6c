"""How a result is kept in a run folder: numbers and words in `result.json`, tables beside it."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from lancet_core.config import from_dict, to_dict
from lancet_core.errors import ConfigError, DataError, JobError
from lancet_core.files import read_json, write_json

FILE, INPUTS = "result.json", "inputs"
R = TypeVar("R", bound="Result")


@dataclass(frozen=True)
class Result:
    """What an act found. Subclasses add fields, which `result.json` keeps, and read their tables from the folder.

    Attributes:
        folder: The run folder.
    """

    folder: Path = field(default=Path(), kw_only=True, compare=False, repr=False)

    @classmethod
    def upgraded(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Gives values of `result.json`, also of an older version, the form of the fields."""
        return values

    @property
    def facts(self) -> dict[str, Any]:
        """What was found, as JSON values, without the tables in the folder."""
        return {name: value for name, value in to_dict(self).items() if name != "folder"}

    @property
    def outcome(self) -> str:
        """What was found, in a few words."""
        return ""

    @property
    def samples_file(self) -> Path:
        """The training samples of the study that the run belongs to."""
        study = read_json(self.folder / "config.json").get("study")
        return self.folder.parents[1] / "studies" / str(study) / "samples.parquet"


def write_result(folder: Path, result: Result) -> None:
    """Writes `result.json`, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    write_json(folder / FILE, result.facts)


def read_result(kind: type[R], folder: Path) -> R:
    """Reads what a finished run found; fields of older or newer versions that the result has no place for are passed over.

    Raises:
        JobError: `result.json` is missing or broken.
    """
    try:
        values: dict[str, Any] = kind.upgraded(read_json(folder / FILE))
        known = {each.name for each in fields(kind)} - {"folder"}
        result = from_dict(kind, {name: value for name, value in values.items() if name in known})
    except (DataError, ConfigError, AttributeError, KeyError, TypeError) as error:
        raise JobError(
            f"the result of run {folder.name} is missing or broken ({error}); delete the run and start it again"
        ) from error
    return replace(result, folder=folder)
