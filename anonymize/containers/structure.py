"""The second look at a released MCAP: every byte of it is a message, or what finding messages needs."""

import hashlib
import os
import re
import struct
import zlib
from collections.abc import Collection
from typing import BinaryIO

from anonymize.containers.released import CHANNEL_METADATA, LIBRARY, PROFILES
from anonymize.containers.released_records import (
    CHANNEL,
    CHUNK_INDEX,
    GROUPS,
    SCHEMA,
    STATISTICS,
    Fields,
    SummaryGroups,
    expanded_lz4,
    limit,
    require,
)
from anonymize.errors import MalformedItemError
from anonymize.finding import FieldPath, Finding, FindingKind
from anonymize.residual import ResidualReport

READER = "mcap-structure"

_MAGIC = bytes([0x89, 0x4D, 0x43, 0x41, 0x50, 0x30, 0x0D, 0x0A])
_HEADER, _FOOTER, _MESSAGE, _CHUNK = 0x01, 0x02, 0x05, 0x06
_MESSAGE_INDEX, _SUMMARY_OFFSET, _DATA_END = 0x07, 0x0E, 0x0F
_PREFIX = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_NAMES = {0x09: "attachment", 0x0A: "attachment_index", 0x0C: "metadata", 0x0D: "metadata_index",
          SCHEMA: "schema outside chunk", CHANNEL: "channel outside chunk",
          _MESSAGE: "message outside chunk"}  # fmt: skip
_MAX_CHUNK_BYTES = 1 << 30
_MAX_RECORD_BYTES = 1 << 26
_PIECE = 1 << 20
_ENCODING = re.compile(r"[a-z0-9_.-]{0,32}")


def scan_structure(file: BinaryIO, *, channels: Collection[str]) -> ResidualReport:
    """Walk an MCAP with a reader of its own and report what a released one must not hold.

    1. The header names this software, without a version, and a known profile. 2. The data section holds
    chunks and their message indexes: no attachment, no metadata, no other record. 3. Chunks are single lz4
    frames of schemas, channels and messages; every channel has a permitted topic and metadata of the
    permitted forms, and every schema has a channel. 4. Indexes, statistics, summary and footer say what is
    there and nothing else. 5. All CRCs are there and fit. 6. Nothing stands behind the magic. Payloads and the
    text of schemas are for other scanners. Memory is that of one chunk, whatever the length of the file.

    Args:
        file: The file, seekable.
        channels: Topics that may be there.

    Raises:
        MalformedItemError: The file is damaged or cut short, a CRC is missing or wrong, or an index does not
            say what is there.
        LimitExceededError: A chunk claims more than 1 GiB, or another record has more than 64 MiB.
    """
    walk = _Walk(file, frozenset(channels))
    walk.run()
    return ResidualReport(
        scanners=(READER,),
        residual=tuple(
            Finding(kind=kind, where=FieldPath(path=path), confidence=1.0, detector=READER, label=label)
            for path, (kind, label) in walk.found.items()
        ),
        facts={
            "messages": sum(walk.counts.values()),
            "channels": len(walk.channels),
            "chunks": walk.chunks,
            "bytes": walk.end,
        },
    )


