"""Shares of the exact top that indexes find."""

import numpy as np

from lancet_core.influence.presets import preset
from lancet_core.lab import index_quality
from lancet_core.lab.index_quality import PRINCIPAL, SKETCH

SETTINGS = preset("linfac", recall="all", factor_samples=0, device="cpu")


def test_shares_are_counted_by_hand(monkeypatch):
    """Exact top 2 of either sign: 0, 1 and 5, 4. The index puts 2 before 1, and is right at the other end."""
    monkeypatch.setattr(index_quality, "TOP", 2)
    monkeypatch.setattr(index_quality, "RESCORED", (6,))
    exact = np.array([9.0, 8.0, 7.0, -1.0, -8.0, -9.0])
    near = np.array([9.0, 7.0, 8.0, -1.0, -8.0, -9.0], dtype=np.float32)
    assert index_quality._shares(near, exact) == (0.75, 1.0)


def test_more_dimensions_find_more_and_re_scoring_finds_the_rest(bench, monkeypatch):
    monkeypatch.setattr(index_quality, "TOP", 5)
    monkeypatch.setattr(index_quality, "RESCORED", (20, 60))
    monkeypatch.setattr(index_quality, "SIZES", (4, 60))
    rows = index_quality.measure_index(
        bench, SETTINGS, ((PRINCIPAL, 1 << 18), (PRINCIPAL, 256), (SKETCH, 512))
    )
    best = {(row.kind, row.sketch_dimensions, row.dimensions): row for row in rows}
    whole = best[PRINCIPAL, 1 << 18, 60]
    # As many directions as samples, a far wider sketch than the 4 units × 16 × 16 coordinates.
    assert whole.top.value > 0.95
    assert whole.top.value >= best[PRINCIPAL, 1 << 18, 4].top.value
    assert best[SKETCH, 512, 512].top.value > 0.5
    for row in rows:
        assert row.top.value <= row.rescored[0].value <= row.rescored[1].value
    assert {row.rescored[1].value for row in rows} == {1.0}  # 30 of either sign are all 60 samples
    assert best[PRINCIPAL, 256, 4].bytes_per_sample == 4 + 12
    table = index_quality.index_table(rows)
    assert table.count("\n") == len(rows) + 1
    assert "principal directions" in table
