"""Runs side by side: in which settings they differ, and what each of them found."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

LONGEST_LIST = 3


def flat_settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Writes nested settings as one level: names joined by dots, values as text; long lists by their length."""
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = _written(value)
    return flat


def differing_settings(configs: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Lists the settings in which runs differ.

    Args:
        configs: Run id to settings, nested.

    Returns:
        Column `setting`, then one column of text for each run id.
    """
    return _differing({run_id: flat_settings(config) for run_id, config in configs.items()})


def results_side_by_side(results: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Lists the plain numbers and words that runs found, in the layout of `differing_settings`."""
    plain = {
        run_id: {name: _written(value) for name, value in result.items() if _is_plain(value)}
        for run_id, result in results.items()
    }
    return _table(plain, list(dict.fromkeys(name for values in plain.values() for name in values)))


def _differing(values: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    names = list(dict.fromkeys(name for each in values.values() for name in each))
    return _table(values, [name for name in names if len({each.get(name) for each in values.values()}) > 1])


def _table(values: Mapping[str, Mapping[str, str]], names: Sequence[str]) -> pd.DataFrame:
    columns = {run_id: [each.get(name, "–") for name in names] for run_id, each in values.items()}
    return pd.DataFrame({"setting": list(names), **columns})


def _written(value: Any) -> str:
    if isinstance(value, list | tuple) and (
        len(value) > LONGEST_LIST or any(not _is_plain(item) for item in value)
    ):
        return f"{len(value)} entries"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)
