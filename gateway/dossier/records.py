"""The table of issued dossiers."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from gateway.database import Base


class DossierRow(Base):
    """A dossier as it was issued: signed statements, where the ledger attests them, and the sealed files.

    ``statements`` and ``seals`` are by edition; seals then by file name. The newest row of a release counts.
    """

    __tablename__ = "dossier"

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)
    release_id: Mapped[str] = mapped_column(sa.ForeignKey("release.id"), index=True)
    ledger_index: Mapped[int] = mapped_column(sa.BigInteger())
    statements: Mapped[dict[str, Any]]
    seals: Mapped[dict[str, Any]]
    receipt: Mapped[dict[str, Any]]
    issued_at: Mapped[datetime]
