"""The tables of the index. Texts of training samples and tensors stay in files; the index names them.

Migrations build these tables (`migrations/versions`); a test compares both.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

HEAD = "0002"
"""Revision of the newest migration; known here so that an up-to-date file is opened without loading Alembic."""

metadata = sa.MetaData()


class Moment(sa.types.TypeDecorator[datetime]):
    """A point in time, kept as ISO text in UTC: SQLite has no type for it."""

    impl = sa.String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> str | None:
        """Turns a time with zone into text."""
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: Any) -> datetime | None:
        """Turns text into a time with zone."""
        return None if value is None else datetime.fromisoformat(value)


def _of_study(*, optional: bool = False, key: bool = False) -> sa.Column[str]:
    reference = sa.ForeignKey("studies.name", ondelete="CASCADE")
    return sa.Column("study", sa.String(64), reference, nullable=optional, primary_key=key)


studies = sa.Table(
    "studies",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("template", sa.Text, nullable=False),
    sa.Column("harmful_scorer", sa.Text, nullable=False),
    sa.Column("helpful_scorer", sa.Text, nullable=False),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

queries = sa.Table(
    "queries",
    metadata,
    _of_study(key=True),
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("response", sa.Text, nullable=False),
    sa.Column("polarity", sa.String(16), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("group", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    _of_study(optional=True),
    sa.Column("operation", sa.String(32), nullable=False),
    sa.Column("key", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("parents", sa.JSON, nullable=False),
    sa.Column("summary", sa.JSON, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Index("runs_by_key", "study", "operation", "key"),
)

pairs = sa.Table(
    "pairs",
    metadata,
    sa.Column("pair_id", sa.String(16), primary_key=True),
    _of_study(),
    sa.Column("run_id", sa.String(64), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("proposed", sa.Boolean, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("cluster", sa.Text, nullable=False),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("positive_id", sa.String(16), nullable=False),
    sa.Column("negative_id", sa.String(16), nullable=False),
    sa.Column("positive_influence", sa.Float, nullable=False),
    sa.Column("negative_influence", sa.Float, nullable=False),
    sa.Column("positive_raw", sa.Float, nullable=False),
    sa.Column("negative_raw", sa.Float, nullable=False),
    sa.Column("decision_id", sa.Integer),
    sa.Index("pairs_by_study", "study", "position"),
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _of_study(),
    sa.Column("pair_id", sa.String(16), sa.ForeignKey("pairs.pair_id", ondelete="CASCADE"), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("reviewer", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("seconds", sa.Float),
    sa.Column("supersedes", sa.Integer),
    sa.Column("bulk", sa.String(16), nullable=False),
    sa.Column("decided_at", Moment, nullable=False),
    sa.Index("decisions_by_pair", "pair_id", "id"),
    sqlite_autoincrement=True,
)
