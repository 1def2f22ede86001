"""The gate's state in SQLite or PostgreSQL: engine, sessions, migrations. The one place that commits."""

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import resources
from typing import Any, NewType

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

_MIGRATION_LOCK = 0x666C_6D67
_BUSY_S = 30.0

ReadSession = NewType("ReadSession", Session)
WriteSession = NewType("WriteSession", Session)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC datetimes on every backend; a naive value is an error."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 (SQLAlchemy's signature)
        """Refuse naive datetimes, convert the rest to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"datetime must be aware (got {value!r})")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 (SQLAlchemy's signature)
        """Return aware UTC datetimes (SQLite forgets the zone)."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of the gate's tables."""

    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy's convention)
        datetime: UtcDateTime(),
        dict[str, Any]: sa.JSON(),
        list[str]: sa.JSON(),
        bytes: sa.LargeBinary(),
    }
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _enter_wal(cursor: sqlite3.Cursor) -> None:
    """Switch to WAL. SQLite does not wait for the lock that the first switch takes, so that we do.

    Raises:
        sqlite3.OperationalError: Others kept the file locked for longer than any statement waits.
    """
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def create_engine(url: str) -> sa.Engine:
    """An engine whose commits are durable: SQLite with WAL, ``synchronous=FULL`` and zeroed free pages."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        _enter_wal(cursor)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A deferred transaction that turns into a writer fails with SQLITE_BUSY instead of waiting.
        options = connection.get_execution_options()
        mode = "IMMEDIATE" if options.get("fleetgate_write") else "DEFERRED"
        durable = "NORMAL" if options.get("fleetgate_quick") else "FULL"
        connection.exec_driver_sql(f"PRAGMA synchronous={durable}")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


class Database:
    """Sessions over one engine. One request or job is one ``transaction``."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._read = sessionmaker(engine, expire_on_commit=False)
        writing = engine.execution_options(fleetgate_write=True)
        self._write = sessionmaker(writing, expire_on_commit=False)
        self._quick = sessionmaker(writing.execution_options(fleetgate_quick=True), expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[WriteSession]:
        """A session that commits durably on leaving and rolls back on any exception."""
        with self._write() as session, session.begin():
            yield WriteSession(session)

    @contextmanager
    def quick(self) -> Iterator[WriteSession]:
        """A transaction that outlives every process, but on SQLite perhaps not a loss of power: it never waits.

        For what is void within minutes and whose loss is noticed.
        """
        with self._quick() as session, session.begin():
            yield WriteSession(session)

    @contextmanager
    def read(self) -> Iterator[ReadSession]:
        """A session for reading; it is never committed."""
        with self._read() as session:
            yield ReadSession(session)

    def migrate(self) -> None:
        """Bring the schema to the newest revision; safe to repeat."""
        logging.getLogger("alembic").setLevel(logging.WARNING)
        config = Config()
        config.set_main_option("script_location", str(resources.files("gateway") / "migrations"))
        with self._exclusive() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def _exclusive(self) -> Iterator[sa.Connection]:
        """A transaction that one process at a time is in: two gates may start on one empty database."""
        with self.engine.execution_options(fleetgate_write=True).begin() as connection:
            if self.engine.dialect.name == "postgresql":
                key = (_MIGRATION_LOCK, sa.func.hashtext(sa.func.current_schema()))
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(*key)))
            yield connection

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()
