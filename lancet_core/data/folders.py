"""Which files of a folder hold rows, and of which split they are: the layouts that hubs, `datasets` and other tools leave.

| files | split |
|---|---|
| `train-00000-of-00002.parquet`, `train-00001-of-00002-6ef3991c.parquet`, `train.jsonl`, `train_1.jsonl` | `train` |
| `default/train/0000.parquet`, `train/part-00000-3f2a.snappy.parquet` | `train`, after their folder |
| `data/one/train.jsonl`, `data/other/train.jsonl` | `train`, all of them |
"""

import re
from pathlib import Path

STATE_FILE = "state.json"
# What a hub keeps beside the rows of a data set.
_BESIDE_ROWS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", STATE_FILE)
_SPLIT = re.compile(r"train|test|valid|dev|eval", re.IGNORECASE)
_ENDINGS = re.compile(r"(\.\w+)+$")
_NUMBER = re.compile(r"[-_]\d{4,}.*$|[-_]?\d*$")
_LEVELS = ("*", "*/*", "*/*/*")


def splits_of(folder: Path, endings: tuple[str, ...]) -> dict[str, list[Path]]:
    """Finds the files of rows in a folder, in their order, by the split that their names tell.

    Args:
        folder: Its `data` comes before what lies in it, and what lies in it before what lies deeper.
        endings: What the names of such files end in, `.gz` behind it apart.

    Returns:
        Splits to their files; without files where `datasets` saved them in folders of their own.
    """
    for place in (folder / "data", folder):
        for level in _LEVELS:
            found: dict[str, list[Path]] = {}
            for path in sorted(place.glob(level), key=_order):
                if _holds_rows(path, place, endings):
                    found.setdefault(_split_of(path, level), []).append(path)
            if found:
                return found
    return {state.parent.name: [] for state in folder.glob(f"*/{STATE_FILE}")}


def _holds_rows(path: Path, place: Path, endings: tuple[str, ...]) -> bool:
    name = path.name.lower().removesuffix(".gz")
    # Names that begin so are of systems and tools: ._rows.jsonl, _SUCCESS.
    hidden = any(part.startswith((".", "_")) for part in path.relative_to(place).parts)
    is_row_file = name.endswith(endings) and name not in _BESIDE_ROWS and path.is_file()
    # What `datasets` saved is read as its state lists it.
    return is_row_file and not hidden and not (path.parent / STATE_FILE).exists()


def _split_of(path: Path, level: str) -> str:
    """The split of a file: its name without number and ending, or its folder's where that names no split."""
    name = _NUMBER.sub("", _ENDINGS.sub("", path.name), count=1)
    return path.parent.name if level != _LEVELS[0] and not _SPLIT.search(name) else name


def _order(path: Path) -> list[tuple[int, str]]:
    """Sorts `part-2` before `part-10`."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", str(path))]
