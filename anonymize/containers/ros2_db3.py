"""Read ROS 2 bags in SQLite databases (rosbag2, storage ``sqlite3``, schema versions 1 to 4)."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import apsw

from anonymize.containers.limits import MAX_DEFINITION_BYTES, Tally
from anonymize.containers.ros2_definitions import published_definition
from anonymize.containers.sqlite_file import open_database
from anonymize.containers.stream import Channel, ContainerKind, Message, Schema, Summary, wanted
from anonymize.errors import MalformedItemError, UnknownFormatError
from anonymize.profile import ContainerProfile

_COLUMNS = {
    "topics": frozenset({"id", "name", "type", "serialization_format"}),
    "messages": frozenset({"id", "topic_id", "timestamp", "data"}),
    "message_definitions": frozenset({"id", "topic_type", "encoding", "encoded_message_definition"}),
    "schema": frozenset({"schema_version", "ros_distro"}),
}
_MORE_COLUMNS = {
    "topics": frozenset({"offered_qos_profiles", "type_description_hash"}),
    "message_definitions": frozenset({"type_description_hash"}),
}
_REQUIRED = ("topics", "messages")
_ENCODINGS = frozenset({"ros2msg", "ros2idl"})
_ZSTD = b"\x28\xb5\x2f\xfd"
_ROW_BYTES = 64 * 1024
_MOST_VALUE_BYTES = (1 << 31) - 1


class Ros2Database:
    """A ROS 2 bag in an SQLite database that was read through once and found whole.

    Only the tables ``topics``, ``messages``, ``message_definitions`` and ``schema`` are read, in the order of
    their rows; views and triggers never run. Publish time is log time, and the sequence is 0: the database holds
    neither. Types without a definition in the bag take the published one (``published_definition``), and an
    empty one where that is not certain.

    Args:
        file: The database, seekable; must stay open and unchanged. What a write-ahead log beside it would hold
            is not delivered with it and not read.
        profile: Limits.

    Raises:
        UnknownFormatError: The database is no ROS 2 bag, or its messages are compressed one by one.
        MalformedItemError: The database is damaged; a table is a view, virtual or computed; a value is of
            another type than the schema says; a message has no topic.
        LimitExceededError: More or larger messages or channels than permitted.
    """

    def __init__(self, file: BinaryIO, *, profile: ContainerProfile) -> None:
        self._file = file
        self._limits = profile
        tally = Tally(limits=profile)
        for _ in _read(file, tally, check=True):
            pass
        self.summary: Summary = tally.summary(ContainerKind.ROS2_DB3, profile="ros2")

    def messages(self, channels: frozenset[int] | None = None) -> Iterator[Message]:
        """Yield messages, of all channels or of those given, in the order of their rows, in constant memory.

        Raises:
            MalformedItemError: The file is no longer what it was.
        """
        return wanted(_read(self._file, Tally(limits=self._limits), check=False), channels)


def _read(file: BinaryIO, tally: Tally, *, check: bool) -> Iterator[Message]:
    largest = max(tally.limits.max_message_bytes, MAX_DEFINITION_BYTES) + _ROW_BYTES
    with open_database(file, max_value_bytes=min(largest, _MOST_VALUE_BYTES)) as database:
        # 1. The tables are tables of a bag.
        columns = _columns(database, tally)
        # 2. Every page of the database is where it belongs.
        if check:
            _require_sound(database)
        # 3. Topics come before their messages.
        definitions = _definitions(database, columns)
        for row in database.execute(_select_topics(columns["topics"])):
            _declare(row, definitions, _distribution(database, columns), tally)
        # 4. Messages in the order of their rows; another order would have to be sorted in memory.
        select = "SELECT topic_id, timestamp, data FROM messages NOT INDEXED ORDER BY rowid"
        for topic, time, data in database.execute(select):
            yield _message(topic, time, data, tally)


def _columns(database: apsw.Connection, tally: Tally) -> dict[str, frozenset[str]]:
    """Columns of the tables that are read; everything else in the database is dropped."""
    found: dict[str, frozenset[str]] = {}
    for kind, name, root in database.execute("SELECT type, name, rootpage FROM sqlite_schema"):
        if kind == "table" and name in _COLUMNS:
            if not root:
                raise MalformedItemError(f"a table of the bag is stored (got a virtual table {name})")
            found[name] = _columns_of(database, name, tally)
        elif name in _COLUMNS:
            raise MalformedItemError(f"a table of the bag is a table (got a {kind} {name})")
        elif kind == "table":
            tally.dropped.add("metadata" if name == "metadata" else "table")
        elif kind in {"view", "trigger"}:
            tally.dropped.add(kind)
    if any(name not in found for name in _REQUIRED):
        raise UnknownFormatError(
            f"the database is no ROS 2 bag (got {sorted(found)}, expected the tables {' and '.join(_REQUIRED)})"
        )
    return found


def _columns_of(database: apsw.Connection, table: str, tally: Tally) -> frozenset[str]:
    names = set()
    for name, hidden in database.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (table,)):
        names.add(name)
        if hidden:
            raise MalformedItemError(f"a column of the bag is stored (got a computed one in {table})")
    if missing := _COLUMNS[table] - names:
        raise MalformedItemError(f"the table {table} lacks columns (got none named {sorted(missing)})")
    if names - _COLUMNS[table] - _MORE_COLUMNS.get(table, frozenset()):
        tally.dropped.add("column")
    return frozenset(names)


def _require_sound(database: apsw.Connection) -> None:
    for (verdict,) in database.execute("PRAGMA quick_check(1)"):
        if verdict != "ok":
            raise MalformedItemError("the database is damaged (SQLite's check of its pages failed)")


def _distribution(database: apsw.Connection, columns: dict[str, frozenset[str]]) -> str:
    if "schema" not in columns:
        return ""
    row = database.execute("SELECT ros_distro FROM schema").fetchone()
    return row[0] if row and isinstance(row[0], str) else ""


def _definitions(database: apsw.Connection, columns: dict[str, frozenset[str]]) -> dict[str, Schema]:
    if "message_definitions" not in columns:
        return {}
    found: dict[str, Schema] = {}
    select = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
    for name, encoding, text in database.execute(select):
        _require_text(name, encoding, text)
        if encoding in _ENCODINGS and text:
            schema = Schema(name=name, encoding=encoding, data=text.encode())
            if found.setdefault(name, schema) != schema:
                raise MalformedItemError("a type is defined once (got two different definitions of one)")
    return found


def _select_topics(columns: frozenset[str]) -> str:
    optional = (
        name if name in columns else "''" for name in ("offered_qos_profiles", "type_description_hash")
    )
    return f"SELECT id, name, type, serialization_format, {', '.join(optional)} FROM topics ORDER BY id"  # noqa: S608


def _declare(row: tuple[Any, ...], definitions: dict[str, Schema], distribution: str, tally: Tally) -> None:
    number, topic, name, encoding, qos, digest = row
    if not isinstance(number, int):
        raise MalformedItemError(f"the id of a topic is a number (got {type(number).__name__})")
    _require_text(topic, name, encoding, qos, digest)
    schema = definitions.get(name)
    if schema is None:
        text = published_definition(name, distribution)
        schema = Schema(name=name, encoding="ros2msg" if text else "", data=text)
    tally.define(schema)
    metadata = {"offered_qos_profiles": qos, "topic_type_hash": digest}
    tally.declare(
        Channel(
            id=number,
            topic=topic,
            message_encoding=encoding,
            schema=schema,
            metadata={key: value for key, value in metadata.items() if value},
        )
    )


def _message(topic: Any, time: Any, data: Any, tally: Tally) -> Message:
    channel = tally.channels.get(topic) if isinstance(topic, int) else None
    if channel is None:
        raise MalformedItemError("a message has no topic in the table of topics")
    if not isinstance(time, int) or time < 0:
        raise MalformedItemError(
            f"a message has a time from 0 (got {time if isinstance(time, int) else 'none'})"
        )
    if not isinstance(data, bytes):
        raise MalformedItemError(f"a message is a blob (got {type(data).__name__})")
    if channel.message_encoding == "cdr" and data.startswith(_ZSTD):
        raise UnknownFormatError("messages are compressed one by one (got zstd, expected CDR)")
    tally.require_size(len(data))
    tally.count(channel.id, time)
    return Message(channel=channel, log_time_ns=time, publish_time_ns=time, sequence=0, data=data)


def _require_text(*values: Any) -> None:
    for value in values:
        if not isinstance(value, str):
            raise MalformedItemError(f"a name or definition is text (got {type(value).__name__})")
