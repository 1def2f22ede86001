"""Keep answers under idempotency keys.

Revision: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

import gateway.database

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "keyed_request",
        sa.Column("caller", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("claimed_at", gateway.database.UtcDateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer_sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_keyed_request")),
    )
    with op.batch_alter_table("keyed_request", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_keyed_request_claimed_at"), ["claimed_at"], unique=False)


def downgrade() -> None:
    """Revert."""
    with op.batch_alter_table("keyed_request", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_keyed_request_claimed_at"))

    op.drop_table("keyed_request")