class _Walk:
    """One walk over a file."""

    def __init__(self, file: BinaryIO, topics: frozenset[str]) -> None:
        self._file = file
        self._topics = topics
        self.end = file.seek(0, os.SEEK_END)
        file.seek(0)
        self.crc = 0
        self.found: dict[str, tuple[FindingKind, str]] = {}
        self.schemas: dict[int, bytes] = {}
        self.channels: dict[int, bytes] = {}
        self.used: set[int] = set()
        self.counts: dict[int, int] = {}
        self.first, self.last = 0, 0
        self.chunks = 0
        # What the chunk indexes must be; a digest, since there is one for each chunk of the file.
        self.indexes = hashlib.sha256()

    def run(self) -> None:
        self._magic()
        opcode, header = self._record()
        require(opcode == _HEADER, "an MCAP begins with its header")
        self._header(header)
        self._data()
        self._summary()
        self._magic()
        if self._file.tell() != self.end:
            self._report("trailing", FindingKind.UNLISTED_FIELD, "trailing_bytes")

    def _report(self, path: str, kind: FindingKind, label: str) -> None:
        self.found.setdefault(path, (kind, label))

    def _header(self, body: bytes) -> None:
        fields = Fields(body)
        profile, library = fields.text(), fields.text()
        fields.require_end()
        if library != LIBRARY:
            self._report("header/library", FindingKind.METADATA, "library")
        if profile not in PROFILES:
            self._report("header/profile", FindingKind.METADATA, "profile")

    def _data(self) -> None:
        pending: dict[int, bytes] = {}
        positions: dict[int, int] = {}
        chunk: tuple[int, int, bytes] | None = None
        while True:
            at, before = self._file.tell(), self.crc
            opcode, length = self._prefix()
            if opcode == _MESSAGE_INDEX:
                body = self._body(length)
                number = Fields(body).number("H")
                require(pending.pop(number, None) == body, "a message index lists the messages of its chunk")
                positions[number] = at
                continue
            require(not pending, "a chunk is followed by an index for each of its channels")
            if chunk is not None:
                self._expect_index(chunk, positions, at)
                chunk, positions = None, {}
            if opcode == _CHUNK:
                limit(length, _MAX_CHUNK_BYTES)
                described, pending = self._chunk(self._take(length))
                chunk = (at, _PREFIX.size + length, described)
            elif opcode == _DATA_END:
                (crc,) = struct.unpack("<I", self._exactly(length, 4))
                require(crc == before, "the CRC of the data section fits")
                return
            else:
                self._report(_NAMES.get(opcode, "record"), FindingKind.UNLISTED_FIELD, f"opcode_{opcode:02x}")
                self._skip(length)

    def _expect_index(self, chunk: tuple[int, int, bytes], positions: dict[int, int], end: int) -> None:
        at, length, described = chunk
        offsets = b"".join(struct.pack("<HQ", number, where) for number, where in positions.items())
        times, rest = described[:16], described[16:]
        behind = end - at - length
        body = (
            times + struct.pack("<QQI", at, length, len(offsets)) + offsets + struct.pack("<Q", behind) + rest
        )
        self.indexes.update(_PREFIX.pack(CHUNK_INDEX, len(body)) + body)
        self.chunks += 1

    def _chunk(self, body: bytes) -> tuple[bytes, dict[int, bytes]]:
        """What the index says of the chunk, and what its message indexes are."""
        fields = Fields(body)
        begin, end, size, crc = fields.number("Q"), fields.number("Q"), fields.number("Q"), fields.number("I")
        compression, compressed = fields.text(), fields.sized("Q")
        fields.require_end()
        require(compression == "lz4", "a chunk is compressed as lz4")
        limit(size, _MAX_CHUNK_BYTES)
        data = expanded_lz4(compressed, size)
        require(zlib.crc32(data) == crc, "the CRC of a chunk fits")
        times, entries = self._records_in_chunk(data)
        require(bool(times) and (begin, end) == times, "a chunk says from when its messages are")
        described = struct.pack("<QQI", begin, end, 3) + b"lz4" + struct.pack("<QQ", len(compressed), size)
        return described, {
            number: struct.pack("<HI", number, len(listed)) + bytes(listed)
            for number, listed in entries.items()
        }

    def _records_in_chunk(self, data: bytes) -> tuple[tuple[int, ...], dict[int, bytearray]]:
        entries: dict[int, bytearray] = {}
        offset, first, last = 0, 1 << 64, 0
        while offset < len(data):
            require(len(data) - offset >= _PREFIX.size, "a record in a chunk is whole")
            opcode, length = _PREFIX.unpack_from(data, offset)
            start = offset + _PREFIX.size
            end = start + length
            require(end <= len(data), "a record in a chunk is whole")
            if opcode == _MESSAGE:
                require(length >= _MESSAGE_HEAD.size, "a message is whole")
                number, _, time, _ = _MESSAGE_HEAD.unpack_from(data, start)
                require(number in self.channels, "a message follows its channel")
                entries.setdefault(number, bytearray()).extend(struct.pack("<QQ", time, offset))
                first, last = min(first, time), max(last, time)
                self.counts[number] = self.counts.get(number, 0) + 1
            elif opcode == SCHEMA:
                self._schema(data[start:end])
            elif opcode == CHANNEL:
                self._channel(data[start:end])
            else:
                raise MalformedItemError(f"a chunk holds schemas, channels and messages (got {opcode:#04x})")
            offset = end
        if not entries:
            return (), entries
        self.first = min(self.first, first) if self.chunks else first
        self.last = max(self.last, last)
        return (first, last), entries

    def _schema(self, body: bytes) -> None:
        fields = Fields(body)
        number, name, encoding, _ = fields.number("H"), fields.text(), fields.text(), fields.sized("I")
        fields.require_end()
        require(number > 0 and number not in self.schemas, "a schema has a number of its own")
        if not _ENCODING.fullmatch(encoding) or not name.isprintable():
            self._report(f"schema {number}", FindingKind.METADATA, "name")
        self.schemas[number] = hashlib.sha256(body).digest()

    def _channel(self, body: bytes) -> None:
        fields = Fields(body)
        number, schema = fields.number("H"), fields.number("H")
        topic, encoding, metadata = fields.text(), fields.text(), Fields(fields.sized("I"))
        fields.require_end()
        require(number not in self.channels, "a channel has a number of its own")
        require(schema == 0 or schema in self.schemas, "a channel follows its schema")
        self.used.add(schema)
        if topic not in self._topics:
            self._report(f"channel {number}/topic", FindingKind.UNLISTED_FIELD, "topic")
        if not _ENCODING.fullmatch(encoding):
            self._report(f"channel {number}/message_encoding", FindingKind.METADATA, "name")
        while metadata.left:
            form = CHANNEL_METADATA.get(metadata.text())
            value = metadata.text()
            if form is None or not form.fullmatch(value):
                self._report(f"channel {number}/metadata", FindingKind.METADATA, "channel_metadata")
        self.channels[number] = hashlib.sha256(body).digest()

    def _summary(self) -> None:
        for number in self.schemas.keys() - self.used:
            self._report(f"schema {number}", FindingKind.UNLISTED_FIELD, "unused_schema")
        start, self.crc = self._file.tell(), 0
        seen, indexes = SummaryGroups(), hashlib.sha256()
        while True:
            at, before = self._file.tell(), self.crc
            opcode, body = self._record()
            if opcode == _FOOTER:
                break
            if opcode in GROUPS:
                seen.add(opcode, at, self._file.tell())
            if opcode in {SCHEMA, CHANNEL}:
                self._repeated(opcode, body, seen)
            elif opcode == STATISTICS:
                self._statistics(body)
            elif opcode == CHUNK_INDEX:
                indexes.update(_PREFIX.pack(opcode, len(body)) + body)
            elif opcode == _SUMMARY_OFFSET:
                seen.offsets.append((at, body))
            else:
                self._report(_NAMES.get(opcode, "record"), FindingKind.UNLISTED_FIELD, f"opcode_{opcode:02x}")
        require(indexes.digest() == self.indexes.digest(), "the chunk indexes list the chunks")
        require(seen.repeated == len(self.schemas) + len(self.channels), "the summary repeats all channels")
        offsets_at = seen.require_offsets()
        crc = zlib.crc32(struct.pack("<BQQQ", _FOOTER, 20, start, offsets_at), before)
        require(body == struct.pack("<QQI", start, offsets_at, crc), "the footer and the summary's CRC fit")

    def _repeated(self, opcode: int, body: bytes, seen: SummaryGroups) -> None:
        known = self.schemas if opcode == SCHEMA else self.channels
        number = Fields(body).number("H")
        same = known.get(number) == hashlib.sha256(body).digest() and (opcode, number) not in seen.numbers
        require(same, "the summary repeats schemas and channels as they were")
        seen.numbers.add((opcode, number))

    def _statistics(self, body: bytes) -> None:
        total = sum(self.counts.values())
        about = (total, len(self.schemas), len(self.channels), 0, 0, self.chunks, self.first, self.last)
        fixed = struct.pack("<QHIIIIQQI", *about, 10 * len(self.counts))
        listed = body[len(fixed) :]
        require(body.startswith(fixed) and len(listed) == 10 * len(self.counts), "the statistics fit")
        require(dict(struct.iter_unpack("<HQ", listed)) == self.counts, "the statistics fit")

    def _magic(self) -> None:
        require(self._take(8) == _MAGIC, "an MCAP begins and ends with its magic")

    def _record(self) -> tuple[int, bytes]:
        opcode, length = self._prefix()
        return opcode, self._body(length)

    def _prefix(self) -> tuple[int, int]:
        opcode, length = _PREFIX.unpack(self._take(_PREFIX.size))
        return opcode, length

    def _body(self, length: int) -> bytes:
        limit(length, _MAX_RECORD_BYTES)
        return self._take(length)

    def _exactly(self, length: int, expected: int) -> bytes:
        require(length == expected, "a record has its length")
        return self._take(length)

    def _skip(self, length: int) -> None:
        while length:
            length -= len(self._take(min(length, _PIECE)))

    def _take(self, length: int) -> bytes:
        require(length <= self.end - self._file.tell(), "the file is whole")
        data = self._file.read(length)
        require(len(data) == length, "the file is whole")
        self.crc = zlib.crc32(data, self.crc)
        return data
