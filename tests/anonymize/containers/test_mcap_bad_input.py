import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

import lz4.frame  # type: ignore[import-untyped]
import pytest
import zstandard
from mcap.writer import CompressionType, Writer

from anonymize.containers.mcap_reader import McapContainer
from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.stream import Channel, Message, Schema
from anonymize.errors import AnonymizeError, LimitExceededError, MalformedItemError
from anonymize.profile import ContainerProfile, shipped_profile

LIMITS = shipped_profile("cn-2026").profile.containers
MAGIC = b"\x89MCAP0\r\n"


def record(opcode: int, body: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(body)) + body


def text(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


def schema(number: int = 1, name: bytes = b"s", data: bytes = b"") -> bytes:
    return record(3, struct.pack("<H", number) + text(name) + text(b"ros2msg") + text(data))


def channel(number: int = 1, topic: bytes = b"/t", of: int = 0, metadata: bytes = b"") -> bytes:
    return record(4, struct.pack("<HH", number, of) + text(topic) + text(b"cdr") + text(metadata))


def message(number: int = 1, time: int = 5, data: bytes = b"payload") -> bytes:
    return record(5, struct.pack("<HIQQ", number, 1, time, time) + data)


def chunk(
    records: bytes,
    *,
    compression: bytes = b"",
    data: bytes | None = None,
    size: int | None = None,
    crc: int | None = None,
) -> bytes:
    head = struct.pack(
        "<QQQI", 0, 9, len(records) if size is None else size, zlib.crc32(records) if crc is None else crc
    )
    body = records if data is None else data
    return record(6, head + text(compression) + struct.pack("<Q", len(body)) + body)


def mcap(*data: bytes, end: bytes | None = None) -> bytes:
    tail = record(15, bytes(4)) + record(2, bytes(20)) + MAGIC if end is None else end
    return MAGIC + record(1, text(b"ros2") + text(b"made by hand")) + b"".join(data) + tail


def opened(content: bytes, limits: ContainerProfile = LIMITS) -> McapContainer:
    return McapContainer(io.BytesIO(content), profile=limits)


def real(messages: int = 30, chunk_bytes: int = 400) -> bytes:
    about = Channel(
        id=1, topic="/t", message_encoding="cdr", schema=Schema(name="s", encoding="ros2msg", data=b"uint8 x")
    )
    return b"".join(
        write_mcap(
            (
                Message(channel=about, log_time_ns=i, publish_time_ns=i, sequence=i, data=bytes([i]) * 50)
                for i in range(messages)
            ),
            profile="ros2",
            chunk_bytes=chunk_bytes,
        )
    )


def test_a_file_without_summary_reads_in_sequence_in_and_outside_chunks() -> None:
    container = opened(
        mcap(schema(), channel(of=1), message(time=7), chunk(message(time=3) + message(time=4)))
    )
    assert [m.log_time_ns for m in container.messages()] == [7, 3, 4]
    assert (container.summary.begin_ns, container.summary.end_ns) == (3, 7)
    assert container.summary.counts == {1: 3}


def test_attachments_metadata_and_private_records_are_named_and_never_read_out() -> None:
    out = io.BytesIO()
    writer = Writer(out, compression=CompressionType.ZSTD, enable_data_crcs=True)
    writer.start(profile="px4", library="another")
    number = writer.register_channel("/t", "json", 0)
    writer.add_attachment(0, 0, "track 39.9.gpx", "application/gpx+xml", b"<gpx/>")
    writer.add_metadata("vehicle", {"vin": "LSVAA4182E2184847"})
    writer.add_message(number, 1, b"{}", 1)
    writer.finish()  # type: ignore[no-untyped-call]
    container = opened(out.getvalue())
    assert container.summary.dropped == ("attachment", "metadata")
    assert container.summary.profile == ""
    assert [m.data for m in container.messages()] == [b"{}"]
    assert opened(mcap(record(0x80, b"anything"))).summary.dropped == ("private_record",)


def test_two_readings_at_once_do_not_disturb_one_another() -> None:
    container = opened(real())
    pairs = list(zip(container.messages(), container.messages(), strict=True))
    assert len(pairs) == 30
    assert all(one == other for one, other in pairs)


TWICE = channel() + channel(topic=b"/other")
BAD: dict[str, tuple[bytes, type[AnonymizeError], str]] = {
    "nothing at all": (b"", MalformedItemError, "cut short"),
    "another magic": (b"PK\3\4" + bytes(60), MalformedItemError, "magic"),
    "no header": (MAGIC + record(15, bytes(4)), MalformedItemError, "out of place"),
    "no end of data": (mcap(channel(), message(), end=b""), MalformedItemError, "cut short"),
    "no footer": (mcap(end=record(15, bytes(4))), MalformedItemError, "cut short"),
    "no magic at the end": (
        mcap(end=record(15, bytes(4)) + record(2, bytes(20))),
        MalformedItemError,
        "cut short",
    ),
    "bytes behind the end": (mcap() + b"hidden", MalformedItemError, "behind it"),
    "summary that the footer does not name": (
        mcap(end=record(15, bytes(4)) + channel() + record(2, bytes(20)) + MAGIC),
        MalformedItemError,
        "not where the footer says",
    ),
    "message before its channel": (mcap(message()), MalformedItemError, "precedes its channel"),
    "channel before its schema": (mcap(channel(of=3)), MalformedItemError, "precedes its schema"),
    "one channel id for two": (mcap(TWICE), MalformedItemError, "declared once"),
    "one channel id with two schemas": (
        mcap(schema(1), schema(2, b"t"), channel(of=1), channel(of=2)),
        MalformedItemError,
        "declared once",
    ),
    "one schema id for two": (mcap(schema(), schema(name=b"t")), MalformedItemError, "defined once"),
    "schema number nought": (mcap(schema(0)), MalformedItemError, "defined once"),
    "unknown record": (mcap(record(0x10, b"")), MalformedItemError, "unknown or out of place"),
    "record nought": (mcap(record(0, b"")), MalformedItemError, "unknown or out of place"),
    "chunk within a chunk": (mcap(chunk(chunk(b""))), MalformedItemError, "got opcode 0x06"),
    "record cut in a chunk": (mcap(chunk(channel() + message()[:-1])), MalformedItemError, "cut short"),
    "message shorter than its fields": (mcap(channel(), record(5, b"\1\0")), MalformedItemError, "cut short"),
    "wrong CRC of a chunk": (mcap(chunk(channel() + message(), crc=1)), MalformedItemError, "CRC of a chunk"),
    "wrong CRC of the data": (
        mcap(end=record(15, b"\1\0\0\0") + record(2, bytes(20)) + MAGIC),
        MalformedItemError,
        "CRC of the data section",
    ),
    "wrong CRC of the summary": (
        mcap(end=record(15, bytes(4)) + record(2, bytes(16) + b"\1\0\0\0") + MAGIC),
        MalformedItemError,
        "CRC of the summary",
    ),
    "unknown compression": (mcap(chunk(b"", compression=b"xz")), MalformedItemError, "unknown way"),
    "chunk shorter than it says": (mcap(chunk(channel(), size=5)), MalformedItemError, "expand to its size"),
    "lz4 that is none": (mcap(chunk(b"x" * 9, compression=b"lz4")), MalformedItemError, "damaged"),
    "zstd that is none": (mcap(chunk(b"x" * 9, compression=b"zstd")), MalformedItemError, "damaged"),
    "lz4 cut short": (
        mcap(chunk(channel(), compression=b"lz4", data=lz4.frame.compress(channel())[:-6])),
        MalformedItemError,
        "cut short|damaged",
    ),
    "lz4 with something behind": (
        mcap(chunk(channel(), compression=b"lz4", data=lz4.frame.compress(channel()) + b"hidden")),
        MalformedItemError,
        "behind them",
    ),
    "zstd with something behind": (
        mcap(chunk(channel(), compression=b"zstd", data=zstandard.compress(channel()) + b"hidden")),
        MalformedItemError,
        "damaged",
    ),
    "lz4 bomb": (
        mcap(chunk(channel(), compression=b"lz4", data=lz4.frame.compress(bytes(1 << 26)))),
        MalformedItemError,
        "expand to its size",
    ),
    "zstd bomb": (
        mcap(chunk(channel(), compression=b"zstd", data=zstandard.compress(bytes(1 << 26)))),
        MalformedItemError,
        "expand to its size",
    ),
    "zstd bomb that names no size": (
        mcap(
            chunk(
                channel(),
                compression=b"zstd",
                data=zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 26)),
            )
        ),
        MalformedItemError,
        "expand to its size",
    ),
    "chunk that claims more than memory": (mcap(chunk(b"", size=1 << 40)), LimitExceededError, "too large"),
    "record that claims more than the file": (
        mcap(end=struct.pack("<BQ", 5, 1 << 60)),
        MalformedItemError,
        "cut short",
    ),
    "name that is not UTF-8": (mcap(channel(topic=b"\xff")), MalformedItemError, "UTF-8"),
    "name that is not printable": (mcap(channel(topic=b"/a\x1b[2J")), MalformedItemError, "printable"),
    "name without end": (mcap(channel(topic=b"/" + b"a" * 300)), MalformedItemError, "256"),
    "channel without a topic": (mcap(channel(topic=b"")), MalformedItemError, "printable"),
    "name of a schema that is not printable": (mcap(schema(name=b"a\nb")), MalformedItemError, "printable"),
    "field that reaches beyond its record": (
        mcap(record(4, struct.pack("<HHI", 1, 0, 900) + b"/t")),
        MalformedItemError,
        "cut short",
    ),
    "metadata of a channel without end": (
        mcap(channel(metadata=text(b"k") + text(b"v" * 70_000))),
        LimitExceededError,
        "metadata of channel 1",
    ),
}


