import io
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag1 import Reader, Writer

from anonymize.containers.mcap_reader import McapContainer
from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.ros1_bag import Ros1Bag
from anonymize.containers.stream import Message
from anonymize.errors import LimitExceededError, MalformedItemError, UnknownFormatError
from anonymize.profile import shipped_profile

LIMITS = shipped_profile("cn-2026").profile.containers
IMAGE, FIX = (
    ("sensor_msgs/msg/CompressedImage", "uint8[] data\n"),
    ("sensor_msgs/msg/NavSatFix", "float64 latitude\n"),
)
MD5 = "0123456789abcdef0123456789abcdef"


def written(
    path: Path,
    sent: list[tuple[int, int, bytes]],
    compression: Writer.CompressionFormat | None = None,
    chunk_bytes: int = 1000,
) -> bytes:
    """A bag by the writer of rosbags: two connections; what was sent is connection, time, payload."""
    writer = Writer(path)
    if compression is not None:
        writer.set_compression(compression)
    writer.chunk_threshold = chunk_bytes
    with writer:
        connections = [
            writer.add_connection(
                f"/{n}", name, msgdef=definition, md5sum=MD5, callerid=f"/node{n}", latching=n
            )
            for n, (name, definition) in enumerate((IMAGE, FIX))
        ]
        for number, time, data in sent:
            writer.write(connections[number], time, data)
    return path.read_bytes()


SENT = [(n % 2, 1_700_000_000_000_000_000 + n, bytes([n]) * (n + 1)) for n in range(60)]


@pytest.fixture
def bag(tmp_path: Path) -> bytes:
    return written(tmp_path / "made.bag", SENT)


def opened(content: bytes) -> Ros1Bag:
    return Ros1Bag(io.BytesIO(content), profile=LIMITS)


def sent_in(messages: list[Message]) -> list[tuple[int, int, bytes]]:
    return [(m.channel.id, m.log_time_ns, m.data) for m in messages]


@pytest.mark.parametrize("compression", [None, *Writer.CompressionFormat])
def test_a_bag_of_each_compression_gives_what_was_sent(
    tmp_path: Path, compression: Writer.CompressionFormat | None
) -> None:
    container = opened(written(tmp_path / "made.bag", SENT, compression))
    assert sent_in(list(container.messages())) == SENT
    assert container.summary.profile == "ros1"
    assert container.summary.counts == {0: 30, 1: 30}
    assert (container.summary.begin_ns, container.summary.end_ns) == (SENT[0][1], SENT[-1][1])
    image, fix = container.summary.channels
    assert (image.topic, image.message_encoding, image.metadata["callerid"]) == ("/0", "ros1", "/node0")
    assert fix.schema is not None
    assert (fix.schema.name, fix.schema.encoding, fix.schema.data) == (
        "sensor_msgs/NavSatFix", "ros1msg", b"float64 latitude\n",
    )  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, (1 << 32) * 10**9 - 1), st.binary(max_size=300)),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([None, *Writer.CompressionFormat]),
    st.integers(1, 3000),
)
def test_any_bag_reads_in_the_order_of_the_file_and_leaves_as_an_mcap_of_the_same_messages(
    tmp_path_factory: pytest.TempPathFactory,
    sent: list[tuple[int, int, bytes]],
    compression: Writer.CompressionFormat | None,
    chunk_bytes: int,
) -> None:
    path = tmp_path_factory.mktemp("bags") / "made.bag"
    container = opened(written(path, sent, compression, chunk_bytes))
    assert sent_in(list(container.messages())) == sent
    with Reader(path) as reader:
        by_the_library = sorted((c.id, time, bytes(data)) for c, time, data in reader.messages())
    assert by_the_library == sorted(sent)
    released = io.BytesIO(b"".join(write_mcap(container.messages(), profile="ros1", chunk_bytes=500)))
    again = list(McapContainer(released, profile=LIMITS).messages())
    assert [(m.channel.topic, m.log_time_ns, m.data) for m in again] == [(f"/{n}", t, d) for n, t, d in sent]


