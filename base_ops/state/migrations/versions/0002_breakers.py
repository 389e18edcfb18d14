"""The circuit breakers, shared by all runs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "breakers",
        sa.Column("peer", sa.String(250), primary_key=True),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("probe_attempt", sa.String(36), nullable=False),
        sa.Column("probe_until", sa.Float, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("breakers")
