"""The ledger's own tables, and the durability that each of its connections must promise."""

import sqlite3
import time
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
    func,
    insert,
    select,
)

from audit.errors import LedgerCorruptError, LedgerUnavailableError
from audit.events import ID_FIELDS

SQLITE_LOCK_WAIT_MS = 20_000
"""How long a transaction waits for the write lock of another process, in milliseconds."""

_POSTGRESQL_TABLE_LOCK = 0x464C4741
_WRITE_OPTION = "ledger_write"

metadata = MetaData()
_index_type = BigInteger().with_variant(Integer, "sqlite")

entries = Table(
    "ledger_entry",
    metadata,
    Column("entry_index", _index_type, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("time", String(27), nullable=False),
    Column("type", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("object", String(200), nullable=False),
    *(Column(name, String(200)) for name in ID_FIELDS),
    Column("intent", _index_type),
)
for _name in ("type", "outcome", "actor", "object"):
    Index(f"ledger_entry_{_name}", entries.c[_name], entries.c.entry_index)
for _name in (*ID_FIELDS, "intent"):
    _present = entries.c[_name].is_not(None)
    Index(
        f"ledger_entry_{_name}",
        entries.c[_name],
        entries.c.entry_index,
        sqlite_where=_present,
        postgresql_where=_present,
    )
# A rare outcome of a frequent act: reads that were refused, among millions that were not.
Index("ledger_entry_type_outcome", entries.c.type, entries.c.outcome, entries.c.entry_index)

head = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", _index_type, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("time", String(27), nullable=False),
)

nodes = Table(
    "ledger_node",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("position", _index_type, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)

checkpoints = Table(
    "ledger_checkpoint",
    metadata,
    Column("size", _index_type, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)

cosignatures = Table(
    "ledger_cosignature",
    metadata,
    Column("size", _index_type, primary_key=True, autoincrement=False),
    Column("witness", String(300), primary_key=True),
    Column("line", Text, nullable=False),
)

details = Table(
    "ledger_detail",
    metadata,
    Column("entry_index", _index_type, primary_key=True, autoincrement=False),
    Column("subject", String(200), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
Index("ledger_detail_subject", details.c.subject)


def create_tables(engine: Engine) -> None:
    """Create tables and indexes where they are missing; the entries of an existing ledger are left as they are.

    Raises:
        LedgerCorruptError: if entries exist but the head is gone.
    """
    prepare_engine(engine)
    with write_connection(engine) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_POSTGRESQL_TABLE_LOCK)))
        metadata.create_all(connection)
        for index in sorted(entries.indexes, key=lambda each: str(each.name)):
            index.create(connection, checkfirst=True)
        if connection.execute(select(head.c.id)).first() is not None:
            return
        if connection.execute(select(entries.c.entry_index).limit(1)).first() is not None:
            raise LedgerCorruptError("entries exist but the head row is gone")
        connection.execute(insert(head).values(id=1, size=0, frontier=b"", time=""))


def prepare_engine(engine: Engine) -> None:
    """Make every connection of ``engine`` durable; the engine must serve the ledger alone.

    Raises:
        ValueError: for a database other than a SQLite file or PostgreSQL.
    """
    if engine.dialect.name == "sqlite":
        if engine.url.database in (None, "", ":memory:"):
            raise ValueError(f"a ledger needs a file (got {engine.url.database!r})")
        listeners: list[tuple[str, Any]] = [("connect", _configure_sqlite), ("begin", _begin_sqlite)]
    elif engine.dialect.name == "postgresql":
        listeners = [("connect", _configure_postgresql)]
    else:
        raise ValueError(
            f"no ledger on this database (got {engine.dialect.name}, expected sqlite or postgresql)"
        )
    fresh = [(name, listener) for name, listener in listeners if not event.contains(engine, name, listener)]
    for name, listener in fresh:
        event.listen(engine, name, listener)
    if fresh:
        engine.dispose()


def write_connection(engine: Engine) -> Connection:
    """Open a connection whose transactions take the write lock when they begin."""
    return engine.connect().execution_options(**{_WRITE_OPTION: True})


def read_connection(engine: Engine) -> Connection:
    """Open a connection whose transactions see one consistent snapshot."""
    if engine.dialect.name == "postgresql":
        return engine.connect().execution_options(isolation_level="REPEATABLE READ")
    return engine.connect()


def _configure_sqlite(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout = {SQLITE_LOCK_WAIT_MS}")
        mode = _enter_wal(cursor)
        cursor.execute("PRAGMA synchronous = FULL")
        level = cursor.execute("PRAGMA synchronous").fetchone()[0]
    finally:
        cursor.close()
    if (mode, level) != ("wal", 2):
        raise LedgerUnavailableError(
            f"SQLite is not durable (got {mode}, synchronous {level}; expected wal, 2)"
        )


def _enter_wal(cursor: sqlite3.Cursor) -> str:
    """Switch to WAL; SQLite does not wait for the lock that the first switch takes, so that we do."""
    deadline = time.monotonic() + SQLITE_LOCK_WAIT_MS / 1000
    while True:
        try:
            return str(cursor.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE_OPTION, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _configure_postgresql(dbapi_connection: Any, _record: object) -> None:
    with dbapi_connection.cursor() as cursor:
        settings = {
            name: cursor.execute(f"SHOW {name}").fetchone()[0] for name in ("fsync", "synchronous_commit")
        }
    dbapi_connection.rollback()
    if "off" in settings.values():
        raise LedgerUnavailableError(f"PostgreSQL is not durable (got {settings}, expected both on)")
