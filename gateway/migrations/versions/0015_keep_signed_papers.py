"""Keep signed papers: certificates, delegations and assignments with their sealed documents.

Revision: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

import gateway.database

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "paper",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("act", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("signed_by", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", gateway.database.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["signed_by"], ["person.id"], name=op.f("fk_paper_signed_by_person")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_paper")),
    )
    with op.batch_alter_table("paper", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_paper_act"), ["act"], unique=False)
        batch_op.create_index(batch_op.f("ix_paper_subject"), ["subject"], unique=False)


def downgrade() -> None:
    """Revert."""
    with op.batch_alter_table("paper", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_paper_subject"))
        batch_op.drop_index(batch_op.f("ix_paper_act"))

    op.drop_table("paper")
