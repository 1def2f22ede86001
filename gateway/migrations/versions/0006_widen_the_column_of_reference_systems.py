"""Widen the column of reference systems: the longest name of a nuScenes map has 33 characters.

Revision: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("recording", schema=None) as batch_op:
        batch_op.alter_column("crs", existing_type=sa.String(length=32), type_=sa.String(length=64))


def downgrade() -> None:
    """Revert."""
    with op.batch_alter_table("recording", schema=None) as batch_op:
        batch_op.alter_column("crs", existing_type=sa.String(length=64), type_=sa.String(length=32))
