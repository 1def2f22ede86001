"""Tables that requests leave: answers under idempotency keys, spent nonces, counts by caller and by address."""

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


class SpentNonceRow(Base):
    """A nonce of a signed request that was accepted, until the signature is too old to be accepted again."""

    __tablename__ = "spent_nonce"

    keyid: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    nonce: Mapped[str] = mapped_column(sa.String(128), primary_key=True)
    until: Mapped[datetime] = mapped_column(index=True)


class NonceEpochRow(Base):
    """Since which boot of the machine every spent nonce is on record, and what may have been spent before."""

    __tablename__ = "nonce_epoch"

    id: Mapped[int] = mapped_column(primary_key=True)
    boot: Mapped[str] = mapped_column(sa.String(64))
    closed_until: Mapped[datetime]


class RequestWindowRow(Base):
    """How many requests a caller, or refused ones an address, made within one window; who is named by an HMAC."""

    __tablename__ = "request_window"

    who: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    window: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    count: Mapped[int]
    until: Mapped[datetime] = mapped_column(index=True)
