"""Register what principals derive from releases.

Revision: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

import gateway.database

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "artefact",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("principal", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("registered_at", gateway.database.UtcDateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", gateway.database.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["principal"], ["person.id"], name=op.f("fk_artefact_principal_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artefact")),
    )
    with op.batch_alter_table("artefact", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_artefact_principal"), ["principal"], unique=False)


def downgrade() -> None:
    """Revert."""
    with op.batch_alter_table("artefact", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_artefact_principal"))

    op.drop_table("artefact")
