"""Keep decisions of compliance officers about the slopes of maps.

Revision: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "slope_review",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("release_id", sa.String(length=64), nullable=False),
        sa.Column("reviewer", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"], ["release.id"], name=op.f("fk_slope_review_release_id_release")
        ),
        sa.ForeignKeyConstraint(["reviewer"], ["person.id"], name=op.f("fk_slope_review_reviewer_person")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_slope_review")),
    )
    with op.batch_alter_table("slope_review", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_slope_review_release_id"), ["release_id"], unique=False)


def downgrade() -> None:
    """Revert."""
    with op.batch_alter_table("slope_review", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_slope_review_release_id"))
    op.drop_table("slope_review")