@pytest.mark.parametrize(("content", "error", "says"), BAD.values(), ids=BAD)
def test_bad_files_are_refused_with_the_reason(
    content: bytes, error: type[AnonymizeError], says: str
) -> None:
    with pytest.raises(error, match=says):
        opened(content)


def test_a_refused_name_is_not_repeated() -> None:
    with pytest.raises(MalformedItemError) as refused:
        opened(mcap(channel(topic=b"/39.9042N 116.4074E\n")))
    assert "39.9" not in str(refused.value)


def test_every_truncation_is_refused() -> None:
    content = real(messages=8, chunk_bytes=150)
    for length in range(len(content)):
        with pytest.raises(MalformedItemError):
            opened(content[:length])


def test_statistics_that_count_other_messages_are_refused() -> None:
    content = bytearray(real())
    at = content.rindex(struct.pack("<BQ", 0x0B, 56))
    content[at + 9] ^= 1
    footer = len(content) - 8 - 20
    start = struct.unpack_from("<Q", content, footer)[0]
    struct.pack_into("<I", content, footer + 16, zlib.crc32(content[start : footer + 16]))
    with pytest.raises(MalformedItemError, match="messages are missing"):
        opened(bytes(content))


def narrowed(**limits: int) -> Callable[[], McapContainer]:
    narrow: ContainerProfile = replace(LIMITS, **limits)  # type: ignore[arg-type]
    content = mcap(channel(), channel(2, b"/u"), message(), message(data=b"x" * 100), message())
    return lambda: opened(content, narrow)


