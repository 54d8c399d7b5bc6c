"""Pairs and the log of decisions on them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes both tables; the trigger keeps written decisions as they are."""
    op.create_table(
        "pairs",
        sa.Column("pair_id", sa.String(16), primary_key=True),
        _study(),
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
    )
    op.create_index("pairs_by_study", "pairs", ["study", "position"])
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        _study(),
        sa.Column(
            "pair_id", sa.String(16), sa.ForeignKey("pairs.pair_id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("supersedes", sa.Integer),
        sa.Column("bulk", sa.String(16), nullable=False),
        sa.Column("decided_at", sa.String(32), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("decisions_by_pair", "decisions", ["pair_id", "id"])
    op.execute(
        "CREATE TRIGGER decisions_are_append_only BEFORE UPDATE ON decisions "
        "BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END"
    )


def _study() -> sa.Column[str]:
    return sa.Column(
        "study", sa.String(64), sa.ForeignKey("studies.name", ondelete="CASCADE"), nullable=False
    )
