"""Keep masks beside treated items, and what is done of a video that is being cleansed.

Revision: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "cleansing_checkpoint",
        sa.Column("item_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("basis", sa.String(length=64), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name=op.f("fk_cleansing_checkpoint_item_id_item")),
        sa.PrimaryKeyConstraint("item_id", "name", name=op.f("pk_cleansing_checkpoint")),
    )
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.add_column(sa.Column("mask_seal", sa.Text(), nullable=True))
    with op.batch_alter_table("release_item", schema=None) as batch_op:
        batch_op.add_column(sa.Column("mask_seal", sa.Text(), nullable=True))


def downgrade() -> None:
    """Revert."""
    with op.batch_alter_table("release_item", schema=None) as batch_op:
        batch_op.drop_column("mask_seal")
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.drop_column("mask_seal")
    op.drop_table("cleansing_checkpoint")
