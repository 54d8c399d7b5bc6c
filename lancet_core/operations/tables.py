"""Tables of results, written whole or not at all."""

from pathlib import Path

import pandas as pd


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Writes a table beside its place and moves it there, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    frame.to_parquet(unfinished, index=False)
    unfinished.replace(path)
