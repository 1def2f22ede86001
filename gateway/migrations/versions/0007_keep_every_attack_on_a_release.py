"""Keep every attack on a release: evidence of attacks is appended, of every other stage there is one.

Revision: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ONCE = sa.text("stage <> 'attacked'")


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("evidence", schema=None) as batch_op:
        batch_op.drop_constraint("uq_evidence_owner_id_stage", type_="unique")
    op.create_index("ix_evidence_owner_id_stage", "evidence", ["owner_id", "stage"])
    op.create_index(
        "uq_evidence_owner_id_stage_once",
        "evidence",
        ["owner_id", "stage"],
        unique=True,
        sqlite_where=_ONCE,
        postgresql_where=_ONCE,
    )


def downgrade() -> None:
    """Revert; fails where a release was attacked more than once, and loses nothing."""
    op.drop_index("uq_evidence_owner_id_stage_once", table_name="evidence")
    op.drop_index("ix_evidence_owner_id_stage", table_name="evidence")
    with op.batch_alter_table("evidence", schema=None) as batch_op:
        batch_op.create_unique_constraint("uq_evidence_owner_id_stage", ["owner_id", "stage"])
