"""Table of requests that carried an idempotency key, with the answer that each got."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from gateway.database import Base


class KeyedRequestRow(Base):
    """A request under an idempotency key; the answer is sealed, and there is none while its fate is unknown."""

    __tablename__ = "keyed_request"

    caller: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(128), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(sa.String(64))
    claimed_at: Mapped[datetime] = mapped_column(index=True)
    status: Mapped[int | None]
    answer_sealed: Mapped[bytes | None]
