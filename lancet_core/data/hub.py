"""Data sets on the Hub: their files are fetched once and read like a folder of shards; nothing that comes with them is executed."""

from pathlib import Path

from lancet_core.data.reading import READERS
from lancet_core.errors import DataError

_PARTS_OF_AN_ID = (2, 3)


def local_data(given: str | Path) -> Path:
    """Finds a data file or folder, fetching it from the Hub where an id was given.

    Args:
        given: A file or folder, or an id like `organisation/name`, with `/split` behind it where there are several.

    Returns:
        Where it lies; a path that is not there, and is no id, as it was given.

    Raises:
        DataError: The Hub does not give a data set of that name.
    """
    path, parts = Path(given).expanduser(), str(given).split("/")
    is_path = path.exists() or path.parent.is_dir() or str(given).startswith((".", "~"))
    if is_path or len(parts) not in _PARTS_OF_AN_ID or not all(parts) or _names_a_file(parts[-1]):
        return path
    folder = _fetch("/".join(parts[:2]))
    return folder.joinpath(*parts[2:])


def _names_a_file(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(tuple(READERS))


def _fetch(name: str) -> Path:
    """Downloads the files of a data set, or takes them from the local cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = [f"*{ending}{packed}" for ending in READERS for packed in ("", ".gz")]
    try:
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=patterns))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = next(
            (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        raise DataError(
            f"there is no file {name}, and the Hub does not give a data set of that name: {reason}; give a file, or a folder of shards"
        ) from error
