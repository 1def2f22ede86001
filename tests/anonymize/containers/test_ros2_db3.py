import io
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from anonymize.containers.mcap_reader import McapContainer
from anonymize.containers.ros2_db3 import Ros2Database
from anonymize.errors import LimitExceededError, MalformedItemError, UnknownFormatError
from anonymize.profile import shipped_profile

LIMITS = shipped_profile("cn-2026").profile.containers
STORE = get_typestore(Stores.ROS2_HUMBLE)
FIX, IMAGE = "sensor_msgs/msg/NavSatFix", "sensor_msgs/msg/CompressedImage"
SENT = [(n % 2, 1_700_000_000_000_000_000 - n, b"\0\1\0\0" + bytes([n]) * n) for n in range(50)]


def written(folder: Path, plugin: StoragePlugin) -> Path:
    with Writer(folder, version=9, storage_plugin=plugin) as writer:
        connections = [
            writer.add_connection(topic, name, typestore=STORE)
            for topic, name in (("/fix", FIX), ("/image", IMAGE))
        ]
        for number, time, data in SENT:
            writer.write(connections[number], time, data)
    suffix = {StoragePlugin.SQLITE3: "db3", StoragePlugin.MCAP: "mcap"}[plugin]
    return next(folder.glob(f"*.{suffix}"))


@pytest.fixture
def db3(tmp_path: Path) -> Path:
    return written(tmp_path / "bag", StoragePlugin.SQLITE3)


def changed(db3: Path, *statements: str) -> bytes:
    connection = sqlite3.connect(db3)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return db3.read_bytes()


def opened(content: bytes) -> Ros2Database:
    return Ros2Database(io.BytesIO(content), profile=LIMITS)


def test_a_bag_gives_what_was_sent_in_the_order_of_its_rows_with_its_definitions(db3: Path) -> None:
    container = opened(db3.read_bytes())
    assert [(m.channel.id - 1, m.log_time_ns, m.data) for m in container.messages()] == SENT
    assert container.summary.profile == "ros2"
    assert container.summary.counts == {1: 25, 2: 25}
    assert (container.summary.begin_ns, container.summary.end_ns) == (SENT[-1][1], SENT[0][1])
    fix = container.summary.channels[0]
    assert (fix.topic, fix.message_encoding) == ("/fix", "cdr")
    assert fix.schema is not None
    assert (fix.schema.name, fix.schema.encoding) == (FIX, "ros2msg")
    assert fix.schema.data.decode() == STORE.generate_msgdef(FIX, ros_version=2)[0]
    assert fix.metadata["topic_type_hash"] == STORE.hash_rihs01(FIX)


def test_the_same_bag_as_mcap_gives_the_same_messages(tmp_path: Path, db3: Path) -> None:
    with written(tmp_path / "other", StoragePlugin.MCAP).open("rb") as file:
        theirs = list(McapContainer(file, profile=LIMITS).messages())
    ours = list(opened(db3.read_bytes()).messages())
    assert [(m.channel.topic, m.channel.schema, m.log_time_ns, m.data) for m in ours] == [
        (m.channel.topic, m.channel.schema, m.log_time_ns, m.data) for m in theirs
    ]


@pytest.mark.parametrize("name", ["rewriter_a_0", "talker", "topics_and_services", "wbag_0"])
def test_real_bags_hold_the_messages_that_sqlite_sees(shared_data: Path, name: str) -> None:
    path = shared_data / "formats" / "ros2" / f"{name}.db3"
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    theirs = connection.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id").fetchall()
    connection.close()
    with path.open("rb") as file:
        container = Ros2Database(file, profile=LIMITS)
        assert [(m.channel.id, m.log_time_ns, m.data) for m in container.messages()] == theirs
    assert container.summary.dropped in {(), ("metadata",)}


def test_a_type_without_definition_takes_the_published_one_only_where_it_is_certain(db3: Path) -> None:
    def definition(*statements: str) -> bytes:
        container = opened(changed(db3, *statements))
        schema = container.summary.channels[0].schema
        assert schema is not None
        assert bool(schema.data) == (schema.encoding == "ros2msg")
        return schema.data

    # All distributions have the same fields in NavSatFix, though other constants.
    assert b"float64 latitude" in definition("DELETE FROM message_definitions", "DELETE FROM schema")
    # Range grew a field, so that the distribution must be known.
    assert definition("UPDATE topics SET type = 'sensor_msgs/msg/Range'") == b""
    assert b"variance" not in definition("INSERT INTO schema VALUES (4, 'humble')")
    assert b"variance" in definition("UPDATE schema SET ros_distro = 'lyrical'")
    assert definition("UPDATE topics SET type = 'acme_msgs/msg/Secret'") == b""


def test_a_bag_of_the_first_schema_reads_without_the_newer_tables_and_columns(db3: Path) -> None:
    content = changed(
        db3,
        "DROP TABLE message_definitions",
        "DROP TABLE schema",
        "DROP TABLE metadata",
        "ALTER TABLE topics DROP COLUMN offered_qos_profiles",
        "ALTER TABLE topics DROP COLUMN type_description_hash",
    )
    container = opened(content)
    assert container.summary.channels[0].metadata == {}
    assert len(list(container.messages())) == 50
    assert container.summary.dropped == ()


def test_what_else_the_database_holds_is_named_and_neither_read_nor_run(db3: Path) -> None:
    content = changed(
        db3,
        "CREATE TABLE owners (name TEXT, home TEXT)",
        "CREATE VIEW homes AS SELECT home FROM owners",
        "CREATE TRIGGER spread AFTER INSERT ON messages BEGIN DELETE FROM messages; END",
        "ALTER TABLE messages ADD COLUMN note TEXT",
    )
    assert opened(content).summary.dropped == ("column", "metadata", "table", "trigger", "view")


