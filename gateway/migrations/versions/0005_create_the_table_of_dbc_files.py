"""Create the table of DBC files.

Revision: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

import gateway.database

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "dbc_file",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("installed_by", sa.String(length=64), nullable=False),
        sa.Column("installed_at", gateway.database.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["installed_by"], ["person.id"], name=op.f("fk_dbc_file_installed_by_person")
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_dbc_file")),
    )
    with op.batch_alter_table("dbc_file", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dbc_file_digest"), ["digest"], unique=False)


def downgrade() -> None:
    """Revert."""
    with op.batch_alter_table("dbc_file", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dbc_file_digest"))

    op.drop_table("dbc_file")
