"""Keep what reviewers count in sampled pictures.

Revision: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "quality_record",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("release_id", sa.String(length=64), nullable=False),
        sa.Column("reviewer", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"], ["release.id"], name=op.f("fk_quality_record_release_id_release")
        ),
        sa.ForeignKeyConstraint(["reviewer"], ["person.id"], name=op.f("fk_quality_record_reviewer_person")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_quality_record")),
    )
    with op.batch_alter_table("quality_record", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_quality_record_release_id"), ["release_id"], unique=False)


def downgrade() -> None:
    """Revert."""
    with op.batch_alter_table("quality_record", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_quality_record_release_id"))
    op.drop_table("quality_record")