def test_a_database_in_wal_mode_reads_as_of_its_last_checkpoint(db3: Path) -> None:
    content = changed(db3, "PRAGMA journal_mode = WAL")
    assert content[18:20] == b"\2\2"
    assert len(list(opened(content).messages())) == 50


BAD = {
    "a view, not a table": (
        ["ALTER TABLE messages RENAME TO kept", "CREATE VIEW messages AS SELECT * FROM kept"],
        MalformedItemError,
        "a table of the bag is a table",
    ),
    "a computed column": (
        [
            "DROP TABLE messages",
            "CREATE TABLE messages (id INTEGER, topic_id INTEGER, timestamp INTEGER, data BLOB AS (zeroblob(9)))",
        ],
        MalformedItemError,
        "computed",
    ),
    "a virtual table": (
        ["DROP TABLE messages", "CREATE VIRTUAL TABLE messages USING fts5(id, topic_id, timestamp, data)"],
        MalformedItemError,
        "virtual",
    ),
    "no messages": (["DROP TABLE messages"], UnknownFormatError, "no ROS 2 bag"),
    "missing column": (["ALTER TABLE messages RENAME COLUMN data TO body"], MalformedItemError, "lacks columns"),
    "unknown topic": (["UPDATE messages SET topic_id = 9 WHERE id = 7"], MalformedItemError, "no topic"),
    "text for a message": (["UPDATE messages SET data = 'x' WHERE id = 7"], MalformedItemError, "a blob"),
    "time that is text": (["UPDATE messages SET timestamp = 'x' WHERE id = 7"], MalformedItemError, "a time"),
    "time before the epoch": (["UPDATE messages SET timestamp = -1 WHERE id = 7"], MalformedItemError, "a time"),
    "topic that cannot be shown": (["UPDATE topics SET name = '/a' || char(10)"], MalformedItemError, "printable"),
    "topic that is not UTF-8": (["UPDATE topics SET name = CAST(x'2fff' AS TEXT)"], MalformedItemError, "UTF-8"),
    "topic that is a blob": (["UPDATE topics SET name = x'00'"], MalformedItemError, "is text"),
    "compressed messages": (
        ["UPDATE messages SET data = x'28b52ffd00' WHERE id = 7"],
        UnknownFormatError,
        "compressed one by one",
    ),
    "two definitions of one type": (
        ["INSERT INTO message_definitions SELECT 9, type, 'ros2msg', 'uint8 x', '' FROM topics LIMIT 1"],
        MalformedItemError,
        "defined once",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("statements", "error", "says"), BAD.values(), ids=BAD)
def test_databases_that_are_no_sound_bags_are_refused(
    db3: Path, statements: list[str], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        opened(changed(db3, *statements))


def test_truncated_and_damaged_databases_are_refused(db3: Path) -> None:
    content = db3.read_bytes()
    for length in (0, 15, 99, 4096, len(content) // 2, len(content) - 4096, len(content) - 1):
        with pytest.raises(MalformedItemError):
            opened(content[:length])
    page = 4096
    for number in range(1, len(content) // page):
        with pytest.raises((MalformedItemError, UnknownFormatError)):
            opened(content[: number * page] + b"\xff" * page + content[(number + 1) * page :])


def test_what_lies_beyond_the_limits_is_refused(db3: Path) -> None:
    content = db3.read_bytes()
    for limits, says in (
        ({"max_messages": 49}, "too many messages"),
        ({"max_channels": 1}, "too many channels"),
        ({"max_message_bytes": 52}, "a message is too large"),
    ):
        with pytest.raises(LimitExceededError, match=says):
            Ros2Database(io.BytesIO(content), profile=replace(LIMITS, **limits))  # type: ignore[arg-type]
    huge = changed(db3, "UPDATE messages SET data = zeroblob(20000000) WHERE id = 7")
    with pytest.raises(LimitExceededError, match="a value is too large"):
        Ros2Database(io.BytesIO(huge), profile=replace(LIMITS, max_message_bytes=1000))


def test_nothing_is_written_and_no_file_system_stays_behind(db3: Path) -> None:
    before = set(apsw.vfs_names()), sorted(p.name for p in db3.parent.iterdir())
    with db3.open("rb") as file:
        container = Ros2Database(file, profile=LIMITS)
        first: Iterator[object] = container.messages()
        next(first)
        list(container.messages())
        first.close()  # type: ignore[attr-defined]
    assert (set(apsw.vfs_names()), sorted(p.name for p in db3.parent.iterdir())) == before


def test_the_library_reads_the_same_messages(db3: Path) -> None:
    with Reader(db3.parent) as reader:
        theirs = sorted((c.topic, time, bytes(data)) for c, time, data in reader.messages())
    ours = opened(db3.read_bytes()).messages()
    assert sorted((m.channel.topic, m.log_time_ns, m.data) for m in ours) == theirs


def test_memory_does_not_grow_with_the_database(db3: Path) -> None:
    peaks = []
    for rows in (40, 400):
        changed(
            db3,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "  # noqa: S608
            f"{rows}) INSERT INTO messages (topic_id, timestamp, data) SELECT 1, i, randomblob(100000) FROM n",
        )
        apsw.memory_high_water(True)  # noqa: FBT003 - positional only
        with db3.open("rb") as file:
            assert sum(1 for _ in Ros2Database(file, profile=LIMITS).messages()) >= rows
        peaks.append(apsw.memory_high_water())
    assert db3.stat().st_size > 40_000_000
    assert peaks[1] < 1.1 * peaks[0] < 8_000_000
