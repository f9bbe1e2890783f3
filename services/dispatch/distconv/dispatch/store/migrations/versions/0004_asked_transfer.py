"""Keep how a job asks its media to travel."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("transfer_mode", sa.String(16), nullable=True))


def downgrade() -> None:
    # Not as a batch: SQLite would make the table anew, and lose what refers to it.
    op.drop_column("jobs", "transfer_mode")
