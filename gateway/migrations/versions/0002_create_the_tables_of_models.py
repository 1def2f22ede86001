"""Create the tables of models.

Revision: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

import gateway.database

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "model",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("use", sa.String(length=16), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("added_by", sa.String(length=64), nullable=False),
        sa.Column("added_at", gateway.database.UtcDateTime(timezone=True), nullable=False),
        sa.Column("retirement", sa.Text(), nullable=True),
        sa.Column("retired_by", sa.String(length=64), nullable=True),
        sa.Column("retired_at", gateway.database.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["added_by"], ["person.id"], name=op.f("fk_model_added_by_person")),
        sa.ForeignKeyConstraint(["retired_by"], ["person.id"], name=op.f("fk_model_retired_by_person")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_model")),
    )
    with op.batch_alter_table("model", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_model_sha256"), ["sha256"], unique=False)

    op.create_table(
        "model_evaluation",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("stored_by", sa.String(length=64), nullable=False),
        sa.Column("stored_at", gateway.database.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["stored_by"], ["person.id"], name=op.f("fk_model_evaluation_stored_by_person")
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_model_evaluation")),
    )


def downgrade() -> None:
    """Revert."""
    op.drop_table("model_evaluation")
    with op.batch_alter_table("model", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_model_sha256"))

    op.drop_table("model")
