"""Know the replicas, and an engine's process from another with the same identity."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.String(16).with_variant(sa.String(16, collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("engines", sa.Column("instance_id", ID, nullable=False, server_default=""))
    op.create_index("ix_engines_replica_id", "engines", ["replica_id"])
    op.create_table(
        "replicas",
        sa.Column("id", ID, nullable=False),
        sa.Column("address", sa.String(255), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("media_key", sa.String(64), nullable=False),
        sa.Column("storage", sa.Text(), nullable=False),
        sa.Column("start_time", TIME, nullable=False),
        sa.Column("heartbeat_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_replicas"),
    )


def downgrade() -> None:
    op.drop_table("replicas")
    op.drop_index("ix_engines_replica_id", "engines")
    with op.batch_alter_table("engines") as batch:
        batch.drop_column("instance_id")
