"""Columns of tables, so that the same thing looks the same on each screen."""

from typing import Any

import streamlit as st


def text(label: str, *, width: int | None = None, help: str | None = None) -> Any:
    """A column of plain text, or of numbers that `numbers` wrote: tables write text as text, so that training text is safe."""
    return st.column_config.TextColumn(label, width=width, help=help)


def count(label: str, *, help: str | None = None, width: int | None = 90) -> Any:
    """A column of whole numbers."""
    return st.column_config.NumberColumn(label, format="localized", help=help, width=width)


def share(label: str, *, help: str | None = None, width: int | None = 130) -> Any:
    """A column of values between 0 and 1 as bars."""
    return st.column_config.ProgressColumn(
        label, format="percent", min_value=0.0, max_value=1.0, help=help, width=width
    )


def moment(label: str, *, help: str | None = None) -> Any:
    """A column of times, as a distance from now."""
    return st.column_config.DatetimeColumn(label, format="distance", help=help, width=130)


def show(frame: Any, columns: dict[str, Any], *, key: str, height: int | None = None) -> Any:
    """Draws the columns named, in their order, without an index.

    Args:
        frame: A DataFrame.
        columns: Column name to its configuration (from the functions above).
        key: Name of the table on the screen.
        height: In pixels; as tall as its rows, at most ten, where it is None.
    """
    return st.dataframe(
        frame,
        column_order=list(columns),
        column_config=columns,
        hide_index=True,
        key=key,
        height=height if height is not None else "auto",
    )


def pick(frame: Any, columns: dict[str, Any], *, key: str, id_column: str) -> str | None:
    """Draws a table whose rows open by a click in any cell.

    Args:
        frame: A DataFrame with `id_column`.
        columns: Column name to its configuration.
        key: Name of the table on the screen.
        id_column: Column whose value is returned.

    Returns:
        Id of the row that is selected, None where none is.
    """
    event = st.dataframe(
        frame,
        column_order=list(columns),
        column_config=columns,
        hide_index=True,
        key=key,
        on_select="rerun",
        selection_mode="single-cell",
    )
    cells = event["selection"]["cells"]
    return str(frame.iloc[cells[0][0]][id_column]) if cells else None
