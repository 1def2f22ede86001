import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]
import pytest
from mcap.writer import CompressionType, Writer

from anonymize.containers import mcap_writer
from anonymize.containers.mcap_reader import McapContainer
from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.stream import Channel, Message, Schema
from anonymize.containers.structure import scan_structure
from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.finding import FieldPath
from anonymize.profile import shipped_profile

LIMITS = shipped_profile("cn-2026").profile.containers
FIX = Schema(name="sensor_msgs/msg/NavSatFix", encoding="ros2msg", data=b"float64 latitude")
CHANNELS = [
    Channel(id=4, topic="/fix", message_encoding="cdr", schema=FIX, metadata={"latching": "1"}),
    Channel(id=9, topic="/raw", message_encoding="json", schema=None),
]
TOPICS = {"/fix", "/raw"}


def released(chunk_bytes: int = 300) -> bytes:
    messages = (
        Message(channel=CHANNELS[n % 2], log_time_ns=n, publish_time_ns=n, sequence=n, data=bytes([n]) * 40)
        for n in range(20)
    )
    return b"".join(write_mcap(messages, profile="ros2", chunk_bytes=chunk_bytes))


def record(opcode: int, body: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(body)) + body


def text(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


def with_records(content: bytes, data: bytes = b"", summary: bytes = b"") -> bytes:
    """The file with records before the end of its data and of its summary; every offset and CRC made to fit."""
    start, offsets_at, _ = struct.unpack_from("<QQI", content, len(content) - 28)
    end = start - 13
    body = content[:end] + data
    body += record(15, struct.pack("<I", zlib.crc32(body)))
    groups = content[start:offsets_at]
    offsets = bytearray(content[offsets_at : len(content) - 37])
    for at in range(0, len(offsets), 26):
        struct.pack_into("<Q", offsets, at + 10, struct.unpack_from("<Q", offsets, at + 10)[0] + len(data))
    about = struct.pack("<BQQQ", 2, 20, start + len(data), offsets_at + len(data))
    tail = groups + bytes(offsets) + summary + about
    return body + tail + struct.pack("<I", zlib.crc32(tail)) + content[-8:]


def residual(content: bytes, topics: set[str] = TOPICS) -> set[tuple[str, str]]:
    found = scan_structure(io.BytesIO(content), channels=topics).residual
    return {(f.where.path, f.label) for f in found if isinstance(f.where, FieldPath)}


def test_what_the_writer_writes_is_clean_and_counted() -> None:
    content = released()
    report = scan_structure(io.BytesIO(content), channels=TOPICS)
    assert report.clean
    assert report.facts == {"messages": 20, "channels": 2, "chunks": 5, "bytes": len(content)}
    assert residual(with_records(content)) == set()


@pytest.mark.parametrize(
    ("opcode", "path", "label"),
    [
        (0x09, "attachment", "opcode_09"),
        (0x0C, "metadata", "opcode_0c"),
        (0x0A, "attachment_index", "opcode_0a"),
        (0x05, "message outside chunk", "opcode_05"),
        (0x04, "channel outside chunk", "opcode_04"),
        (0x80, "record", "opcode_80"),
        (0x10, "record", "opcode_10"),
    ],
)
def test_every_other_record_in_the_data_is_reported(opcode: int, path: str, label: str) -> None:
    assert residual(with_records(released(), data=record(opcode, b"39.9042N"))) == {(path, label)}


@pytest.mark.parametrize("opcode", [0x0A, 0x0D, 0x80])
def test_every_other_record_in_the_summary_is_reported(opcode: int) -> None:
    found = residual(with_records(released(), summary=record(opcode, b"39.9042N")))
    assert {label for _, label in found} == {f"opcode_{opcode:02x}"}


def test_bytes_behind_the_end_are_reported() -> None:
    assert residual(released() + b"39.9042N") == {("trailing", "trailing_bytes")}


def test_topics_that_were_not_given_are_reported() -> None:
    assert residual(released(), {"/raw"}) == {("channel 1/topic", "topic")}
    assert residual(released(), set()) == {("channel 1/topic", "topic"), ("channel 2/topic", "topic")}


def test_metadata_of_channels_and_names_of_writers_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    about = Channel(
        id=1,
        topic="/t",
        message_encoding="C:\\secret",
        schema=None,
        metadata={"callerid": "/zhang_wei", "latching": "39.9042"},
    )
    one = Message(channel=about, log_time_ns=1, publish_time_ns=1, sequence=0, data=b"")
    monkeypatch.setattr(mcap_writer, "kept_metadata", dict)
    monkeypatch.setattr(mcap_writer, "LIBRARY", "fleetgate 1.0 on gate-7.fleet.cn")
    content = b"".join(write_mcap([one], profile="", chunk_bytes=100))
    assert residual(content, {"/t"}) == {
        ("header/library", "library"),
        ("channel 1/message_encoding", "name"),
        ("channel 1/metadata", "channel_metadata"),
    }


def test_a_schema_without_a_channel_is_reported() -> None:
    hidden = record(3, struct.pack("<H", 2) + text(b"s") + text(b"") + text(b"39.9042N"))
    body = record(3, struct.pack("<H", 1) + text(FIX.name.encode()) + text(b"ros2msg") + text(FIX.data))
    channel = record(4, struct.pack("<HH", 1, 1) + text(b"/fix") + text(b"cdr") + text(b""))
    assert residual(by_hand(body + hidden + channel, [body, hidden], [channel])) == {
        ("schema 2", "unused_schema")
    }


def by_hand(
    declared: bytes,
    schemas: list[bytes],
    channels: list[bytes],
    *,
    compress: Callable[[bytes], bytes] = lz4.frame.compress,
    entry: tuple[int, int] | None = None,
    compression: bytes = b"lz4",
) -> bytes:
    """A whole file of one message at time 5 on channel 1, written with nothing but the specification."""
    records = declared + record(5, struct.pack("<HIQQ", 1, 0, 5, 5))
    compressed = compress(records)
    file = b"\x89MCAP0\r\n" + record(1, text(b"ros2") + text(b"fleetgate"))
    at = len(file)
    head = struct.pack("<QQQI", 5, 5, len(records), zlib.crc32(records)) + text(compression)
    file += record(6, head + struct.pack("<Q", len(compressed)) + compressed)
    index_at = len(file)
    file += record(7, struct.pack("<HIQQ", 1, 16, *(entry or (5, len(declared)))))
    places = text(struct.pack("<HQ", 1, index_at)) + struct.pack("<Q", len(file) - index_at)
    about = struct.pack("<QQQQ", 5, 5, at, index_at - at) + places + text(compression)
    chunk_index = record(8, about + struct.pack("<QQ", len(compressed), len(records)))
    file += record(15, struct.pack("<I", zlib.crc32(file)))
    start = len(file)
    counts = text(struct.pack("<HQ", 1, 1))
    statistics = record(11, struct.pack("<QHIIIIQQ", 1, len(schemas), len(channels), 0, 0, 1, 5, 5) + counts)
    offsets, summary = b"", b""
    for opcode, group in ((3, schemas), (4, channels), (11, [statistics]), (8, [chunk_index])):
        if group:
            body = b"".join(group)
            offsets += record(14, struct.pack("<BQQ", opcode, start + len(summary), len(body)))
            summary += body
    offsets_at = start + len(summary)
    tail = summary + offsets + struct.pack("<BQQQ", 2, 20, start, offsets_at)
    return file + tail + struct.pack("<I", zlib.crc32(tail)) + file[:8]


BARE = record(4, struct.pack("<HH", 1, 0) + text(b"/fix") + text(b"cdr") + text(b""))


def test_a_file_that_was_made_by_hand_from_the_specification_is_clean() -> None:
    content = by_hand(BARE, [], [BARE])
    assert residual(content) == set()
    assert McapContainer(io.BytesIO(content), profile=LIMITS).summary.counts == {1: 1}


def test_indexes_statistics_and_padding_that_say_anything_else_are_refused() -> None:
    padded = record(4, BARE[9:] + b"39.9042N")
    other = record(4, struct.pack("<HH", 1, 0) + text(b"/raw") + text(b"cdr") + text(b""))
    for content, says in (
        (by_hand(BARE, [], [BARE], entry=(39, 9042)), "lists the messages"),
        (by_hand(BARE, [], [other]), "as they were"),
        (by_hand(BARE, [], []), "statistics fit"),
        (by_hand(padded, [], [padded]), "last field"),
        (by_hand(BARE, [], [BARE], compress=lambda d: lz4.frame.compress(d) + b"39.9"), "one lz4 frame"),
        (
            by_hand(BARE, [], [BARE], compress=lambda d: lz4.frame.compress(d + b"39.9")),
            "expands to its size",
        ),
        (by_hand(BARE, [], [BARE], compress=bytes, compression=b""), "as lz4"),
        (by_hand(record(0x80, b"x") + BARE, [], [BARE]), "got 0x80"),
        (by_hand(BARE + BARE, [], [BARE]), "number of its own"),
    ):
        with pytest.raises(MalformedItemError, match=says):
            residual(content)


def test_every_truncation_is_refused() -> None:
    content = released()
    for length in range(len(content)):
        with pytest.raises(MalformedItemError):
            residual(content[:length])


def test_a_chunk_that_claims_more_than_memory_is_refused() -> None:
    head = struct.pack("<QQQI", 0, 0, 1 << 40, 0) + text(b"lz4") + struct.pack("<Q", 0)
    start = b"\x89MCAP0\r\n" + record(1, text(b"") + text(b"fleetgate"))
    with pytest.raises(LimitExceededError):
        residual(start + record(6, head))


def test_a_file_of_the_library_with_attachment_and_metadata_never_passes(tmp_path: Path) -> None:
    path = tmp_path / "made.mcap"
    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.LZ4, enable_data_crcs=True)
        writer.start(profile="ros2", library="fleetgate")
        number = writer.register_channel("/fix", "cdr", 0)
        writer.add_message(number, 1, b"x", 1)
        writer.add_attachment(0, 0, "drive.gpx", "application/gpx+xml", b"<gpx/>")
        writer.add_metadata("vehicle", {"vin": "LSVAA4182E2184847"})
        writer.finish()  # type: ignore[no-untyped-call]
    with path.open("rb") as file, pytest.raises(MalformedItemError):
        scan_structure(file, channels=TOPICS)


def test_real_bags_are_clean_once_rewritten_and_not_before(shared_data: Path) -> None:
    for name in ("topics_and_services", "wbag_0", "rewriter_a_0"):
        with (shared_data / "formats" / "ros2" / f"{name}.mcap").open("rb") as file:
            container = McapContainer(file, profile=LIMITS)
            topics = {channel.topic for channel in container.summary.channels}
            with pytest.raises(MalformedItemError):
                scan_structure(file, channels=topics)
            content = b"".join(write_mcap(container.messages(), profile="ros2", chunk_bytes=4096))
        assert residual(content, topics) == set()