def test_what_lies_at_the_limits_of_the_profile_is_read_and_beyond_refused() -> None:
    assert narrowed(max_messages=3, max_channels=2, max_message_bytes=100)().summary.counts == {1: 3, 2: 0}
    with pytest.raises(LimitExceededError, match="too many messages"):
        narrowed(max_messages=2)()
    with pytest.raises(LimitExceededError, match="too many channels"):
        narrowed(max_channels=1)()
    with pytest.raises(LimitExceededError, match="a message is too large"):
        narrowed(max_message_bytes=99)()
    with pytest.raises(LimitExceededError, match="a message is too large"):
        opened(mcap(chunk(channel() + message(data=b"x" * 100))), replace(LIMITS, max_message_bytes=99))


def test_the_writer_refuses_what_mcap_cannot_hold() -> None:
    about = Channel(id=1, topic="/t", message_encoding="cdr", schema=None)
    good = Message(channel=about, log_time_ns=1, publish_time_ns=1, sequence=0, data=b"")
    for bad in (
        replace(good, log_time_ns=-1),
        replace(good, publish_time_ns=1 << 64),
        replace(good, sequence=1 << 32),
        replace(good, channel=replace(about, topic="/u")),
    ):
        with pytest.raises(ValueError, match=r"unsigned|one channel"):
            list(write_mcap([good, bad], profile="", chunk_bytes=100))
    with pytest.raises(ValueError, match="profile is unknown"):
        list(write_mcap([], profile="px4", chunk_bytes=100))


def test_of_the_metadata_of_channels_only_known_forms_leave() -> None:
    metadata = {
        "callerid": "/recorder_LSVAA4182E2184847",
        "latching": "1",
        "md5sum": "39.9042,116.4074",
        "offered_qos_profiles": "- history: 3\n  depth: 5\n  deadline:\n    sec: 39904200\n",
        "owner": "Zhang Wei",
    }
    about = Channel(id=1, topic="/t", message_encoding="ros1", schema=None, metadata=metadata)
    one = Message(channel=about, log_time_ns=1, publish_time_ns=1, sequence=0, data=b"")
    container = opened(b"".join(write_mcap([one], profile="ros1", chunk_bytes=100)))
    assert container.summary.channels[0].metadata == {"latching": "1"}
