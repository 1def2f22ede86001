"""Keep policy bundles, proposals of them, and who approved them.

Revision: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

import gateway.database

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "policy_bundle",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("added_at", gateway.database.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_policy_bundle")),
    )
    op.create_table(
        "policy_proposal",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("bundle_digest", sa.String(length=64), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.String(length=64), nullable=False),
        sa.Column("proposed_at", gateway.database.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["bundle_digest"],
            ["policy_bundle.digest"],
            name=op.f("fk_policy_proposal_bundle_digest_policy_bundle"),
        ),
        sa.ForeignKeyConstraint(
            ["proposed_by"], ["person.id"], name=op.f("fk_policy_proposal_proposed_by_person")
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_policy_proposal")),
    )
    with op.batch_alter_table("policy_proposal", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_policy_proposal_bundle_digest"), ["bundle_digest"], unique=False)
    with op.batch_alter_table("policy_statement", schema=None) as batch_op:
        batch_op.add_column(sa.Column("proposal", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("approval", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("installed_by", sa.String(length=64), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_policy_statement_proposal"), ["proposal"])
        batch_op.create_foreign_key(
            batch_op.f("fk_policy_statement_proposal_policy_proposal"),
            "policy_proposal",
            ["proposal"],
            ["digest"],
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_policy_statement_installed_by_person"), "person", ["installed_by"], ["id"]
        )


def downgrade() -> None:
    """Revert."""
    with op.batch_alter_table("policy_statement", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_policy_statement_installed_by_person"), type_="foreignkey")
        batch_op.drop_constraint(
            batch_op.f("fk_policy_statement_proposal_policy_proposal"), type_="foreignkey"
        )
        batch_op.drop_constraint(batch_op.f("uq_policy_statement_proposal"), type_="unique")
        batch_op.drop_column("installed_by")
        batch_op.drop_column("approval")
        batch_op.drop_column("proposal")
    with op.batch_alter_table("policy_proposal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_policy_proposal_bundle_digest"))
    op.drop_table("policy_proposal")
    op.drop_table("policy_bundle")
