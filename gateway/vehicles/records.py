"""Table of installed DBC files; each row rests on a signed statement."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from gateway.database import Base


class DbcRow(Base):
    """An installed DBC: sealed content and the compliance officer's signature over name, version and digest."""

    __tablename__ = "dbc_file"

    version: Mapped[int] = mapped_column(sa.Integer(), primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(sa.String(64))
    digest: Mapped[str] = mapped_column(sa.String(64), index=True)
    statement: Mapped[str] = mapped_column(sa.Text())
    sealed: Mapped[bytes]
    installed_by: Mapped[str] = mapped_column(sa.ForeignKey("person.id"))
    installed_at: Mapped[datetime]
