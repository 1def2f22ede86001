"""Tables of registered models and of stored evaluations; each row rests on a signed statement."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from gateway.database import Base


class ModelRow(Base):
    """A registered model: its card and the compliance officer's signatures over adding and retiring it."""

    __tablename__ = "model"

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    sha256: Mapped[str] = mapped_column(sa.String(64), index=True)
    card: Mapped[str] = mapped_column(sa.Text())
    use: Mapped[str] = mapped_column(sa.String(16))
    statement: Mapped[str] = mapped_column(sa.Text())
    added_by: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))
    added_at: Mapped[datetime]
    retirement: Mapped[str | None] = mapped_column(sa.Text())
    retired_by: Mapped[str | None] = mapped_column(sa.ForeignKey("person.id"))
    retired_at: Mapped[datetime | None]


class ModelEvaluationRow(Base):
    """A stored evaluation: the signed statement holds the figures."""

    __tablename__ = "model_evaluation"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    statement: Mapped[str] = mapped_column(sa.Text())
    stored_by: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))
    stored_at: Mapped[datetime]
