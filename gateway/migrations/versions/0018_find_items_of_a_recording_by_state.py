"""Find the items of a recording by their state.

Revision: 0018
Revises: 0017
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.create_index("ix_item_recording_id_state", ["recording_id", "state"], unique=False)
        batch_op.drop_index(batch_op.f("ix_item_recording_id"))


def downgrade() -> None:
    """Revert."""
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_item_recording_id"), ["recording_id"], unique=False)
        batch_op.drop_index("ix_item_recording_id_state")
