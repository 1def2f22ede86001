"""Create the tables by which processes share spent nonces and counts of requests.

Revision: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

import gateway.database

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "spent_nonce",
        sa.Column("keyid", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.String(length=128), nullable=False),
        sa.Column("until", gateway.database.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("keyid", "nonce", name=op.f("pk_spent_nonce")),
    )
    with op.batch_alter_table("spent_nonce", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_spent_nonce_until"), ["until"], unique=False)
    op.create_table(
        "nonce_epoch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("boot", sa.String(length=64), nullable=False),
        sa.Column("closed_until", gateway.database.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nonce_epoch")),
    )
    op.create_table(
        "request_window",
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("window", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("until", gateway.database.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("who", "window", name=op.f("pk_request_window")),
    )
    with op.batch_alter_table("request_window", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_request_window_until"), ["until"], unique=False)


def downgrade() -> None:
    """Revert."""
    with op.batch_alter_table("request_window", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_request_window_until"))

    op.drop_table("request_window")
    op.drop_table("nonce_epoch")
    with op.batch_alter_table("spent_nonce", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_spent_nonce_until"))

    op.drop_table("spent_nonce")
