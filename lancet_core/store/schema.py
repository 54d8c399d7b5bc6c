"""The tables of the index. Texts of training samples and tensors stay in files; the index names them."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

HEAD = "0004"
"""Newest schema; `migration` brings older files up to it."""

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


def _text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, primary_key=key)


version = sa.Table("alembic_version", metadata, sa.Column("version_num", sa.String(32), primary_key=True))
"""Schema of the file, under the name that versions before 0003 look for."""

studies = sa.Table(
    "studies",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    _text("model"),
    _text("template"),
    _text("harmful_scorer"),
    _text("helpful_scorer"),
    _text("dtype"),
    _text("device"),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

queries = sa.Table(
    "queries",
    metadata,
    _of_study(key=True),
    sa.Column("id", sa.String(16), primary_key=True),
    _text("prompt"),
    _text("response"),
    _text("messages"),
    sa.Column("polarity", sa.String(16), nullable=False),
    _text("source"),
    _text("category"),
    _text("group"),
    sa.Column("created_at", Moment, nullable=False),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    _of_study(optional=True),
    sa.Column("act", sa.String(32), nullable=False),
    sa.Column("key", sa.String(16), nullable=False),
    _text("case_id"),
    _text("title"),
    sa.Column("state", sa.String(16), nullable=False),
    _text("outcome"),
    sa.Column("parents", sa.JSON, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Index("runs_by_key", "study", "act", "key"),
    sa.Index("runs_by_case", "study", "case_id"),
)

run_queries = sa.Table(
    "run_queries",
    metadata,
    sa.Column(
        "run_id",
        sa.String(64),
        sa.ForeignKey("runs.id", ondelete="CASCADE"),
        primary_key=True,
        nullable=False,
    ),
    sa.Column("position", sa.Integer, primary_key=True, nullable=False),
    sa.Column("query_id", sa.String(16), nullable=False),
    _text("group"),
    sa.Index("run_queries_by_query", "query_id", "run_id"),
)
"""Which queries a run worked on; `group` names the batch, and is the query's own id where it was attributed alone."""

reviews = sa.Table(
    "reviews",
    metadata,
    _of_study(key=True),
    _text("case_id", key=True),
    sa.Column("run_id", sa.String(64), nullable=False),
    sa.Column("corpus_run_id", sa.String(64), nullable=False),
    sa.Column("sent_at", Moment, nullable=False),
)
"""The attribution that a case was sent to review with, and the one over the whole corpus that the retain set is chosen by (empty
where there was none); an empty case stands for all query clusters of the study."""

pairs = sa.Table(
    "pairs",
    metadata,
    sa.Column("pair_id", sa.String(16), primary_key=True),
    _of_study(),
    sa.Column("positive_id", sa.String(16), nullable=False),
    sa.Column("negative_id", sa.String(16), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("decision_id", sa.Integer),
    sa.Index("pairs_by_study", "study"),
)

proposals = sa.Table(
    "proposals",
    metadata,
    _of_study(key=True),
    _text("case_id", key=True),
    sa.Column(
        "pair_id",
        sa.String(16),
        sa.ForeignKey("pairs.pair_id", ondelete="CASCADE"),
        primary_key=True,
        nullable=False,
    ),
    sa.Column("current", sa.Boolean, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("run_id", sa.String(64), nullable=False),
    sa.Column("origin", sa.String(16), nullable=False),
    _text("cluster"),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("scored", sa.Integer, nullable=False),
    sa.Column("positive_influence", sa.Float, nullable=False),
    sa.Column("negative_influence", sa.Float, nullable=False),
    sa.Column("positive_raw", sa.Float, nullable=False),
    sa.Column("negative_raw", sa.Float, nullable=False),
    sa.Index("proposals_by_pair", "pair_id"),
)
"""Why a pair stands for review: which run proposed it, for which case, at which rank of how many scored samples."""

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _of_study(),
    sa.Column("pair_id", sa.String(16), sa.ForeignKey("pairs.pair_id", ondelete="CASCADE"), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    _text("reviewer"),
    _text("reason"),
    sa.Column("seconds", sa.Float),
    sa.Column("supersedes", sa.Integer),
    sa.Column("bulk", sa.String(16), nullable=False),
    sa.Column("decided_at", Moment, nullable=False),
    sa.Index("decisions_by_pair", "pair_id", "id"),
    sqlite_autoincrement=True,
)

APPEND_ONLY = (
    "CREATE TRIGGER IF NOT EXISTS decisions_are_append_only BEFORE UPDATE ON decisions "
    "BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END"
)
