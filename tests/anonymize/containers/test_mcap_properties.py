import io

from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, IndexType, Writer

from anonymize.containers.mcap_reader import McapContainer
from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.stream import Channel, ContainerKind, Message, Schema
from anonymize.containers.structure import scan_structure
from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.profile import shipped_profile

LIMITS = shipped_profile("cn-2026").profile.containers
NAMES = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=40)
SCHEMAS = st.none() | st.builds(
    Schema,
    name=NAMES,
    encoding=st.sampled_from(["ros1msg", "ros2msg", "protobuf", "jsonschema", ""]),
    data=st.binary(max_size=200),
)
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "latching": st.sampled_from(["0", "1"]),
        "md5sum": st.text("0123456789abcdef", min_size=32, max_size=32),
        "offered_qos_profiles": st.sampled_from(["", "- history: 3\n  depth: 10\n  reliability: reliable\n"]),
    },
)
UNSIGNED_64 = st.integers(0, 2**64 - 1)


@st.composite
def recordings(draw: st.DrawFn) -> list[Message]:
    channels = [
        Channel(id=number, topic=topic, message_encoding=encoding, schema=schema, metadata=metadata)
        for number, topic, encoding, schema, metadata in draw(
            st.lists(
                st.tuples(
                    st.integers(0, 65535),
                    NAMES,
                    st.sampled_from(["ros1", "cdr", "protobuf", "json", ""]),
                    SCHEMAS,
                    METADATA,
                ),
                min_size=1,
                max_size=6,
                unique_by=lambda channel: channel[0],
            )
        )
    ]
    return draw(
        st.lists(
            st.builds(
                Message,
                channel=st.sampled_from(channels),
                log_time_ns=UNSIGNED_64,
                publish_time_ns=UNSIGNED_64,
                sequence=st.integers(0, 2**32 - 1),
                data=st.binary(max_size=600),
            ),
            max_size=40,
        )
    )


def plain(message: Message) -> tuple[object, ...]:
    """Everything about a message but the number of its channel, which is given anew."""
    c, m = message.channel, message
    return (
        c.topic,
        c.message_encoding,
        c.schema,
        dict(c.metadata),
        m.log_time_ns,
        m.publish_time_ns,
        m.sequence,
        m.data,
    )


def as_the_library_reads(content: bytes) -> list[tuple[object, ...]]:
    reader = make_reader(io.BytesIO(content), validate_crcs=True)
    return [
        (
            c.topic,
            c.message_encoding,
            s and Schema(name=s.name, encoding=s.encoding, data=s.data),
            c.metadata,
            m.log_time,
            m.publish_time,
            m.sequence,
            m.data,
        )
        for s, c, m in reader.iter_messages(log_time_order=False)
    ]


@settings(deadline=None, max_examples=60)
@given(recordings(), st.sampled_from(["", "ros1", "ros2"]), st.integers(1, 2000))
def test_the_library_reads_the_messages_that_were_written(
    recording: list[Message], profile: str, chunk_bytes: int
) -> None:
    content = b"".join(write_mcap(recording, profile=profile, chunk_bytes=chunk_bytes))
    assert as_the_library_reads(content) == [plain(m) for m in recording]
    records = list(StreamReader(io.BytesIO(content), validate_crcs=True, emit_chunks=True).records)
    assert {type(r).__name__ for r in records} <= {
        "Header", "Schema", "Channel", "Chunk", "MessageIndex", "DataEnd", "Statistics", "SummaryOffset",
        "ChunkIndex", "Footer",
    }  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(recordings(), st.integers(1, 2000))
def test_our_reader_and_our_scanner_agree_with_what_was_written(
    recording: list[Message], chunk_bytes: int
) -> None:
    file = io.BytesIO(b"".join(write_mcap(recording, profile="ros2", chunk_bytes=chunk_bytes)))
    container = McapContainer(file, profile=LIMITS)
    assert [plain(m) for m in container.messages()] == [plain(m) for m in recording]
    assert [plain(m) for m in container.messages()] == [plain(m) for m in recording]
    times = [m.log_time_ns for m in recording]
    assert container.summary.container is ContainerKind.MCAP
    assert container.summary.begin_ns == min(times, default=None)
    assert container.summary.end_ns == max(times, default=None)
    assert sum(container.summary.counts.values()) == len(recording)
    topics = {m.channel.topic for m in recording}
    assert scan_structure(file, channels=topics).clean
    assert scan_structure(file, channels=topics).facts["messages"] == len(recording)


@settings(deadline=None, max_examples=60)
@given(
    recordings(),
    st.sampled_from(list(CompressionType)),
    st.integers(1, 2000),
    st.sets(st.sampled_from(["chunks", "summary", "crcs"])),
)
def test_our_reader_reads_what_the_library_wrote(
    recording: list[Message],
    compression: CompressionType,
    chunk_bytes: int,
    parts: set[str],
) -> None:
    summary, crcs = "summary" in parts, "crcs" in parts
    out = io.BytesIO()
    writer = Writer(
        out,
        chunk_size=chunk_bytes,
        compression=compression,
        index_types=IndexType.ALL if summary else IndexType.NONE,
        repeat_channels=summary,
        repeat_schemas=summary,
        use_chunking="chunks" in parts,
        use_statistics=summary,
        use_summary_offsets=summary,
        enable_crcs=crcs,
        enable_data_crcs=crcs,
    )
    writer.start(profile="ros2", library="another")
    numbers: dict[int, int] = {}
    for m in recording:
        if m.channel.id not in numbers:
            schema = m.channel.schema
            number = writer.register_schema(schema.name, schema.encoding, schema.data) if schema else 0
            numbers[m.channel.id] = writer.register_channel(
                m.channel.topic, m.channel.message_encoding, number, dict(m.channel.metadata)
            )
        writer.add_message(numbers[m.channel.id], m.log_time_ns, m.data, m.publish_time_ns, m.sequence)
    writer.finish()  # type: ignore[no-untyped-call]
    container = McapContainer(out, profile=LIMITS)
    assert [plain(m) for m in container.messages()] == [plain(m) for m in recording]
    assert container.summary.profile == "ros2"


@settings(deadline=None, max_examples=40)
@given(recordings(), st.data())
def test_a_released_file_with_any_byte_changed_is_refused_or_reported(
    recording: list[Message], data: st.DataObject
) -> None:
    content = bytearray(b"".join(write_mcap(recording, profile="ros2", chunk_bytes=500)))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    topics = {m.channel.topic for m in recording}
    try:
        clean = scan_structure(io.BytesIO(bytes(content)), channels=topics).clean
    except (MalformedItemError, LimitExceededError):
        clean = False
    assert not clean
