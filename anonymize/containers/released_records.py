"""Records of a released MCAP, read without the library that wrote them (MCAP specification, version 0)."""

import struct

import lz4.frame  # type: ignore[import-untyped]

from anonymize.errors import LimitExceededError, MalformedItemError

SCHEMA, CHANNEL, STATISTICS, CHUNK_INDEX = 0x03, 0x04, 0x0B, 0x08
GROUPS = (SCHEMA, CHANNEL, STATISTICS, CHUNK_INDEX)


class SummaryGroups:
    """What a summary section has shown so far."""

    def __init__(self) -> None:
        self.spans: dict[int, tuple[int, int]] = {}
        self.numbers: set[tuple[int, int]] = set()
        self.offsets: list[tuple[int, bytes]] = []

    @property
    def repeated(self) -> int:
        """How many schemas and channels were repeated."""
        return len(self.numbers)

    def add(self, opcode: int, start: int, end: int) -> None:
        """Add a record of a group, which stands between two offsets."""
        group = GROUPS.index(opcode)
        require(not self.offsets and all(GROUPS.index(o) <= group for o in self.spans), "groups are in order")
        once = opcode != STATISTICS or opcode not in self.spans
        require(once, "there is one record of statistics")
        self.spans[opcode] = (self.spans.get(opcode, (start, end))[0], end)

    def require_offsets(self) -> int:
        """Hold the summary offsets against the groups; where they begin."""
        require(STATISTICS in self.spans, "there is one record of statistics")
        at = min(start for start, _ in self.spans.values())
        expected = []
        for opcode, (start, end) in self.spans.items():
            require(start == at, "groups follow one another")
            expected.append(struct.pack("<BQQ", opcode, start, end - start))
            at = end
        require([body for _, body in self.offsets] == expected, "the summary offsets say where groups are")
        require(self.offsets[0][0] == at, "the summary offsets follow the groups")
        return at


class Fields:
    """The fields of a record, one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._offset = 0

    @property
    def left(self) -> int:
        """Bytes that no field has taken."""
        return len(self._body) - self._offset

    def number(self, form: str) -> int:
        """The next unsigned number, of a form of ``struct``."""
        return int(struct.unpack(f"<{form}", self._next(struct.calcsize(f"<{form}")))[0])

    def sized(self, form: str) -> bytes:
        """The next bytes, which stand behind their length."""
        return self._next(self.number(form))

    def text(self) -> str:
        """The next text, which stands behind its length."""
        try:
            return self.sized("I").decode()
        except UnicodeDecodeError as error:
            raise MalformedItemError("a name in a record is not UTF-8") from error

    def require_end(self) -> None:
        """Refuse bytes behind the last field: anything could be written there."""
        require(not self.left, "a record ends with its last field")

    def _next(self, length: int) -> bytes:
        require(length <= self.left, "a record holds its fields")
        self._offset += length
        return self._body[self._offset - length : self._offset]


def expanded_lz4(data: bytes, size: int) -> bytes:
    """Expand one lz4 frame to exactly ``size`` bytes.

    Raises:
        MalformedItemError: It is damaged, of another size, or has anything behind it.
    """
    decompressor = lz4.frame.LZ4FrameDecompressor()
    try:
        expanded: bytes = decompressor.decompress(data, max_length=size + 1)
    except RuntimeError as error:
        raise MalformedItemError("an lz4 chunk is damaged") from error
    require(len(expanded) == size and decompressor.eof, "a chunk expands to its size")
    require(not decompressor.unused_data, "a chunk is one lz4 frame")
    return expanded


def limit(length: int, most: int) -> None:
    """Refuse a length before anything is allocated for it.

    Raises:
        LimitExceededError: It is greater than ``most``.
    """
    if length > most:
        raise LimitExceededError(f"a record is too large (got {length} bytes, expected at most {most})")


def require(holds: bool, what: str) -> None:  # noqa: FBT001 - read as a sentence
    """Refuse what is not as ``what`` says.

    Raises:
        MalformedItemError: It does not hold.
    """
    if not holds:
        raise MalformedItemError(f"the released MCAP is damaged (got it otherwise, expected: {what})")