def test_a_real_bag_of_fixes_reads_as_the_library_reads_it(shared_data: Path) -> None:
    path = shared_data / "formats" / "ros1" / "sample.bag"
    with path.open("rb") as file, Reader(path) as reader:
        container = Ros1Bag(file, profile=LIMITS)
        theirs = [(c.topic, time, bytes(data)) for c, time, data in reader.messages()]
        assert [(m.channel.topic, m.log_time_ns, m.data) for m in container.messages()] == theirs
    (channel,) = container.summary.channels
    assert channel.schema is not None
    assert channel.schema.name == "sensor_msgs/NavSatFix"
    assert b"float64 latitude" in channel.schema.data


def test_every_truncation_is_refused(bag: bytes) -> None:
    for length in (*range(60), *range(60, len(bag), 7), len(bag) - 1):
        with pytest.raises(MalformedItemError):
            opened(bag[:length])


def at_field(bag: bytes, name: bytes, *, last: bool = False) -> int:
    return (bag.rindex if last else bag.index)(name + b"=") + len(name) + 1


def patched(bag: bytes, at: int, value: bytes) -> bytes:
    return bag[:at] + value + bag[at + len(value) :]


def test_bags_that_are_not_whole_are_refused_with_the_reason(bag: bytes) -> None:
    index, chunk = at_field(bag, b"index_pos"), at_field(bag, b"size")
    bad = {
        "was not closed": patched(bag, index, bytes(8)),
        "before its index": patched(bag, index, struct.pack("<Q", 1 << 40)),
        "does not count what is there": patched(bag, at_field(bag, b"chunk_count"), struct.pack("<I", 1)),
        "lists connections": patched(bag, at_field(bag, b"conn_count"), struct.pack("<I", 3)),
        "expand to its size": patched(bag, chunk, struct.pack("<I", 7)),
        "in an unknown way": bag.replace(b"compression=none", b"compression=nine"),
        "behind it": bag + b"hidden",
        "does not list the chunk": patched(bag, at_field(bag, b"chunk_pos", last=True), bytes(8)),
        "does not count the messages": bag[:-1] + b"\1",
        "begins with its version": b"#ROSBAG V1.2\n" + bag[13:],
        "less than a second": patched(bag, at_field(bag, b"time") + 4, b"\xff\xff\xff\xff"),
        "precedes its connection": patched(
            bag, bag.index(b"conn=", bag.index(b"time=") - 40) + 5, b"\t\0\0\0"
        ),
    }
    for says, content in bad.items():
        with pytest.raises(MalformedItemError, match=says):
            opened(content)


def test_one_connection_id_for_two_connections_is_refused(bag: bytes) -> None:
    at = bag.rindex(b"topic=/1")
    with pytest.raises(MalformedItemError, match="declared once"):
        opened(patched(bag, bag.rindex(b"topic=/1", 0, at), b"topic=/7"))


def test_an_encrypted_bag_is_of_no_kind_that_is_known(bag: bytes) -> None:
    length = struct.unpack_from("<I", bag, 13)[0]
    field = b"encryptor=rosbag/AesCbcEncryptor"
    header = bag[17 : 17 + length] + struct.pack("<I", len(field)) + field
    with pytest.raises(UnknownFormatError, match="encrypted"):
        opened(bag[:13] + struct.pack("<I", len(header)) + header + bag[17 + length :])


def test_what_lies_beyond_the_limits_is_refused(bag: bytes) -> None:
    for limits, says in (
        ({"max_messages": 59}, "too many messages"),
        ({"max_channels": 1}, "too many channels"),
        ({"max_message_bytes": 59}, "a message is too large"),
    ):
        with pytest.raises(LimitExceededError, match=says):
            Ros1Bag(io.BytesIO(bag), profile=replace(LIMITS, **limits))  # type: ignore[arg-type]
    huge = patched(bag, at_field(bag, b"size"), struct.pack("<I", (1 << 32) - 1))
    with pytest.raises(LimitExceededError, match="a chunk is too large"):
        opened(huge)
