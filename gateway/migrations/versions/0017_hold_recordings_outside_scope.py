"""Hold recordings in quarantine that no certificate covers.

Revision: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("recording", schema=None) as batch_op:
        batch_op.add_column(sa.Column("held_entry", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Revert."""
    with op.batch_alter_table("recording", schema=None) as batch_op:
        batch_op.drop_column("held_entry")
